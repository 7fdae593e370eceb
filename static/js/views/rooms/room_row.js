// @ts-check
// One row of the side bar: the link to a room with its mark, its tags and what is unread.

import { roomLink } from "../../links.js";
import { ROOMS } from "../../strings.js";
import { makeAvatar } from "../avatar.js";
import { make, makeText } from "../dom.js";
import { makeIcon } from "../icons.js";

/** @typedef {import("../../types.js").Room} Room */

const SHOWN_MAX = 99;

/**
 * @param {Room} room
 * @param {{current: boolean, isNew: boolean, muted: boolean, online: boolean}} row
 * @returns {HTMLElement}
 */
export function buildRow(room, { current, isNew, muted, online }) {
  const link = make("a", "room-link", makeMark(room, online), makeText("span", "room-name", room.title));
  link.href = roomLink(room.name);
  link.dataset.room = room.name;
  link.tabIndex = -1;
  if (current) link.setAttribute("aria-current", "page");
  if (room.unread > 0 && !muted) link.classList.add("has-unread");
  if (muted) link.classList.add("is-muted");
  if (isNew) link.append(makeTag(ROOMS.isNew, ROOMS.isNewHint));
  if (room.archived) link.append(makeTag(ROOMS.archived, ""));
  if (muted) link.append(make("span", "visually-hidden", ` ${ROOMS.muted}`));
  if (room.mentions > 0) link.append(makeBadge(room.mentions, ROOMS.mentions, "badge badge-mentions"));
  else if (room.unread > 0) link.append(makeBadge(room.unread, ROOMS.unread, "badge"));
  return make("li", "", link);
}

/**
 * @param {Room} room
 * @param {boolean} online
 * @returns {HTMLElement}
 */
function makeMark(room, online) {
  if (!room.direct) {
    const mark = make("span", "room-mark", makeIcon(room.private ? "lock" : "hash"));
    if (room.private) mark.append(make("span", "visually-hidden", ROOMS.privateRoom));
    return mark;
  }
  const mark = make("span", "direct-mark", make("span", "visually-hidden", ROOMS.directWith));
  const avatar = makeAvatar(room.members[0] ?? room.title);
  avatar.dataset.initials = avatar.textContent ?? ""; // drawn by CSS, so that the row's text is its name only
  avatar.textContent = "";
  mark.append(avatar);
  if (online) mark.append(make("span", "online-dot", make("span", "visually-hidden", `(${ROOMS.online}) `)));
  return mark;
}

/**
 * @param {string} text
 * @param {string} hint
 * @returns {HTMLElement}
 */
function makeTag(text, hint) {
  const tag = make("span", "room-tag", text);
  tag.title = hint;
  return tag;
}

/**
 * @param {number} count
 * @param {string} what
 * @param {string} className
 * @returns {HTMLElement}
 */
function makeBadge(count, what, className) {
  const shown = count > SHOWN_MAX ? `${SHOWN_MAX}+` : String(count);
  return make("span", className, shown, make("span", "visually-hidden", what));
}
