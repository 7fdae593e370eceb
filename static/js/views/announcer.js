// @ts-check
// Says new posts to those who listen rather than look: a polite live region of its own, since a live history would be
// read again whole at every change.

import { GONE, PRIVATE } from "../room_notices.js";
import { find } from "../dom.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").Post} Post */

/** Posts that come within this time are said as one. */
const GATHER_MS = 1_000;
const SAID_MAX = 300;

export class Announcer {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.region = find("announcer", HTMLElement);
    /** @type {Post[]} */
    this.gathered = [];
  }

  /**
   * @param {string} room
   * @param {Post} post
   */
  announce(room, post) {
    if (room !== this.store.current) return;
    if (this.gathered.length === 0) setTimeout(() => this.speak(), GATHER_MS);
    this.gathered.push(post);
  }

  /** @param {string} room */
  announceDeletion(room) {
    if (room === this.store.current) this.say(PRIVATE.test(room) ? GONE : "This room was deleted.");
  }

  /** @param {string} words  said at once, in place of the posts that came just before */
  say(words) {
    this.gathered.length = 0;
    this.region.textContent = words;
  }

  speak() {
    const posts = this.gathered.splice(0);
    if (posts.length === 0) return;
    const last = posts[posts.length - 1];
    const words = `${last.User}: ${last.Message.slice(0, SAID_MAX)}`;
    this.region.textContent = posts.length === 1 ? words : `${posts.length} new messages. ${words}`;
  }
}
