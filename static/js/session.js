// @ts-check
// The signed-in page at work: what the user does and what the websocket sends become requests and changes of the store.
// The outbox sender and the room loader do their parts; the session joins them.

import { HOME } from "./links.js";
import { forgetRoom, keepNodes, keepRooms, readNodes, readRooms } from "./kept.js";
import { MessageActions } from "./message_actions.js";
import { OutboxSender } from "./outbox_sender.js";
import { ReadMarks } from "./read_marks.js";
import { GAP_MAX, RoomLoader } from "./room_loader.js";
import { ApiError, preferNode } from "./server/http.js";
import { fetchRooms, setPreferences } from "./server/rooms_api.js";
import { PostPages } from "./server/post_pages.js";
import { readCursor } from "./server/read_cursor.js";
import { ChatSocket } from "./server/socket.js";
import { applyReaction } from "./store/reactions.js";
import { MESSAGES } from "./strings.js";
import { mentionsUser } from "./text/mentions.js";

/** @typedef {import("./store/store.js").Store} Store */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Room} Room */

/**
 * The callbacks of Session.
 * @typedef {object} SessionEvents
 * @property {(room: string, post: Post) => void} onPost  a message of somebody else came live
 * @property {(room: string) => void} onRoomDeleted
 * @property {(room: string) => void} onRoomRenamed  the room in view has this name now
 * @property {(text: string, reason: string) => void} onTextReturned  a text of the room in view was not sent; reason: "" if
 *   the user takes it back
 * @property {(text: string) => void} onNotice  something happened that the user should know
 * @property {() => void} onSignedOut
 */

/** The page says at most this often that the user is typing; one `Typing` frame counts for six seconds. */
const TYPING_PAUSE_MS = 2_500;
/** The first subscription waits at most this long for the first reads. */
const FIRST_READS_MS = 1_500;

export class Session {
  /**
   * @param {Store} store
   * @param {SessionEvents} events
   */
  constructor(store, events) {
    this.store = store;
    this.events = events;
    this.rooms = store.rooms;
    this.wasConnected = false;
    this.isHomeGone = false;
    /** @type {Promise<unknown>[]} the first reads of the room list and of messages */
    this.firstReads = [];
    /** When and where the page last said that the user is typing. */
    this.lastTyping = { at: 0, room: "" };
    this.socket = new ChatSocket(HOME, () => store.user, {
      onFirstSubscribe: () => this.firstCursor(),
      onHello: (resumed) => this.onHello(resumed),
      onPost: (room, post) => this.onPost(room, post),
      onAck: (ack) => this.onAck(ack),
      onRoomEvent: (event) => this.onRoomEvent(event),
      onLimited: (limited) => this.onLimited(limited),
      onPresence: ({ User, Online }) => store.presence.setOnline(User, Online),
      onTyping: ({ RoomName, User }) => store.presence.startTyping(RoomName, User),
      onError: (error) => this.sender.onError(error),
      onCluster: ({ Majority }) => store.setMajority(Majority !== false),
      onConnection: (connection) => this.onConnection(connection),
      onOriginRefused: (reason) => store.setOriginRefusal(reason),
      onSignedOut: events.onSignedOut,
    });
    this.readMarks = new ReadMarks(store, (room, id, isUnread) => this.socket.sendRead(room, id, isUnread));
    this.sender = new OutboxSender(store, this.socket, events.onTextReturned);
    this.actions = new MessageActions(store, this.socket, events.onNotice);
    this.loader = new RoomLoader(store, new PostPages(store, this.socket), (posts) => this.sender.confirmAll(posts));
  }

  /** @param {boolean} isHomeGone  the page's own node does not answer: begin with another, and with what was kept */
  async start(isHomeGone) {
    this.isHomeGone = isHomeGone;
    void this.loadOutbox();
    void this.store.drafts.load();
    if (isHomeGone) {
      const rooms = await readRooms();
      if (this.rooms.loaded !== "yes") this.followRename(() => this.rooms.setAll(rooms));
      this.socket.startElsewhere(await readNodes());
    }
    this.socket.connect();
    this.firstReads.push(this.loadRoomList());
  }

  /**
   * The cursor from which on the page has not read.  Without one, all is read again after `Hello`.
   * @returns {Promise<string | null>}
   */
  async firstCursor() {
    if (this.isHomeGone) return null;
    const late = new Promise((resolve) => setTimeout(resolve, FIRST_READS_MS, "late"));
    const isLate = (await Promise.race([Promise.all(this.firstReads), late])) === "late";
    return isLate || this.rooms.loaded !== "yes" ? null : readCursor();
  }

