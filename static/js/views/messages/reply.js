// @ts-check
// The message that another one answers: who wrote it, and its first words.  A click goes there.

import { MESSAGES } from "../../strings.js";
import { make } from "../dom.js";
import { firstWords } from "./text.js";

/** @typedef {import("../../message_actions.js").MessageActions} MessageActions */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

/** The answered messages that the page does not hold, by room and Id; a page of messages asks for each once. */
const FOUND_MAX = 500;
/** @type {Map<string, Promise<Post | null>>} */
const found = new Map();

/**
 * @param {Room} room
 * @param {number} id
 * @param {MessageActions} actions
 * @param {(id: number) => void} goTo
 * @returns {HTMLElement}
 */
export function makeAnswered(room, id, actions, goTo) {
  const link = make("button", "answered", MESSAGES.loadingReply);
  link.type = "button";
  link.dir = "auto";
  link.addEventListener("click", () => goTo(id));
  const held = room.timeline.posts.find((post) => post.Id === id);
  if (held !== undefined) fill(link, held);
  else void find(room, id, actions).then((post) => fill(link, post));
  return link;
}

/**
 * @param {Room} room
 * @param {number} id
 * @param {MessageActions} actions
 * @returns {Promise<Post | null>}
 */
function find(room, id, actions) {
  const key = `${id} ${room.name}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  if (found.size >= FOUND_MAX) found.clear();
  const asked = actions.find(room, id);
  found.set(key, asked);
  return asked;
}

/**
 * @param {HTMLButtonElement} link
 * @param {Post | null} post
 */
function fill(link, post) {
  if (post === null) return link.replaceChildren(MESSAGES.replyGone);
  const words = post.Deleted ? MESSAGES.deleted : firstWords(post.Message);
  link.replaceChildren(make("span", "answered-user", post.User), " ", make("span", "answered-text", words));
}
