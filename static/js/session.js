// @ts-check
// What happens when: the reader's verbs and the socket's events, turned into requests and changes of the store.
//
// The rules it keeps:
// - Every post goes through the outbox, one at a time a room, and leaves it when its confirmed self is seen: in an Ack,
//   in a broadcast or in a page from REST, whichever comes first.
// - A room that has heard of a newer Id than it holds is filled up by REST until it holds it.

import { fetchRooms, preferNode } from "./api.js";
import { NOT_OPEN } from "./room_notices.js";
import { HOME } from "./links.js";
import { Pages } from "./post_pages.js";
import { reactedTo } from "./reactions.js";
import { ChatSocket } from "./socket.js";
import { lastId } from "./store.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").PendingPost} PendingPost */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Room} Room */

/** A room that missed more than this begins anew with its newest page. */
const FILL_MAX = 500;
/** A page that something happened to while it was on its way is fetched again, so often at most. */
const RENEW_TRIES = 3;
/** A post that got neither Ack nor Error is sent again: with its ClientId that is harmless. */
const ACK_MS = 12_000;
const TEMPORARY_PAUSE_MS = 2_000;
const RELOAD_PAUSE_MS = 3_000;
/** That the reader types is said so often; what was said stands for six seconds. */
const TYPING_PAUSE_MS = 2_500;
/** What refuses a message to a room that became private, or that the reader is no longer a member of. */
const CLOSED_CODES = ["room_gone", "not_found"];

export class Session {
  /**
   * @param {Store} store
   * @param {import("./identity.js").Identity} identity
   * @param {(room: string, post: Post) => void} arrived  told of every post of somebody else that comes in live
   * @param {(room: string) => void} vanished  told of every room that is deleted
   * @param {(room: string) => void} moved  told of the next name of the room in view
   * @param {(text: string) => void} returned  given what was written in the room in view and could not be sent
   */
  constructor(store, identity, arrived, vanished, moved, returned) {
    this.store = store;
    this.identity = identity;
    this.arrived = arrived;
    this.vanished = vanished;
    this.moved = moved;
    this.returned = returned;
    this.outbox = store.outbox;
    /** @type {Map<string, ReturnType<typeof setTimeout>>} ClientIds under way, each with the timer that gives up */
    this.underway = new Map();
    /** @type {Set<Room>} rooms that are being filled up */
    this.filling = new Set();
    this.welcomed = false;
    /** Counts what this page may have missed of, or been told of, that became of posts. */
    this.happened = 0;
    /** When it was last said that the reader types, and where. */
    this.typed = { at: 0, room: "" };
    this.socket = new ChatSocket(HOME, () => store.user, {
      hello: (_, resumed) => this.welcome(resumed),
      post: ({ RoomName, Post }) => this.receive(RoomName, Post),
      ack: ({ RoomName, Post, ClientId }) => this.confirm(RoomName, Post, ClientId),
      happening: (happening) => this.notice(happening),
      presence: ({ User, Online }) => store.company.notePresence(User, Online),
      typing: ({ RoomName, User }) => store.company.noteTyping(RoomName, User),
      limited: ({ RoomName, NewestId }) => this.catchUp(RoomName, NewestId),
      refusal: (refusal) => this.refuse(refusal),
      cluster: ({ Majority }) => store.setMajority(Majority !== false),
      refused: (reason) => store.setRefused(reason),
      connection: (connection) => this.noticeConnection(connection),
      turnedAway: () => void this.identity.askAgain(),
    });
    this.pages = new Pages(store, this.socket);
  }

  start() {
    this.socket.connect();
    void this.listRooms();
  }

  // What the reader does.

  /** @param {string | null} name */
  openRoom(name) {
    this.store.enterRoom(name);
    const room = this.store.currentRoom;
    if (room !== null && room.name !== name) this.moved(room.name);
    if (room !== null && room.loaded !== "yes") void this.reload(room);
  }

  /** @param {string} message */
  say(message) {
    if (this.store.current === null) return;
    this.outbox.add(this.store.current, this.store.user, message);
    this.sendWaiting();
  }

  /** @param {string} user */
  beCalled(user) {
    this.store.setUser(user);
    this.socket.introduce();
  }

  /** The reader types in the room in view. */
  type() {
    const { current, user } = this.store;
    const { at, room } = this.typed;
    if (current === null || user === "" || (current === room && Date.now() - at < TYPING_PAUSE_MS)) return;
    this.typed = { at: Date.now(), room: current };
    this.socket.type(current);
  }

  /** @param {PendingPost} pending */
  sayAgain(pending) {
    this.outbox.release(pending);
    this.sendWaiting();
  }

  /** @param {PendingPost} pending */
  discard(pending) {
    this.outbox.remove(pending.ClientId);
    this.store.changed();
  }

