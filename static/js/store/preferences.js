// @ts-check
// The choices of the user about rooms and about the page's looks, kept in this browser.
//
// The rules it keeps:
// - What cannot be read is the default, and a change in another tab shows here too.
// - With sign-in the server keeps favourites and levels of notifications, for all devices: then the rooms have them.

import { readItem, watchItem, writeItem } from "../local_storage.js";

/** @typedef {import("../types.js").NotifyLevel} NotifyLevel */
/** @typedef {import("../types.js").Room} Room */
/** @typedef {import("../types.js").RoomPreferences} RoomPreferences */
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
  /**
   * @param {() => void} changed
   * @param {() => boolean} isShared  does the server keep what the user prefers about rooms?
   */
  constructor(changed, isShared) {
    this.changed = changed;
    this.isShared = isShared;
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
   * @param {Room} room
   * @returns {boolean}
   */
  isFavourite(room) {
    return this.isShared() ? room.favourite : this.choices.favourites.includes(room.name);
  }

  /**
   * @param {Room} room
   * @returns {NotifyLevel}
   */
  notifyLevel(room) {
    return this.chosenLevel(room) ?? (room.direct ? "all" : "mentions");
  }

  /**
   * @param {Room} room
   * @returns {boolean}
   */
  isMuted(room) {
    return this.chosenLevel(room) === "none";
  }

  /** @param {Room} room */
  chosenLevel(room) {
    return this.isShared() ? room.notify : this.choices.notify[room.name];
  }

  /**
   * Keep in this browser what the user prefers about a room.
   * @param {Room} room
   * @param {RoomPreferences} wish
   */
  keep({ name }, { Favourite, Notify }) {
    const { favourites, notify } = read();
    const others = favourites.filter((other) => other !== name);
    if (Favourite !== undefined) this.set({ favourites: Favourite ? [...others, name] : others });
    if (Notify) this.set({ notify: { ...notify, [name]: Notify } });
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
