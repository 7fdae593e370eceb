// @ts-check
// The server's rules for names and messages, checked before anything is sent.  The server has the last word.

export const MESSAGE_MAX = 8000;
const NAME_MAX = 64;
export const PASSWORD_MIN = 8;
/** Control characters, lone surrogates, and marks that change the direction of text. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/**
 * @param {string} typed
 * @returns {string}
 */
export function normalizeName(typed) {
  return typed.normalize("NFC").trim();
}

/**
 * Check the name of a user or a room.
 * @param {string} name
 * @returns {string} the error to show; "" where the name is valid
 */
export function checkName(name) {
  if (name === "") return "Enter a name.";
  if (countCodePoints(name) > NAME_MAX) return `This name is too long. Use at most ${NAME_MAX} characters.`;
  if (name === "." || name === "..") return "A name cannot be only dots. Choose another one.";
  if (FORBIDDEN.test(name)) return "This name has an invisible character that is not allowed. Type it again.";
  return "";
}

/**
 * Check a password that the user chooses.
 * @param {string} password
 * @returns {string} the error to show; "" where the password is valid
 */
export function checkPassword(password) {
  if (countCodePoints(password) >= PASSWORD_MIN) return "";
  return `This password is too short. Use at least ${PASSWORD_MIN} characters.`;
}

/**
 * @param {string} typed
 * @returns {string} the message to send: without space at its end, with lone surrogates replaced
 */
export function normalizeMessage(typed) {
  return new TextDecoder().decode(new TextEncoder().encode(typed.trimEnd()));
}

/**
 * @param {string} text
 * @returns {number}
 */
export function countCodePoints(text) {
  return Array.from(text).length;
}
