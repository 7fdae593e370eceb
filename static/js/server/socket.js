// @ts-check
// The websocket: subscribe to every room, resume by cursor, and reconnect until it works.
//
// The rules it keeps:
// - A frame's cursor is stored only after the callback has had the frame, so that nothing is skipped on resuming.
// - Each try goes to the next node that this page has heard of, after a pause with full jitter (random between 0 and a
//   bound that doubles from 0.5 to 20 s): a failover disconnects all pages at the same moment.
// - The page leaves a node without a majority, if another node says that it has a leader.
// - The browser hides protocol pings.  So a silent connection is probed with a `ping` frame, and closed without an
//   answer.

import { fetchOriginRefusal, findNodeWithLeader, socketUrl } from "./cluster_api.js";
import { ApiError } from "./http.js";
import { SpareTicket } from "./spare_ticket.js";

/** @typedef {import("../types.js").ClusterState} ClusterState */
/** @typedef {import("../types.js").Connection} Connection */
/** @typedef {import("../types.js").ErrorFrame} ErrorFrame */
/** @typedef {import("../types.js").Frame} Frame */
/** @typedef {import("../types.js").Hello} Hello */
/** @typedef {import("../types.js").History} History */
/** @typedef {import("../types.js").PendingPost} PendingPost */
/** @typedef {import("../types.js").SocketEvents} SocketEvents */
/** @typedef {{Post?: import("../types.js").Post}} Changed  the message as it is now, where it was changed */
/** @typedef {{resolve: (ack: Changed) => void, reject: (error: ApiError) => void}} ChangeRequest */

const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 20_000;
/** From the first packet to `Hello`: a node that lags behind may take 5 s to refuse. */
const HELLO_TIMEOUT_MS = 8_000;
/** After this much silence a `ping` is sent; after as much again, the connection counts as dead. */
const SILENCE_MS = 20_000;
/** After a device's sleep, a node that does not answer this fast is gone. */
const WAKE_MS = 3_000;
/** The page leaves a node without a majority after one to two times this: an election is over by then. */
const LEAVE_MS = 3_000;
/** RFC 6455 §7.4.1: the node closes with this code when the token has ended. */
const POLICY_VIOLATION = 1008;
/** The codes of errors that refuse a subscription because the user is not signed in any more. */
const SIGNED_OUT_CODES = ["login_needed", "bad_token"];
/** The code for a cursor of a history that the server has lost. */
const START_OVER = "start_over";

