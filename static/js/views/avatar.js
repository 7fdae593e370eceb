// @ts-check
// The avatar of a user: initials on a colour that follows from the name.

import { make } from "./dom.js";

/** The classes hue-0 … hue-9 of base.css. */
const HUES = 10;

/**
 * @param {string} user
 * @returns {HTMLElement}
 */
export function makeAvatar(user) {
  const avatar = make("span", `avatar hue-${pickHue(user)}`, makeInitials(user));
  avatar.setAttribute("aria-hidden", "true"); // the name itself stands beside it
  return avatar;
}

/**
 * @param {string} name
 * @returns {string} one or two letters
 */
function makeInitials(name) {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words.at(0), words.at(-1)] : [name];
  return letters.map((word) => Array.from(word ?? "")[0] ?? "").join("").toLocaleUpperCase();
}

/**
 * Hash the name (FNV-1a over its UTF-16 units), so that it has the same colour on every page.
 * @param {string} name
 * @returns {number}
 */
function pickHue(name) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return (hash >>> 8) % HUES;
}
