// @ts-check
// The field for a new message.  It is never disabled: a message that is sent offline waits in the outbox.  An archived
// room has no field.

import { countCodePoints, MESSAGE_MAX, normalizeMessage } from "../../validation.js";
import { find, setText } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */
/** @typedef {import("../accounts/user_name.js").UserNameView} UserNameView */

const HEIGHT_MAX_PX = 200;
/** From this length on the count of characters is shown. */
const COUNT_FROM = MESSAGE_MAX - 500;

export class ComposerView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {UserNameView} userName
   */
  constructor(store, session, userName) {
    this.store = store;
    this.session = session;
    this.userName = userName;
    this.form = find("composer", HTMLFormElement);
    this.input = find("message", HTMLTextAreaElement);
    this.count = find("message-count", HTMLElement);
    /** @type {Map<string, string>} the text that was begun in each room */
    this.drafts = new Map();
    /** @type {string | null} */
    this.shown = null;
    /** @type {Room | null} */
    this.room = null;
    this.isTouch = !matchMedia("(pointer: fine)").matches;
    if (this.isTouch) this.input.enterKeyHint = "enter";
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("input", () => this.onTyping());
    find("skip-link", HTMLAnchorElement).addEventListener("click", (event) => this.onSkip(event));
  }

  render() {
    const { current, currentRoom } = this.store.rooms;
    const isRenamed = currentRoom !== null && currentRoom === this.room;
    this.room = currentRoom;
    this.form.hidden = currentRoom?.archived ?? false;
    this.input.placeholder = currentRoom === null ? "" : `Message ${currentRoom.title}`;
    if (current === this.shown) return;
    this.shown = current;
    if (!isRenamed) this.input.value = this.drafts.get(current ?? "") ?? "";
    this.onInput();
    if (!this.isTouch) this.input.focus(); // a phone would bring up its keyboard
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    // While an input method is open, Enter accepts its word.  Safari shows that by the key code 229 only.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    if (this.isTouch) return; // a phone has no Shift+Enter: Enter begins a line, and the button sends
    event.preventDefault();
    this.form.requestSubmit();
  }

  /**
   * Focus the field without following the link: the address names the room.
   * @param {MouseEvent} event
   */
  onSkip(event) {
    event.preventDefault();
    this.input.focus();
  }

  onTyping() {
    this.onInput();
    if (this.input.value.trim() !== "") this.session.onTyping();
  }

  onInput() {
    if (this.shown !== null) this.drafts.set(this.shown, this.input.value);
    this.fitHeight();
    this.renderCount();
  }

  fitHeight() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, HEIGHT_MAX_PX)}px`;
  }

  /**
   * Put back a text that could not be sent, before what is in the field by now.
   * @param {string} text
   */
  returnText(text) {
    this.input.value = [text, this.input.value].filter(Boolean).join("\n");
    this.onInput();
  }

  renderCount() {
    const count = countCodePoints(this.input.value);
    const over = count > MESSAGE_MAX;
    setText(this.count, count < COUNT_FROM ? "" : `${count.toLocaleString()} of ${MESSAGE_MAX.toLocaleString()}`);
    this.count.classList.toggle("over", over);
    this.input.setAttribute("aria-invalid", String(over));
  }

  /** @param {SubmitEvent} event */
  onSubmit(event) {
    event.preventDefault();
    const message = normalizeMessage(this.input.value);
    if (message === "" || countCodePoints(message) > MESSAGE_MAX) return this.input.focus();
    if (this.store.user === "") return this.userName.ask(() => this.form.requestSubmit());
    this.session.sender.send(message);
    this.input.value = "";
    this.onInput();
    this.input.focus();
  }
}