export class ChatSocket {
  /**
   * @param {string} home  the URL of the node that served the page, with a slash at its end
   * @param {() => string} userName  "" where it is not known
   * @param {SocketEvents} events
   */
  constructor(home, userName, events) {
    this.userName = userName;
    this.events = events;
    this.home = home;
    /** The node to connect to, or connected to. */
    this.node = home;
    /** @type {string[]} all nodes that the page has heard of, in the order of the tries */
    this.nodes = [home];
    this.failures = 0;
    this.lostAt = Date.now();
    /** @type {string | null} */
    this.cursor = null;
    /** Has `Hello` come over this connection? */
    this.subscribed = false;
    /** Was no subscription sent yet? */
    this.isFirst = true;
    /** Did this connection ever open?  It does not if the node refuses the page. */
    this.opened = false;
    this.originRefusal = "";
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} runs while the node has no majority */
    this.leaveTimer = undefined;
    this.ticket = new SpareTicket(() => this.send({ Action: "ticket" }));
    /** @type {Map<string, (page: History | null) => void>} requests for a page of a room, by ClientId */
    this.historyRequests = new Map();
    /** @type {Map<string, ChangeRequest>} changes of messages that have no answer yet, by ClientId */
    this.changeRequests = new Map();
    this.requestCount = 0;
  }

  /** Connect to `node` at once. */
  connect() {
    clearTimeout(this.timer);
    this.disconnect();
    this.reportConnection("connecting", 0);
    try {
      this.open(new WebSocket(socketUrl(this.node)));
    } catch {
      this.retry(); // an address that this page may not use, such as plain http from a page served over TLS
    }
  }

  /** Try now, with short pauses again: the network is back, or the user asked for it. */
  retryNow() {
    if (this.subscribed) return;
    this.failures = 0;
    this.connect();
  }

  /**
   * Begin at another node than the page's own, which does not answer.
   * @param {string[]} nodes  URLs that an earlier visit heard of
   */
  startElsewhere(nodes) {
    this.addNodes(nodes);
    this.node = this.nextNode();
  }

  /** The device may have slept: an old connection may be gone without a word. */
  wake() {
    if (!this.subscribed) return this.retryNow();
    this.send({ Action: "ping" });
    this.setTimer(WAKE_MS, () => this.retry());
  }

  /**
   * Send a message.
   * @param {PendingPost} pending
   * @returns {boolean} false where the connection is not open
   */
  post({ ClientId, RoomName, User, Message, ReplyTo }) {
    const answers = ReplyTo === undefined ? {} : { ReplyTo };
    return this.subscribed && this.send({ Action: "post", RoomName, Post: { User, Message, ClientId, ...answers } });
  }

  /**
   * Send a change of a message.
   * @param {Record<string, unknown>} frame  with its Action
   * @returns {Promise<Changed>} rejects with an ApiError; it may have been made all the same
   */
  async request(frame) {
    const ClientId = `change-${(this.requestCount += 1)}`;
    return new Promise((resolve, reject) => {
      const isSent = this.subscribed && this.send({ ...frame, ClientId });
      if (isSent) this.changeRequests.set(ClientId, { resolve, reject });
      else reject(ApiError.unreachable());
    });
  }

  /**
   * @param {string | null} clientId
   * @returns {ChangeRequest | undefined}
   */
  takeChange(clientId) {
    const request = this.changeRequests.get(clientId ?? "");
    this.changeRequests.delete(clientId ?? "");
    return request;
  }

  /** @param {import("../types.js").Ack} ack */
  onAck(ack) {
    const change = this.takeChange(ack.ClientId);
    if (change === undefined) this.events.onAck(ack);
    else change.resolve(ack);
  }

  /** @param {string} room  where the user types */
  sendTyping(room) {
    if (this.subscribed) this.send({ Action: "typing", RoomName: room, User: this.userName() });
  }

  /**
   * Say how far the user has read, or from which message on nothing is read.
   * @param {string} room
   * @param {number} id
   * @param {boolean} isUnread
   * @returns {boolean} false where the connection is not open
   */
  sendRead(room, id, isUnread) {
    const unread = isUnread ? { Unread: true } : {};
    return this.subscribed && this.send({ Action: "read", RoomName: room, Id: id, ...unread });
  }

  /** Tell the node the user's new name. */
  resubscribe() {
    if (this.subscribed) this.subscribe();
  }

  /**
   * Request a page of a room.
   * @param {{RoomName: string, Before?: number, After?: number, Around?: number, Limit: number}} asked
   * @returns {Promise<History | null>} null where the connection is not open or is lost meanwhile, or the node refuses
   */
  async fetchHistory(asked) {
    const ClientId = `page-${(this.requestCount += 1)}`;
    return new Promise((resolve) => {
      const isSent = this.subscribed && this.send({ Action: "history", ...asked, ClientId });
      if (isSent) this.historyRequests.set(ClientId, resolve);
      else resolve(null);
    });
  }

  /**
   * @param {string | null} clientId
   * @param {History | null} page
   * @returns {boolean} true where a request for a page has this ClientId
   */
  answerHistory(clientId, page) {
    const resolve = this.historyRequests.get(clientId ?? "");
    this.historyRequests.delete(clientId ?? "");
    resolve?.(page);
    return resolve !== undefined;
  }

  /** @param {WebSocket} socket */
  open(socket) {
    this.socket = socket;
    this.setTimer(HELLO_TIMEOUT_MS, () => this.retry());
    socket.onopen = () => {
      this.opened = true;
      this.originRefusal = "";
      void this.begin(socket);
    };
    socket.onmessage = (event) => this.onMessage(event.data);
    socket.onclose = ({ code }) => this.onClose(code);
  }

  /** @param {WebSocket} socket */
  async begin(socket) {
    await this.ticket.find(this.node);
    if (this.isFirst) this.cursor ??= await this.events.onFirstSubscribe();
    if (this.socket === socket) this.subscribe();
  }

  subscribe() {
    this.isFirst = false;
    const known = { User: this.userName() || undefined, Cursor: this.cursor ?? undefined }; // JSON leaves out undefined
    this.send({ Action: "subscribe", Rooms: "*", Cluster: true, ...known, ...this.ticket.take(this.node) });
  }

  /** @param {unknown} data */
  onMessage(data) {
    const frame = parseFrame(data);
    this.dispatch(frame);
    if (typeof frame.Cursor === "string") this.cursor = frame.Cursor;
    if (this.subscribed) this.setTimer(SILENCE_MS, () => this.probe());
  }

  /** @param {Frame} frame */
  dispatch(frame) {
    if (frame.Hello) this.onHello(frame.Hello);
    else if (frame.Ack) this.onAck(frame.Ack);
    else if (frame.Limited) this.events.onLimited(frame.Limited);
    else if (frame.Event) this.events.onRoomEvent(frame.Event);
    else if (frame.Presence) this.events.onPresence(frame.Presence);
    else if (frame.Cluster) this.onCluster(frame.Cluster);
    else if (frame.Typing) this.events.onTyping(frame.Typing);
    else if (frame.Error) this.onError(frame.Error);
    else if (frame.History) this.answerHistory(frame.History.ClientId, frame.History);
    else if (frame.Ticket) this.ticket.store(frame.Ticket.Ticket);
    else if (frame.RoomName && frame.Post) this.events.onPost(frame.RoomName, frame.Post);
  }

  /** @param {Hello} hello */
  onHello(hello) {
    const resumed = this.cursor !== null;
    if (!this.cursor?.includes("-")) this.cursor = hello.Cursor; // that of answers does not name the cluster
    this.addNodes(hello.Nodes ?? []);
    this.subscribed = true;
    this.failures = 0;
    this.lostAt = 0;
    const hasUsed = this.ticket.useUp(this.node);
    if (hello.User) this.ticket.reserve(this.nodes, hasUsed);
    this.reportConnection("open", 0);
    this.events.onHello(resumed);
  }

  /**
   * Before `Hello` an error refuses the subscription.  Its cursor may be of another cluster or of a lost history: then
   * subscribe again without it.
   * @param {ErrorFrame} error
   */
  onError(error) {
    if (this.answerHistory(error.ClientId, null)) return;
    const change = this.takeChange(error.ClientId);
    if (change !== undefined) return change.reject(new ApiError(error.Temporary ? 503 : 400, error.detail));
    if (this.subscribed && error.code !== START_OVER) return this.events.onError(error);
    if (SIGNED_OUT_CODES.includes(error.code)) return this.onClose(POLICY_VIOLATION);
    if (error.Temporary || this.cursor === null) return this.retry();
    this.cursor = null;
    this.ticket.useUp(this.node); // the node knows the user, or it would not speak of a cursor
    this.subscribe();
  }

  /** @param {string[]} urls */
  addNodes(urls) {
    const known = new Set([this.node, ...this.nodes]);
    for (const url of urls) {
      const node = normalizeUrl(url);
      if (node !== "") known.add(node);
    }
    this.nodes = [...known];
  }

  /** @param {ClusterState} cluster */
  onCluster(cluster) {
    this.events.onCluster(cluster);
    this.stay();
    if (cluster.Majority === false) this.leaveLater();
  }

  leaveLater() {
    this.leaveTimer = setTimeout(() => void this.leave(), LEAVE_MS * (1 + Math.random()));
  }

  /** Stay at this node. */
  stay() {
    clearTimeout(this.leaveTimer);
    this.leaveTimer = undefined;
  }

  /** Go to a node that has a leader.  If no other node says so, look again later. */
  async leave() {
    const { leaveTimer, node } = this;
    const other = await findNodeWithLeader(this.nodes.filter((known) => known !== node));
    if (this.leaveTimer !== leaveTimer) return; // the majority is back, or the connection is lost
    if (other === "") return this.leaveLater();
    this.node = other;
    this.lostAt ||= Date.now();
    this.connect();
  }

  probe() {
    this.send({ Action: "ping" });
    this.setTimer(SILENCE_MS, () => this.retry());
  }

  /** Connect to the next node after a pause. */
  retry() {
    this.disconnect();
    this.lostAt ||= Date.now();
    const pause = Math.random() * Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.failures);
    this.failures += 1;
    this.node = this.nextNode();
    this.reportConnection("waiting", Date.now() + pause);
    this.setTimer(pause, () => this.connect());
  }

  /** @returns {string} */
  nextNode() {
    return this.nodes[(this.nodes.indexOf(this.node) + 1) % this.nodes.length] ?? this.home;
  }

  /** Close the connection without a callback. */
  disconnect() {
    this.subscribed = false;
    this.opened = false;
    this.stay();
    for (const clientId of [...this.historyRequests.keys()]) this.answerHistory(clientId, null);
    for (const clientId of [...this.changeRequests.keys()]) this.takeChange(clientId)?.reject(ApiError.unreachable());
    if (this.socket === null) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  /**
   * @param {Record<string, unknown>} frame
   * @returns {boolean} false where the connection is not open
   */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** @param {number} code  RFC 6455 §7.4 */
  onClose(code) {
    if (code === POLICY_VIOLATION) {
      this.ticket.useUp(this.node);
      this.events.onSignedOut();
    }
    if (!this.opened && this.node === this.home) void this.checkOrigin();
    this.retry();
  }

  /** Ask the page's own node why it refused the websocket: the browser does not say. */
  async checkOrigin() {
    const refusal = await fetchOriginRefusal();
    if (this.subscribed || this.originRefusal === refusal) return;
    this.originRefusal = refusal;
    this.events.onOriginRefused(refusal);
  }

  /**
   * Set the one timer: the last frame decides what happens next.
   * @param {number} ms
   * @param {() => void} action
   */
  setTimer(ms, action) {
    clearTimeout(this.timer);
    this.timer = setTimeout(action, ms);
  }

  /**
   * @param {Connection["phase"]} phase
   * @param {number} retryAt
   */
  reportConnection(phase, retryAt) {
    this.events.onConnection({ phase, node: this.node, retryAt, lostAt: this.lostAt });
  }
}

/**
 * Parse a frame.  The node is trusted to send the fields as api.md describes them.
 * @param {unknown} data
 * @returns {Frame} an empty one where the data is not a JSON object
 */
function parseFrame(data) {
  try {
    /** @type {unknown} */
    const frame = JSON.parse(String(data));
    return frame !== null && typeof frame === "object" ? frame : {};
  } catch {
    return {};
  }
}

/**
 * @param {string} url
 * @returns {string} with a slash at its end; "" where it is not a URL
 */
function normalizeUrl(url) {
  try {
    return new URL(url.endsWith("/") ? url : `${url}/`).href;
  } catch {
    return "";
  }
}
