// @ts-check
// What was begun in each room: the text, and the message that it answers or edits.  Texts and answers stay over a
// reload and a crash of the browser; a text that edits a message does too, as the text.

import { listKeys, readItem, removeItem, writeItem } from "../local_storage.js";

/** @typedef {import("../types.js").Post} Post */

/**
 * @typedef {object} Draft
 * @property {string} text
 * @property {Post | null} replyTo
 * @property {Post | null} editing
 * @property {string} before  the text that stood here before the edit began
 */

const PREFIX = "draft.";
/** So many rooms keep a draft; the oldest ones beyond are rarely missed. */
const DRAFTS_MAX = 200;

export class Drafts {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Map<string, Draft>} */
    this.byRoom = new Map();
  }

  /**
   * @param {string} room
   * @returns {Draft}
   */
  get(room) {
    let draft = this.byRoom.get(room);
    if (draft === undefined) {
      draft = { text: "", replyTo: null, editing: null, before: "", ...parse(readItem(PREFIX + room)) };
      this.byRoom.set(room, draft);
    }
    return draft;
  }

  /**
   * @param {string} room
   * @param {string} text
   */
  setText(room, text) {
    const draft = this.get(room);
    if (draft.text === text) return;
    draft.text = text;
    keep(room, draft);
  }

  /**
   * @param {string} room
   * @param {Post | null} post
   */
  reply(room, post) {
    const draft = this.get(room);
    if (draft.editing !== null) this.edit(room, null);
    draft.replyTo = post;
    keep(room, draft);
    this.changed();
  }

  /**
   * Begin to edit a message, or stop; then the text that stood here before comes back.
   * @param {string} room
   * @param {Post | null} post
   */
  edit(room, post) {
    const draft = this.get(room);
    if (post !== null && draft.editing === null) draft.before = draft.text;
    draft.text = post === null ? draft.before : post.Message;
    if (post === null) draft.before = "";
    draft.editing = post;
    keep(room, draft);
    this.changed();
  }

  /**
   * The room's name has changed.
   * @param {string} from
   * @param {string} to
   */
  move(from, to) {
    const draft = this.byRoom.get(from);
    if (draft === undefined || from === to) return;
    this.byRoom.delete(from);
    removeItem(PREFIX + from);
    this.byRoom.set(to, draft);
    keep(to, draft);
  }
}

/**
 * @param {string} room
 * @param {Draft} draft
 */
function keep(room, { text, replyTo, editing, before }) {
  const kept = editing === null ? text : before || text;
  if (kept === "" && replyTo === null) return removeItem(PREFIX + room);
  const others = listKeys(PREFIX);
  if (others.length >= DRAFTS_MAX && !others.includes(PREFIX + room)) removeItem(others[0] ?? "");
  writeItem(PREFIX + room, JSON.stringify({ text: kept, replyTo }));
}

/**
 * @param {string} item
 * @returns {{text?: string, replyTo?: Post | null}}
 */
function parse(item) {
  try {
    const { text, replyTo } = JSON.parse(item);
    return { text: String(text ?? ""), replyTo: replyTo ?? null };
  } catch {
    return {}; // nothing was kept
  }
}
