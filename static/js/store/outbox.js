// @ts-check
// Messages that the server has not confirmed, kept in the browser until it has: a reload or a crash loses nothing.
//
// The rules it keeps:
// - Nothing may be sent before the messages of earlier visits are loaded: they come first.
// - Several tabs may send the same message: on the server the second (User, ClientId) changes nothing.
// - With sign-in, a user sees and sends their own messages only.

import { OutboxStorage } from "./outbox_storage.js";

/** @typedef {import("../types.js").PendingPost} PendingPost */

/** The server remembers a ClientId for 24 h.  An older message could appear twice, so its author decides. */
const AGE_MAX_MS = 23 * 60 * 60 * 1000;
const TOO_OLD = "It is a day old. Before you send it again, check that it is not in the room.";

export class Outbox {
  /**
   * @param {() => void} changed
   * @param {() => string | null} owner  the signed-in user; null where nobody signs in
   */
  constructor(changed, owner) {
    this.changed = changed;
    this.owner = owner;
    /** @type {PendingPost[]} in order of writing */
    this.posts = [];
    this.isLoaded = false;
    /** @type {Set<string>} the ClientIds of messages that were removed: they must not come back from the storage */
    this.removed = new Set();
    this.storage = new OutboxStorage((clientId) => this.drop(clientId));
  }

  /** Read the messages of earlier visits, and of tabs that were closed. */
  async load() {
    const kept = await this.storage.readAll();
    const known = new Set([...this.removed, ...this.posts.map(({ ClientId }) => ClientId)]); // not before: it changes
    const more = kept.filter(({ ClientId }) => !known.has(ClientId));
    this.posts = [...this.posts, ...more].sort((a, b) => a.QueuedAt - b.QueuedAt);
    this.isLoaded = true;
    this.changed();
  }

  /**
   * @param {string} RoomName
   * @param {string} User
   * @param {string} Message
   * @param {Partial<PendingPost>} [more]
   */
  add(RoomName, User, Message, more = {}) {
    const last = this.posts.at(-1)?.QueuedAt ?? 0;
    const QueuedAt = Math.max(Date.now(), last + 1);
    const pending = { ...more, ClientId: makeClientId(), RoomName, User, Message, QueuedAt };
    this.posts.push(pending);
    void this.write(pending);
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
    if (this.find(clientId) === undefined) return;
    this.drop(clientId);
    void this.storage.remove(clientId);
  }

  /** Remove the user's messages for good: they sign out. */
  async clear() {
    await Promise.all(
      this.own.map(async ({ ClientId }) => {
        this.drop(ClientId);
        await this.storage.remove(ClientId);
      }),
    );
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
    void this.write(pending);
  }

  /**
   * Allow a refused message to be sent again.
   * @param {PendingPost} pending
   */
  release(pending) {
    delete pending.Refusal;
    pending.ReleasedAt = Date.now();
    void this.write(pending);
  }

  /**
   * Keep a message.  Where the browser keeps nothing, the message says so.
   * @param {PendingPost} pending
   */
  async write(pending) {
    const isKept = await this.storage.write(pending);
    if (this.removed.has(pending.ClientId)) return;
    if (pending.NotKept !== !isKept) this.changed();
    pending.NotKept = !isKept;
  }

  /**
   * @param {string} room
   * @returns {PendingPost[]}
   */
  inRoom(room) {
    return this.own.filter((pending) => pending.RoomName === room);
  }

  /** @returns {PendingPost[]} */
  get own() {
    const owner = this.owner();
    return owner === null ? this.posts : this.posts.filter(({ User }) => User === owner);
  }

  /**
   * The messages that may be sent now: of each room the oldest that was not refused, so that their order stays.
   * @returns {PendingPost[]}
   */
  heads() {
    /** @type {Map<string, PendingPost>} */
    const heads = new Map();
    if (!this.isLoaded) return [];
    for (const pending of this.own) {
      if (isOld(pending)) this.refuse(pending.ClientId, TOO_OLD);
      else if (pending.Refusal === undefined && !heads.has(pending.RoomName)) heads.set(pending.RoomName, pending);
    }
    return [...heads.values()];
  }

  /**
   * Forget a message: another tab removes it once it is confirmed or discarded.
   * @param {string} clientId
   */
  drop(clientId) {
    this.removed.add(clientId);
    this.posts = this.posts.filter((pending) => pending.ClientId !== clientId);
    this.changed();
  }
}

/**
 * @param {PendingPost} pending
 * @returns {boolean} true where it waited too long for anybody to know that it was not sent
 */
function isOld({ QueuedAt, ReleasedAt = 0, Refusal }) {
  return Refusal === undefined && Date.now() - Math.max(QueuedAt, ReleasedAt) > AGE_MAX_MS;
}

/**
 * Make 128 random bits.  crypto.randomUUID is missing on a page that comes over plain http from another machine.
 * @returns {string}
 */
function makeClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
