// @ts-check
// The slash commands of the message field.  Loaded when one is sent first.
//
// The rules it keeps:
// - What a command cannot do is said, with what to do instead; the text stays in the field then.
// - A text that begins with two slashes is no command: the field sends it with one.

import { COMMANDS } from "../../dialog_strings.js";
import { goToRoom, goToRooms, roomLink } from "../../links.js";
import { ApiError } from "../../server/http.js";
import { addMember, changeRoom, putRoom, removeMember } from "../../server/rooms_api.js";
import { checkName, normalizeName } from "../../validation.js";
import { Dialog } from "../dialog.js";
import { make } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../types.js").Room} Room */

/**
 * @typedef {object} Outcome
 * @property {string} [error]  to be shown; then the text stays
 * @property {string} [message]  to be sent
 * @property {string} [notice]  what was done
 */

/** @typedef {{room: Room, session: Session, argument: string}} Call */

// The signs are escaped: the page shows them as they are, and reads no emphasis in them.
const SHRUG = "¯\\\\\\_(ツ)\\_/¯";

/** @type {Record<string, (call: Call) => Outcome | Promise<Outcome>>} */
const RUN = { me, topic, join, leave, invite, shrug, help };

/**
 * @param {string} text  begins with a slash
 * @param {Room} room
 * @param {Session} session
 * @returns {Promise<Outcome>}
 */
export async function runCommand(text, room, session) {
  const [, name = "", argument = ""] = /^\/(\S*)\s*([^]*)$/u.exec(text) ?? [];
  const known = name.toLowerCase();
  const run = Object.hasOwn(RUN, known) ? RUN[known] : undefined;
  if (run === undefined) return { error: COMMANDS.unknown(name) };
  try {
    return await run({ room, session, argument: argument.trim() });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { error: error.message };
  }
}

/** @param {Call} call */
function me({ argument }) {
  return argument === "" ? { error: COMMANDS.needsText("me") } : { message: `*${argument}*` };
}

/** @param {Call} call */
function shrug({ argument }) {
  return { message: argument === "" ? SHRUG : `${argument} ${SHRUG}` };
}

/** @param {Call} call */
async function topic({ room, session, argument }) {
  const words = argument.replace(/\s+/gu, " ");
  if (words === "") return { error: COMMANDS.needsText("topic") };
  const details = room.exists ? await changeRoom(room.name, { Topic: words }) : await putRoom(room.name, words);
  session.rooms.update(details);
  return { notice: COMMANDS.topicSet };
}

/** @param {Call} call */
async function join({ session, argument }) {
  const { account, rooms, user } = session.store;
  const name = normalizeName(argument.replace(/^#/, ""));
  if (name === "") return { error: COMMANDS.needsText("join") };
  if (checkName(name) !== "") return { error: checkName(name) };
  const same = (/** @type {string} */ other) => other.toLocaleLowerCase() === name.toLocaleLowerCase();
  const room = rooms.sorted.find((other) => other.name === name) ?? rooms.sorted.find(({ direct, title }) => !direct && same(title));
  if (room === undefined || !room.exists) return { error: COMMANDS.noRoom(name) };
  if (account?.Auth === "login" && !room.joined) {
    await addMember(room.name, user);
    room.joined = true;
    void session.loadRoomList();
  }
  goToRoom(room.name);
  return {};
}

/** @param {Call} call */
async function leave({ room, session }) {
  const { account, user } = session.store;
  if (account?.Auth !== "login") return { error: COMMANDS.noMembers };
  await removeMember(room.name, user);
  room.joined = false;
  void session.loadRoomList();
  goToRooms();
  return { notice: COMMANDS.left(room.title) };
}

/** @param {Call} call */
async function invite({ room, session, argument }) {
  const name = normalizeName(argument.replace(/^@/, ""));
  if (session.store.account?.Auth !== "login") return { error: COMMANDS.openToAll(new URL(roomLink(room.name), location.href).href) };
  if (name === "") return { error: COMMANDS.needsText("invite") };
  await addMember(room.name, name);
  return { notice: COMMANDS.invited(name) };
}

/** @returns {Outcome} */
function help() {
  const rows = COMMANDS.list.map(([name, argument, what]) =>
    make("div", "shortcut", make("dt", "", make("kbd", "key", `/${name} ${argument}`.trimEnd())), make("dd", "", what)));
  new Dialog({
    heading: COMMANDS.heading,
    body: [make("dl", "shortcuts", ...rows), make("p", "dialog-text", COMMANDS.twoSlashes)],
  });
  return {};
}
