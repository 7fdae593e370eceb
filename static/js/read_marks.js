// @ts-check
// How far the user has read: what is in view is marked as read, here and on the user's other devices.
//
// The rules it keeps:
// - A room is marked as read only while the page is seen and the end of the room is in view.
// - A room that the user marked unread stays so until they open it again or press Escape.
// - With sign-in the server keeps the markers.  Without, this browser does, since the server has no users.
// - The server is told at most once a second for a room, of the newest message only.

import { readItem, watchItem, writeItem } from "./local_storage.js";

/** @typedef {import("./store/store.js").Store} Store */
/** @typedef {import("./types.js").Room} Room */

const REPORT_MS = 1_000;
const KEY = "read";

export class ReadMarks {
  /**
   * @param {Store} store
   * @param {(room: string, id: number, isUnread: boolean) => boolean} report  tells the server; false if it cannot now
   */
  constructor(store, report) {
    this.store = store;
    this.rooms = store.rooms;
    this.report = report;
    /** @type {Map<string, {id: number, isUnread: boolean}>} what the server is to be told, by room */
    this.waiting = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Set<string>} rooms that this browser keeps a marker of */
    this.known = new Set();
    watchItem(KEY, () => this.readKept());
  }

  /** @returns {boolean} does this browser keep the markers? */
  get isLocal() {
    return this.store.account?.Auth !== "login";
  }

  /** Mark the room in view as read, if it is seen. */
  see() {
    const room = this.rooms.currentRoom;
    if (room === null || document.hidden || !this.rooms.isAtEnd || room.isKeptUnread || room.deleted) return;
    if (room.timeline.loaded === "yes") this.markRead(room);
  }

  /**
   * @param {Room} room
   * @returns {boolean} is what comes here seen at once?
   */
  isSeen(room) {
    return room.name === this.rooms.current && !document.hidden && this.rooms.isAtEnd && !room.isKeptUnread;
  }

  /** @param {Room} room */
  markRead(room) {
    room.isKeptUnread = false;
    if (room.newestId === 0 || (room.unread === 0 && room.readId >= room.newestId)) return;
    this.move(room, room.newestId, false);
  }

  markAllRead() {
    for (const room of this.rooms.sorted) if (room.unread > 0) this.markRead(room);
    this.clearLine();
  }

  /** Mark the room in view as read, and take its line away. */
  markCurrentRead() {
    const room = this.rooms.currentRoom;
    if (room === null) return;
    this.markRead(room);
    this.clearLine();
  }

  clearLine() {
    const room = this.rooms.currentRoom;
    if (room !== null) room.newFromId = 0;
    this.store.changed();
  }

  /**
   * Mark a message and all that follow as unread.
   * @param {Room} room
   * @param {number} id
   */
  markUnreadFrom(room, id) {
    room.isKeptUnread = true;
    room.newFromId = id;
    this.move(room, id - 1, true);
  }

  /**
   * The user has moved the marker, on any of their devices.
   * @param {string} name
   * @param {number} id
   */
  onMarked(name, id) {
    const room = this.rooms.byName.get(name);
    if (room === undefined || this.waiting.has(name) || id === room.readId) return;
    if (id < room.readId && id < room.newestId) {
      room.isKeptUnread = true;
      if (name === this.rooms.current) room.newFromId = id + 1;
    }
    this.rooms.setRead(room, id);
  }

  /**
   * @param {Room} room
   * @param {number} id
   * @param {boolean} isUnread
   */
  move(room, id, isUnread) {
    this.rooms.setRead(room, id);
    if (this.isLocal) return this.keep(room.name, id);
    this.waiting.set(room.name, { id, isUnread });
    this.timer ??= setTimeout(() => this.send(), REPORT_MS);
  }

  /** Tell the server what waits; what cannot be told now is told by the next connection. */
  send() {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const [room, { id, isUnread }] of this.waiting) {
      const isSent = isUnread ? this.report(room, id + 1, true) : this.report(room, id, false);
      if (isSent) this.waiting.delete(room);
    }
  }

  // Without sign-in.

  /**
   * Keep from where on a room is unread, if this browser does not know the room yet.
   * @param {Room} room
   */
  noteUnread(room) {
    if (!this.isLocal || room.unread === 0 || this.known.has(room.name)) return;
    this.known.add(room.name);
    if (this.kept()[room.name] === undefined) this.keep(room.name, room.readId);
  }

  /**
   * @param {string} room
   * @param {number} id
   */
  keep(room, id) {
    writeItem(KEY, JSON.stringify({ ...this.kept(), [room]: id }));
  }

  /** @returns {Record<string, number>} */
  kept() {
    try {
      return /** @type {Record<string, number>} */ (JSON.parse(readItem(KEY) || "{}")) ?? {};
    } catch {
      return {};
    }
  }

  /** Count from what this browser keeps.  A room that it does not know yet counts as read. */
  readKept() {
    if (!this.isLocal) return;
    const kept = this.kept();
    let isNew = false;
    for (const room of this.rooms.byName.values()) {
      const id = kept[room.name];
      if (typeof id === "number" && id <= room.newestId) this.rooms.setRead(room, id);
      else if (room.newestId > 0 && room.unread === 0) {
        room.readId = kept[room.name] = room.newestId;
        isNew = true;
      }
    }
    if (isNew) writeItem(KEY, JSON.stringify({ ...this.kept(), ...kept }));
  }
}
