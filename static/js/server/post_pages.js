// @ts-check
// Pages of a room's messages, by REST.  With sign-in, the cookie goes to the page's own node only.  While that node
// does not answer, the pages come over the websocket.
//
// Every method throws ApiError only.

import { ApiError } from "./http.js";
import { fetchAfter, fetchBefore, fetchNewest, PAGE_SIZE } from "./messages_api.js";

/** @typedef {import("./socket.js").ChatSocket} ChatSocket */
/** @typedef {import("../store/store.js").Store} Store */
/** @typedef {import("../types.js").History} History */
/** @typedef {import("../types.js").Post} Post */
/** @typedef {{posts: Post[], isLast: boolean}} Page  isLast: the room has nothing beyond, in the direction asked for */

export class PostPages {
  /**
   * @param {Store} store
   * @param {ChatSocket} socket
   */
  constructor(store, socket) {
    this.store = store;
    this.socket = socket;
  }

  /**
   * The newest page, oldest message first.
   * @param {string} room
   * @returns {Promise<Page>}
   */
  async fetchNewest(room) {
    return this.fetch(() => fetchNewest(room), { RoomName: room }, reachesOldest);
  }

  /**
   * The page that ends just before message `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async fetchBefore(room, id) {
    return this.fetch(() => fetchBefore(room, id), { RoomName: room, Before: id }, reachesOldest);
  }

  /**
   * The page that begins just after message `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async fetchAfter(room, id) {
    return this.fetch(() => fetchAfter(room, id), { RoomName: room, After: id }, reachesNewest);
  }

  /**
   * @param {() => Promise<Post[]>} byRest
   * @param {{RoomName: string, Before?: number, After?: number}} asked  over the websocket
   * @param {(page: History) => boolean} isLast  for a page over the websocket
   * @returns {Promise<Page>}
   */
  async fetch(byRest, asked, isLast) {
    try {
      const posts = await byRest();
      return { posts, isLast: posts.length < PAGE_SIZE };
    } catch (error) {
      const unreachable = error instanceof ApiError && error.status === 0;
      if (!unreachable || this.store.account?.Auth !== "login") throw error;
    }
    const page = await this.socket.fetchHistory({ ...asked, Limit: PAGE_SIZE });
    if (page === null) throw ApiError.unreachable();
    return { posts: page.Posts, isLast: page.Posts.length === 0 || isLast(page) };
  }
}

/** @param {History} page */
function reachesOldest(page) {
  return page.First === page.Oldest;
}

/** @param {History} page */
function reachesNewest(page) {
  return page.Last === page.Newest;
}
