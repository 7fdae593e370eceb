// @ts-check
// What the page knows: rooms, their posts, the connection, the reader's name; and the outbox.
//
// The rules it keeps:
// - `room.posts` is one run of Ids without a hole.  A live post that would leave one is not taken: the caller fills up
//   by REST first.  A page from REST is believed as it is (retention may have removed what lay before it).
// - Views read and never write.  Every change ends in `changed()`.

import { PRIVATE } from "./room_notices.js";
import { Company } from "./presence.js";
import { HOME } from "./links.js";
import { keep, recall } from "./local_storage.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("./types.js").Connection} Connection */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Room} Room */
/** @typedef {import("./types.js").RoomDetails} RoomDetails */

/** A room holds this many posts before its older half is let go; scrolling up brings them back. */
const POSTS_MAX = 600;
const POSTS_KEPT = 300;

export class Store {
  constructor() {
    this.outbox = new Outbox();
    /** @type {Map<string, Room>} */
    this.rooms = new Map();
    /** @type {Map<string, string>} of rooms, by the names that they had */
    this.presentNames = new Map();
    /** @type {string | null} the room in view */
    this.current = null;
    /** @type {"loading" | "yes" | "failed"} are the names of all rooms here? */
    this.listed = "loading";
    /** @type {Connection} */
    this.connection = { phase: "connecting", node: HOME, retryAt: 0, lostAt: Date.now() };
    this.hasMajority = true;
    this.refused = "";
    /** Has the server lost what this page showed?  Until the reader has seen it. */
    this.startedOver = false;
    this.user = recall("user");
    /** @type {import("./types.js").Account | null} null until the server has said */
    this.account = null;
    /** @type {import("./types.js").Door} */
    this.door = "";
    /** May anybody sign up, without an invite? */
    this.signupOpen = false;
    /** Rises when something that the list of rooms shows has changed. */
    this.roomsVersion = 0;
    /** @type {() => void} */
    this.changed = () => {};
    this.company = new Company(() => this.changed());
  }

