// @ts-check
// The server's rules for names and texts, told to the writer before anything is sent.  The server has the last word.

export const MESSAGE_MAX = 8000;
const NAME_MAX = 64;
/** Control characters, lone surrogates, what changes the direction of text. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/**
 * @param {string} typed
 * @returns {string}
 */
export function tidyName(typed) {
  return typed.normalize("NFC").trim();
}

/**
 * What is wrong with a name; "" when nothing is.
 * @param {string} name
 * @returns {string}
 */
export function faultOfName(name) {
  if (name === "") return "Please enter a name.";
  if (countCodePoints(name) > NAME_MAX) return `A name has at most ${NAME_MAX} characters.`;
  if (name === "." || name === "..") return "A name cannot be only dots.";
  if (FORBIDDEN.test(name)) return "This name has a character that names cannot have.";
  return "";
}

/**
 * A message as it is sent: without blank space at its end, lone surrogates replaced.
 * @param {string} typed
 * @returns {string}
 */
export function tidyMessage(typed) {
  return new TextDecoder().decode(new TextEncoder().encode(typed.trimEnd()));
}

/**
 * @param {string} text
 * @returns {number}
 */
export function countCodePoints(text) {
  return Array.from(text).length;
}

/**
 * One or two letters that stand for a name.
 * @param {string} name
 * @returns {string}
 */
export function makeInitials(name) {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [name];
  return letters.map((word) => Array.from(word)[0] ?? "").join("").toLocaleUpperCase();
}

/**
 * The CSS class of a name's colour: the same on every page, FNV-1a over its UTF-16 units.
 * @param {string} name
 * @returns {string}
 */
export function pickHue(name) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return `hue-${(hash >>> 8) % 10}`;
}
