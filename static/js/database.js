// @ts-check
// IndexedDB in a few functions, without exceptions: a browser may refuse it, have no space left, or never answer.
//
// The rules it keeps:
// - Each function says whether it worked.  A caller that must not lose its data then keeps it elsewhere.
// - A write is on the disk when it is done (`strict`): it survives the browser's own crash.  localStorage does not.
// - Operations on one table happen in the order of the calls.

import { HOME } from "./links.js";

/** @typedef {"outbox" | "history" | "session" | "drafts"} Table */

/** The tables and their keys. */
const KEYS = { outbox: "ClientId", history: "Room", session: "Key", drafts: "Room" };
/** Version 2 has drafts. */
const VERSION = 2;
/** Another chat on this host, under another path, has another database. */
const NAME = `raft-chat${new URL(HOME).pathname.replace(/\/$/, "")}`;
/** A browser that takes longer to open a database will not. */
const OPEN_MAX_MS = 3_000;

/** @type {Promise<IDBDatabase | null> | null} */
let opening = null;

/**
 * @param {Table} table
 * @returns {Promise<unknown[] | null>} all rows in the order of their keys; null where they cannot be read
 */
export async function readRows(table) {
  const request = await run(table, "readonly", (store) => store.getAll());
  return request === null ? null : /** @type {unknown[]} */ (request.result);
}

/**
 * @param {Table} table
 * @param {string} key
 * @returns {Promise<unknown>} undefined where there is no such row, or where it cannot be read
 */
export async function readRow(table, key) {
  return (await run(table, "readonly", (store) => store.get(key)))?.result;
}

/**
 * Add a row, or replace the one with the same key.
 * @param {Table} table
 * @param {object} row
 * @returns {Promise<boolean>} true once it is on the disk
 */
export async function writeRow(table, row) {
  return (await run(table, "readwrite", (store) => store.put(row))) !== null;
}

/**
 * @param {Table} table
 * @param {string} key
 * @returns {Promise<boolean>}
 */
export async function removeRow(table, key) {
  return (await run(table, "readwrite", (store) => store.delete(key))) !== null;
}

/**
 * @param {Table} table
 * @returns {Promise<boolean>}
 */
export async function removeRows(table) {
  return (await run(table, "readwrite", (store) => store.clear())) !== null;
}

/**
 * Take out the first row whose key begins with a text: of several tabs one gets it.
 * @param {Table} table
 * @param {string} prefix
 * @returns {Promise<unknown>} null where there is none
 */
export async function takeRow(table, prefix) {
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  /** @type {unknown} */
  let row = null;
  await run(table, "readwrite", (store) => {
    const request = store.openCursor(range);
    request.onsuccess = () => {
      if (request.result === null || row !== null) return;
      row = request.result.value;
      request.result.delete();
    };
    return request;
  });
  return row;
}

/**
 * Make one request in a transaction of its own.
 * @template T
 * @param {Table} table
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<IDBRequest<T> | null>} the request once its transaction is done; null where it failed
 */
async function run(table, mode, ask) {
  const database = await openDatabase();
  if (database === null) return null;
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(table, mode, { durability: "strict" });
      const request = ask(transaction.objectStore(table));
      transaction.oncomplete = () => resolve(request);
      transaction.onabort = () => resolve(null);
    } catch {
      resolve(null); // the browser has closed the database
    }
  });
}

/** @returns {Promise<IDBDatabase | null>} */
function openDatabase() {
  opening ??= new Promise((resolve) => {
    setTimeout(() => resolve(null), OPEN_MAX_MS);
    try {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        for (const [table, keyPath] of Object.entries(KEYS)) {
          if (!request.result.objectStoreNames.contains(table)) request.result.createObjectStore(table, { keyPath });
        }
      };
      request.onsuccess = () => resolve(watchClosing(request.result));
      request.onerror = () => resolve(null);
    } catch {
      resolve(null); // there is no IndexedDB here
    }
  });
  return opening;
}

/**
 * @param {IDBDatabase} database
 * @returns {IDBDatabase}
 */
function watchClosing(database) {
  database.onversionchange = () => database.close(); // a newer page in another tab waits for it
  database.onclose = () => (opening = null);
  return database;
}
