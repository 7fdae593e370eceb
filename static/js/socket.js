// @ts-check
// The one file that knows the websocket: it subscribes to every room, resumes by cursor, and reconnects for ever.
//
// The rules it keeps:
// - A frame's cursor is taken over only after its owner has been handed the frame, so nothing is skipped on resume.
// - Each try goes to the next of all nodes that were ever named to this page, after a full-jitter pause (random
//   between 0 and a bound that doubles from 0.5 to 20 s): a failover disconnects everybody at the same moment.
// - A node that has lost the majority is left for one that has a leader, if another one says so.
// - The browser hides protocol pings, so a silent connection is probed with `ping` and given up when nothing comes.

import { findLed, socketUrl, whyRefused } from "./api.js";
import { SpareTicket } from "./tickets.js";

/** @typedef {import("./types.js").Connection} Connection */
/** @typedef {import("./types.js").History} History */
/** @typedef {import("./types.js").PendingPost} PendingPost */
/** @typedef {import("./types.js").SocketEvents} SocketEvents */

const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 20_000;
/** From the first packet to `Hello`; a node that lags may take 5 s before it says so. */
const GREETING_MS = 8_000;
/** Silence after which a `ping` goes out, and the same again until the connection counts as dead. */
const QUIET_MS = 20_000;
/** A node without a majority is left after this and up to as much again: an election is over by then. */
const LEAVE_MS = 3_000;
const TURNED_AWAY = 1008;
/** The cursor is of a history that the server has lost. */
const START_OVER = "start_over";
/** The refusals that mean the same. */
const STRANGER = ["login_needed", "bad_token"];

