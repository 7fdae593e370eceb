// @ts-check
// The rows of a timeline: messages, pending messages, days, and the line above what is new.

import { MESSAGES } from "../../strings.js";
import { makeAvatar } from "../avatar.js";
import { dayKey, formatDay, formatFull, formatTime } from "../dates.js";
import { make, makeButton, makeText } from "../dom.js";
import { makeAnswered } from "./reply.js";
import { isLong, makeMessageText } from "./text.js";

/** @typedef {import("../dom.js").Row} Row */
/** @typedef {import("../../message_actions.js").MessageActions} MessageActions */
/** @typedef {import("../../outbox_sender.js").OutboxSender} OutboxSender */
/** @typedef {import("../../types.js").PendingPost} PendingPost */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

/**
 * What the rows of a room need beside its messages.
 * @typedef {object} Shown
 * @property {Room} room
 * @property {string} user  the user of this page
 * @property {MessageActions} actions
 * @property {Set<number>} unfolded  long messages that the user has unfolded
 * @property {(id: number) => boolean} isDeleting
 * @property {(id: number) => void} goTo
 * @property {(post: Post, anchor: HTMLElement) => void} showHistory
 */

const NOT_KEPT = "This browser keeps nothing: leave this page open until it is sent.";
/** Messages of one author that follow each other within this time have one heading. */
const GROUP_MS = 5 * 60 * 1000;

/**
 * Make the rows of a run of messages, with a separator where a day begins.  Deleted messages that follow each other are
 * one row.
 * @param {Post[]} posts
 * @param {Shown} shown
 * @returns {Row[]}
 */