  /** Keep the nodes.  The kept page says to which ones it may connect, so it is kept anew when they change. */
  async keepNodes() {
    const nodes = [...this.socket.nodes].sort();
    if (JSON.stringify(nodes) === JSON.stringify(await readNodes())) return;
    await keepNodes(nodes);
    navigator.serviceWorker?.controller?.postMessage("nodes");
  }

  async loadOutbox() {
    await this.store.outbox.load();
    this.sender.sendWaiting();
  }

  // What the user does.

  /** @param {string | null} name */
  openRoom(name) {
    const before = this.rooms.currentRoom;
    this.rooms.select(name);
    const room = this.rooms.currentRoom;
    if (room === null) return;
    if (room.name !== name) this.events.onRoomRenamed(room.name);
    const isAsked = room === before && !room.timeline.atEnd; // the room's own link leads to its end
    void this.loadRoom(room, isAsked);
  }

  /**
   * Load what the page lacks of a room: its messages, then its pins.  A room without a message may not exist.
   * @param {Room} room
   * @param {boolean} toEnd
   */
  async loadRoom(room, toEnd) {
    const reading = toEnd ? this.loader.loadNewest(room) : room.timeline.loaded === "yes" ? null : this.loader.load(room);
    if (!this.wasConnected) this.firstReads.push(Promise.resolve(reading));
    await reading;
    if (room.timeline.posts.length > 0 && room.pins === null) await this.actions.loadPins(room);
  }

  /**
   * Show a message of a room.
   * @param {string} name
   * @param {number} id
   */
  async openMessage(name, id) {
    this.rooms.select(name);
    const room = this.rooms.currentRoom;
    if (room === null) return;
    if (room.name !== name) this.events.onRoomRenamed(room.name);
    const reading = this.loader.loadAround(room, id);
    if (!this.wasConnected) this.firstReads.push(reading);
    if (!(await reading)) this.events.onNotice(MESSAGES.messageGone);
    await this.loadRoom(room, false);
  }

  /** @param {string} user */
  setUser(user) {
    this.store.setUser(user);
    this.socket.resubscribe();
  }

  /**
   * Mark a message and all that follow as unread.
   * @param {Room} room
   * @param {number} id
   */
  markUnreadFrom(room, id) {
    this.readMarks.markUnreadFrom(room, id);
  }

  /**
   * Change what the user prefers about a room.  Throws ApiError where the server does not take it.
   * @param {Room} room
   * @param {import("./types.js").RoomPreferences} wish
   */
  async prefer(room, wish) {
    const { preferences } = this.store;
    if (!preferences.isShared()) return preferences.keep(room, wish);
    const before = { Favourite: room.favourite, Notify: room.notify };
    this.rooms.setPreferences(room, { ...before, ...wish });
    try {
      await setPreferences(room.name, wish);
    } catch (error) {
      this.rooms.setPreferences(room, before);
      throw error;
    }
  }

  /** @param {Room} room */
  async toggleFavourite(room) {
    try {
      await this.prefer(room, { Favourite: !this.store.preferences.isFavourite(room) });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.events.onNotice(error.message);
    }
  }

  /** The user typed a character in the room in view. */
  onTyping() {
    const { current } = this.rooms;
    const { at, room } = this.lastTyping;
    if (current === null || this.store.user === "") return;
    if (current === room && Date.now() - at < TYPING_PAUSE_MS) return;
    this.lastTyping = { at: Date.now(), room: current };
    this.socket.sendTyping(current);
  }

  retryNow() {
    this.socket.retryNow();
  }

  /** The device may have slept: find out at once whether the connection is still there. */
  wake() {
    this.socket.wake();
  }

  async loadRoomList() {
    try {
      const rooms = await fetchRooms();
      this.followRename(() => this.rooms.setAll(rooms));
      this.readMarks.readKept();
      void keepRooms(rooms);
      this.rooms.noteUnreadInView();
      this.readMarks.see();
    } catch (error) {
      this.rooms.setFailed();
      if (!(error instanceof ApiError)) throw error;
    }
  }

  /**
   * Make a change that may rename the room in view.
   * @param {() => void} change
   */
  followRename(change) {
    const before = this.rooms.current;
    change();
    const { current } = this.rooms;
    if (current !== null && current !== before) this.events.onRoomRenamed(current);
  }

  // What the websocket sends.

