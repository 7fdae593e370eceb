// @ts-check
// The list of rooms, and the form that opens a new one.

import { find, make, makeButton, makeText, setText, showRows } from "../dom.js";
import { goToRoom, linkRoom } from "../links.js";
import { faultOfName, tidyName } from "../names.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").Room} Room */

const UNREAD_SHOWN_MAX = 99;

export class RoomsView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.list = find("rooms", HTMLUListElement);
    this.note = find("rooms-note", HTMLParagraphElement);
    this.again = makeButton("Try again", () => void session.listRooms());
    this.form = find("new-room", HTMLFormElement);
    this.input = find("new-room-name", HTMLInputElement);
    this.fault = find("new-room-error", HTMLParagraphElement);
    this.toggle = find("new-room-toggle", HTMLButtonElement);
    /** @type {import("../dom.js").Kept} */
    this.kept = new Map();
    this.shown = "";
    this.toggle.addEventListener("click", () => this.showForm(this.form.hidden));
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.form.addEventListener("keydown", (event) => this.leave(event));
    this.input.addEventListener("input", () => this.tellFault(""));
  }

  render() {
    const version = `${this.store.roomsVersion} ${this.store.listed}`;
    if (version === this.shown) return; // the list may be long, and most changes are not its own
    this.shown = version;
    const rooms = this.store.roomNames.map((name) => this.store.room(name));
    showRows(this.list, this.kept, rooms.map((room) => this.makeRow(room)));
    this.renderNote(rooms.length);
  }

  /** @param {number} count */
  renderNote(count) {
    const { listed } = this.store;
    if (listed === "failed") this.note.replaceChildren("The rooms could not be loaded. ", this.again);
    else setText(this.note, listed === "yes" && count === 0 ? "No rooms yet. Open the first one." : "");
    if (listed === "yes" && count === 0 && this.form.hidden) this.showForm(true, false);
  }

  /**
   * @param {Room} room
   * @returns {import("../dom.js").Row}
   */
  makeRow(room) {
    const current = room.name === this.store.current;
    const isNew = !room.exists && this.store.listed === "yes";
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
  submit(event) {
    event.preventDefault();
    const name = tidyName(this.input.value);
    const fault = faultOfName(name);
    this.tellFault(fault);
    if (fault !== "") return this.input.focus();
    this.form.reset();
    this.showForm(false);
    goToRoom(name);
  }

  /** @param {KeyboardEvent} event */
  leave(event) {
    if (event.key !== "Escape") return;
    this.tellFault("");
    this.showForm(false);
    this.toggle.focus();
  }

  /** @param {string} fault */
  tellFault(fault) {
    setText(this.fault, fault);
    this.input.setAttribute("aria-invalid", String(fault !== ""));
  }
}

/**
 * @param {Room} room
 * @param {boolean} current
 * @param {boolean} isNew  the server does not have it before its first post
 * @returns {HTMLElement}
 */
function buildRow(room, current, isNew) {
  const link = make("a", "room-link", makeText("span", "room-name", room.title));
  link.href = linkRoom(room.name);
  if (room.direct) link.prepend(make("span", "direct-mark", make("span", "visually-hidden", "Direct messages with ")));
  if (current) link.setAttribute("aria-current", "page");
  if (isNew) link.append(make("span", "room-tag", "new"));
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