  /** @param {Room} room */
  async loadOlder(room) {
    const first = room.posts.at(0);
    if (first === undefined || room.fromStart || room.older === "loading") return;
    this.store.markOlder(room, "loading");
    try {
      const { posts, whole } = await this.pages.before(room.name, first.Id);
      if (room.posts.at(0) !== first) return this.store.markOlder(room, "no"); // trimmed or replaced meanwhile
      this.settle(posts);
      this.store.prependPosts(room, posts, whole);
    } catch {
      this.store.markOlder(room, "failed");
    }
  }

  retryNow() {
    this.socket.retryNow();
  }

  // What the requests bring.

  async listRooms() {
    try {
      const rooms = await fetchRooms();
      this.follow(() => this.store.listRooms(rooms));
    } catch {
      this.store.failListing();
    }
  }

  /**
   * Load a room that is not complete; what is there already stays, and with it the reader's place.
   * @param {Room} room
   */
  async reload(room) {
    if (room.loaded === "loading") return;
    if (room.posts.length === 0) return this.loadRoom(room);
    this.store.markLoading(room, "yes");
    await this.fill(room);
  }

  /**
   * Say that it failed, and try again by itself; a new connection tries at once.
   * @param {Room} room
   */
  fail(room) {
    this.store.markLoading(room, "failed");
    const retry = () => room.loaded === "failed" && room.name === this.store.current && this.reload(room);
    setTimeout(retry, RELOAD_PAUSE_MS * (1 + Math.random()));
  }

  /** @param {Room} room */
  async loadRoom(room) {
    if (room.loaded === "loading") return;
    this.store.markLoading(room, "loading");
    const happened = this.happened;
    try {
      const { posts, whole } = await this.pages.newest(room.name);
      this.settle(posts);
      this.store.replacePosts(room, posts, whole);
    } catch {
      return this.fail(room);
    }
    if (happened !== this.happened) void this.renew(room);
    if (lastId(room) < room.newestId) void this.fill(room); // one came in while this page was on its way
  }

  /**
   * What became of the newest posts while nobody told of it, or while they were on their way.
   * @param {Room} room
   */
  async renew(room) {
    for (let tries = 0, happened = -1; happened !== this.happened && tries < RENEW_TRIES; tries++) {
      happened = this.happened;
      try {
        for (const post of (await this.pages.newest(room.name)).posts) this.store.replacePost(room.name, post.Id, () => post);
      } catch {
        return this.fail(room);
      }
    }
  }

  /**
   * Fetch what lies between the last post here and the newest that was heard of.
   * @param {Room} room
   */
  async fill(room) {
    if (this.filling.has(room)) return;
    this.filling.add(room);
    let joined = true;
    try {
      joined = await this.fetchPages(room);
    } catch {
      this.fail(room);
    }
    this.filling.delete(room);
    if (!joined) void this.loadRoom(room);
  }

  /**
   * @param {Room} room
   * @returns {Promise<boolean>} false where the end is still far
   */
  async fetchPages(room) {
    for (let fetched = 0, posts, whole; fetched < FILL_MAX; fetched += posts.length) {
      ({ posts, whole } = await this.pages.after(room.name, lastId(room)));
      this.settle(posts);
      this.store.appendPage(room, posts);
      if (posts.length === 0 || (whole && lastId(room) >= room.newestId)) return true;
    }
    return false;
  }

  // What the socket tells.

  /** @param {boolean} resumed  what was missed comes by itself */
  welcome(resumed) {
    if (!resumed && this.welcomed) this.store.startOver(); // the server has lost what this page shows
    this.welcomed = true;
    this.store.company.forget();
    this.store.setMajority(true); // a node without one says so next
    this.store.setRefused("");
    if (!resumed) this.happened += 1;
    if (!resumed || this.store.listed === "failed") void this.listRooms();
    for (const room of this.store.rooms.values()) this.refresh(room, resumed);
    this.sendWaiting();
  }

  /**
   * @param {Room} room
   * @param {boolean} resumed
   */
  refresh(room, resumed) {
    if (room.older === "failed") this.store.markOlder(room, "no");
    if (room.loaded === "yes" && !resumed) void this.renew(room).then(() => this.fill(room));
    else if (room.loaded !== "yes" && room.name === this.store.current) void this.reload(room);
  }

  /**
   * @param {string} roomName
   * @param {Post} post
   */
  receive(roomName, post) {
    const room = this.store.room(roomName);
    const news = post.Id > room.newestId;
    this.store.company.noteRest(roomName, post.User);
    const own = this.settle([post]) || post.User === this.store.user;
    this.store.noteNewest(room, post.Id, own || this.isRead(roomName));
    if (!this.store.appendLive(room, post) && room.loaded === "yes") void this.fill(room);
    if (news && !own) this.arrived(roomName, post);
    this.store.changed();
  }