  /** @param {boolean} resumed  what was missed follows by itself */
  onHello(resumed) {
    if (!resumed && this.wasConnected) this.store.startOver(); // the server has lost what this page shows
    this.wasConnected = true;
    this.store.presence.clearOnline();
    this.store.setMajority(true); // a node without one says so next
    this.store.setOriginRefusal("");
    void this.keepNodes();
    if (!resumed) this.loader.noteChange();
    if (!resumed || this.rooms.loaded === "failed") void this.loadRoomList();
    for (const room of this.rooms.byName.values()) this.updateRoom(room, resumed);
    this.readMarks.send();
    void this.loadOutbox(); // also what a tab that was closed has left
  }

  /**
   * @param {Room} room
   * @param {boolean} resumed
   */
  updateRoom(room, resumed) {
    const { timeline } = room;
    if (timeline.older === "failed") timeline.setOlder("no");
    if (timeline.loaded === "yes" && !resumed) void this.loader.reload(room);
    else if (timeline.loaded !== "yes" && room === this.rooms.currentRoom) void this.loader.load(room);
  }

  /**
   * @param {string} roomName
   * @param {Post} post
   */
  onPost(roomName, post) {
    const room = this.rooms.get(roomName);
    const { timeline } = room;
    const isNew = post.Id > timeline.newestId;
    this.store.presence.stopTyping(roomName, post.User);
    const own = this.sender.confirmAll([post]) || post.User === this.store.user;
    const mentions = mentionsUser(post.Message, this.store.user) ? 1 : 0;
    this.rooms.noteNewest(room, post.Id, { isRead: own || this.readMarks.isSeen(room), mentions });
    this.readMarks.noteUnread(room);
    if (own && room.unread === 0 && !room.isKeptUnread) this.readMarks.markRead(room);
    this.loader.keepSoon(room);
    if (timeline.appendLive(post)) this.loader.trimUnlessInView(room);
    else if (timeline.loaded === "yes") void this.loader.fillGap(room);
    if (isNew && !own) this.events.onPost(roomName, post);
    this.store.changed();
  }

  /** @param {import("./types.js").Ack} ack */
  onAck({ RoomName, Post, ClientId }) {
    this.sender.confirm(ClientId);
    this.onPost(RoomName, Post);
    this.sender.sendWaiting();
  }

  /** @param {import("./types.js").RoomEvent} event */
  onRoomEvent(event) {
    const { Type, RoomName, Room, Post, Id } = event;
    const timeline = this.rooms.byName.get(RoomName)?.timeline;
    this.loader.noteChange();
    if (Type === "PostChanged" && Post) timeline?.update(Post.Id, () => Post);
    if (Type === "Reacted" && Id) timeline?.update(Id, (post) => applyReaction(post, event));
    if (Type === "Marked" && Id !== undefined) this.readMarks.onMarked(RoomName, Id);
    const room = this.rooms.byName.get(RoomName);
    if (Type === "Preferences" && room !== undefined) return this.rooms.setPreferences(room, event);
    if (room !== undefined && timeline !== undefined) this.loader.keepSoon(room);
    if (Type === "RoomChanged" && Room) this.onRoomChanged(Room);
    if (Type !== "RoomDeleted") return; // a newer server may send more types
    this.rooms.remove(RoomName);
    forgetRoom(RoomName);
    this.events.onRoomDeleted(RoomName);
  }

  /** @param {import("./types.js").RoomDetails} details */
  onRoomChanged(details) {
    this.followRename(() => this.rooms.update(details));
    const room = this.rooms.get(details.Name);
    if (room.pins !== null || room === this.rooms.currentRoom) void this.actions.loadPins(room); // it may be a pin
  }

  /** @param {import("./types.js").Limited} limited  this room missed more than the websocket sends again */
  onLimited({ RoomName, NewestId }) {
    const room = this.rooms.get(RoomName);
    const { timeline } = room;
    this.rooms.noteNewest(room, NewestId, { isRead: this.readMarks.isSeen(room) });
    const isFar = NewestId - timeline.lastId > GAP_MAX;
    if (timeline.loaded === "yes") void (isFar ? this.loader.loadNewest(room) : this.loader.reload(room));
    this.store.changed();
  }

  /** @param {import("./types.js").Connection} connection */
  onConnection(connection) {
    if (connection.phase !== "open") this.sender.onDisconnected();
    // With sign-in, the cookie goes to the page's own node only.
    else if (this.store.account?.Auth !== "login") preferNode(connection.node);
    this.store.setConnection(connection);
  }
}
