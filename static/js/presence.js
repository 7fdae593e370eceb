// @ts-check
// Who is there and who types, as the socket tells it.  Nothing of it is kept: a new connection is told all of it anew.

/** A word that somebody types stands for so long; who goes on is told of again before. */
const TYPING_MS = 6_000;

export class Company {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Set<string>} */
    this.online = new Set();
    /** @type {Map<string, Map<string, ReturnType<typeof setTimeout>>>} by room and user, each until it is over */
    this.typing = new Map();
  }

  /**
   * @param {string} user
   * @param {boolean} online
   */
  notePresence(user, online) {
    if (online) this.online.add(user);
    else this.online.delete(user);
    this.changed();
  }

  /**
   * @param {string} room
   * @param {string} user
   */
  noteTyping(room, user) {
    this.noteRest(room, user);
    const users = this.typing.get(room) ?? new Map();
    this.typing.set(room, users.set(user, setTimeout(() => this.noteRest(room, user), TYPING_MS)));
    this.changed();
  }

  /**
   * What was typed has been said, or was left.
   * @param {string} room
   * @param {string} user
   */
  noteRest(room, user) {
    const users = this.typing.get(room);
    clearTimeout(users?.get(user));
    if (users?.delete(user)) this.changed();
    if (users?.size === 0) this.typing.delete(room);
  }

  /** Nobody is known to be there: the connection is another one. */
  forget() {
    this.online.clear();
    this.changed();
  }

  /**
   * @param {string} reader  who need not be told of himself
   * @returns {string[]} in the order they came
   */
  othersOnline(reader) {
    return [...this.online].filter((user) => user !== reader);
  }

  /**
   * @param {string | null} room
   * @param {string} reader
   * @returns {string[]} in the order they began
   */
  othersTyping(room, reader) {
    return [...(this.typing.get(room ?? "")?.keys() ?? [])].filter((user) => user !== reader);
  }
}
