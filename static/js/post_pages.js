// @ts-check
// Pages of a room: by REST, or by the websocket where there is a login and the page's own node does not answer, for its
// cookie goes to no other.
//
// Every function throws ApiError only.  `whole`: nothing lies beyond, in the direction that was asked for.

import { ApiError, fetchAfter, fetchBefore, fetchNewest, PAGE_SIZE } from "./api.js";

/** @typedef {import("./socket.js").ChatSocket} ChatSocket */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {{posts: import("./types.js").Post[], whole: boolean}} Page */

export class Pages {
  /**
   * @param {Store} store
   * @param {ChatSocket} socket
   */
  constructor(store, socket) {
    this.store = store;
    this.socket = socket;
  }

  /**
   * The newest page, oldest first.
   * @param {string} room
   * @returns {Promise<Page>}
   */
  async newest(room) {
    return this.read(() => fetchNewest(room), { RoomName: room }, "First", "Oldest");
  }

  /**
   * The page that ends just before post `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async before(room, id) {
    return this.read(() => fetchBefore(room, id), { RoomName: room, Before: id }, "First", "Oldest");
  }

  /**
   * The page that begins just after post `id`.
   * @param {string} room
   * @param {number} id
   * @returns {Promise<Page>}
   */
  async after(room, id) {
    return this.read(() => fetchAfter(room, id), { RoomName: room, After: id }, "Last", "Newest");
  }

  /**
   * @param {() => Promise<import("./types.js").Post[]>} byRest
   * @param {object} asked  of the websocket
   * @param {"First" | "Last"} end  of the page, which is the room's where they are the same
   * @param {"Oldest" | "Newest"} endOfRoom
   * @returns {Promise<Page>}
   */
  async read(byRest, asked, end, endOfRoom) {
    try {
      const posts = await byRest();
      return { posts, whole: posts.length < PAGE_SIZE };
    } catch (error) {
      const unreachable = /** @type {ApiError} */ (error).status === 0;
      if (!unreachable || this.store.account?.Auth !== "login") throw error;
    }
    const page = await this.socket.lookBack({ ...asked, Limit: PAGE_SIZE });
    if (page === null) throw new ApiError(0, "The server cannot be reached.");
    return { posts: page.Posts, whole: page.Posts.length === 0 || page[end] === page[endOfRoom] };
  }
}
