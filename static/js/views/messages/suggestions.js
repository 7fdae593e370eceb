// @ts-check
// Finds what could complete a text that is being written: `@` people, `#` rooms, `:` emoji, and `/` commands.
//
// The rules it keeps:
// - A sign within a word completes nothing, such as that of an e-mail address.
// - A name fits by its beginning or by the beginning of one of its words; accents and capital letters do not matter.
// - What is typed in full needs no completion: then Enter sends.

import { COMMANDS, COMPLETION } from "../../dialog_strings.js";
import { loadEmoji } from "../../emoji_data.js";
import { ApiError } from "../../server/http.js";
import { fetchUsers } from "../../server/rooms_api.js";
import { search as searchEmoji } from "./emoji_picker.js";

/** @typedef {import("../../emoji_data.js").EmojiGroup} EmojiGroup */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").User} User */

/**
 * @typedef {object} Suggestion
 * @property {string} text  what stands in the place of what was typed
 * @property {string} title
 * @property {string} note
 * @property {string} [sign]  of an emoji
 */

/**
 * @typedef {object} Found
 * @property {number} from  where the text to replace begins
 * @property {boolean} isChosen  was enough typed for Enter to take the first one?
 * @property {Suggestion[]} suggestions
 */

const SHOWN_MAX = 8;
/** Fewer letters would make a list of most smileys, such as `:D`. */
const EMOJI_LETTERS = 2;
/** A list of users that is older is fetched again. */
const USERS_MS = 60_000;
const NAME = /(?<![\p{L}\p{N}_])([@#])((?:[^\s@#][^\n@#]{0,63})?)$/u;
const EMOJI = /(?<![\p{L}\p{N}_:]):([\p{L}\p{N}_+-]{1,40})$/u;
const COMMAND = /^\/(\p{L}*)$/u;

export class Suggestions {
  /**
   * @param {Store} store
   * @param {() => void} onMore  names or emoji were loaded: look again
   */
  constructor(store, onMore) {
    this.store = store;
    this.onMore = onMore;
    /** @type {User[]} */
    this.users = [];
    this.usersAt = 0;
    /** @type {EmojiGroup[] | null} null until asked for */
    this.emoji = null;
  }

  /**
   * @param {string} before  the text before the caret
   * @returns {Found | null} null where nothing is being completed
   */
  find(before) {
    const command = COMMAND.exec(before);
    if (command !== null) return this.found(command, commands(), command[1] ?? "");
    const emoji = EMOJI.exec(before);
    if (emoji !== null) return this.findEmoji(emoji);
    const name = NAME.exec(before);
    if (name === null) return null;
    return this.found(name, name[1] === "@" ? this.people() : this.rooms(), name[2] ?? "");
  }

  /**
   * @param {RegExpExecArray} token
   * @param {Suggestion[]} all
   * @param {string} sought
   * @returns {Found | null}
   */
  found(token, all, sought) {
    const wanted = fold(sought);
    const isWhole = all.some(({ text }) => fold(text.slice(1).trimEnd()) === wanted);
    const ranked = all.map((suggestion) => ({ suggestion, rank: rank(suggestion, wanted) })).filter(({ rank: at }) => at < 2);
    const suggestions = ranked.sort((a, b) => a.rank - b.rank).slice(0, SHOWN_MAX).map(({ suggestion }) => suggestion);
    if (suggestions.length === 0 || (isWhole && suggestions.length === 1)) return null;
    return { from: token.index, isChosen: sought !== "" && !isWhole, suggestions };
  }

  /** @returns {Suggestion[]} those who wrote last come first */
  people() {
    const { account, presence, rooms, user } = this.store;
    const room = rooms.currentRoom;
    /** @type {Map<string, string>} what to show beside each name */
    const names = new Map();
    for (const { User } of [...(room?.timeline.posts ?? [])].reverse()) names.set(User, "");
    for (const name of [...(room?.members ?? []), ...presence.online]) names.set(name, "");
    for (const { Active, DisplayName, Name } of this.users) {
      if (Active) names.set(Name, DisplayName === Name ? "" : DisplayName);
      else names.delete(Name);
    }
    names.delete(user);
    names.set("room", COMPLETION.everybody);
    if (account?.Auth === "login") void this.loadUsers();
    return [...names].map(([name, note]) => ({ text: `@${name} `, title: name, note }));
  }

  /** @returns {Suggestion[]} */
  rooms() {
    return this.store.rooms.sorted.filter(({ direct, exists }) => exists && !direct)
      .map(({ title, topic }) => ({ text: `#${title} `, title, note: topic }));
  }

  /**
   * @param {RegExpExecArray} token
   * @returns {Found | null}
   */
  findEmoji(token) {
    const sought = (token[1] ?? "").toLowerCase();
    if (this.emoji === null) void this.loadEmoji();
    if (sought.length < EMOJI_LETTERS) return null;
    const suggestions = searchEmoji(this.emoji ?? [], sought).slice(0, SHOWN_MAX)
      .map(({ sign, name, codes }) => ({ text: `${sign} `, title: `:${codes[0] ?? ""}:`, note: name, sign }));
    return suggestions.length === 0 ? null : { from: token.index, isChosen: true, suggestions };
  }

  async loadEmoji() {
    this.emoji = [];
    try {
      this.emoji = await loadEmoji();
      this.onMore();
    } catch {
      this.emoji = null; // the next letter tries again
    }
  }

  async loadUsers() {
    if (Date.now() - this.usersAt < USERS_MS) return;
    this.usersAt = Date.now();
    try {
      this.users = await fetchUsers();
      this.onMore();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the names that the page knows remain
    }
  }
}

/** @returns {Suggestion[]} */
function commands() {
  return COMMANDS.list.map(([name, argument, what]) => ({ text: `/${name} `, title: `/${name} ${argument}`.trimEnd(), note: what }));
}

/**
 * @param {Suggestion} suggestion
 * @param {string} wanted
 * @returns {number} 0 where the name begins so, 1 where one of its words does, else 2
 */
function rank({ text, note }, wanted) {
  const name = text.slice(1).trimEnd();
  const names = text.startsWith("@") ? [name, note] : [name];
  const folded = names.map(fold);
  if (folded.some((each) => each.startsWith(wanted))) return 0;
  return folded.some((each) => each.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted))) ? 1 : 2;
}

/**
 * @param {string} text
 * @returns {string} without what does not matter when names are compared
 */
function fold(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}
