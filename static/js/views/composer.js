// @ts-check
// Where the reader writes.  It is never disabled: what is written offline waits in the outbox.  An archived room has
// none.

import { find, setText } from "../dom.js";
import { countCodePoints, MESSAGE_MAX, tidyMessage } from "../names.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").Room} Room */
/** @typedef {import("./name.js").NameView} NameView */

const HEIGHT_MAX_PX = 200;
/** The count of characters is shown from here on. */
const COUNT_FROM = MESSAGE_MAX - 500;

export class ComposerView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {NameView} nameView
   */
  constructor(store, session, nameView) {
    this.store = store;
    this.session = session;
    this.nameView = nameView;
    this.form = find("composer", HTMLFormElement);
    this.input = find("message", HTMLTextAreaElement);
    this.count = find("message-count", HTMLElement);
    /** @type {Map<string, string>} what was begun in each room */
    this.drafts = new Map();
    /** @type {string | null} */
    this.shown = null;
    /** @type {Room | null} */
    this.room = null;
    this.isTouched = !matchMedia("(pointer: fine)").matches;
    if (this.isTouched) this.input.enterKeyHint = "enter";
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.input.addEventListener("keydown", (event) => this.noticeKey(event));
    this.input.addEventListener("input", () => this.noticeTyping());
    find("skip-link", HTMLAnchorElement).addEventListener("click", (event) => this.skipHere(event));
  }

  render() {
    const { current, currentRoom } = this.store;
    const isRenamed = currentRoom !== null && currentRoom === this.room;
    this.room = currentRoom;
    this.form.hidden = currentRoom?.archived ?? false;
    this.input.placeholder = currentRoom === null ? "" : `Message ${currentRoom.title}`;
    if (current === this.shown) return;
    this.shown = current;
    if (!isRenamed) this.input.value = this.drafts.get(current ?? "") ?? "";
    this.noticeInput();
    if (!this.isTouched) this.input.focus(); // a phone would bring up its keyboard
  }

  /** @param {KeyboardEvent} event */
  noticeKey(event) {
    // While an input method is open Enter accepts its word; Safari says so only by the key code 229.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    if (this.isTouched) return; // the keyboard of a phone has no Shift+Enter: there Enter begins a line, the button sends
    event.preventDefault();
    this.form.requestSubmit();
  }

  /**
   * The address names the room, so the link must not change it.
   * @param {MouseEvent} event
   */
  skipHere(event) {
    event.preventDefault();
    this.input.focus();
  }

  noticeTyping() {
    this.noticeInput();
    if (this.input.value.trim() !== "") this.session.type();
  }

  noticeInput() {
    if (this.shown !== null) this.drafts.set(this.shown, this.input.value);
    this.fitHeight();
    this.renderCount();
  }

  fitHeight() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, HEIGHT_MAX_PX)}px`;
  }

  /**
   * Put what could not be sent back, before what is there by now.
   * @param {string} text
   */
  takeBack(text) {
    this.input.value = [text, this.input.value].filter(Boolean).join("\n");
    this.noticeInput();
  }

  renderCount() {
    const count = countCodePoints(this.input.value);
    const over = count > MESSAGE_MAX;
    setText(this.count, count < COUNT_FROM ? "" : `${count.toLocaleString()} of ${MESSAGE_MAX.toLocaleString()}`);
    this.count.classList.toggle("over", over);
    this.input.setAttribute("aria-invalid", String(over));
  }

  /** @param {SubmitEvent} event */
  submit(event) {
    event.preventDefault();
    const message = tidyMessage(this.input.value);
    if (message === "" || countCodePoints(message) > MESSAGE_MAX) return this.input.focus();
    if (this.store.user === "") return this.nameView.ask(() => this.form.requestSubmit());
    this.session.say(message);
    this.input.value = "";
    this.noticeInput();
    this.input.focus();
  }
}
