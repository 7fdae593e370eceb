// @ts-check
// What was written and not confirmed: kept in localStorage until the server has it, so that a reload loses nothing.
//
// One key a post, so that two tabs never overwrite each other's.  Both may send the same post: (User, ClientId)
// makes the second a no-op on the server.

import { forget, keep, listKeys, recall, watchRemovals } from "./local_storage.js";

/** @typedef {import("./types.js").PendingPost} PendingPost */

const PREFIX = "outbox.";
/** The server remembers a ClientId for 24 h: what is older could appear twice, so its writer is asked. */
const AGE_MAX_MS = 23 * 60 * 60 * 1000;
const TOO_OLD = "Not sent for a day. Send it again only if the room does not have it.";

export class Outbox {
  constructor() {
    /** @type {PendingPost[]} in order of writing */
    this.posts = readKept();
    watchRemovals((key) => this.drop(key));
  }

  /**
   * @param {string} RoomName
   * @param {string} User
   * @param {string} Message
   */
  add(RoomName, User, Message) {
    const last = this.posts.at(-1)?.QueuedAt ?? 0;
    const pending = { ClientId: makeClientId(), RoomName, User, Message, QueuedAt: Math.max(Date.now(), last + 1) };
    this.posts.push(pending);
    write(pending);
  }

  /** @param {string} clientId */
  remove(clientId) {
    this.drop(PREFIX + clientId);
    forget(PREFIX + clientId);
  }

  /**
   * Keep a post that the server will not take, for its writer to decide.
   * @param {string} clientId
   * @param {string} reason
   */
  refuse(clientId, reason) {
    const pending = this.posts.find((candidate) => candidate.ClientId === clientId);
    if (pending === undefined) return;
    pending.Refusal = reason;
    write(pending);
  }

  /**
   * Let a refused post be sent again.
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
   * What may be sent now: of each room the oldest post that was not refused, so that their order stays.
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
   * Another tab that delivered or discarded a post has removed its key.
   * @param {string} key
   */
  drop(key) {
    this.posts = this.posts.filter((pending) => PREFIX + pending.ClientId !== key);
  }
}

/** @returns {PendingPost[]} */
function readKept() {
  /** @type {PendingPost[]} */
  const posts = [];
  for (const key of listKeys(PREFIX)) {
    const pending = parsePending(recall(key));
    if (pending === null) forget(key);
    else posts.push(pending);
  }
  return posts.sort((a, b) => a.QueuedAt - b.QueuedAt);
}

/**
 * @param {string} text
 * @returns {PendingPost | null}
 */
function parsePending(text) {
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
  keep(PREFIX + pending.ClientId, JSON.stringify(pending));
}

/**
 * 128 random bits; crypto.randomUUID is missing where the page comes over plain http from another machine.
 * @returns {string}
 */
function makeClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
