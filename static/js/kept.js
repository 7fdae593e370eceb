// @ts-check
// What the browser keeps of the user, so that the page opens while its node does not answer: who they are, the nodes,
// the rooms, the last messages of the rooms that they read, drafts, and a ticket to sign in at another node.
//
// The rules it keeps:
// - Signing out, or a session that was ended, removes all of it.  A room that is lost takes its messages along.
// - Unsent messages are not kept here (store/outbox.js).
// - Messages that were not read again for a week are removed: somebody may have deleted them meanwhile.

import { readRow, readRows, removeRow, removeRows, takeRow, writeRow } from "./database.js";
import { listKeys, removeItem } from "./local_storage.js";

/** @typedef {import("./types.js").Account} Account */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").RoomDetails} RoomDetails */
/**
 * @typedef {object} DraftRow
 * @property {string} Room
 * @property {string} Text
 * @property {Post | null} ReplyTo
 * @property {number} At  milliseconds since 1970
 */
/** @typedef {{Room: string, Posts: Post[], KeptAt: number}} History  KeptAt: milliseconds since 1970 */

const POSTS_MAX = 50;
const ROOMS_MAX = 50;
const AGE_MAX_MS = 7 * 24 * 60 * 60 * 1000;
/** A ticket is valid for an hour; the clocks of browser and server may differ. */
const TICKET_MS = 58 * 60 * 1000;
const TICKET = "ticket ";
/** Items of localStorage that stay: the name in open mode, and unsent messages. */
const STAY = /^(?:user$|outbox\.)/;

/** @returns {Promise<Account | null>} the user of the last visit */
export async function readAccount() {
  const row = /** @type {{Account: Account} | undefined} */ (await readRow("session", "account"));
  return row?.Account ?? null;
}

/** What another user left is gone once this is done: nothing is read or written before. */
let checked = Promise.resolve();

/**
 * Keep the user; what another user left is removed.
 * @param {Account} account
 */
export function keepAccount(account) {
  checked = replaceAccount(account);
}

/** @param {Account} account */
async function replaceAccount(account) {
  const before = await readAccount();
  if (before !== null && before.User !== account.User) await wipe();
  if (JSON.stringify(before) !== JSON.stringify(account)) await writeRow("session", { Key: "account", Account: account });
}

/** @returns {Promise<string[]>} URLs */
export async function readNodes() {
  const row = /** @type {{Nodes: string[]} | undefined} */ (await readRow("session", "nodes"));
  return row?.Nodes ?? [];
}

/** @param {string[]} nodes  URLs */
export async function keepNodes(nodes) {
  await checked;
  await writeRow("session", { Key: "nodes", Nodes: nodes });
}

/** @returns {Promise<RoomDetails[]>} */
export async function readRooms() {
  const row = /** @type {{Rooms: RoomDetails[]} | undefined} */ (await readRow("session", "rooms"));
  return row?.Rooms ?? [];
}

/**
 * Keep the list of rooms, and no messages of rooms that are not in it.
 * @param {RoomDetails[]} rooms  all of them
 */
export async function keepRooms(rooms) {
  await checked;
  const names = new Set(rooms.map(({ Name }) => Name));
  await writeRow("session", { Key: "rooms", Rooms: rooms });
  const rows = /** @type {History[]} */ ((await readRows("history")) ?? []).sort((a, b) => b.KeptAt - a.KeptAt);
  const oldest = Date.now() - AGE_MAX_MS;
  for (const [at, { Room, KeptAt }] of rows.entries()) {
    if (!names.has(Room) || KeptAt < oldest || at >= ROOMS_MAX) await removeRow("history", Room);
  }
}

/**
 * @param {string} room
 * @returns {Promise<History | null>} null where there is none
 */
export async function readHistory(room) {
  await checked;
  const row = /** @type {History | undefined} */ (await readRow("history", room));
  return row === undefined || Date.now() - row.KeptAt > AGE_MAX_MS ? null : row;
}

/**
 * @param {string} room
 * @param {Post[]} posts  the newest of the room
 */
export async function keepHistory(room, posts) {
  await checked;
  await writeRow("history", { Room: room, Posts: posts.slice(-POSTS_MAX), KeptAt: Date.now() });
}

/**
 * Read the drafts, and remove the oldest ones beyond a number.
 * @param {number} max
 * @returns {Promise<DraftRow[]>}
 */
export async function readDrafts(max) {
  await checked;
  const rows = /** @type {DraftRow[]} */ ((await readRows("drafts")) ?? []).sort((a, b) => b.At - a.At);
  for (const { Room } of rows.slice(max)) void removeRow("drafts", Room);
  return rows.slice(0, max);
}

/** @param {DraftRow} draft */
export async function keepDraft(draft) {
  await checked;
  await writeRow("drafts", draft);
}

/** @param {string} room  the user lost it, or it was deleted */
export function forgetRoom(room) {
  void removeRow("history", room);
}

/** @param {string} secret  of a ticket that was made just now */
export async function keepTicket(secret) {
  await checked;
  await writeRow("session", { Key: TICKET + secret, EndsAt: Date.now() + TICKET_MS });
}

/** @param {string} secret */
export function dropTicket(secret) {
  void removeRow("session", TICKET + secret);
}

/**
 * Take a ticket that this page or one before it has kept.  No other tab gets it.
 * @returns {Promise<string>} "" where there is none
 */
export async function takeTicket() {
  for (;;) {
    const row = /** @type {{Key: string, EndsAt: number} | null} */ (await takeRow("session", TICKET));
    if (row === null) return "";
    if (row.EndsAt > Date.now()) return row.Key.slice(TICKET.length);
  }
}

/** Remove everything that the browser keeps of the user, except unsent messages. */
export async function wipe() {
  await Promise.all([removeRows("session"), removeRows("history"), removeRows("drafts")]);
  for (const key of listKeys("")) if (!STAY.test(key)) removeItem(key);
}
