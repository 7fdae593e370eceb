// @ts-check
// The posts of the room in view: what scrolls, what stays put, what is still under way.
//
// The rules it keeps:
// - The view follows the end only while the reader is within 100 px of it, or has just written something.
// - Otherwise nothing that comes, above or below, moves what is being read.

import { CLOSED, GONE, PRIVATE } from "../room_notices.js";
import { find, makeButton, setText, showRows } from "../dom.js";
import { lastId } from "../store.js";
import { makePendingRow, makePostRows } from "./posts.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").Room} Room */

const END_PX = 100;
/** Older posts are fetched when the reader comes this close to the first one. */
const START_PX = 600;

export class TimelineView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.session = session;
    this.scroller = find("timeline", HTMLElement);
    this.list = find("posts", HTMLOListElement);
    this.head = find("timeline-head", HTMLElement);
    this.tail = find("timeline-tail", HTMLElement);
    this.latest = find("latest", HTMLButtonElement);
    /** @type {import("../dom.js").Kept} */
    this.kept = new Map();
    /** @type {string | null} */
    this.shown = null;
    /** @type {Room | null} */
    this.room = null;
    this.following = true;
    /** The newest post that was shown at the end of the view. */
    this.seenId = 0;
    this.written = 0;
    this.scroller.addEventListener("scroll", () => this.noticeScroll(), { passive: true });
    this.latest.addEventListener("click", () => this.jumpToEnd());
    // A phone's keyboard, or a growing composer, takes room from below.
    new ResizeObserver(() => this.following && this.scrollToEnd()).observe(this.scroller);
  }

  render() {
    const room = this.store.currentRoom;
    if (room === null) return;
    if (room.name !== this.shown || room !== this.room) this.begin(room);
    if (this.noticeWriting(room)) this.following = true;
    if (this.following) this.store.trim(room);
    const anchor = this.following ? null : this.findAnchor();
    this.renderPosts(room);
    this.renderHead(room);
    this.renderTail(room);
    if (anchor !== null) this.restore(anchor);
    if (this.following) this.scrollToEnd();
    if (this.following) this.seenId = lastId(room);
    this.renderLatest(room);
    this.wantOlder(room);
  }

  /** @param {Room} room */
  begin(room) {
    this.shown = room.name;
    this.room = room; // another one of the same name has other posts under the same Ids
    this.following = true;
    this.written = 0;
    this.kept.clear();
    this.list.replaceChildren();
    this.head.replaceChildren();
    this.tail.replaceChildren();
  }

  /**
   * Has the reader just written here?
   * @param {Room} room
   * @returns {boolean}
   */
  noticeWriting(room) {
    const newest = this.store.outbox.inRoom(room.name).at(-1)?.QueuedAt ?? 0;
    const wrote = newest > this.written;
    this.written = Math.max(this.written, newest);
    return wrote;
  }

  /** @param {Room} room */
  renderPosts(room) {
    const pending = this.store.outbox.inRoom(room.name);
    const rows = makePostRows(room.posts);
    const progress = this.tellProgress();
    let before = room.posts.at(-1)?.User ?? "";
    for (const post of pending) {
      rows.push(makePendingRow(post, before === post.User, progress, this.session));
      before = post.User;
    }
    showRows(this.list, this.kept, rows);
  }

  /** @returns {string} what becomes of the messages that wait to be sent */
  tellProgress() {
    if (this.store.connection.phase !== "open") return "Will be sent when connected";
    return this.store.hasMajority ? "Sending…" : "Will be sent when the cluster has a majority again";
  }

  /** @param {Room} room */
  renderHead(room) {
    if (room.posts.length === 0) setText(this.head, "");
    else if (room.fromStart) setText(this.head, "This is where the room begins.");
    else if (room.older !== "failed") setText(this.head, "Loading older messages…");
    else offerAgain(this.head, "Older messages could not be loaded. ", () => void this.session.loadOlder(room));
  }

  /** @param {Room} room */
  renderTail(room) {
    this.scroller.setAttribute("aria-busy", String(room.loaded === "loading"));
    if (room.loaded === "failed") {
      return offerAgain(this.tail, "The messages could not be loaded. ", () => void this.session.reload(room));
    }
    const empty = this.list.childElementCount === 0;
    if (room.closed) setText(this.tail, CLOSED);
    else if (empty && room.deleted && PRIVATE.test(room.name)) setText(this.tail, GONE);
    else if (empty && room.deleted) setText(this.tail, "This room was deleted. Whoever writes here makes it anew.");
    else if (empty && room.loaded === "yes") setText(this.tail, "It is quiet in here. Write the first message.");
    else setText(this.tail, empty ? "Loading…" : "");
  }

  /** @param {Room} room */
  renderLatest(room) {
    const news = Math.max(0, lastId(room) - this.seenId);
    this.latest.hidden = this.following;
    setText(this.latest, news === 0 ? "Latest" : `${news} new`);
  }

  noticeScroll() {
    const room = this.store.currentRoom;
    if (room === null || room.name !== this.shown) return;
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < END_PX;
    if (this.following) this.seenId = lastId(room);
    this.renderLatest(room);
    this.wantOlder(room);
  }

  /** @param {Room} room */
  wantOlder(room) {
    if (room.loaded !== "yes" || room.older !== "no" || this.scroller.scrollTop > START_PX) return;
    void this.session.loadOlder(room);
  }

  jumpToEnd() {
    this.following = true;
    this.scrollToEnd();
    this.scroller.focus({ preventScroll: true }); // the button that had the focus goes away
    this.store.changed();
  }

  scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /**
   * The first post in view and where it ends, to put it back there.
   * @returns {{key: string, bottom: number} | null}
   */
  findAnchor() {
    const edge = this.scroller.getBoundingClientRect().top;
    for (const [key, { element }] of this.kept) {
      const { bottom } = element.getBoundingClientRect();
      if (bottom > edge && key.startsWith("post ")) return { key, bottom };
    }
    return null;
  }

  /**
   * By its key: the element may be another, since the first post loses its heading when its author's older ones come.
   * @param {{key: string, bottom: number}} anchor
   */
  restore({ key, bottom }) {
    const element = this.kept.get(key)?.element;
    if (element !== undefined) this.scroller.scrollTop += element.getBoundingClientRect().bottom - bottom;
  }
}

/**
 * Say what failed, with a button; a button that is there already keeps its focus.
 * @param {HTMLElement} place
 * @param {string} words
 * @param {() => void} again
 */
function offerAgain(place, words, again) {
  if (place.querySelector("button") === null) place.replaceChildren(words, makeButton("Try again", again));
}
