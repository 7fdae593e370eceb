// @ts-check
// Requests about rooms, their members, and people.

import { askHere, fetchAll, readJson } from "./http.js";

/** @typedef {import("../types.js").RoomDetails} RoomDetails */
/** @typedef {import("../types.js").User} User */

/** @returns {Promise<RoomDetails[]>} all rooms, in the order of their names' code points */
export async function fetchRooms() {
  return /** @type {RoomDetails[]} */ (await fetchAll("rooms", "limit=1000&details=true"));
}

/**
 * Make a room.  A private one gets another name, which the answer has.
 * @param {{Name: string, Topic?: string, Visibility?: string, Members?: string[]}} wanted
 * @returns {Promise<RoomDetails>}
 */
export async function createRoom(wanted) {
  return /** @type {RoomDetails} */ (await readJson(await askHere("POST", "rooms", withoutEmpty(wanted))));
}

/**
 * Make a public room, or return the one of that name.
 * @param {string} name
 * @param {string} topic
 * @returns {Promise<RoomDetails>}
 */
export async function putRoom(name, topic) {
  return /** @type {RoomDetails} */ (await readJson(await askHere("PUT", roomPath(name), withoutEmpty({ Topic: topic }))));
}

/**
 * @param {string} name
 * @param {object} changes
 * @returns {Promise<RoomDetails>}
 */
export async function changeRoom(name, changes) {
  return /** @type {RoomDetails} */ (await readJson(await askHere("PATCH", roomPath(name), changes)));
}

/**
 * @param {string} name
 * @param {import("../types.js").RoomPreferences} wish
 */
export async function setPreferences(name, wish) {
  await askHere("PATCH", `${roomPath(name)}/preferences`, wish);
}

/** @param {string} name */
export async function deleteRoom(name) {
  await askHere("DELETE", roomPath(name));
}

/**
 * @param {string} room
 * @returns {Promise<string[]>}
 */
export async function fetchMembers(room) {
  return /** @type {string[]} */ (await fetchAll(`${roomPath(room)}/members`, "limit=1000"));
}

/**
 * @param {string} room
 * @param {string} user
 */
export async function addMember(room, user) {
  await askHere("PUT", `${roomPath(room)}/members/${encodeURIComponent(user)}`);
}

/**
 * @param {string} room
 * @param {string} user
 */
export async function removeMember(room, user) {
  await askHere("DELETE", `${roomPath(room)}/members/${encodeURIComponent(user)}`);
}

/** @returns {Promise<User[]>} everybody whom the user may see */
export async function fetchUsers() {
  return /** @type {User[]} */ (await fetchAll("users", "limit=1000"));
}

/**
 * Find or make the direct room of these users and the user of this page.
 * @param {string[]} users
 * @returns {Promise<RoomDetails>}
 */
export async function openDirect(users) {
  return /** @type {RoomDetails} */ (await readJson(await askHere("POST", "directs", { Users: users })));
}

/**
 * @param {string} name
 * @returns {string}
 */
function roomPath(name) {
  return `rooms/${encodeURIComponent(name)}`;
}

/**
 * @param {object} body
 * @returns {object} without empty texts and lists
 */
function withoutEmpty(body) {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value.length > 0));
}
