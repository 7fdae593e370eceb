// @ts-check
// The rooms that the page knows, and the one in view.  Each has its timeline.
//
// The rules it keeps:
// - A room that is renamed stays the same object under its new name; its earlier names lead to it.
// - An answer that comes for a removed room changes an object that is not shown any more.
// - Every change ends in `changed()`; `version` rises when something that the list of rooms shows has changed.

import { PRIVATE_NAME } from "../room_notices.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("../types.js").Room} Room */
/** @typedef {import("../types.js").RoomDetails} RoomDetails */

export class RoomList {
  /**
   * @param {() => void} changed
   * @param {() => string} userName
   */
  constructor(changed, userName) {
    this.changed = changed;
    this.userName = userName;
    /** @type {Map<string, Room>} */
    this.byName = new Map();
    /** @type {Map<string, string>} the present names of renamed rooms, by their earlier names */
    this.presentNames = new Map();
    /** @type {string | null} the name of the room in view */
    this.current = null;
    /** @type {"loading" | "yes" | "failed"} are the names of all rooms here? */
    this.loaded = "loading";
    this.version = 0;
  }

  /**
   * The room of that name; it is added if the page does not know it.
   * @param {string} name
   * @returns {Room}
   */
  get(name) {
    let room = this.byName.get(name);
    if (room === undefined) {
      room = {
        name, title: name, direct: false, topic: "", archived: false, exists: false, deleted: false, closed: false,
        unread: 0, pins: null, newFromId: 0, timeline: new Timeline(this.changed),
      };
      this.byName.set(name, room);
      this.version += 1;
    }
    return room;
  }

  /** @returns {Room | null} */
  get currentRoom() {
    return this.current === null ? null : this.get(this.current);
  }

  /** @returns {Room[]} in alphabetical order of their titles; without a room that was deleted while in view */
  get sorted() {
    const order = new Intl.Collator(undefined, { numeric: true });
    const rooms = [...this.byName.values()].filter((room) => !room.deleted);
    return rooms.sort((a, b) => order.compare(a.title, b.title));
  }

  /** @returns {number} */
  get unread() {
    return [...this.byName.values()].reduce((sum, room) => sum + room.unread, 0);
  }

  /** @param {RoomDetails[]} rooms */
  setAll(rooms) {
    for (const details of rooms) this.update(details);
    this.loaded = "yes";
    this.changed();
  }

  setFailed() {
    if (this.loaded !== "yes") this.loaded = "failed";
    this.changed();
  }

  /**
   * Set the details of a room.  Messages that the page holds under an earlier name move to the present name.
   * @param {RoomDetails} details
   */
  update({ Name, Topic, Archived, Visibility, Members = [], Aliases = [] }) {
    this.presentNames.delete(Name);
    for (const alias of [...Aliases].reverse()) this.rename(alias, Name);
    const room = this.get(Name);
    const title = makeTitle(Name, Visibility, Members.filter((member) => member !== this.userName()));
    const direct = Visibility === "direct";
    if (title !== room.title || direct !== room.direct) this.version += 1;
    room.title = title;
    room.direct = direct;
    room.topic = Topic;
    room.archived = Archived;
    room.closed = false;
    this.markExisting(room);
    this.changed();
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    this.presentNames.set(from, to);
    const room = this.byName.get(from);
    if (room === undefined) return;
    this.byName.delete(from);
    if (!this.byName.has(to)) {
      room.name = to;
      this.byName.set(to, room);
    }
    if (this.current === from) this.current = to;
    this.version += 1;
  }

  /**
   * Show another room, or none.
   * @param {string | null} name  an earlier name leads to the room too
   */
  select(name) {
    if (this.currentRoom?.deleted) this.byName.delete(this.currentRoom.name);
    this.current = name === null ? null : this.presentNames.get(name) ?? name;
    this.version += 1;
    if (this.current !== null) this.markRead(this.current);
    this.changed();
  }

  /**
   * Remove a room that was deleted.
   * @param {string} name
   */
  remove(name) {
    const title = this.byName.get(name)?.title ?? name;
    this.byName.delete(name);
    for (const [earlier, present] of this.presentNames) if (present === name) this.presentNames.delete(earlier);
    this.version += 1;
    if (name === this.current) {
      const room = this.get(name);
      room.title = title;
      room.deleted = true;
      room.timeline.setEmpty();
    }
    this.changed();
  }

  /** Remove all rooms; the room in view starts anew. */
  clear() {
    this.byName = new Map();
    this.presentNames = new Map();
    this.loaded = "loading";
    if (this.current !== null) this.get(this.current);
    this.version += 1;
    this.changed();
  }

  /**
   * The server refused a message because this room is not open to the user any more.
   * @param {string} name
   */
  close(name) {
    this.get(name).closed = true;
    this.changed();
  }

  /** @param {string} name */
  markRead(name) {
    const room = this.get(name);
    if (room.unread > 0) this.version += 1;
    room.unread = 0;
    this.changed();
  }

  /**
   * Take note of the newest message of a room, and count it as unread unless it was read.
   * @param {Room} room
   * @param {number} id
   * @param {boolean} read  the room is in view, or the user wrote the message
   */
  noteNewest(room, id, read) {
    const { timeline } = room;
    const more = timeline.newestId === 0 ? 1 : Math.max(0, id - timeline.newestId);
    timeline.newestId = Math.max(timeline.newestId, id);
    this.markExisting(room);
    if (read || more === 0) return;
    room.unread += more;
    this.version += 1;
  }

  /**
   * The server has this room.
   * @param {Room} room
   */
  markExisting(room) {
    if (room.exists) return;
    room.exists = true;
    room.deleted = false;
    this.version += 1;
  }
}

/**
 * The name to show: without the random end of a private room's name, and of a direct room the names of the others.
 * @param {string} name
 * @param {string | undefined} visibility
 * @param {string[]} others
 * @returns {string}
 */
function makeTitle(name, visibility, others) {
  if (visibility === "direct" && others.length > 0) return others.join(", ");
  return visibility === "private" ? name.replace(PRIVATE_NAME, "") : name;
}
