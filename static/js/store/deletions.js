// @ts-check
// The messages that the user has deleted on this page, and that are not yet deleted on the server.

/** @typedef {{room: string, id: number, timer: ReturnType<typeof setTimeout>}} Deletion */

export class Deletions {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Map<string, Deletion>} */
    this.waiting = new Map();
  }

  /**
   * @param {string} room
   * @param {number} id
   * @param {ReturnType<typeof setTimeout>} timer  that sends it
   */
  add(room, id, timer) {
    this.remove(room, id);
    this.waiting.set(key(room, id), { room, id, timer });
    this.changed();
  }

  /**
   * @param {string} room
   * @param {number} id
   * @returns {boolean}
   */
  has(room, id) {
    return this.waiting.has(key(room, id));
  }

  /**
   * @param {string} room
   * @param {number} id
   */
  remove(room, id) {
    clearTimeout(this.waiting.get(key(room, id))?.timer);
    if (this.waiting.delete(key(room, id))) this.changed();
  }

  /** @returns {Deletion[]} all of them; they are waiting no more */
  takeAll() {
    const all = [...this.waiting.values()];
    for (const { timer } of all) clearTimeout(timer);
    this.waiting.clear();
    return all;
  }
}

/**
 * @param {string} room
 * @param {number} id
 */
function key(room, id) {
  return `${id} ${room}`;
}
