// @ts-check
// The list of rooms, and the form that creates one.

import { goToRoom, roomLink } from "../../links.js";
import { checkName, normalizeName } from "../../validation.js";
import { find, make, makeButton, makeText, setText, showRows } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

const UNREAD_SHOWN_MAX = 99;

export class RoomListView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.list = find("rooms", HTMLUListElement);
    this.note = find("rooms-note", HTMLParagraphElement);
    this.retry = makeButton("Try again", () => void session.loadRoomList());
    this.form = find("new-room", HTMLFormElement);
    this.input = find("new-room-name", HTMLInputElement);
    this.error = find("new-room-error", HTMLParagraphElement);
    this.toggle = find("new-room-toggle", HTMLButtonElement);
    /** @type {import("../dom.js").Kept} */
    this.kept = new Map();
    this.shown = "";
    this.toggle.addEventListener("click", () => this.showForm(this.form.hidden));
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.form.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("input", () => this.showError(""));
  }

  render() {
    const { rooms: list } = this.store;
    const version = `${list.version} ${list.loaded}`;
    if (version === this.shown) return; // the list may be long, and most changes of the store are not about it
    this.shown = version;
    const rooms = list.sorted;
    showRows(this.list, this.kept, rooms.map((room) => this.makeRow(room)));
    this.renderNote(rooms.length);
  }

  /** @param {number} count */
  renderNote(count) {
    const { loaded } = this.store.rooms;
    const isEmpty = loaded === "yes" && count === 0;
    if (loaded === "failed") this.note.replaceChildren("The rooms could not be loaded. ", this.retry);
    else setText(this.note, isEmpty ? "No rooms yet. Create the first one." : "");
    if (isEmpty && this.form.hidden) this.showForm(true, false);
  }

  /**
   * @param {Room} room
   * @returns {import("../dom.js").Row}
   */
  makeRow(room) {
    const current = room.name === this.store.rooms.current;
    const isNew = !room.exists && this.store.rooms.loaded === "yes";
    const signature = `${current} ${room.unread} ${isNew} ${room.direct} ${room.title}`;
    return { key: room.name, signature, build: () => buildRow(room, current, isNew) };
  }

  /**
   * @param {boolean} open
   * @param {boolean} focus
   */
  showForm(open, focus = true) {
    this.form.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (open && focus) this.input.focus();
  }

  /** @param {SubmitEvent} event */
  onSubmit(event) {
    event.preventDefault();
    const name = normalizeName(this.input.value);
    const error = checkName(name);
    this.showError(error);
    if (error !== "") return this.input.focus();
    this.form.reset();
    this.showForm(false);
    goToRoom(name);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.key !== "Escape") return;
    this.showError("");
    this.showForm(false);
    this.toggle.focus();
  }

  /** @param {string} error */
  showError(error) {
    setText(this.error, error);
    this.input.setAttribute("aria-invalid", String(error !== ""));
  }
}

/**
 * @param {Room} room
 * @param {boolean} current
 * @param {boolean} isNew  the server does not have the room before its first message
 * @returns {HTMLElement}
 */
function buildRow(room, current, isNew) {
  const link = make("a", "room-link", makeText("span", "room-name", room.title));
  link.href = roomLink(room.name);
  if (room.direct) link.prepend(make("span", "direct-mark", make("span", "visually-hidden", "Direct messages with ")));
  if (current) link.setAttribute("aria-current", "page");
  if (isNew) {
    const tag = make("span", "room-tag", "new");
    tag.title = "The room is created with its first message";
    link.append(tag);
  }
  if (room.unread > 0) link.append(makeBadge(room.unread));
  return make("li", "", link);
}

/**
 * @param {number} unread
 * @returns {HTMLElement}
 */
function makeBadge(unread) {
  const shown = unread > UNREAD_SHOWN_MAX ? `${UNREAD_SHOWN_MAX}+` : String(unread);
  return make("span", "badge", shown, make("span", "visually-hidden", " unread"));
}
