// @ts-check
// One post, one pending post, one day: the rows of the timeline.

import { dayKey, tellAll, tellDay, tellTime } from "../dates.js";
import { make, makeButton, makeText } from "../dom.js";
import { makeAvatar } from "./avatar.js";

/** @typedef {import("../dom.js").Row} Row */
/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../types.js").PendingPost} PendingPost */
/** @typedef {import("../types.js").Post} Post */

/** Posts of one author that follow each other within this time stand under one name. */
const GROUP_MS = 5 * 60 * 1000;

/**
 * The rows of a run of posts, with a separator where a day begins.
 * @param {Post[]} posts
 * @returns {Row[]}
 */
export function makePostRows(posts) {
  /** @type {Row[]} */
  const rows = [];
  const today = new Date();
  let day = "";
  posts.forEach((post, at) => {
    const date = new Date(post.PostedAt);
    const newDay = dayKey(date) !== day;
    day = dayKey(date);
    if (newDay) rows.push(makeDayRow(date, today));
    rows.push(makePostRow(post, date, !newDay && continues(posts[at - 1], post)));
  });
  return rows;
}

/**
 * A post that is not confirmed yet, or that was refused.
 * @param {PendingPost} pending
 * @param {boolean} continued
 * @param {string} progress  what becomes of it, in words
 * @param {Session} session
 * @returns {Row}
 */
export function makePendingRow(pending, continued, progress, session) {
  const signature = `${continued} ${progress} ${pending.Refusal ?? ""}`;
  return {
    key: `pending ${pending.ClientId}`,
    signature,
    build: () => buildPending(pending, continued, progress, session),
  };
}

/**
 * @param {Post} before
 * @param {Post} post
 * @returns {boolean}
 */
function continues(before, post) {
  return before.User === post.User && Date.parse(post.PostedAt) - Date.parse(before.PostedAt) < GROUP_MS;
}

/**
 * @param {Date} date
 * @param {Date} today
 * @returns {Row}
 */
function makeDayRow(date, today) {
  const words = tellDay(date, today);
  const build = () => make("li", "day", make("span", "day-name", words));
  return { key: `day ${dayKey(date)}`, signature: words, build };
}

/**
 * @param {Post} post
 * @param {Date} date
 * @param {boolean} continued
 * @returns {Row}
 */
function makePostRow(post, date, continued) {
  const signature = JSON.stringify([continued, post.EditedAt, post.Deleted, post.Reactions]);
  return { key: `post ${post.Id}`, signature, build: () => buildPost(post, date, continued) };
}

/**
 * @param {Post} post
 * @param {Date} date
 * @param {boolean} continued
 * @returns {HTMLElement}
 */
function buildPost(post, date, continued) {
  const row = buildRow(post.User, post.Message, makeTime(post.PostedAt, date), continued);
  row.dataset.id = String(post.Id);
  const note = tellChange(post);
  if (note !== "") row.querySelector(".post-body")?.append(make("p", "post-note", note));
  const reactions = Object.entries(post.Reactions ?? {});
  if (reactions.length > 0) row.querySelector(".post-body")?.append(buildReactions(reactions));
  return row;
}

/**
 * @param {Post} post
 * @returns {string}
 */
function tellChange(post) {
  if (post.Deleted) return "Taken back";
  return post.EditedAt === undefined ? "" : "Edited";
}

/**
 * @param {[string, string[]][]} reactions  emoji and who
 * @returns {HTMLElement}
 */
function buildReactions(reactions) {
  const list = make("ul", "reactions");
  for (const [emoji, users] of reactions) {
    const item = make("li", "reaction", `${emoji} ${users.length}`);
    item.title = users.join(", ");
    list.append(item);
  }
  return list;
}

/**
 * @param {PendingPost} pending
 * @param {boolean} continued
 * @param {string} progress
 * @param {Session} session
 * @returns {HTMLElement}
 */
function buildPending(pending, continued, progress, session) {
  const date = new Date(pending.QueuedAt);
  const row = buildRow(pending.User, pending.Message, makeTime(date.toISOString(), date), continued);
  row.classList.add(pending.Refusal === undefined ? "post-pending" : "post-refused");
  row.querySelector(".post-body")?.append(buildNote(pending, progress, session));
  return row;
}

/**
 * @param {PendingPost} pending
 * @param {string} progress
 * @param {Session} session
 * @returns {HTMLElement}
 */
function buildNote(pending, progress, session) {
  if (pending.Refusal === undefined) return make("p", "post-note", progress);
  const again = makeButton("Send again", () => session.sayAgain(pending));
  const discard = makeButton("Discard", () => session.discard(pending));
  return make("p", "post-note", `Not sent. ${pending.Refusal} `, again, " ", discard);
}

/**
 * @param {string} user
 * @param {string} message
 * @param {HTMLTimeElement} time
 * @param {boolean} continued  the name is not shown again, only said to those who listen
 * @returns {HTMLElement}
 */
function buildRow(user, message, time, continued) {
  const author = makeText("span", continued ? "visually-hidden" : "post-author", user);
  const head = make("div", "post-head", author, time);
  const body = make("div", "post-body", head, makeText("p", "post-text", message));
  const row = make("li", continued ? "post post-continued" : "post", body);
  if (!continued) row.prepend(makeAvatar(user));
  return row;
}

/**
 * @param {string} stamp
 * @param {Date} date
 * @returns {HTMLTimeElement}
 */
function makeTime(stamp, date) {
  const time = make("time", "post-time", tellTime(date));
  time.dateTime = stamp;
  time.title = tellAll(date);
  return time;
}