export function makePostRows(posts, shown) {
  /** @type {Row[]} */
  const rows = [];
  const today = new Date();
  let day = "";
  /** @type {Set<string>} */
  const days = new Set(); // an imported message may be of an earlier day than the one before it
  const pinned = new Set(shown.room.pins?.map(({ Id }) => Id));
  const { newFromId } = shown.room;
  /** @type {Post | undefined} */
  let previous;
  let deleted = 0; // so many messages before this one were deleted
  for (const [at, post] of posts.entries()) {
    const date = new Date(post.PostedAt);
    const isNewDay = dayKey(date) !== day;
    day = dayKey(date);
    if (isNewDay) rows.push(makeDayRow(date, today, days.has(day) ? `${day} ${post.Id}` : day));
    days.add(day);
    const isNew = newFromId > 0 && post.Id >= newFromId && (previous === undefined ? at > 0 : previous.Id < newFromId);
    if (isNew) rows.push(makeNewRow());
    deleted = post.Deleted && !isNewDay && !isNew ? deleted : 0;
    if (post.Deleted && deleted > 0) rows.pop();
    deleted = post.Deleted ? deleted + 1 : 0;
    const continued = !isNewDay && !isNew && previous !== undefined && continues(previous, post);
    if (deleted > 1) rows.push(makeDeletedRow(post, deleted));
    else rows.push(makePostRow(post, date, continued, pinned.has(post.Id), shown));
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
  const signature = `${continued} ${progress} ${pending.NotKept} ${pending.Refusal ?? ""}`;
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
  const build = () => {
    const row = make("div", "day", make("span", "day-name", text));
    row.setAttribute("role", "separator");
    row.setAttribute("aria-label", text);
    return row;
  };
  return { key: `day ${key}`, signature: text, build };
}

/** @returns {Row} */
function makeNewRow() {
  const build = () => {
    const row = make("div", "new-line", make("span", "new-line-name", MESSAGES.newMessages));
    row.setAttribute("role", "separator");
    row.setAttribute("aria-label", MESSAGES.newMessages);
    return row;
  };
  return { key: "new", signature: "", build };
}

/**
 * @param {Post} last
 * @param {number} count
 * @returns {Row}
 */
function makeDeletedRow(last, count) {
  const build = () => {
    const note = make("p", "post-note", MESSAGES.deletedMany(count));
    const row = make("article", "post post-continued post-deleted", make("div", "post-body", note));
    row.dataset.id = String(last.Id);
    row.tabIndex = -1;
    return row;
  };
  return { key: `post ${last.Id}`, signature: `deleted ${count}`, build };
}

/**
 * @param {Post} post
 * @param {Date} date
 * @param {boolean} continued
 * @param {boolean} pinned
 * @param {Shown} shown
 * @returns {Row}
 */
function makePostRow(post, date, continued, pinned, shown) {
  const { EditedAt, Deleted, Reactions, ReplyTo } = post;
  const deleting = shown.isDeleting(post.Id);
  const signature = JSON.stringify([continued, EditedAt, Deleted, Reactions, ReplyTo, pinned, deleting, shown.user]);
  return { key: `post ${post.Id}`, signature, build: () => buildPost(post, date, continued, pinned, deleting, shown) };
}

/**
 * @param {Post} post
 * @param {Date} date
 * @param {boolean} continued
 * @param {boolean} pinned
 * @param {boolean} deleting
 * @param {Shown} shown
 * @returns {HTMLElement}
 */
function buildPost(post, date, continued, pinned, deleting, shown) {
  const { room, user, actions } = shown;
  const time = makeTime(post.PostedAt, date);
  if (post.Imported !== undefined) time.title += `, imported ${formatFull(new Date(post.Imported.At))}`;
  const isGone = post.Deleted === true || deleting;
  const { row, body } = buildRow(post.User, makeMessageText(isGone ? "" : post.Message, user), time, continued);
  row.dataset.id = String(post.Id);
  row.classList.toggle("post-deleted", isGone);
  row.classList.toggle("post-pinned", pinned && !isGone);
  if (deleting) {
    const undo = makeButton(MESSAGES.undo, () => actions.undoDeletion(room, post.Id));
    body.append(make("p", "post-note", MESSAGES.deleting, " ", undo));
    return row;
  }
  if (isGone) {
    body.append(make("p", "post-note", MESSAGES.deleted));
    return row;
  }
  if (post.ReplyTo !== undefined) body.firstChild?.after(makeAnswered(room, post.ReplyTo, actions, shown.goTo));
  if (pinned) addNote(body, continued, make("p", "post-pin", MESSAGES.pinned));
  if (isLong(post.Message)) fold(row, body, post.Id, shown.unfolded);
  if (post.EditedAt !== undefined) addNote(body, continued, make("p", "post-note", makeEdited(post, shown)));
  const reactions = Object.entries(post.Reactions ?? {});
  if (reactions.length > 0) body.append(buildReactions(post, reactions, shown));
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {HTMLElement} body
 * @param {number} id
 * @param {Set<number>} unfolded
 */
function fold(row, body, id, unfolded) {
  row.classList.toggle("post-folded", !unfolded.has(id));
  const button = makeButton(unfolded.has(id) ? MESSAGES.showLess : MESSAGES.showAll, () => {
    const isFolded = row.classList.toggle("post-folded");
    if (isFolded) unfolded.delete(id);
    else unfolded.add(id);
    button.textContent = isFolded ? MESSAGES.showAll : MESSAGES.showLess;
    button.setAttribute("aria-expanded", String(!isFolded));
  });
  button.setAttribute("aria-expanded", String(unfolded.has(id)));
  body.append(button);
}

/**
 * @param {Post} post
 * @param {Shown} shown
 * @returns {HTMLButtonElement}
 */
function makeEdited(post, { showHistory }) {
  const button = makeButton("Edited", () => showHistory(post, button));
  button.className = "post-edited";
  button.title = MESSAGES.editedAt(formatFull(new Date(post.EditedAt ?? "")));
  return button;
}

/**
 * Put a note beside the time; below a message without a heading.
 * @param {HTMLElement} body
 * @param {boolean} continued
 * @param {HTMLElement} note
 */
function addNote(body, continued, note) {
  (continued ? body : body.firstElementChild)?.append(note);
}

/**
 * @param {Post} post
 * @param {[string, string[]][]} reactions  emoji and users
 * @param {Shown} shown
 * @returns {HTMLElement}
 */
function buildReactions(post, reactions, { room, user, actions }) {
  const list = make("ul", "reactions");
  for (const [emoji, users] of reactions) {
    const button = make("button", "reaction", `${inColour(emoji)} ${users.length}`);
    button.type = "button";
    button.title = users.join(", ");
    button.setAttribute("aria-label", MESSAGES.reaction(emoji, users));
    button.setAttribute("aria-pressed", String(users.includes(user)));
    button.addEventListener("click", () => void actions.toggleReaction(room, post, emoji));
    list.append(make("li", "", button));
  }
  return list;
}

/**
 * The sign as a picture: the server keeps no variation selectors, without which ❤ is a letter.
 * @param {string} emoji
 * @returns {string}
 */
function inColour(emoji) {
  return /^(?!\p{Emoji_Presentation})\p{Extended_Pictographic}$/u.test(emoji) ? `${emoji}\uFE0F` : emoji;
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
  const text = makeMessageText(pending.Message, pending.User);
  const { row, body } = buildRow(pending.User, text, makeTime(date.toISOString(), date), continued);
  row.classList.add(pending.Refusal === undefined ? "post-pending" : "post-refused");
  body.append(buildNote(pending, progress, sender));
  return row;
}

/**
 * @param {PendingPost} pending
 * @param {string} progress
 * @param {OutboxSender} sender
 * @returns {HTMLElement}
 */
function buildNote(pending, progress, sender) {
  if (pending.Refusal === undefined) return make("p", "post-note", pending.NotKept ? `${progress} ${NOT_KEPT}` : progress);
  const again = makeButton("Send again", () => sender.sendAgain(pending));
  const edit = makeButton("Edit", () => sender.edit(pending));
  const discard = makeButton("Discard", () => sender.discard(pending));
  return make("p", "post-note", `Not sent. ${pending.Refusal} `, again, " ", edit, " ", discard);
}

/**
 * @param {string} user
 * @param {HTMLElement} text
 * @param {HTMLTimeElement} time
 * @param {boolean} continued  the name is not shown again; only a screen reader reads it
 * @returns {{row: HTMLElement, body: HTMLElement}}
 */
function buildRow(user, text, time, continued) {
  const author = makeText("span", continued ? "visually-hidden" : "post-author", user);
  const body = make("div", "post-body", make("div", "post-head", author, time), text);
  const row = make("article", continued ? "post post-continued" : "post", body);
  row.tabIndex = -1; // the arrows reach it: views/messages/timeline.js
  if (!continued) row.prepend(makeAvatar(user));
  return { row, body };
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
