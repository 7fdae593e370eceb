// @ts-check
// The rows of the timeline: messages, pending messages, and separators between days.

import { makeAvatar } from "../avatar.js";
import { dayKey, formatDay, formatFull, formatTime } from "../dates.js";
import { make, makeButton, makeText } from "../dom.js";

/** @typedef {import("../dom.js").Row} Row */
/** @typedef {import("../../outbox_sender.js").OutboxSender} OutboxSender */
/** @typedef {import("../../types.js").PendingPost} PendingPost */
/** @typedef {import("../../types.js").Post} Post */

/** Messages of one author that follow each other within this time have one heading. */
const GROUP_MS = 5 * 60 * 1000;

/**
 * Make the rows of a run of messages, with a separator where a day begins.
 * @param {Post[]} posts
 * @returns {Row[]}
 */
export function makePostRows(posts) {
  /** @type {Row[]} */
  const rows = [];
  const today = new Date();
  let day = "";
  /** @type {Set<string>} */
  const days = new Set(); // an imported message may be of an earlier day than the one before it
  /** @type {Post | undefined} */
  let previous;
  for (const post of posts) {
    const date = new Date(post.PostedAt);
    const isNewDay = dayKey(date) !== day;
    day = dayKey(date);
    if (isNewDay) rows.push(makeDayRow(date, today, days.has(day) ? `${day} ${post.Id}` : day));
    days.add(day);
    rows.push(makePostRow(post, date, !isNewDay && previous !== undefined && continues(previous, post)));
    previous = post;
  }
  return rows;
}

/**
 * Make the row of a message that is not confirmed yet, or that was refused.
 * @param {PendingPost} pending
 * @param {boolean} continued
 * @param {string} progress  the state of sending, to be shown
 * @param {OutboxSender} sender
 * @returns {Row}
 */
export function makePendingRow(pending, continued, progress, sender) {
  const signature = `${continued} ${progress} ${pending.Refusal ?? ""}`;
  return {
    key: `pending ${pending.ClientId}`,
    signature,
    build: () => buildPending(pending, continued, progress, sender),
  };
}

/**
 * @param {Post} previous
 * @param {Post} post
 * @returns {boolean}
 */
function continues(previous, post) {
  return previous.User === post.User && Math.abs(Date.parse(post.PostedAt) - Date.parse(previous.PostedAt)) < GROUP_MS;
}

/**
 * @param {Date} date
 * @param {Date} today
 * @param {string} key
 * @returns {Row}
 */
function makeDayRow(date, today, key) {
  const text = formatDay(date, today);
  const build = () => make("li", "day", make("span", "day-name", text));
  return { key: `day ${key}`, signature: text, build };
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
  const time = makeTime(post.PostedAt, date);
  if (post.Imported !== undefined) time.title += `, imported ${formatFull(new Date(post.Imported.At))}`;
  const row = buildRow(post.User, post.Message, time, continued);
  row.dataset.id = String(post.Id);
  row.classList.toggle("post-deleted", post.Deleted === true);
  const note = changeNote(post);
  if (note !== "") row.querySelector(".post-body")?.append(make("p", "post-note", note));
  const reactions = Object.entries(post.Reactions ?? {});
  if (reactions.length > 0) row.querySelector(".post-body")?.append(buildReactions(reactions));
  return row;
}

/**
 * @param {Post} post
 * @returns {string}
 */
function changeNote(post) {
  if (post.Deleted) return "This message was deleted.";
  return post.EditedAt === undefined ? "" : "Edited";
}

/**
 * @param {[string, string[]][]} reactions  emoji and users
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
 * @param {OutboxSender} sender
 * @returns {HTMLElement}
 */
function buildPending(pending, continued, progress, sender) {
  const date = new Date(pending.QueuedAt);
  const row = buildRow(pending.User, pending.Message, makeTime(date.toISOString(), date), continued);
  row.classList.add(pending.Refusal === undefined ? "post-pending" : "post-refused");
  row.querySelector(".post-body")?.append(buildNote(pending, progress, sender));
  return row;
}

/**
 * @param {PendingPost} pending
 * @param {string} progress
 * @param {OutboxSender} sender
 * @returns {HTMLElement}
 */
function buildNote(pending, progress, sender) {
  if (pending.Refusal === undefined) return make("p", "post-note", progress);
  const again = makeButton("Send again", () => sender.sendAgain(pending));
  const discard = makeButton("Discard", () => sender.discard(pending));
  return make("p", "post-note", `Not sent. ${pending.Refusal} `, again, " ", discard);
}

/**
 * @param {string} user
 * @param {string} message
 * @param {HTMLTimeElement} time
 * @param {boolean} continued  the name is not shown again; only a screen reader reads it
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
  const time = make("time", "post-time", formatTime(date));
  time.dateTime = stamp;
  time.title = formatFull(date);
  return time;
}
