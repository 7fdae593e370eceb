// @ts-check
// Requests about the messages of rooms.

import { get, getFresh, readJson } from "./http.js";

/** @typedef {import("../types.js").Post} Post */

export const PAGE_SIZE = 100;

/**
 * The newest page of a room, oldest first.
 * @param {string} room
 * @returns {Promise<Post[]>}
 */
export async function fetchNewest(room) {
  return fetchPosts(room, `limit=${PAGE_SIZE}`);
}

/**
 * The page that ends just before message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchBefore(room, id) {
  return fetchPosts(room, `before=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page that begins just after message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchAfter(room, id) {
  return fetchPosts(room, `after=${id}&limit=${PAGE_SIZE}`);
}

/**
 * @param {string} room
 * @param {string} query
 * @returns {Promise<Post[]>}
 */
async function fetchPosts(room, query) {
  const response = await getFresh(`rooms/${encodeURIComponent(room)}?${query}`, get);
  return /** @type {Post[]} */ (await readJson(response));
}
