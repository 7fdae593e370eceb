// @ts-check
// What a user does to messages: react, edit, delete, pin.
//
// The rules it keeps:
// - A reaction shows at once, and goes back if the server refuses it.
// - A deletion is sent after some seconds, in which it can be undone; at once when the page goes away.  Meanwhile the
//   message looks deleted.
// - Edits, deletions and reactions go over the websocket: it is connected to a node that works.

import { ApiError } from "./server/http.js";
import { fetchHistory, fetchMessage, fetchPins, setPin } from "./server/messages_api.js";
import { applyReaction } from "./store/reactions.js";
import { MESSAGES } from "./strings.js";

/** @typedef {import("./server/socket.js").ChatSocket} ChatSocket */
/** @typedef {import("./store/store.js").Store} Store */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Room} Room */

const UNDO_MS = 5_000;

export class MessageActions {
  /**
   * @param {Store} store
   * @param {ChatSocket} socket
   * @param {(text: string) => void} announce  shown for a moment, and read
   */
  constructor(store, socket, announce) {
    this.store = store;
    this.socket = socket;
    this.announce = announce;
    window.addEventListener("pagehide", () => this.flushDeletions());
  }

  /**
   * May the user change this message?
   * @param {Post} post
   * @returns {boolean}
   */
  mayEdit(post) {
    const { account, user } = this.store;
    return post.User === user || account?.Role === "admin";
  }

  /** @returns {boolean} */
  get mayPin() {
    return this.store.account?.Role !== "guest";
  }

  /**
   * Add the user's reaction, or remove it.
   * @param {Room} room
   * @param {Post} post
   * @param {string} emoji
   */
  async toggleReaction(room, post, emoji) {
    const { user } = this.store;
    const key = Object.keys(post.Reactions ?? {}).find((other) => isSame(other, emoji)) ?? emoji;
    const On = !(post.Reactions?.[key] ?? []).includes(user);
    const change = (/** @type {boolean} */ on) =>
      room.timeline.update(post.Id, (now) =>
        applyReaction(now, { Type: "Reacted", RoomName: room.name, Emoji: key, User: user, On: on }));
    change(On);
    try {
      await this.ask({ Action: "react", RoomName: room.name, Id: post.Id, Emoji: key, On });
    } catch (error) {
      change(!On);
      this.announce(detailOf(error));
    }
  }

  /**
   * @param {Room} room
   * @param {number} id
   * @param {string} message
   * @returns {Promise<string>} the error to show; "" where it is saved
   */
  async edit(room, id, message) {
    try {
      const { Post: post } = await this.ask({ Action: "edit", RoomName: room.name, Id: id, Message: message });
      if (post !== undefined) room.timeline.update(id, () => post);
      return "";
    } catch (error) {
      return detailOf(error);
    }
  }

  /**
   * Delete a message in some seconds, unless it is undone.
   * @param {Room} room
   * @param {Post} post
   */
  delete(room, post) {
    const timer = setTimeout(() => void this.sendDeletion(room, post.Id), UNDO_MS);
    this.store.deletions.add(room.name, post.Id, timer);
    this.announce(MESSAGES.deleting);
  }

  /**
   * @param {Room} room
   * @param {number} id
   */
  undoDeletion(room, id) {
    this.store.deletions.remove(room.name, id);
  }

  /**
   * @param {Room} room
   * @param {number} id
   */
  async sendDeletion(room, id) {
    try {
      const { Post: post } = await this.ask({ Action: "delete", RoomName: room.name, Id: id });
      if (post !== undefined) room.timeline.update(id, () => post);
    } catch (error) {
      this.announce(MESSAGES.notDeleted(detailOf(error)));
    }
    this.store.deletions.remove(room.name, id);
  }

  /** Send the deletions that wait: the page goes away. */
  flushDeletions() {
    for (const { room, id } of this.store.deletions.takeAll()) {
      void this.ask({ Action: "delete", RoomName: room, Id: id }).catch(() => {});
    }
  }

  /**
   * @param {Room} room
   * @param {Post} post
   */
  async togglePin(room, post) {
    const isPinned = room.pins?.some(({ Id }) => Id === post.Id) ?? false;
    try {
      await setPin(room.name, post.Id, !isPinned);
      await this.loadPins(room);
    } catch (error) {
      this.announce(detailOf(error));
    }
  }

  /** @param {Room} room */
  async loadPins(room) {
    try {
      room.pins = await fetchPins(room.name);
      this.store.changed();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // what was known before stays
    }
  }

  /**
   * Find a message of a room: among those the page holds, else at the server.
   * @param {Room} room
   * @param {number} id
   * @returns {Promise<Post | null>} null where it is gone
   */
  async find(room, id) {
    const held = room.timeline.posts.find((post) => post.Id === id);
    if (held !== undefined) return held;
    try {
      return await fetchMessage(room.name, id);
    } catch (error) {
      if (error instanceof ApiError) return null;
      throw error;
    }
  }

  /**
   * @param {Room} room
   * @param {number} id
   * @returns {Promise<Post[]>} all texts of a message, the first one first
   */
  async fetchHistory(room, id) {
    return fetchHistory(room.name, id);
  }

  /**
   * @param {{Action: string, RoomName: string, Id: number} & Record<string, unknown>} frame
   * @returns {Promise<{Post?: Post}>}
   */
  async ask(frame) {
    const named = this.store.account?.Auth === "login" ? {} : { User: this.store.user };
    return this.socket.request({ ...frame, ...named });
  }
}

/** @param {unknown} error  thrown again where it is a fault of the page */
function detailOf(error) {
  if (error instanceof ApiError) return error.message;
  throw error;
}

/**
 * A reaction is the same with and without variation selectors.
 * @param {string} one
 * @param {string} other
 */
function isSame(one, other) {
  return one.replaceAll("\uFE0F", "") === other.replaceAll("\uFE0F", "");
}
