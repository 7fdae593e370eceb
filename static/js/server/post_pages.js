// @ts-check
// Pages of a room's messages, by REST.  With sign-in, the cookie goes to the page's own node only.  While that node
// does not answer, the pages come over the websocket.
//
// Every method throws ApiError only.

import { ApiError } from "./http.js";
import { fetchAfter, fetchAround, fetchAt, fetchBefore, fetchNewest, PAGE_SIZE } from "./messages_api.js";

/** @typedef {import("./socket.js").ChatSocket} ChatSocket */
/** @typedef {import("../store/store.js").Store} Store */
/** @typedef {import("../types.js").Post} Post */
/** @typedef {import("./messages_api.js").PostPage} Page */

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
    return this.fetch(() => fetchNewest(room), { RoomName: room });
  }

  /**
   * The page that ends just before message `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async fetchBefore(room, id) {
    return this.fetch(() => fetchBefore(room, id), { RoomName: room, Before: id });
  }

  /**
   * The page that begins just after message `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async fetchAfter(room, id) {
    return this.fetch(() => fetchAfter(room, id), { RoomName: room, After: id });
  }

  /**
   * The page with message `id` in its middle.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async fetchAround(room, id) {
    return this.fetch(() => fetchAround(room, id), { RoomName: room, Around: id });
  }

  /**
   * The page with the first message of a time in its middle.
   * @param {string} room
   * @param {string} time
   * @returns {Promise<Page>}
   */
  async fetchAt(room, time) {
    return fetchAt(room, time);
  }

  /**
   * @param {() => Promise<Page>} byRest
   * @param {{RoomName: string, Before?: number, After?: number, Around?: number}} asked  over the websocket
   * @returns {Promise<Page>}
   */
  async fetch(byRest, asked) {
    try {
      return await byRest();
    } catch (error) {
      const unreachable = error instanceof ApiError && error.status === 0;
      if (!unreachable || this.store.account?.Auth !== "login") throw error;
    }
    const page = await this.socket.fetchHistory({ ...asked, Limit: PAGE_SIZE });
    if (page === null) throw ApiError.unreachable();
    const { Posts: posts, First, Last, Oldest, Newest } = page;
    const hasAny = posts.length > 0;
    return { posts, hasOlder: hasAny && First > Oldest, hasNewer: hasAny && Last < Newest };
  }
}
