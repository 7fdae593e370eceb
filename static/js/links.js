// @ts-check
// The page's own addresses: `#/rooms` is the list of rooms (a screen of its own on a phone), `#/rooms/<name>` a room,
// `#/rooms/<name>/<Id>` a message in it, `#/invite/<secret>` the form where an invited person creates an account.

import { checkName } from "./validation.js";

/** The URL of this page, with a slash at its end: a proxy may serve it under a path. */
export const HOME = new URL(".", location.href).href;

const MESSAGE = /^(#\/rooms\/[^/]+)\/([1-9]\d{0,14})$/;
const ROOM = /^#\/rooms\/(.+)$/;
const INVITE = /^#\/invite\/([\w-]+)$/;

/**
 * @param {string} room
 * @returns {string}
 */
export function roomLink(room) {
  return `#/rooms/${encodeURIComponent(room)}`;
}

/**
 * @param {string} hash
 * @returns {string | null} null where the hash names no room, or one that cannot exist
 */
export function readRoom(hash) {
  const encoded = ROOM.exec(MESSAGE.exec(hash)?.[1] ?? hash)?.[1];
  if (encoded === undefined) return null;
  try {
    const name = decodeURIComponent(encoded).normalize("NFC");
    return checkName(name) === "" ? name : null;
  } catch {
    return null; // a broken percent-encoding
  }
}

/**
 * @param {string} room
 * @param {number} id
 * @returns {string} the permanent link of a message
 */
export function messageLink(room, id) {
  return `${roomLink(room)}/${id}`;
}

/**
 * @param {string} hash
 * @returns {number} the Id of the message that the hash names; 0 where it names none
 */
export function readMessageId(hash) {
  return Number(MESSAGE.exec(hash)?.[2] ?? 0);
}

/**
 * @param {string} room
 * @param {number} id
 */
export function goToMessage(room, id) {
  location.hash = messageLink(room, id);
}

/** @param {string} room */
export function goToRoom(room) {
  location.hash = roomLink(room);
}

/**
 * @param {string} invite
 * @returns {string} the whole address, to be sent to somebody
 */
export function inviteLink(invite) {
  return `${HOME}#/invite/${invite}`;
}

/**
 * @param {string} hash
 * @returns {string} "" where the hash has no invite
 */
export function readInvite(hash) {
  return INVITE.exec(hash)?.[1] ?? "";
}

/** Go to the list of rooms; a used invite leaves the address this way. */
export function goToRooms() {
  location.hash = "#/rooms";
}
