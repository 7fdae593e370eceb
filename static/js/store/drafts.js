// @ts-check
// What was begun in each room: the text, and the message that it answers or edits.  Texts and answers stay over a
// reload and a crash of the browser.  Of an edit the text that stood there before stays, else the edit, as a text.
//
// The rules it keeps:
// - localStorage has each letter at once, but a browser that is killed loses its last seconds.  So IndexedDB has a copy,
//   which is written once a second.  The later one of the two counts.
// - A draft that was sent leaves an empty row behind: else the older copy in localStorage would bring it back.

import { keepDraft, readDrafts } from "../kept.js";
import { listKeys, readItem, removeItem, writeItem } from "../local_storage.js";

/** @typedef {import("../types.js").Post} Post */

/**
 * @typedef {object} Draft
 * @property {string} text
 * @property {Post | null} replyTo
 * @property {Post | null} editing
 * @property {string} before  the text that stood here before the edit began
 * @property {number} at  milliseconds since 1970 of the last change; 0 where nothing was begun
 */

/** @typedef {{text: string, replyTo: Post | null, at: number}} KeptDraft */

const PREFIX = "draft.";
/** So many rooms keep a draft; the oldest ones beyond are rarely missed. */
const DRAFTS_MAX = 200;
/** A crash of the browser loses what was typed within this time. */
const KEEP_MS = 1_000;

export class Drafts {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Map<string, Draft>} */
    this.byRoom = new Map();
    /** Rises when drafts came that were not typed here. */
    this.loads = 0;
    /** @type {Map<string, KeptDraft>} what IndexedDB does not have yet, by room */
    this.unkept = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    window.addEventListener("pagehide", () => this.flush());
  }

  /**
   * @param {string} room
   * @returns {Draft}
   */
  get(room) {
    let draft = this.byRoom.get(room);
    if (draft === undefined) {
      draft = { editing: null, before: "", ...readKept(room) };
      this.byRoom.set(room, draft);
    }
    return draft;
  }

  /** Take what a browser that was killed has kept in IndexedDB only, and copy there what only localStorage has. */
  async load() {
    for (const key of listKeys(PREFIX)) {
      const room = key.slice(PREFIX.length);
      this.unkept.set(room, readKept(room));
    }
    for (const { Room, Text, ReplyTo, At } of await readDrafts(DRAFTS_MAX)) {
      const draft = this.get(Room);
      if (At === draft.at) this.unkept.delete(Room);
      if (At <= draft.at) continue;
      this.unkept.delete(Room);
      Object.assign(draft, { text: Text, replyTo: ReplyTo, at: At });
      writeKept(Room, draft);
      this.loads += 1;
    }
    this.flush();
    if (this.loads > 0) this.changed();
  }

  /**
   * @param {string} room
   * @param {Draft} draft  changed just now
   */
  keep(room, draft) {
    const { text, replyTo, editing, before } = draft;
    draft.at = Date.now();
    const kept = { text: editing === null ? text : before || text, replyTo, at: draft.at };
    writeKept(room, kept);
    this.unkept.set(room, kept);
    if (text === "") this.flush(); // it was sent
    else this.timer ??= setTimeout(() => this.flush(), KEEP_MS);
  }

  /** Copy the drafts that have changed into IndexedDB. */
  flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const [room, { text, replyTo, at }] of this.unkept) {
      void keepDraft({ Room: room, Text: text, ReplyTo: replyTo, At: at });
    }
    this.unkept.clear();
  }

  /** The user signs out: keep nothing of theirs any more. */
  clear() {
    this.unkept.clear();
    this.byRoom.clear();
  }

  /**
   * @param {string} room
   * @param {string} text
   */
  setText(room, text) {
    const draft = this.get(room);
    if (draft.text === text) return;
    draft.text = text;
    this.keep(room, draft);
  }

  /**
   * @param {string} room
   * @param {Post | null} post
   */
  reply(room, post) {
    const draft = this.get(room);
    if (draft.editing !== null) this.edit(room, null);
    draft.replyTo = post;
    this.keep(room, draft);
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
    this.keep(room, draft);
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
    this.unkept.set(from, { text: "", replyTo: null, at: Date.now() });
    this.byRoom.set(to, draft);
    this.keep(to, draft);
  }
}

/**
 * @param {string} room
 * @param {KeptDraft} draft
 */
function writeKept(room, { text, replyTo, at }) {
  if (text === "" && replyTo === null) return removeItem(PREFIX + room);
  const others = listKeys(PREFIX);
  if (others.length >= DRAFTS_MAX && !others.includes(PREFIX + room)) removeItem(others[0] ?? "");
  writeItem(PREFIX + room, JSON.stringify({ text, replyTo, at }));
}

/**
 * @param {string} room
 * @returns {KeptDraft}
 */
function readKept(room) {
  try {
    const { text, replyTo, at } = JSON.parse(readItem(PREFIX + room));
    return { text: String(text ?? ""), replyTo: replyTo ?? null, at: Number(at ?? 0) };
  } catch {
    return { text: "", replyTo: null, at: 0 }; // nothing was kept
  }
}
