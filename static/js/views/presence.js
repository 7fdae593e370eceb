// @ts-check
// Who else is there, above the timeline; and who types in the room, below the field.

import { find, make, makeText } from "../dom.js";
import { makeAvatar } from "./avatar.js";

/** @typedef {import("../store.js").Store} Store */

/** Faces that are shown; the others are counted. */
const FACES_MAX = 5;
/** Names that are written out, of those who type. */
const TYPING_MAX = 2;
/** Names in the text behind the faces. */
const NAMES_MAX = 20;

export class CompanyView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.here = find("online-users", HTMLElement);
    this.typing = find("typing", HTMLElement);
    this.shownHere = "";
    this.shownTyping = "";
  }

  render() {
    const { company, current, user } = this.store;
    this.renderHere(company.othersOnline(user));
    this.renderTyping(company.othersTyping(current, user));
  }

  /** @param {string[]} users */
  renderHere(users) {
    const signature = JSON.stringify(users);
    if (signature === this.shownHere) return;
    this.shownHere = signature;
    const names = countNames(users, NAMES_MAX);
    const faces = users.slice(0, users.length > FACES_MAX ? FACES_MAX - 1 : FACES_MAX).map(makeAvatar);
    const rest = users.length - faces.length;
    if (rest > 0) faces.push(make("span", "avatar online-rest", `+${Math.min(rest, 99)}`));
    for (const face of faces) face.setAttribute("aria-hidden", "true");
    this.here.replaceChildren(make("span", "visually-hidden", `Also here: ${names}`), ...faces);
    this.here.title = `Also here: ${names}`;
    this.here.hidden = users.length === 0;
  }

  /** @param {string[]} users */
  renderTyping(users) {
    const signature = JSON.stringify(users);
    if (signature === this.shownTyping) return;
    this.shownTyping = signature;
    if (users.length === 0) return this.typing.replaceChildren();
    const names = users.slice(0, TYPING_MAX).map((user) => makeText("b", "typing-name", user));
    const rest = users.length - names.length;
    const last = rest > 0 ? [`${rest} ${rest === 1 ? "other" : "others"}`] : names.splice(-1);
    const first = names.flatMap((name, place) => (place === 0 ? [name] : [", ", name]));
    const words = [...first, ...(first.length > 0 ? [" and "] : []), ...last];
    const dots = make("span", "typing-dots", make("i", ""), make("i", ""), make("i", ""));
    dots.setAttribute("aria-hidden", "true");
    this.typing.replaceChildren(dots, make("span", "typing-text", ...words, users.length === 1 ? " is typing" : " are typing"));
  }
}

/**
 * @param {string[]} names
 * @param {number} most
 * @returns {string}
 */
function countNames(names, most) {
  const rest = names.length - most;
  return names.slice(0, most).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
