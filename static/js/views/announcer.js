// @ts-check
// Announces new messages to users of a screen reader, in a polite live region.  The timeline itself is not live: it
// would be read again as a whole at every change.

import { PRIVATE_DELETED, PRIVATE_NAME } from "../room_notices.js";
import { find } from "./dom.js";

/** @typedef {import("../store/store.js").Store} Store */
/** @typedef {import("../types.js").Post} Post */

/** Messages that come within this time are announced together. */
const GATHER_MS = 1_000;
const LENGTH_MAX = 300;

export class Announcer {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.region = find("announcer", HTMLElement);
    /** @type {Post[]} */
    this.posts = [];
  }

  /**
   * Announce a message soon, if its room is in view.
   * @param {string} room
   * @param {Post} post
   */
  addPost(room, post) {
    if (room !== this.store.rooms.current) return;
    if (this.posts.length === 0) setTimeout(() => this.announcePosts(), GATHER_MS);
    this.posts.push(post);
  }

  /** @param {string} room */
  announceDeletion(room) {
    if (room !== this.store.rooms.current) return;
    this.announce(PRIVATE_NAME.test(room) ? PRIVATE_DELETED : "This room was deleted.");
  }

  /** @param {string} text  announced at once, in place of the messages that came just before */
  announce(text) {
    this.posts.length = 0;
    this.region.textContent = text;
  }

  announcePosts() {
    const posts = this.posts.splice(0);
    const last = posts.at(-1);
    if (last === undefined) return;
    const text = `${last.User}: ${last.Message.slice(0, LENGTH_MAX)}`;
    this.region.textContent = posts.length === 1 ? text : `${posts.length} new messages. ${text}`;
  }
}
