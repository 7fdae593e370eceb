// @ts-check
// Loads the messages of rooms: the newest page, older pages, and what was missed.
//
// The rules it keeps:
// - If the page has heard of a newer Id in a room than it holds, it loads pages until it holds that message.
// - A page that may have changed while it was on its way is fetched again.
// - A load that fails is shown as failed, and tried again after a pause and by each new connection.

import { forgetRoom, keepHistory, readHistory } from "./kept.js";
import { ApiError } from "./server/http.js";

/** @typedef {import("./server/post_pages.js").PostPages} PostPages */
/** @typedef {import("./store/store.js").Store} Store */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Room} Room */

/** A room that missed more than this begins anew with its newest page. */
export const GAP_MAX = 500;
/** The statuses that refuse a room which the user has lost. */
const LOST = [403, 404, 410];
const REFRESH_TRIES = 3;
/** The messages of a room are kept in the browser this long after a change, at most so often. */
const KEEP_PAUSE_MS = 1_000;
const RELOAD_PAUSE_MS = 3_000;

export class RoomLoader {
  /**
   * @param {Store} store
   * @param {PostPages} pages
   * @param {(posts: Post[]) => void} onPosts  called with every page before it is shown
   */
  constructor(store, pages, onPosts) {
    this.store = store;
    this.pages = pages;
    this.onPosts = onPosts;
    /** Counts the changes of messages that the page was told of, or may have missed. */
    this.changes = 0;
    /** @type {Set<Room>} rooms whose gap is being loaded */
    this.filling = new Set();
    /** @type {Set<Room>} rooms whose messages are about to be kept in the browser */
    this.keeping = new Set();
  }

  noteChange() {
    this.changes += 1;
  }

  /**
   * Load a room that is not complete.  Messages that are shown stay, so the user keeps their place.
   * @param {Room} room
   */
  async load(room) {
    if (room.timeline.loaded === "loading") return;
    if (room.timeline.posts.length === 0 || room.timeline.keptAt > 0) return this.loadNewest(room);
    room.timeline.setLoaded("yes");
    await this.fillGap(room);
  }

  /**
   * Load a room after an absence that was too long for the websocket to send the missed messages.
   * @param {Room} room
   */
  async reload(room) {
    await this.refreshNewest(room);
    await this.fillGap(room);
  }

  /** @param {Room} room */
  async loadNewest(room) {
    const { timeline } = room;
    if (timeline.loaded === "loading") return;
    timeline.setLoaded("loading");
    void this.showKept(room);
    const { changes } = this;
    const { jumps } = timeline;
    try {
      const { posts, hasOlder } = await this.pages.fetchNewest(room.name);
      if (jumps !== timeline.jumps) return; // the user has gone to another place meanwhile
      this.onPosts(posts);
      timeline.replaceAll(posts, !hasOlder);
      if (posts.length > 0) this.store.rooms.markExisting(room);
    } catch (error) {
      return this.onFailed(room, error);
    }
    this.keepSoon(room);
    if (changes !== this.changes) void this.refreshNewest(room);
    if (timeline.lastId < timeline.newestId) void this.fillGap(room); // a message came while this page was on its way
  }

  /**
   * Show what the browser kept of a room.
   * @param {Room} room
   */
  async showKept({ name, timeline }) {
    const kept = await readHistory(name);
    if (kept !== null) timeline.showKept(kept.Posts, kept.KeptAt);
  }

  /**
   * Keep the newest messages of a room in the browser.
   * @param {Room} room
   */
  keepSoon(room) {
    if (this.keeping.has(room)) return;
    this.keeping.add(room);
    setTimeout(() => {
      this.keeping.delete(room);
      const { loaded, atEnd, posts } = room.timeline;
      if (room.deleted) forgetRoom(room.name);
      else if (loaded === "yes" && atEnd && posts.length > 0) void keepHistory(room.name, posts);
    }, KEEP_PAUSE_MS);
  }

  /** @param {Room} room */
  async loadOlder({ name, timeline }) {
    const first = timeline.posts.at(0);
    if (first === undefined || timeline.fromStart || timeline.older === "loading") return;
    timeline.setOlder("loading");
    try {
      const { posts, hasOlder } = await this.pages.fetchBefore(name, first.Id);
      if (timeline.posts.at(0) !== first) return timeline.setOlder("no"); // trimmed or replaced meanwhile
      this.onPosts(posts);
      timeline.prepend(posts, !hasOlder);
    } catch (error) {
      timeline.setOlder("failed");
      if (!(error instanceof ApiError)) throw error;
    }
  }

  /**
   * Load the page after the last message, of a run that ends before the newest one.
   * @param {Room} room
   */
  async loadNewer({ name, timeline }) {
    if (timeline.atEnd || timeline.newer === "loading" || timeline.posts.length === 0) return;
    const { lastId } = timeline;
    timeline.setNewer("loading");
    try {
      const { posts, hasNewer } = await this.pages.fetchAfter(name, lastId);
      if (timeline.lastId !== lastId) return timeline.setNewer("no"); // trimmed or replaced meanwhile
      this.onPosts(posts);
      timeline.appendNewer(posts, !hasNewer);
    } catch (error) {
      timeline.setNewer("failed");
      if (!(error instanceof ApiError)) throw error;
    }
  }

