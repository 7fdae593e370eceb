// @ts-check
// Requests about rooms.

import { fetchAll } from "./http.js";

/** @typedef {import("../types.js").RoomDetails} RoomDetails */

/** @returns {Promise<RoomDetails[]>} all rooms, in the order of their names' code points */
export async function fetchRooms() {
  return /** @type {RoomDetails[]} */ (await fetchAll("rooms", "limit=1000&details=true"));
}
