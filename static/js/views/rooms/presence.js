// @ts-check
// The users who are online, above the timeline; and the users who are typing in this room, below the message field.

import { makeAvatar } from "../avatar.js";
import { find, make, makeText } from "../dom.js";

/** @typedef {import("../../store/store.js").Store} Store */

/** Avatars that are shown; the other users are counted. */
const AVATARS_MAX = 5;
/** Names that are shown of the users who are typing. */
const TYPING_MAX = 2;
/** Names in the tooltip of the avatars. */
const NAMES_MAX = 20;

export class PresenceView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.online = find("online-users", HTMLElement);
    this.typing = find("typing", HTMLElement);
    this.shownOnline = "";
    this.shownTyping = "";
  }

  render() {
    const { presence, rooms, user } = this.store;
    this.renderOnline(presence.othersOnline(user));
    this.renderTyping(presence.othersTyping(rooms.current, user));
  }

  /** @param {string[]} users */
  renderOnline(users) {
    const signature = JSON.stringify(users);
    if (signature === this.shownOnline) return;
    this.shownOnline = signature;
    const label = `Also online: ${joinNames(users, NAMES_MAX)}`;
    const avatars = users.slice(0, users.length > AVATARS_MAX ? AVATARS_MAX - 1 : AVATARS_MAX).map(makeAvatar);
    const rest = users.length - avatars.length;
    if (rest > 0) avatars.push(makeRest(rest));
    this.online.replaceChildren(make("span", "visually-hidden", label), ...avatars);
    this.online.title = label;
    this.online.hidden = users.length === 0;
  }

  /** @param {string[]} users */
  renderTyping(users) {
    const signature = JSON.stringify(users);
    if (signature === this.shownTyping) return;
    this.shownTyping = signature;
    if (users.length === 0) return this.typing.replaceChildren();
    const dots = make("span", "typing-dots", make("i", ""), make("i", ""), make("i", ""));
    dots.setAttribute("aria-hidden", "true");
    this.typing.replaceChildren(dots, makeTypingText(users));
  }
}

/**
 * @param {number} count
 * @returns {HTMLElement}
 */
function makeRest(count) {
  const rest = make("span", "avatar online-rest", `+${Math.min(count, 99)}`);
  rest.setAttribute("aria-hidden", "true");
  return rest;
}

/**
 * @param {string[]} users
 * @returns {HTMLElement} such as "ann, bob and 2 others are typing"
 */
function makeTypingText(users) {
  const names = users.slice(0, TYPING_MAX).map((user) => makeText("b", "typing-name", user));
  const rest = users.length - names.length;
  const last = rest > 0 ? [`${rest} ${rest === 1 ? "other" : "others"}`] : names.splice(-1);
  const first = names.flatMap((name, place) => (place === 0 ? [name] : [", ", name]));
  const and = first.length > 0 ? [" and "] : [];
  return make("span", "typing-text", ...first, ...and, ...last, users.length === 1 ? " is typing" : " are typing");
}

/**
 * @param {string[]} names
 * @param {number} max
 * @returns {string}
 */
function joinNames(names, max) {
  const rest = names.length - max;
  return names.slice(0, max).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