  /**
   * Show a message of a room, with what is around it.
   * @param {Room} room
   * @param {number} id
   * @returns {Promise<boolean>} false where it is gone; then the room is shown where it was
   */
  async loadAround(room, id) {
    if (room.timeline.posts.some((post) => post.Id === id)) {
      room.timeline.setTarget(id);
      return true;
    }
    return this.jump(room, () => this.pages.fetchAround(room.name, id), (post) => post.Id >= id);
  }

  /**
   * Show the first message of a time, with what is around it.
   * @param {Room} room
   * @param {Date} date
   * @returns {Promise<boolean>}
   */
  async loadAt(room, date) {
    const isFound = (/** @type {Post} */ post) => Date.parse(post.PostedAt) >= date.getTime();
    return this.jump(room, () => this.pages.fetchAt(room.name, date.toISOString()), isFound);
  }

  /**
   * Show the first message of a room.
   * @param {Room} room
   * @returns {Promise<boolean>}
   */
  async loadFirst(room) {
    return this.jump(room, () => this.pages.fetchAfter(room.name, 0), () => true);
  }

  /**
   * @param {Room} room
   * @param {() => Promise<import("./server/messages_api.js").PostPage>} fetchPage
   * @param {(post: Post) => boolean} isTarget  the first one of these is scrolled to, else the last of all
   * @returns {Promise<boolean>}
   */
  async jump(room, fetchPage, isTarget) {
    const { timeline } = room;
    timeline.jumps += 1;
    if (timeline.posts.length === 0) timeline.setLoaded("loading"); // so that nothing else loads another page meanwhile
    try {
      const { posts, hasOlder, hasNewer } = await fetchPage();
      const last = posts.at(-1);
      if (last === undefined) {
        if (timeline.posts.length === 0) timeline.setLoaded("no");
        return false;
      }
      this.onPosts(posts);
      timeline.replaceAll(posts, !hasOlder, !hasNewer && last.Id >= timeline.newestId);
      this.store.rooms.markExisting(room);
      timeline.setTarget((posts.find(isTarget) ?? last).Id);
      return true;
    } catch (error) {
      if (timeline.posts.length === 0) this.onFailed(room, error);
      else if (!(error instanceof ApiError)) throw error;
      return false;
    }
  }

  /**
   * Load edits, deletions and reactions of the newest messages.
   * @param {Room} room
   */
  async refreshNewest(room) {
    if (!room.timeline.atEnd) return this.refreshHeld(room);
    for (let tries = 0, changes = -1; changes !== this.changes && tries < REFRESH_TRIES; tries += 1) {
      changes = this.changes;
      try {
        const { posts } = await this.pages.fetchNewest(room.name);
        for (const post of posts) room.timeline.update(post.Id, () => post);
      } catch (error) {
        return this.onFailed(room, error);
      }
    }
  }

  /**
   * Load edits, deletions and reactions of the messages here, which are not the newest ones.
   * @param {Room} room
   */
  async refreshHeld(room) {
    const { timeline } = room;
    try {
      for (let after = (timeline.posts[0]?.Id ?? 1) - 1; after < timeline.lastId; ) {
        const { posts } = await this.pages.fetchAfter(room.name, after);
        for (const post of posts) timeline.update(post.Id, () => post);
        after = posts.at(-1)?.Id ?? timeline.lastId;
      }
    } catch (error) {
      this.onFailed(room, error);
    }
  }

  /**
   * Load the messages between the last one here and the newest one that the page has heard of.
   * @param {Room} room
   */
  async fillGap(room) {
    if (this.filling.has(room) || !room.timeline.atEnd) return;
    this.filling.add(room);
    let filled = true;
    try {
      filled = await this.appendPages(room);
    } catch (error) {
      this.onFailed(room, error);
    } finally {
      this.filling.delete(room);
    }
    if (!filled) void this.loadNewest(room);
  }

  /**
   * @param {Room} room
   * @returns {Promise<boolean>} false where the newest message is still far
   */
  async appendPages(room) {
    const { timeline } = room;
    for (let fetched = 0, posts, hasNewer; fetched < GAP_MAX; fetched += posts.length) {
      ({ posts, hasNewer } = await this.pages.fetchAfter(room.name, timeline.lastId));
      this.onPosts(posts);
      timeline.append(posts);
      this.trimUnlessInView(room);
      if (posts.length === 0 || (!hasNewer && timeline.lastId >= timeline.newestId)) return true;
    }
    return false;
  }

  /**
   * Trim the timeline, unless the room is in view: the view does that itself once the user reads the end.
   * @param {Room} room
   */
  trimUnlessInView(room) {
    if (room !== this.store.rooms.currentRoom) room.timeline.trim();
  }

  /**
   * The user has lost a room: forget what the browser kept of it.
   * @param {Room} room
   */
  forget({ name, timeline }) {
    forgetRoom(name);
    if (timeline.keptAt > 0) timeline.replaceAll([], true);
  }

  /**
   * @param {Room} room
   * @param {unknown} error  thrown again where it is a fault of the page
   */
  onFailed(room, error) {
    room.timeline.setLoaded("failed");
    if (!(error instanceof ApiError)) throw error;
    if (LOST.includes(error.status)) this.forget(room);
    setTimeout(() => {
      const isInView = room === this.store.rooms.currentRoom;
      if (isInView && room.timeline.loaded === "failed") void this.load(room);
    }, RELOAD_PAUSE_MS * (1 + Math.random()));
  }
}
