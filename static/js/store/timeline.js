// @ts-check
// The messages of one room that the page holds.
//
// The rules it keeps:
// - `posts` is one run of Ids without a gap.  A live post that would leave a gap is not taken: the caller loads what is
//   missing first.  A page from the server is taken as it is, because retention may have removed earlier messages.
// - Every change ends in `changed()`.

/** @typedef {import("../types.js").Post} Post */

/** A timeline holds this many messages before those far from the view are dropped; scrolling loads them again. */
const POSTS_MAX = 600;
const POSTS_KEPT = 300;
/** Of a run in the middle of a room so many are kept before the message in view, and as many after it. */
const POSTS_AROUND = 240;

export class Timeline {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Post[]} oldest first; empty until loaded */
    this.posts = [];
    /** @type {"no" | "loading" | "yes" | "failed"} */
    this.loaded = "no";
    /** @type {"no" | "loading" | "failed"} the state of the request for older messages */
    this.older = "no";
    /** Is posts[0] the first message of the room? */
    this.fromStart = false;
    /** @type {"no" | "loading" | "failed"} the state of the request for newer messages, of a run that ends earlier */
    this.newer = "no";
    /** Does the run go to the end of the room?  Only then live posts are added. */
    this.atEnd = true;
    /** Counts how often another part of the room was asked for. */
    this.jumps = 0;
    /** The message to scroll to once it is here; 0 for none. */
    this.targetId = 0;
    /** When the browser kept the messages that are shown until the server's come, in ms since 1970; 0: the server's. */
    this.keptAt = 0;
    /** The newest Id that the page has heard of; `posts` may end before it while the gap is loaded. */
    this.newestId = 0;
  }

  /** @returns {number} 0 where there is no message */
  get lastId() {
    return this.posts.at(-1)?.Id ?? 0;
  }

  /** @param {Timeline["loaded"]} loaded */
  setLoaded(loaded) {
    this.loaded = loaded;
    this.changed();
  }

  /** @param {Timeline["older"]} older */
  setOlder(older) {
    this.older = older;
    this.changed();
  }

  /** @param {Timeline["newer"]} newer */
  setNewer(newer) {
    this.newer = newer;
    this.changed();
  }

  /** @param {number} id  the message to scroll to */
  setTarget(id) {
    this.targetId = id;
    this.changed();
  }

  /** Show an empty timeline, as of a room that was deleted. */
  setEmpty() {
    this.loaded = "yes";
    this.fromStart = true;
    this.atEnd = true;
    this.changed();
  }

  /**
   * Show what the browser kept, until the server's messages come.
   * @param {Post[]} posts
   * @param {number} keptAt  milliseconds since 1970
   */
  showKept(posts, keptAt) {
    if (this.loaded === "yes" || this.posts.length > 0) return;
    this.posts = posts;
    this.keptAt = keptAt;
    this.changed();
  }

  /**
   * Replace all messages by a page: the newest one, unless `atEnd` is false.
   * @param {Post[]} page
   * @param {boolean} fromStart
   * @param {boolean} [atEnd]
   */
  replaceAll(page, fromStart, atEnd = true) {
    this.posts = page;
    this.keptAt = 0;
    this.fromStart = fromStart;
    this.atEnd = atEnd;
    this.loaded = "yes";
    this.older = this.newer = "no";
    this.newestId = Math.max(this.newestId, this.lastId);
    this.changed();
  }

  /**
   * Add an older page.
   * @param {Post[]} page
   * @param {boolean} fromStart
   */
  prepend(page, fromStart) {
    const first = this.posts.at(0)?.Id ?? Infinity;
    this.posts = [...page.filter((post) => post.Id < first), ...this.posts];
    this.fromStart = fromStart;
    this.older = "no";
    this.changed();
  }

  /**
   * Add a page that begins after the last message here.
   * @param {Post[]} page
   */
  append(page) {
    const last = this.lastId;
    this.posts.push(...page.filter((post) => post.Id > last));
    this.newestId = Math.max(this.newestId, this.lastId);
    this.changed();
  }

  /**
   * Add one live post.
   * @param {Post} post
   * @returns {boolean} false where messages are missing before it, or where nothing is loaded: then it was not added
   */
  appendLive(post) {
    if (this.loaded === "yes" && !this.atEnd) return true; // the user reads an earlier part
    if (this.loaded !== "yes" || post.Id > this.lastId + 1) return false;
    if (post.Id === this.lastId + 1) this.append([post]);
    return true;
  }

  /**
   * Change one message, if it is held here.
   * @param {number} id
   * @param {(post: Post) => Post} change
   */
  update(id, change) {
    this.posts = this.posts.map((post) => (post.Id === id ? change(post) : post));
    this.changed();
  }

  /**
   * Add a page to a run that ends before the newest message.
   * @param {Post[]} page
   * @param {boolean} isLast  the room had no newer message
   */
  appendNewer(page, isLast) {
    this.newer = "no";
    this.append(page);
    this.atEnd = isLast && this.lastId >= this.newestId;
    this.changed();
  }

  /**
   * Drop what is far from the message in view, of a long run.
   * @param {number} id
   */
  trimAround(id) {
    if (this.posts.length <= POSTS_MAX) return;
    const at = this.posts.findIndex((post) => post.Id >= id);
    if (at < 0) return;
    const from = Math.max(0, at - POSTS_AROUND);
    const to = Math.min(this.posts.length, at + POSTS_AROUND);
    this.fromStart &&= from === 0;
    this.atEnd &&= to === this.posts.length;
    this.posts = this.posts.slice(from, to);
  }

  /** Drop the older part of a long run: the end is in view, or nothing is. */
  trim() {
    if (this.posts.length <= POSTS_MAX || !this.atEnd) return;
    this.posts = this.posts.slice(-POSTS_KEPT);
    this.fromStart = false;
  }
}