  /**
   * The room of that name, made where this page has not heard of it.
   * @param {string} name
   * @returns {Room}
   */
  room(name) {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = {
        name, title: name, direct: false, topic: "", archived: false, posts: [], exists: false, deleted: false, closed: false,
        loaded: "no", fromStart: false, older: "no", unread: 0, newestId: 0,
      };
      this.rooms.set(name, room);
      this.roomsVersion += 1;
    }
    return room;
  }

  /** @returns {Room | null} */
  get currentRoom() {
    return this.current === null ? null : this.room(this.current);
  }

  /** @returns {string[]} by the alphabet of the reader, as they are shown; without the one that was deleted in view */
  get roomNames() {
    const order = new Intl.Collator(undefined, { numeric: true });
    const rooms = [...this.rooms.values()].filter((room) => !room.deleted);
    return rooms.sort((a, b) => order.compare(a.title, b.title)).map((room) => room.name);
  }

  /** @returns {number} */
  get unread() {
    return [...this.rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  }

  /** @param {RoomDetails[]} rooms */
  listRooms(rooms) {
    for (const details of rooms) this.describeRoom(details);
    this.listed = "yes";
    this.changed();
  }

  /**
   * A room is so now.  What this page has under a name that the room had goes on under its present one.
   * @param {RoomDetails} details
   */
  describeRoom({ Name, Topic, Archived, Visibility, Members = [], Aliases = [] }) {
    this.presentNames.delete(Name);
    for (const alias of [...Aliases].reverse()) this.moveRoom(alias, Name);
    const room = this.room(Name);
    const title = titleOf(Name, Visibility, Members.filter((member) => member !== this.user));
    const direct = Visibility === "direct";
    if (title !== room.title || direct !== room.direct) this.roomsVersion += 1;
    room.title = title;
    room.direct = direct;
    room.topic = Topic;
    room.archived = Archived;
    room.closed = false;
    this.noteExistence(room);
    this.changed();
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  moveRoom(from, to) {
    this.presentNames.set(from, to);
    const room = this.rooms.get(from);
    if (room === undefined) return;
    this.rooms.delete(from);
    if (!this.rooms.has(to)) this.rooms.set(to, Object.assign(room, { name: to }));
    if (this.current === from) this.current = to;
    this.roomsVersion += 1;
  }

  failListing() {
    if (this.listed !== "yes") this.listed = "failed";
    this.changed();
  }

  /** @param {string | null} name */
  enterRoom(name) {
    if (this.currentRoom?.deleted) this.rooms.delete(this.currentRoom.name);
    this.current = name === null ? null : this.presentNames.get(name) ?? name;
    this.roomsVersion += 1;
    if (this.current !== null) this.markRead(this.current);
    this.changed();
  }

  /**
   * Let go of a room that was deleted.  What is still on its way for it comes to an object that nobody shows.
   * @param {string} name
   */
  removeRoom(name) {
    const title = this.rooms.get(name)?.title ?? name;
    this.rooms.delete(name);
    for (const [had, has] of this.presentNames) if (has === name) this.presentNames.delete(had);
    this.roomsVersion += 1;
    if (name === this.current) Object.assign(this.room(name), { title, deleted: true, loaded: "yes", fromStart: true });
    this.changed();
  }

  /** @param {string} name */
  markRead(name) {
    const room = this.room(name);
    if (room.unread > 0) this.roomsVersion += 1;
    room.unread = 0;
    this.changed();
  }

  /**
   * Somebody's post has been heard of: count it where the room is not being read.
   * @param {Room} room
   * @param {number} id
   * @param {boolean} read  the reader sees it, or wrote it
   */
  noteNewest(room, id, read) {
    const more = room.newestId === 0 ? 1 : Math.max(0, id - room.newestId);
    room.newestId = Math.max(room.newestId, id);
    this.noteExistence(room);
    if (read || more === 0) return;
    room.unread += more;
    this.roomsVersion += 1;
  }

  /**
   * @param {Room} room
   * @param {Room["loaded"]} loaded
   */
  markLoading(room, loaded) {
    room.loaded = loaded;
    this.changed();
  }

  /**
   * The newest page of a room, in place of all that was there.
   * @param {Room} room
   * @param {Post[]} page
   * @param {boolean} fromStart
   */
  replacePosts(room, page, fromStart) {
    room.posts = page;
    room.fromStart = fromStart;
    room.loaded = "yes";
    room.older = "no";
    room.newestId = Math.max(room.newestId, lastId(room));
    if (page.length > 0) this.noteExistence(room);
    this.changed();
  }

  /**
   * @param {Room} room
   * @param {Post[]} page
   * @param {boolean} fromStart
   */
  prependPosts(room, page, fromStart) {
    const first = room.posts.at(0)?.Id ?? Infinity;
    room.posts = [...page.filter((post) => post.Id < first), ...room.posts];
    room.fromStart = fromStart;
    room.older = "no";
    this.changed();
  }

  /**
   * @param {Room} room
   * @param {Room["older"]} older
   */
  markOlder(room, older) {
    room.older = older;
    this.changed();
  }

  /**
   * A page that begins after the last post here.
   * @param {Room} room
   * @param {Post[]} page
   */
  appendPage(room, page) {
    const last = lastId(room);
    room.posts.push(...page.filter((post) => post.Id > last));
    room.newestId = Math.max(room.newestId, lastId(room));
    if (room.name !== this.current) this.trim(room);
    this.changed();
  }

  /**
   * One post from the socket.
   * @param {Room} room
   * @param {Post} post
   * @returns {boolean} false where posts are missing before it, or it has none to follow: nothing was taken
   */
  appendLive(room, post) {
    const last = lastId(room);
    if (room.loaded !== "yes" || post.Id > last + 1) return false;
    if (post.Id === last + 1) this.appendPage(room, [post]);
    return true;
  }

  /**
   * One post is another than before, where it is held here.
   * @param {string} roomName
   * @param {number} id
   * @param {(post: Post) => Post} change
   */
  replacePost(roomName, id, change) {
    const room = this.rooms.get(roomName);
    if (room === undefined) return;
    room.posts = room.posts.map((post) => (post.Id === id ? change(post) : post));
    this.changed();
  }

  /**
   * Let go of the older part of a long run: its end is what is in view.
   * @param {Room} room
   */
  trim(room) {
    if (room.posts.length <= POSTS_MAX) return;
    room.posts = room.posts.slice(-POSTS_KEPT);
    room.fromStart = false;
  }

  /** @param {boolean} hasMajority  can the node that the page is connected to have anything written? */
  setMajority(hasMajority) {
    this.hasMajority = hasMajority;
    this.changed();
  }

  /** @param {string} reason  why the page's node refuses the page; "" where it does not */
  setRefused(reason) {
    this.refused = reason;
    this.changed();
  }

  /** @param {Connection} connection */
  setConnection(connection) {
    this.connection = connection;
    this.changed();
  }

  /** @param {string} user */
  setUser(user) {
    this.user = user;
    keep("user", user);
    this.changed();
  }

  /** @param {import("./types.js").Account} account */
  setAccount(account) {
    this.account = account;
    this.door = "";
    if (account.User !== undefined) this.user = account.User; // what another reader was called here is nobody's business
    this.changed();
  }

  /**
   * @param {import("./types.js").Door} door
   * @param {boolean} [signupOpen]
   */
  showDoor(door, signupOpen = this.signupOpen) {
    this.door = door;
    this.signupOpen = signupOpen;
    this.changed();
  }

  /**
   * Nothing that was read before holds any longer: drop all rooms.  What is still on its way for them comes to objects
   * that nobody shows.  What waits to be sent, and what is begun in the box, stays.
   */
  startOver() {
    this.rooms = new Map();
    this.presentNames = new Map();
    this.listed = "loading";
    this.startedOver = true;
    if (this.current !== null) this.room(this.current);
    this.roomsVersion += 1;
    this.changed();
  }

  /** The reader knows that the page has started over. */
  noteStartSeen() {
    this.startedOver = false;
    this.changed();
  }

  /**
   * A message was refused because the room is not open to the reader any more.
   * @param {string} name
   */
  closeRoom(name) {
    this.room(name).closed = true;
    this.changed();
  }

  /** @param {Room} room */
  noteExistence(room) {
    if (room.exists) return;
    room.exists = true;
    room.deleted = false;
    this.roomsVersion += 1;
  }
}

/**
 * What a room is called: a private one has a part that nobody guesses, and a direct one is whoever else is in it.
 * @param {string} name
 * @param {string | undefined} visibility
 * @param {string[]} others
 * @returns {string}
 */
function titleOf(name, visibility, others) {
  if (visibility === "direct" && others.length > 0) return others.join(", ");
  return visibility === "private" ? name.replace(PRIVATE, "") : name;
}

/**
 * @param {Room} room
 * @returns {number} 0 where there is no post
 */
export function lastId(room) {
  return room.posts.at(-1)?.Id ?? 0;
}
