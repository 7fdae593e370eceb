// @ts-check
// The choices of the user about rooms and about the page's looks, kept in this browser.
//
// The rules it keeps: what cannot be read is the default, and a change in another tab shows here too.

import { readItem, watchItem, writeItem } from "../local_storage.js";

/** @typedef {"all" | "mentions" | "none"} NotifyLevel */
/** @typedef {"system" | "light" | "dark"} Theme */
/** @typedef {"normal" | "compact"} Density */

/**
 * @typedef {object} Choices
 * @property {string[]} favourites  names of rooms
 * @property {Record<string, NotifyLevel>} notify  by room; a muted room has "none"
 * @property {string[]} folded  sections of the side bar
 * @property {Theme} theme
 * @property {Density} density
 * @property {boolean} notifications  the user asked for notifications
 * @property {boolean} sound
 * @property {string} quietFrom  such as "22:00"; "" for no quiet hours
 * @property {string} quietTo
 */

const KEY = "preferences";

/** @type {Choices} */
const DEFAULTS = {
  favourites: [], notify: {}, folded: [], theme: "system", density: "normal",
  notifications: false, sound: false, quietFrom: "", quietTo: "",
};

export class Preferences {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.version = 0;
    this.choices = read();
    watchItem(KEY, () => this.reload());
  }

  reload() {
    this.choices = read();
    this.version += 1;
    this.changed();
  }

  /** @param {Partial<Choices>} some */
  set(some) {
    writeItem(KEY, JSON.stringify({ ...read(), ...some })); // another tab may have written meanwhile
    this.reload();
  }

  /**
   * @param {string} room
   * @returns {boolean}
   */
  isFavourite(room) {
    return this.choices.favourites.includes(room);
  }

  /** @param {string} room */
  toggleFavourite(room) {
    const { favourites } = read();
    const rest = favourites.filter((name) => name !== room);
    this.set({ favourites: rest.length < favourites.length ? rest : [...rest, room] });
  }

  /**
   * @param {string} room
   * @param {boolean} direct
   * @returns {NotifyLevel}
   */
  notifyLevel(room, direct) {
    return this.choices.notify[room] ?? (direct ? "all" : "mentions");
  }

  /**
   * @param {string} room
   * @param {NotifyLevel} level
   */
  setNotifyLevel(room, level) {
    this.set({ notify: { ...read().notify, [room]: level } });
  }

  /**
   * @param {string} room
   * @returns {boolean}
   */
  isMuted(room) {
    return this.choices.notify[room] === "none";
  }

  /** @param {string} section */
  toggleFold(section) {
    const { folded } = read();
    const rest = folded.filter((name) => name !== section);
    this.set({ folded: rest.length < folded.length ? rest : [...rest, section] });
  }

  /**
   * @param {Date} now
   * @returns {boolean} do the quiet hours hold?  They may go over midnight.
   */
  isQuiet(now) {
    const { quietFrom: from, quietTo: to } = this.choices;
    if (from === "" || to === "" || from === to) return false;
    const time = `${String(now.getHours()).padStart(2, "0")}:${String(now.getMinutes()).padStart(2, "0")}`;
    return from < to ? from <= time && time < to : from <= time || time < to;
  }
}

/** @returns {Choices} */
function read() {
  try {
    const stored = /** @type {Partial<Choices>} */ (JSON.parse(readItem(KEY) || "{}"));
    const choices = { ...DEFAULTS, ...stored };
    const isWhole = Array.isArray(choices.favourites) && Array.isArray(choices.folded) && typeof choices.notify === "object";
    return isWhole ? choices : { ...DEFAULTS };
  } catch {
    return { ...DEFAULTS };
  }
}
