// @ts-check
// Where unsent messages are kept: in IndexedDB, else in localStorage, else only in this page.
//
// Each message has a row of its own, so that two tabs never overwrite each other's.

import { readRows, removeRow, writeRow } from "../database.js";
import { listKeys, readItem, removeItem, watchRemovals, writeItem } from "../local_storage.js";

/** @typedef {import("../types.js").PendingPost} PendingPost */

const PREFIX = "outbox.";
const CHANNEL = "raft-chat.outbox";

export class OutboxStorage {
  /** @param {(clientId: string) => void} onRemoved  another tab has removed this message */
  constructor(onRemoved) {
    this.channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(CHANNEL);
    this.channel?.addEventListener("message", (event) => onRemoved(String(event.data)));
    watchRemovals((key) => key.startsWith(PREFIX) && onRemoved(key.slice(PREFIX.length)));
  }

  /** @returns {Promise<PendingPost[]>} in order of writing */
  async readAll() {
    const rows = /** @type {PendingPost[]} */ ((await readRows("outbox")) ?? []);
    const known = new Set(rows.map(({ ClientId }) => ClientId));
    const items = readItems().filter(({ ClientId }) => !known.has(ClientId));
    return [...rows, ...items].sort((a, b) => a.QueuedAt - b.QueuedAt);
  }

  /**
   * @param {PendingPost} pending
   * @returns {Promise<boolean>} true once it survives the page
   */
  async write(pending) {
    const row = { ...pending };
    if (await writeRow("outbox", row)) return true;
    return writeItem(PREFIX + pending.ClientId, JSON.stringify(row));
  }

  /** @param {string} clientId */
  async remove(clientId) {
    removeItem(PREFIX + clientId);
    this.channel?.postMessage(clientId);
    await removeRow("outbox", clientId);
  }
}

/** @returns {PendingPost[]} */
function readItems() {
  /** @type {PendingPost[]} */
  const posts = [];
  for (const key of listKeys(PREFIX)) {
    const pending = parse(readItem(key));
    if (pending === null) removeItem(key);
    else posts.push(pending);
  }
  return posts;
}

/**
 * @param {string} text
 * @returns {PendingPost | null} null where an item is damaged
 */
function parse(text) {
  try {
    return /** @type {PendingPost} */ (JSON.parse(text));
  } catch {
    return null;
  }
}