export class ChatSocket {
  /**
   * @param {string} home  the URL of the node that served the page, with a slash at its end
   * @param {() => string} reader  who the reader is, "" where that is not known
   * @param {SocketEvents} events
   */
  constructor(home, reader, events) {
    this.reader = reader;
    this.events = events;
    this.home = home;
    this.nodes = [home];
    this.turn = 0;
    this.failures = 0;
    this.lostAt = Date.now();
    /** @type {string | null} */
    this.cursor = null;
    this.greeted = false;
    /** Did the connection under way ever open?  Where the node refuses the page, it does not. */
    this.opened = false;
    /** Why the page's own node refuses the page; "" where it does not. */
    this.refused = "";
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} runs while the node has no majority */
    this.leaving = undefined;
    this.ticket = new SpareTicket(() => this.send({ Action: "ticket" }));
    /** @type {Map<string, (page: History | null) => void>} who waits for a page, by the ClientId of the question */
    this.lookers = new Map();
    this.asked = 0;
  }

  /** Connect to the node whose turn it is, at once. */
  connect() {
    clearTimeout(this.timer);
    this.drop();
    this.tell("connecting", 0);
    try {
      this.listen(new WebSocket(socketUrl(this.node)));
    } catch {
      this.retry(); // an address that this page may not speak to, such as plain http from a page served over TLS
    }
  }

  /** The reader, or the browser, believes that it works again: try now, with short pauses. */
  retryNow() {
    if (this.greeted) return;
    this.failures = 0;
    this.connect();
  }

  /**
   * Send a post; false where the connection is not open, and the caller keeps it.
   * @param {PendingPost} pending
   * @returns {boolean}
   */
  post(pending) {
    const { ClientId, RoomName, User, Message } = pending;
    return this.greeted && this.send({ Action: "post", RoomName, Post: { User, Message, ClientId } });
  }

  /** @param {string} room  where the reader types */
  type(room) {
    if (this.greeted) this.send({ Action: "typing", RoomName: room, User: this.reader() });
  }

  /** The reader has another name. */
  introduce() {
    if (this.greeted) this.subscribe();
  }

  /**
   * A page of a room; null where the connection is not open, is lost meanwhile, or the node refuses.
   * @param {object} asked
   * @returns {Promise<History | null>}
   */
  async lookBack(asked) {
    const ClientId = `page-${(this.asked += 1)}`;
    return new Promise((tell) => {
      if (this.greeted && this.send({ Action: "history", ...asked, ClientId })) this.lookers.set(ClientId, tell);
      else tell(null);
    });
  }

  /**
   * @param {string | null} clientId
   * @param {History | null} page
   * @returns {boolean} was somebody waiting for it?
   */
  show(clientId, page) {
    const tell = this.lookers.get(clientId ?? "");
    this.lookers.delete(clientId ?? "");
    tell?.(page);
    return tell !== undefined;
  }

  /** @returns {string} */
  get node() {
    return this.nodes[this.turn % this.nodes.length];
  }

  /** @param {WebSocket} socket */
  listen(socket) {
    this.socket = socket;
    this.watch(GREETING_MS, () => this.retry());
    socket.onopen = () => {
      this.opened = true;
      this.refused = "";
      this.subscribe();
    };
    socket.onmessage = (event) => this.receive(event);
    socket.onclose = ({ code }) => this.end(code);
  }

  subscribe() {
    const known = { User: this.reader() || undefined, Cursor: this.cursor ?? undefined }; // JSON leaves these out
    this.send({ Action: "subscribe", Rooms: "*", Cluster: true, ...known, ...this.ticket.spend(this.node) });
  }

  /** @param {MessageEvent} event */
  receive(event) {
    const frame = parseFrame(event.data);
    this.dispatch(frame);
    if (typeof frame.Cursor === "string") this.cursor = frame.Cursor;
    if (this.greeted) this.watch(QUIET_MS, () => this.probe());
  }

  /** @param {Record<string, any>} frame */
  dispatch(frame) {
    if (frame.Hello) this.greet(frame.Hello);
    else if (frame.Ack) this.events.ack(frame.Ack);
    else if (frame.Limited) this.events.limited(frame.Limited);
    else if (frame.Event) this.events.happening(frame.Event);
    else if (frame.Presence) this.events.presence(frame.Presence);
    else if (frame.Cluster) this.noteMajority(frame.Cluster);
    else if (frame.Typing) this.events.typing(frame.Typing);
    else if (frame.Error) this.refuse(frame.Error);
    else if (frame.History) this.show(frame.History.ClientId, frame.History);
    else if (frame.Ticket) this.ticket.keep(frame.Ticket.Ticket);
    else if (frame.RoomName && frame.Post) this.events.post({ RoomName: frame.RoomName, Post: frame.Post });
  }

  /** @param {import("./types.js").Hello} hello */
  greet(hello) {
    const resumed = this.cursor !== null;
    this.cursor ??= hello.Cursor;
    this.learn(hello.Nodes ?? []);
    this.greeted = true;
    this.failures = 0;
    this.lostAt = 0;
    if (hello.User) this.ticket.reserve(this.nodes);
    this.tell("open", 0);
    this.events.hello(hello, resumed);
  }

  /**
   * A refusal before Hello is one of the subscription: its cursor may be of a cluster that is no more.
   * @param {import("./types.js").Refusal} refusal
   */
  refuse(refusal) {
    if (this.show(refusal.ClientId, null)) return;
    if (this.greeted && refusal.code !== START_OVER) return this.events.refusal(refusal);
    if (STRANGER.includes(refusal.code)) return this.end(TURNED_AWAY);
    if (refusal.Temporary || this.cursor === null) return this.retry();
    this.cursor = null;
    this.subscribe();
  }

  /**
   * Keep the node in use first in turn, whatever order the nodes come in.
   * @param {string[]} urls
   */
  learn(urls) {
    const current = this.node;
    const known = new Set([current, ...this.nodes, ...urls.map(nodeOf).filter(Boolean)]);
    this.nodes = [...known];
    this.turn = 0;
  }

  /** @param {{Majority?: boolean}} cluster */
  noteMajority(cluster) {
    this.events.cluster(cluster);
    this.stay();
    if (cluster.Majority === false) this.leaveLater();
  }

  leaveLater() {
    this.leaving = setTimeout(() => void this.leave(), LEAVE_MS * (1 + Math.random()));
  }

  /** Stay at this node. */
  stay() {
    clearTimeout(this.leaving);
    this.leaving = undefined;
  }

  /** Go to a node that has a leader, where another one says so; else look again later. */
  async leave() {
    const { leaving, node } = this;
    const other = await findLed(this.nodes.filter((known) => known !== node));
    if (this.leaving !== leaving) return; // the majority is back, or the connection lost
    if (other === "") return this.leaveLater();
    this.turn = this.nodes.indexOf(other);
    this.lostAt ||= Date.now();
    this.connect();
  }

  probe() {
    this.send({ Action: "ping" });
    this.watch(QUIET_MS, () => this.retry());
  }

  retry() {
    this.drop();
    this.lostAt ||= Date.now();
    const pause = Math.random() * Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.failures);
    this.failures += 1;
    this.turn += 1;
    this.tell("waiting", Date.now() + pause);
    this.watch(pause, () => this.connect());
  }

  /** Let go of the connection without hearing of its end. */
  drop() {
    this.greeted = false;
    this.opened = false;
    this.stay();
    for (const clientId of [...this.lookers.keys()]) this.show(clientId, null);
    if (this.socket === null) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  /**
   * @param {Record<string, unknown>} frame
   * @returns {boolean}
   */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** @param {number} code  RFC 6455 §7.4; TURNED_AWAY: the node does not take the reader for who they were */
  end(code) {
    if (code === TURNED_AWAY) this.events.turnedAway();
    if (!this.opened && this.node === this.home) void this.askWhy();
    this.retry();
  }

  /** A browser does not tell a page that its websocket was refused: ask the page's own node, and show its answer. */
  async askWhy() {
    const refused = await whyRefused();
    if (this.greeted || this.refused === refused) return;
    this.refused = refused;
    this.events.refused(refused);
  }

  /**
   * There is one timer: what it does next depends on what was heard last.
   * @param {number} ms
   * @param {() => void} action
   */
  watch(ms, action) {
    clearTimeout(this.timer);
    this.timer = setTimeout(action, ms);
  }

  /**
   * @param {Connection["phase"]} phase
   * @param {number} retryAt
   */
  tell(phase, retryAt) {
    this.events.connection({ phase, node: this.node, retryAt, lostAt: this.lostAt });
  }
}

/**
 * A frame that is not a JSON object is as good as none.
 * @param {unknown} data
 * @returns {Record<string, any>}
 */
function parseFrame(data) {
  try {
    const frame = JSON.parse(String(data));
    return frame !== null && typeof frame === "object" ? frame : {};
  } catch {
    return {};
  }
}

/**
 * @param {string} url
 * @returns {string} the same with a slash at its end; "" where it is no URL
 */
function nodeOf(url) {
  try {
    return new URL(url.endsWith("/") ? url : `${url}/`).href;
  } catch {
    return "";
  }
}