  /**
   * @param {string} roomName
   * @param {Post} post
   * @param {string} clientId
   */
  confirm(roomName, post, clientId) {
    this.outbox.remove(clientId);
    this.land(clientId);
    this.receive(roomName, post);
    this.sendWaiting();
  }

  /** @param {import("./types.js").Happening} happening */
  notice(happening) {
    const { Type, RoomName, Room, Post, Id } = happening;
    this.happened += 1;
    // A newer server may tell of more.
    if (Type === "PostChanged" && Post) this.store.replacePost(RoomName, Post.Id, () => Post);
    if (Type === "Reacted" && Id) this.store.replacePost(RoomName, Id, (post) => reactedTo(post, happening));
    if (Type === "RoomChanged" && Room) this.follow(() => this.store.describeRoom(Room));
    if (Type !== "RoomDeleted") return;
    this.store.removeRoom(RoomName);
    this.vanished(RoomName);
  }

  /**
   * Do what may give the room in view another name.
   * @param {() => void} change
   */
  follow(change) {
    const before = this.store.current;
    change();
    const { current } = this.store;
    if (current !== null && current !== before) this.moved(current);
  }

  /**
   * Too much was missed for the socket to tell.
   * @param {string} roomName
   * @param {number} newestId
   */
  catchUp(roomName, newestId) {
    const room = this.store.room(roomName);
    this.store.noteNewest(room, newestId, this.isRead(roomName));
    const isFar = newestId - lastId(room) > FILL_MAX;
    if (room.loaded === "yes") void (isFar ? this.loadRoom(room) : this.renew(room).then(() => this.fill(room)));
    this.store.changed();
  }

  /** @param {import("./types.js").Refusal} refusal */
  refuse(refusal) {
    if (refusal.ClientId === null) return;
    this.land(refusal.ClientId);
    if (CLOSED_CODES.includes(refusal.code)) this.giveBack(refusal.ClientId);
    else if (refusal.Temporary) setTimeout(() => this.sendWaiting(), TEMPORARY_PAUSE_MS);
    else this.outbox.refuse(refusal.ClientId, refusal.detail);
    if (!refusal.Temporary) this.sendWaiting();
  }

  /**
   * The room of this message is not open to the reader any more.  What they wrote there goes back into the box, or stays
   * where it is, not sent, until they come to that room.
   * @param {string} clientId
   */
  giveBack(clientId) {
    const room = this.outbox.posts.find((pending) => pending.ClientId === clientId)?.RoomName;
    if (room === undefined) return;
    this.store.closeRoom(room);
    if (room !== this.store.current) return this.outbox.refuse(clientId, NOT_OPEN);
    const pending = this.outbox.inRoom(room).filter(({ Refusal }) => Refusal === undefined);
    for (const { ClientId } of pending) this.outbox.remove(ClientId);
    this.returned(pending.map(({ Message }) => Message).join("\n"));
  }

  /** @param {import("./types.js").Connection} connection */
  noticeConnection(connection) {
    if (connection.phase !== "open") for (const clientId of [...this.underway.keys()]) this.land(clientId);
    // The cookie of a login goes to no node but the page's own.
    else if (this.store.account?.Auth !== "login") preferNode(connection.node);
    this.store.setConnection(connection);
  }

  // The outbox.

  /** Send, of each room, the oldest post that waits, unless it is under way. */
  sendWaiting() {
    for (const pending of this.outbox.heads()) {
      if (!this.underway.has(pending.ClientId) && this.socket.post(pending)) this.launch(pending.ClientId);
    }
    this.store.changed();
  }

  /** @param {string} clientId */
  launch(clientId) {
    const giveUp = () => {
      this.land(clientId);
      this.sendWaiting();
    };
    this.underway.set(clientId, setTimeout(giveUp, ACK_MS));
  }

  /** @param {string} clientId */
  land(clientId) {
    clearTimeout(this.underway.get(clientId));
    this.underway.delete(clientId);
  }

  /**
   * Take out of the outbox what the server has confirmed.
   * @param {Post[]} posts
   * @returns {boolean} was one of them in it?
   */
  settle(posts) {
    const confirmed = new Map(posts.map((post) => [post.ClientId, post.User]));
    const settled = this.outbox.posts.filter((pending) => confirmed.get(pending.ClientId) === pending.User);
    for (const pending of settled) {
      this.outbox.remove(pending.ClientId);
      this.land(pending.ClientId);
    }
    if (settled.length > 0) this.sendWaiting();
    return settled.length > 0;
  }

  /**
   * @param {string} roomName
   * @returns {boolean}
   */
  isRead(roomName) {
    return roomName === this.store.current && !document.hidden;
  }
}
