// @ts-check
// The page's own addresses: `#/rooms` is the list (a screen of its own on a phone), `#/rooms/<name>` a room.

import { faultOfName } from "./names.js";

const ROOM = /^#\/rooms\/(.+)$/;

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
