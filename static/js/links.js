// @ts-check
// The page's own addresses: `#/rooms` is the list (a screen of its own on a phone), `#/rooms/<name>` a room,
// `#/invite/<secret>` where somebody who was invited comes in.

import { faultOfName } from "./names.js";

/** Where this page lies, with a slash at its end: a proxy may show it under a path of a host that it shares. */
export const HOME = new URL(".", location.href).href;

const ROOM = /^#\/rooms\/(.+)$/;
const INVITE = /^#\/invite\/([\w-]+)$/;

/**
 * @param {string} room
 * @returns {string}
 */
export function linkRoom(room) {
  return `#/rooms/${encodeURIComponent(room)}`;
}

/**
 * @param {string} hash
 * @returns {string | null} null where no room is named, or none that could exist
 */
export function readRoom(hash) {
  const match = ROOM.exec(hash);
  if (match === null) return null;
  try {
    const name = decodeURIComponent(match[1]).normalize("NFC");
    return faultOfName(name) === "" ? name : null;
  } catch {
    return null; // a broken percent-encoding
  }
}

/** @param {string} room */
export function goToRoom(room) {
  location.hash = linkRoom(room);
}

/**
 * @param {string} invite
 * @returns {string} the whole address, to be sent to somebody
 */
export function linkInvite(invite) {
  return `${HOME}#/invite/${invite}`;
}

/**
 * @param {string} hash
 * @returns {string} "" where it is none
 */
export function readInvite(hash) {
  return INVITE.exec(hash)?.[1] ?? "";
}

/** An invite that was used is nothing to keep in the address. */
export function goToRooms() {
  location.hash = "#/rooms";
}
