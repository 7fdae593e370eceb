// @ts-check
// The messages of the room in view.
//
// The rules it keeps:
// - The view follows the end only while it is within 100 px of it, or after the user has sent a message.
// - Otherwise new messages, above or below, do not move the messages in view, and neither do those that are dropped.
// - A room that was left in the middle is shown there again.

import { goToMessage } from "../../links.js";
import { PRIVATE_DELETED, PRIVATE_NAME, PUBLIC_DELETED, RETURNED } from "../../room_notices.js";
import { find, makeButton, setText, showRows } from "../dom.js";
import { ActionBar } from "./actions.js";
import { makePendingRow, makePostRows } from "./posts.js";

/** @typedef {import("../../room_loader.js").RoomLoader} RoomLoader */
/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

/** @typedef {{key: string, bottom: number}} Anchor  a row, and where it ends */

const END_PX = 100;
/** Older messages are loaded when the first one is this close to the view, newer ones when the last one is. */
const START_PX = 600;
const HIGHLIGHT_MS = 2_000;

export class TimelineView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {() => void} focusComposer
   * @param {(text: string) => void} notice
   */
  constructor(store, session, focusComposer, notice) {
    this.store = store;
    this.session = session;
    this.focusComposer = focusComposer;
    this.loader = session.loader;
    this.sender = session.sender;
    this.scroller = find("timeline", HTMLElement);
    this.list = find("posts", HTMLElement);
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
    /** The Id of the newest message that was shown at the end of the view. */
    this.seenId = 0;
    /** QueuedAt of the newest message that the user has sent here. */
    this.sentAt = 0;
    /** @type {Set<number>} */
    this.unfolded = new Set();
    /** @type {WeakMap<Room, Anchor>} where rooms were left */
    this.places = new WeakMap();
    const showHistory = (/** @type {import("../../types.js").Post} */ post, /** @type {HTMLElement} */ anchor) => {
      const { room } = this;
      if (room === null) return;
      void import("./history.js").then(({ openHistory }) =>
        openHistory(anchor, session.actions.fetchHistory(room, post.Id)),
      );
    };
    this.showHistory = showHistory;
    this.bar = new ActionBar(store, session, this.list, showHistory, focusComposer, notice);
    this.scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.latest.addEventListener("click", () => this.jumpToEnd());
    // A phone's keyboard or a growing message field makes the view smaller.
    new ResizeObserver(() => this.following && this.scrollToEnd()).observe(this.scroller);
  }

  render() {
    const room = this.store.rooms.currentRoom;
    if (room === null) return this.leave();
    const isOther = room.name !== this.shown || room !== this.room;
    if (isOther) this.reset(room);
    const place = isOther ? this.places.get(room) : undefined;
    if (place !== undefined) this.following = false;
    if (this.hasSent(room)) this.follow(room);
    if (this.following) room.timeline.trim();
    const anchor = place ?? (this.following ? null : this.findAnchor());
    if (anchor !== null && room.timeline.targetId === 0) room.timeline.trimAround(idOf(anchor));
    this.bar.remember();
    this.renderPosts(room);
    this.renderHead(room);
    this.renderTail(room);
    if (anchor !== null) this.restore(anchor);
    if (room.timeline.targetId > 0) this.showTarget(room);
    if (this.following) this.scrollToEnd();
    if (this.following) this.seenId = room.timeline.lastId;
    this.bar.restore();
    this.store.rooms.isAtEnd = this.following;
    this.renderLatest(room);
    this.loadMore(room);
  }

  /** Remember where the room is left. */
  leave() {
    const anchor = this.following || this.room === null ? null : this.findAnchor();
    if (this.room !== null && anchor !== null) this.places.set(this.room, anchor);
    else if (this.room !== null) this.places.delete(this.room);
    this.room = null;
    this.shown = null;
  }

  /** @param {Room} room */
  reset(room) {
    this.leave();
    this.shown = room.name;
    this.room = room; // another room of the same name has other messages under the same Ids
    this.following = room.timeline.atEnd;
    this.sentAt = 0;
    this.unfolded.clear();
    this.bar.hide();
    this.kept.clear();
    this.list.replaceChildren();
    this.head.replaceChildren();
    this.tail.replaceChildren();
  }

  /**
   * Has the user just sent a message here?
   * @param {Room} room
   * @returns {boolean}
   */
  hasSent(room) {
    const newest = this.store.outbox.inRoom(room.name).at(-1)?.QueuedAt ?? 0;
    const hasSent = newest > this.sentAt;
    this.sentAt = Math.max(this.sentAt, newest);
    return hasSent;
  }

  /**
   * Show the end of the room from now on.
   * @param {Room} room
   */
  follow(room) {
    this.following = true;
    if (!room.timeline.atEnd) void this.loader.loadNewest(room);
  }

  /** @param {Room} room */
  renderPosts(room) {
    const { store, unfolded, showHistory } = this;
    const rows = makePostRows(room.timeline.posts, {
      room,
      user: store.user,
      actions: this.session.actions,
      unfolded,
      isDeleting: (id) => store.deletions.has(room.name, id),
      goTo: (id) => goToMessage(room.name, id),
      showHistory,
    });
    const progress = this.progressText();
    let previous = room.timeline.posts.at(-1)?.User ?? "";
    for (const post of room.timeline.atEnd ? store.outbox.inRoom(room.name) : []) {
      rows.push(makePendingRow(post, previous === post.User, progress, this.sender));
      previous = post.User;
    }
    showRows(this.list, this.kept, rows);
  }

  /** @returns {string} the state of the messages that wait to be sent */
  progressText() {
    if (this.store.connection.phase !== "open") return "Will be sent when connected";
    return this.store.hasMajority ? "Sending…" : "Will be sent when the cluster has a majority again";
  }

  /** @param {Room} room */
  renderHead(room) {
    const { fromStart, older, posts } = room.timeline;
    if (posts.length === 0) setText(this.head, "");
    else if (fromStart) setText(this.head, "This is the beginning of the room.");
    else if (older !== "failed") setText(this.head, "Loading older messages…");
    else offerRetry(this.head, "Older messages could not be loaded. ", () => void this.loader.loadOlder(room));
  }

  /** @param {Room} room */
  renderTail(room) {
    const { loaded, atEnd, newer } = room.timeline;
    this.scroller.setAttribute("aria-busy", String(loaded === "loading"));
    if (loaded === "failed") offerRetry(this.tail, "Messages could not be loaded. ", () => void this.loader.load(room));
    else if (room.closed) setText(this.tail, RETURNED);
    else if (!atEnd && newer === "failed") {
      offerRetry(this.tail, "Newer messages could not be loaded. ", () => void this.loader.loadNewer(room));
    } else if (!atEnd) setText(this.tail, "Loading newer messages…");
    else if (this.list.childElementCount > 0) setText(this.tail, "");
    else if (room.deleted) setText(this.tail, PRIVATE_NAME.test(room.name) ? PRIVATE_DELETED : PUBLIC_DELETED);
    else setText(this.tail, loaded === "yes" ? "No messages yet. Write the first one." : "Loading…");
  }

  /** @param {Room} room */
  renderLatest(room) {
    const { lastId, newestId } = room.timeline;
    const unseen = this.seenId === 0 ? 0 : Math.max(0, Math.max(lastId, newestId) - this.seenId);
    this.latest.hidden = this.following;
    setText(this.latest, unseen === 0 ? "Latest" : `${unseen} new`);
  }

  onScroll() {
    const room = this.store.rooms.currentRoom;
    if (room === null || room.name !== this.shown) return;
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = room.timeline.atEnd && scrollHeight - scrollTop - clientHeight < END_PX;
    if (this.following) this.seenId = room.timeline.lastId;
    if (this.following && !this.store.rooms.isAtEnd) this.store.changed(); // what is unread was seen
    this.store.rooms.isAtEnd = this.following;
    this.renderLatest(room);
    this.loadMore(room);
  }

  /** @param {Room} room */
  loadMore(room) {
    const { loaded, older, newer, atEnd } = room.timeline;
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    if (loaded !== "yes") return;
    if (older === "no" && scrollTop <= START_PX) void this.loader.loadOlder(room);
    const isLow = scrollHeight - scrollTop - clientHeight <= START_PX;
    if (!atEnd && newer === "no" && isLow) void this.loader.loadNewer(room);
  }

  jumpToEnd() {
    const room = this.store.rooms.currentRoom;
    if (room !== null) this.follow(room);
    this.scrollToEnd();
    this.scroller.focus({ preventScroll: true }); // the button that had the focus goes away
    this.store.changed();
  }

  scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /**
   * Scroll to the message that was asked for, give it the focus, and show for a moment which one it is.
   * @param {Room} room
   */
  showTarget(room) {
    const row = this.rowOf(room.timeline.targetId);
    room.timeline.targetId = 0;
    if (row === undefined) return;
    const { top, height } = row.getBoundingClientRect();
    const view = this.scroller.getBoundingClientRect();
    this.scroller.scrollTop += top - view.top - Math.max(0, (view.height - height) / 3);
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = room.timeline.atEnd && scrollHeight - scrollTop - clientHeight < END_PX;
    row.focus({ preventScroll: true });
    row.classList.add("post-target");
    setTimeout(() => row.classList.remove("post-target"), HIGHLIGHT_MS);
  }

  /**
   * @param {number} id
   * @returns {HTMLElement | undefined}
   */
  rowOf(id) {
    return this.kept.get(`post ${id}`)?.element;
  }

  /**
   * Move the focus among the messages.
   * @param {KeyboardEvent} event
   */
  onKey(event) {
    const { target, key } = event;
    if (event.altKey || event.ctrlKey || event.metaKey || !(target instanceof HTMLElement)) return;
    const row = target.closest("article");
    if (key === "Escape" && row !== null) return this.focusComposer();
    if (target !== row && target !== this.scroller) return;
    if (key === "Enter" && row !== null) {
      event.preventDefault();
      return this.bar.focus();
    }
    if (key !== "ArrowUp" && key !== "ArrowDown") return;
    const rows = [...this.list.querySelectorAll("article")];
    const next = row === null ? this.edgeRow(rows, key) : rows[rows.indexOf(row) + (key === "ArrowUp" ? -1 : 1)];
    event.preventDefault();
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  }

  /**
   * The row where the arrows begin: the last one in view, or with the arrow down the first one.
   * @param {HTMLElement[]} rows
   * @param {string} key
   * @returns {HTMLElement | undefined}
   */
  edgeRow(rows, key) {
    const { top, bottom } = this.scroller.getBoundingClientRect();
    const inView = rows.filter((row) => {
      const box = row.getBoundingClientRect();
      return box.bottom > top && box.top < bottom;
    });
    return key === "ArrowUp" ? inView.at(-1) : inView[0];
  }

  /**
   * Find the first message in view, and where it ends.
   * @returns {Anchor | null}
   */
  findAnchor() {
    const edge = this.scroller.getBoundingClientRect().top;
    const rows = [...this.kept].filter(([key]) => key.startsWith("post "));
    let [low, high] = [0, rows.length]; // rows are in the order of their places
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((rows[middle]?.[1].element.getBoundingClientRect().bottom ?? 0) > edge) high = middle;
      else low = middle + 1;
    }
    const found = rows[low];
    return found === undefined ? null : { key: found[0], bottom: found[1].element.getBoundingClientRect().bottom };
  }

  /**
   * Scroll so that the message ends where it did.  Its element may be another one: the first message loses its heading
   * when an older one of the same author comes.
   * @param {Anchor} anchor
   */
  restore({ key, bottom }) {
    const element = this.kept.get(key)?.element;
    if (element !== undefined) this.scroller.scrollTop += element.getBoundingClientRect().bottom - bottom;
  }
}

/** @param {Anchor} anchor */
function idOf({ key }) {
  return Number(key.slice("post ".length));
}

/**
 * Show an error with a button.  A button that is there already keeps its focus.
 * @param {HTMLElement} place
 * @param {string} text
 * @param {() => void} retry
 */
function offerRetry(place, text, retry) {
  if (place.querySelector("button") === null) place.replaceChildren(text, makeButton("Try again", retry));
}
