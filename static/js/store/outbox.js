// @ts-check
// Messages that the server has not confirmed, kept in localStorage until it has: a reload loses nothing.
//
// Each message has a key of its own, so that two tabs never overwrite each other's.  Both may send the same message:
// on the server the second (User, ClientId) changes nothing.

import { listKeys, readItem, removeItem, watchRemovals, writeItem } from "../local_storage.js";

/** @typedef {import("../types.js").PendingPost} PendingPost */

const PREFIX = "outbox.";
/** The server remembers a ClientId for 24 h.  An older message could appear twice, so its author decides. */
const AGE_MAX_MS = 23 * 60 * 60 * 1000;
const TOO_OLD = "It is a day old. Before you send it again, check that it is not in the room.";

export class Outbox {
  constructor() {
    /** @type {PendingPost[]} in order of writing */
    this.posts = readAll();
    watchRemovals((key) => this.drop(key));
  }

  /**
   * @param {string} RoomName
   * @param {string} User
   * @param {string} Message
   * @param {{ReplyTo?: number}} [more]
   */
  add(RoomName, User, Message, more = {}) {
    const last = this.posts.at(-1)?.QueuedAt ?? 0;
    const QueuedAt = Math.max(Date.now(), last + 1);
    const pending = { ClientId: makeClientId(), RoomName, User, Message, QueuedAt, ...more };
    this.posts.push(pending);
    write(pending);
  }

  /**
   * @param {string} clientId
   * @returns {PendingPost | undefined}
   */
  find(clientId) {
    return this.posts.find((pending) => pending.ClientId === clientId);
  }

  /** @param {string} clientId */
  remove(clientId) {
    this.drop(PREFIX + clientId);
    removeItem(PREFIX + clientId);
  }

  /**
   * Keep a message that the server refused, until its author sends it again or discards it.
   * @param {string} clientId
   * @param {string} reason
   */
  refuse(clientId, reason) {
    const pending = this.find(clientId);
    if (pending === undefined) return;
    pending.Refusal = reason;
    write(pending);
  }

  /**
   * Allow a refused message to be sent again.
   * @param {PendingPost} pending
   */
  release(pending) {
    delete pending.Refusal;
    write(pending);
  }

  /**
   * @param {string} room
   * @returns {PendingPost[]}
   */
  inRoom(room) {
    return this.posts.filter((pending) => pending.RoomName === room);
  }

  /**
   * The messages that may be sent now: of each room the oldest that was not refused, so that their order stays.
   * @returns {PendingPost[]}
   */
  heads() {
    /** @type {Map<string, PendingPost>} */
    const heads = new Map();
    for (const pending of this.posts) {
      if (pending.Refusal === undefined && !heads.has(pending.RoomName)) heads.set(pending.RoomName, pending);
    }
    return [...heads.values()];
  }

  /**
   * Forget a message whose key is gone: another tab removes it once it is confirmed or discarded.
   * @param {string} key
   */
  drop(key) {
    this.posts = this.posts.filter((pending) => PREFIX + pending.ClientId !== key);
  }
}

/** @returns {PendingPost[]} */
function readAll() {
  /** @type {PendingPost[]} */
  const posts = [];
  for (const key of listKeys(PREFIX)) {
    const pending = parse(readItem(key));
    if (pending === null) removeItem(key);
    else posts.push(pending);
  }
  return posts.sort((a, b) => a.QueuedAt - b.QueuedAt);
}

/**
 * @param {string} text
 * @returns {PendingPost | null} null where an item is damaged
 */
function parse(text) {
  try {
    const pending = /** @type {PendingPost} */ (JSON.parse(text));
    if (Date.now() - pending.QueuedAt > AGE_MAX_MS) pending.Refusal ??= TOO_OLD;
    return pending;
  } catch {
    return null;
  }
}

/** @param {PendingPost} pending */
function write(pending) {
  writeItem(PREFIX + pending.ClientId, JSON.stringify(pending));
}

/**
 * Make 128 random bits.  crypto.randomUUID is missing on a page that comes over plain http from another machine.
 * @returns {string}
 */
function makeClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
