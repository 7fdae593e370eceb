// @ts-check
// The messages of the room in view.
//
// The rules it keeps:
// - The view follows the end only while it is within 100 px of it, or after the user has sent a message.
// - Otherwise new messages, above or below, do not move the messages in view.

import { PRIVATE_DELETED, PRIVATE_NAME, PUBLIC_DELETED, RETURNED } from "../../room_notices.js";
import { find, makeButton, setText, showRows } from "../dom.js";
import { makePendingRow, makePostRows } from "./posts.js";

/** @typedef {import("../../outbox_sender.js").OutboxSender} OutboxSender */
/** @typedef {import("../../room_loader.js").RoomLoader} RoomLoader */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

const END_PX = 100;
/** Older messages are loaded when the first one is this close to the view. */
const START_PX = 600;

export class TimelineView {
  /**
   * @param {Store} store
   * @param {RoomLoader} loader
   * @param {OutboxSender} sender
   */
  constructor(store, loader, sender) {
    this.store = store;
    this.loader = loader;
    this.sender = sender;
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
    /** The Id of the newest message that was shown at the end of the view. */
    this.seenId = 0;
    /** QueuedAt of the newest message that the user has sent here. */
    this.sentAt = 0;
    this.scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.latest.addEventListener("click", () => this.jumpToEnd());
    // A phone's keyboard or a growing message field makes the view smaller.
    new ResizeObserver(() => this.following && this.scrollToEnd()).observe(this.scroller);
  }

  render() {
    const room = this.store.rooms.currentRoom;
    if (room === null) return;
    if (room.name !== this.shown || room !== this.room) this.reset(room);
    if (this.hasSent(room)) this.following = true;
    if (this.following) room.timeline.trim();
    const anchor = this.following ? null : this.findAnchor();
    this.renderPosts(room);
    this.renderHead(room);
    this.renderTail(room);
    if (anchor !== null) this.restore(anchor);
    if (this.following) this.scrollToEnd();
    if (this.following) this.seenId = room.timeline.lastId;
    this.renderLatest(room);
    this.loadOlder(room);
  }

  /** @param {Room} room */
  reset(room) {
    this.shown = room.name;
    this.room = room; // another room of the same name has other messages under the same Ids
    this.following = true;
    this.sentAt = 0;
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

  /** @param {Room} room */
  renderPosts(room) {
    const pending = this.store.outbox.inRoom(room.name);
    const rows = makePostRows(room.timeline.posts);
    const progress = this.progressText();
    let previous = room.timeline.posts.at(-1)?.User ?? "";
    for (const post of pending) {
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
    const { loaded } = room.timeline;
    this.scroller.setAttribute("aria-busy", String(loaded === "loading"));
    if (loaded === "failed") offerRetry(this.tail, "Messages could not be loaded. ", () => void this.loader.load(room));
    else if (room.closed) setText(this.tail, RETURNED);
    else if (this.list.childElementCount > 0) setText(this.tail, "");
    else if (room.deleted) setText(this.tail, PRIVATE_NAME.test(room.name) ? PRIVATE_DELETED : PUBLIC_DELETED);
    else setText(this.tail, loaded === "yes" ? "No messages yet. Write the first one." : "Loading…");
  }

  /** @param {Room} room */
  renderLatest(room) {
    const unseen = Math.max(0, room.timeline.lastId - this.seenId);
    this.latest.hidden = this.following;
    setText(this.latest, unseen === 0 ? "Latest" : `${unseen} new`);
  }

  onScroll() {
    const room = this.store.rooms.currentRoom;
    if (room === null || room.name !== this.shown) return;
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < END_PX;
    if (this.following) this.seenId = room.timeline.lastId;
    this.renderLatest(room);
    this.loadOlder(room);
  }

  /** @param {Room} room */
  loadOlder(room) {
    const { loaded, older } = room.timeline;
    if (loaded === "yes" && older === "no" && this.scroller.scrollTop <= START_PX) void this.loader.loadOlder(room);
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
   * Find the first message in view, and where it ends.
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
   * Scroll so that the message ends where it did.  Its element may be another one: the first message loses its heading
   * when an older one of the same author comes.
   * @param {{key: string, bottom: number}} anchor
   */
  restore({ key, bottom }) {
    const element = this.kept.get(key)?.element;
    if (element !== undefined) this.scroller.scrollTop += element.getBoundingClientRect().bottom - bottom;
  }
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
