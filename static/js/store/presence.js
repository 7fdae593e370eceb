// @ts-check
// The users who are online, and the users who are typing.  Nothing of this is stored: a new connection sends all of it
// again.

/** One `Typing` frame counts for this long; a user who goes on typing sends the next one earlier. */
const TYPING_MS = 6_000;

export class Presence {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Set<string>} */
    this.online = new Set();
    /** Rises whenever somebody comes or goes. */
    this.version = 0;
    /** @type {Map<string, Map<string, ReturnType<typeof setTimeout>>>} by room and user, the timer that ends it */
    this.typing = new Map();
  }

  /**
   * @param {string} user
   * @param {boolean} online
   */
  setOnline(user, online) {
    if (online) this.online.add(user);
    else this.online.delete(user);
    this.version += 1;
    this.changed();
  }

  /**
   * @param {string} room
   * @param {string} user
   */
  startTyping(room, user) {
    this.stopTyping(room, user);
    const users = this.typing.get(room) ?? new Map();
    this.typing.set(room, users.set(user, setTimeout(() => this.stopTyping(room, user), TYPING_MS)));
    this.changed();
  }

  /**
   * @param {string} room
   * @param {string} user
   */
  stopTyping(room, user) {
    const users = this.typing.get(room);
    clearTimeout(users?.get(user));
    if (users?.delete(user)) this.changed();
    if (users?.size === 0) this.typing.delete(room);
  }

  /** Forget who is online: a new connection sends all of them. */
  clearOnline() {
    this.online.clear();
    this.version += 1;
    this.changed();
  }

  /**
   * @param {string} self  the user of this page, who is left out
   * @returns {string[]} in the order they came
   */
  othersOnline(self) {
    return [...this.online].filter((user) => user !== self);
  }

  /**
   * @param {string | null} room
   * @param {string} self  the user of this page, who is left out
   * @returns {string[]} in the order they began
   */
  othersTyping(room, self) {
    return [...(this.typing.get(room ?? "")?.keys() ?? [])].filter((user) => user !== self);
  }
}
