// @ts-check
// Requests about the messages of rooms.  Every function throws ApiError only.

import { askAny, get, getFresh, readJson } from "./http.js";

/** @typedef {import("../types.js").Post} Post */

export const PAGE_SIZE = 100;

/** @typedef {{posts: Post[], hasOlder: boolean, hasNewer: boolean}} PostPage  oldest message first */

/**
 * The newest page of a room.
 * @param {string} room
 * @returns {Promise<PostPage>}
 */
export async function fetchNewest(room) {
  return fetchPosts(room, `limit=${PAGE_SIZE}`);
}

/**
 * The page that ends just before message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<PostPage>}
 */
export async function fetchBefore(room, id) {
  return fetchPosts(room, `before=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page that begins just after message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<PostPage>}
 */
export async function fetchAfter(room, id) {
  return fetchPosts(room, `after=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page with message `id` in its middle.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<PostPage>}
 */
export async function fetchAround(room, id) {
  return fetchPosts(room, `around=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page with the first message of a time in its middle.
 * @param {string} room
 * @param {string} time  RFC 3339
 * @returns {Promise<PostPage>}
 */
export async function fetchAt(room, time) {
  return fetchPosts(room, `at=${encodeURIComponent(time)}&limit=${PAGE_SIZE}`);
}

/**
 * @param {string} room
 * @param {string} query
 * @returns {Promise<PostPage>}
 */
async function fetchPosts(room, query) {
  const response = await getFresh(`rooms/${encodeURIComponent(room)}?${query}`, get);
  const links = response.headers.get("Link") ?? "";
  const posts = /** @type {Post[]} */ (await readJson(response));
  return { posts, hasOlder: links.includes('rel="prev"'), hasNewer: links.includes('rel="next"') };
}

/**
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post>}
 */
export async function fetchMessage(room, id) {
  return /** @type {Post} */ (await readJson(await getFresh(`${path(room, id)}?`, get)));
}

/**
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>} all texts of a message, the first one first
 */
export async function fetchHistory(room, id) {
  return /** @type {Post[]} */ (await readJson(await getFresh(`${path(room, id)}/history?`, get)));
}

/**
 * @param {string} room
 * @returns {Promise<Post[]>} in the order of pinning
 */
export async function fetchPins(room) {
  return /** @type {Post[]} */ (await readJson(await getFresh(`rooms/${encodeURIComponent(room)}/pins?`, get)));
}

/**
 * @param {string} room
 * @param {number} id
 * @param {boolean} on
 */
export async function setPin(room, id, on) {
  await askAny(on ? "PUT" : "DELETE", `${path(room, id)}/pin`);
}

/**
 * @param {string} room
 * @param {number} id
 */
function path(room, id) {
  return `rooms/${encodeURIComponent(room)}/messages/${id}`;
}
