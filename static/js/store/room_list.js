// @ts-check
// The rooms that the page knows, and the one in view.  Each has its timeline.
//
// The rules it keeps:
// - A room that is renamed stays the same object under its new name; its earlier names lead to it.
// - An answer that comes for a removed room changes an object that is not shown any more.
// - Every change ends in `changed()`; `version` rises when something that the list of rooms shows has changed.
// - `readId` is the newest message that the user has read here, on any device; `unread` counts what came after it.

import { PRIVATE_NAME } from "../room_notices.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("../types.js").Room} Room */
/** @typedef {import("../types.js").RoomDetails} RoomDetails */

const ORDER = new Intl.Collator(undefined, { numeric: true });

export class RoomList {
  /**
   * @param {() => void} changed
   * @param {() => string} userName
   * @param {(room: Room) => boolean} isMuted
   */
  constructor(changed, userName, isMuted) {
    this.isMuted = isMuted;
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
    /** Is the end of the room in view shown?  The timeline says so. */
    this.isAtEnd = true;
    this.version = 0;
    /** @type {Room[] | null} `sorted`, until a room comes, goes or is renamed */
    this.order = null;
  }

  /** The rows or their order have changed. */
  resort() {
    this.order = null;
    this.version += 1;
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
        name, title: name, direct: false, private: false, members: [], owner: "", joined: false, retention: null,
        topic: "", archived: false, exists: false, deleted: false, closed: false,
        newestId: 0, readId: 0, unread: 0, mentions: 0, newFromId: 0, pins: null, isKeptUnread: false,
        favourite: false, notify: null,
        timeline: new Timeline(this.changed),
      };
      this.byName.set(name, room);
      this.resort();
    }
    return room;
  }

  /** @returns {Room | null} */
  get currentRoom() {
    return this.current === null ? null : this.get(this.current);
  }

  /** @returns {Room[]} in alphabetical order of their titles; without a room that was deleted while in view */
  get sorted() {
    if (this.order === null) {
      const rooms = [...this.byName.values()].filter((room) => !room.deleted);
      this.order = rooms.sort((a, b) => ORDER.compare(a.title, b.title));
    }
    return this.order;
  }

  /** @returns {number} unread messages, without those of muted rooms */
  get unread() {
    return this.sorted.reduce((sum, room) => sum + (this.isMuted(room) ? 0 : room.unread), 0);
  }

  /** @returns {number} */
  get mentions() {
    return this.sorted.reduce((sum, room) => sum + room.mentions, 0);
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
   * Set the details of a room.  Only an answer to this user has their counts.  Messages that the page holds under an earlier name move to the present name.
   * @param {RoomDetails} details
   */
  update(details) {
    const { Name, Topic, Archived, Visibility, Members = [], Aliases = [] } = details;
    this.presentNames.delete(Name);
    for (const alias of [...Aliases].reverse()) this.rename(alias, Name);
    const room = this.get(Name);
    const others = Members.filter((member) => member !== this.userName());
    const title = makeTitle(Name, Visibility, others);
    const direct = Visibility === "direct";
    if (title !== room.title) this.resort();
    if (direct !== room.direct || room.private !== (Visibility === "private")) this.version += 1;
    if (room.archived !== Archived) this.version += 1;
    room.title = title;
    room.direct = direct;
    room.private = Visibility === "private";
    room.members = others;
    room.owner = details.Owner ?? "";
    room.retention = details.Retention ?? null;
    room.joined = details.Joined ?? room.joined;
    room.topic = Topic;
    room.archived = Archived;
    room.closed = false;
    room.newestId = Math.max(room.newestId, details.NewestId ?? 0);
    if (details.Unread !== undefined) this.setCounts(room, details);
    if (details.Joined !== undefined) this.setPreferences(room, details);
    this.markExisting(room);
    this.changed();
  }

  /**
   * Set what the user prefers about a room, as the server keeps it.
   * @param {Room} room
   * @param {import("../types.js").RoomPreferences} preferences
   */
  setPreferences(room, { Favourite = false, Notify = null }) {
    if (room.favourite === Favourite && room.notify === Notify) return;
    room.favourite = Favourite;
    room.notify = Notify;
    this.version += 1;
    this.changed();
  }

  /**
   * Set the counts of the server.
   * @param {Room} room
   * @param {{ReadId?: number, Unread?: number, Mentions?: number}} counts
   */
  setCounts(room, { ReadId = 0, Unread = 0, Mentions = 0 }) {
    if (room.unread !== Unread || room.mentions !== Mentions) this.version += 1;
    room.readId = ReadId;
    room.unread = Unread;
    room.mentions = Mentions;
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
    this.resort();
  }

  /**
   * Show another room, or none.
   * @param {string | null} name  an earlier name leads to the room too
   */
  select(name) {
    if (this.currentRoom?.deleted) this.byName.delete(this.currentRoom.name);
    const left = this.currentRoom;
    this.current = name === null ? null : this.presentNames.get(name) ?? name;
    if (left !== null && left.name !== this.current) left.newFromId = 0;
    const room = this.currentRoom;
    if (room !== null) room.isKeptUnread = false;
    if (room !== null && room.unread > 0) room.newFromId = firstUnread(room);
    this.resort(); // a room that was deleted may have gone
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
    this.resort();
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
    this.resort();
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

  /**
   * Move the read marker of a room, forward or back.
   * @param {Room} room
   * @param {number} id  0: nothing is read
   */
  setRead(room, id) {
    room.readId = id;
    const unread = Math.max(0, room.newestId - id);
    if (room.unread !== unread || room.mentions > 0) this.version += 1;
    room.unread = unread;
    room.mentions = unread === 0 ? 0 : Math.min(room.mentions, unread);
    this.changed();
  }

  /** Draw the line above what is unread in the room in view, unless there is one. */
  noteUnreadInView() {
    const room = this.currentRoom;
    if (room !== null && room.unread > 0 && room.newFromId === 0) room.newFromId = firstUnread(room);
  }

  /**
   * Take note of the newest message of a room, and count it as unread unless it was read.
   * @param {Room} room
   * @param {number} id
   * @param {{isRead: boolean, mentions?: number}} how  isRead: it is in view, or the user wrote it
   */
  noteNewest(room, id, { isRead, mentions = 0 }) {
    const { timeline } = room;
    const more = room.newestId === 0 ? 1 : Math.max(0, id - room.newestId);
    timeline.newestId = Math.max(timeline.newestId, id);
    room.newestId = Math.max(room.newestId, id);
    this.markExisting(room);
    if (isRead || more === 0) return;
    if (room.unread === 0) room.readId = id - more;
    if (room.unread === 0 && room.name === this.current && room.newFromId === 0) room.newFromId = room.readId + 1;
    room.unread += more;
    room.mentions += mentions;
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
    this.resort();
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

/**
 * The Id of the first message that the user has not read.
 * @param {Room} room
 * @returns {number}
 */
function firstUnread(room) {
  return room.readId > 0 ? room.readId + 1 : Math.max(1, room.newestId - room.unread + 1);
}
