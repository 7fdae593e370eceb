// @ts-check
// The field for a message: a new one, an answer, or another text of one that was sent.  It is never disabled: a message
// that is sent offline waits in the outbox.  An archived room has no field.
//
// What is typed is kept (store/drafts.js) until it is sent or, when it edits a message, until the server has it.
// Completion and commands are loaded when they are first wanted.

import { COMPOSER, MESSAGES } from "../../strings.js";
import { countCodePoints, MESSAGE_MAX, normalizeMessage } from "../../validation.js";
import { find, make, setText } from "../dom.js";
import { makeIconButton } from "../icons.js";
import { firstWords } from "./text.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/drafts.js").Draft} Draft */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */
/** @typedef {import("../accounts/user_name.js").UserNameView} UserNameView */

const HEIGHT_MAX_PX = 200;
/** From this length on the count of characters is shown. */
const COUNT_FROM = MESSAGE_MAX - 500;
/** A text with one of these signs may have something to complete. */
const COMPLETED = /[@#:]|^\//;

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
    this.error = find("message-error", HTMLElement);
    this.about = make("div", "composer-about");
    this.form.prepend(this.about);
    /** What the field shows beside its text: built again when it changes. */
    this.aboutKey = "";
    /** @type {string | null} */
    this.shown = null;
    /** @type {Room | null} */
    this.room = null;
    this.isSaving = false;
    /** @type {import("./completion.js").Completion | null} */
    this.completion = null;
    this.isTouch = !matchMedia("(pointer: fine)").matches;
    if (this.isTouch) this.input.enterKeyHint = "enter";
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("input", () => this.onTyping());
    this.form.addEventListener("paste", (event) => this.onFiles(event));
    // Anywhere on the page: a browser would leave it, and open the file.
    document.addEventListener("drop", (event) => this.onFiles(event));
    document.addEventListener("dragover", (event) => hasFiles(event.dataTransfer) && event.preventDefault());
    find("skip-link", HTMLAnchorElement).addEventListener("click", (event) => this.onSkip(event));
  }

  render() {
    const { current, currentRoom } = this.store.rooms;
    const isRenamed = currentRoom !== null && currentRoom === this.room && current !== this.shown;
    if (isRenamed && this.shown !== null && current !== null) this.store.drafts.move(this.shown, current);
    this.room = currentRoom;
    this.form.hidden = currentRoom?.archived ?? false;
    this.input.placeholder = currentRoom === null ? "" : `Message ${currentRoom.title}`;
    const isOther = current !== this.shown;
    this.shown = current;
    if (isOther) this.showError("");
    this.renderAbout();
    if (!isOther) return;
    this.onInput();
    const goesToMessage = (currentRoom?.timeline.targetId ?? 0) > 0;
    if (!this.isTouch && !goesToMessage) this.input.focus(); // a phone would bring up its keyboard
  }

  /** @returns {Draft | null} */
  get draft() {
    return this.shown === null ? null : this.store.drafts.get(this.shown);
  }

  /** Show what the text answers or edits.  The text itself comes from the draft whenever that changes. */
  renderAbout() {
    const { draft } = this;
    const key = JSON.stringify([this.shown, this.store.drafts.loads, draft?.editing?.Id, draft?.replyTo?.Id]);
    if (draft === null || key === this.aboutKey) return;
    this.aboutKey = key;
    this.input.value = draft.text;
    this.onInput();
    this.about.replaceChildren();
    if (draft.editing !== null) this.showAbout(MESSAGES.editing, "", MESSAGES.cancelEdit);
    else if (draft.replyTo !== null) {
      this.showAbout(MESSAGES.replyTo(draft.replyTo.User), firstWords(draft.replyTo.Message), MESSAGES.cancelReply);
    }
  }

  /**
   * @param {string} heading
   * @param {string} words
   * @param {string} cancel
   */
  showAbout(heading, words, cancel) {
    const text = make("span", "composer-about-text", make("b", "", heading), " ", words);
    text.dir = "auto";
    this.about.append(text, makeIconButton("close", cancel, () => this.cancel()));
  }

  /** Stop answering or editing. */
  cancel() {
    const { draft, shown } = this;
    if (draft === null || shown === null) return;
    if (draft.editing !== null) this.store.drafts.edit(shown, null);
    else this.store.drafts.reply(shown, null);
    this.showError("");
    this.input.focus();
  }

  focus() {
    this.renderAbout(); // the field has the text by then
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }

  /**
   * Begin a text, unless one is begun.
   * @param {string} text
   */
  begin(text) {
    this.focus();
    if (this.input.value !== "") return;
    this.input.value = text;
    this.onTyping();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    // While an input method is open, Enter accepts its word.  Safari shows that by the key code 229 only.
    if (event.isComposing || event.keyCode === 229) return;
    if (this.completion?.onKey(event)) return;
    const { draft } = this;
    if (event.key === "Escape" && draft !== null && (draft.editing !== null || draft.replyTo !== null)) {
      event.stopPropagation();
      return this.cancel();
    }
    if (event.key === "ArrowUp" && this.input.value === "" && draft?.editing === null && this.editLast()) {
      return event.preventDefault();
    }
    if (event.key !== "Enter" || event.shiftKey) return;
    if (this.isTouch) return; // a phone has no Shift+Enter: Enter begins a line, and the button sends
    event.preventDefault();
    this.form.requestSubmit();
  }

  /** @returns {boolean} true where the user has a message here, which is now edited */
  editLast() {
    const { user, deletions } = this.store;
    const room = this.room;
    if (room === null) return false;
    const last = room.timeline.posts.findLast(
      ({ User, Deleted, Id }) => User === user && !Deleted && !deletions.has(room.name, Id),
    );
    if (last === undefined) return false;
    this.store.drafts.edit(room.name, last);
    this.focus();
    return true;
  }

  /**
   * Refuse files in plain words: the text stays.
   * @param {ClipboardEvent | DragEvent} event
   */
  onFiles(event) {
    const data = event instanceof DragEvent ? event.dataTransfer : event.clipboardData;
    if (!hasFiles(data) || (event.type === "paste" && data?.getData("text/plain") !== "")) return;
    event.preventDefault();
    this.showError(COMPOSER.noFiles);
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
    this.showError("");
    this.onInput();
    void this.complete();
    if (this.input.value.trim() !== "" && this.draft?.editing === null) this.session.onTyping();
  }

  async complete() {
    if (this.completion === null && !COMPLETED.test(this.input.value)) return;
    const loaded = this.completion === null ? await import("./completion.js").catch(() => null) : null; // the node may be gone
    if (loaded !== null) this.completion ??= new loaded.Completion(this.input, this.store);
    this.completion?.update();
  }

  onInput() {
    if (this.shown !== null) this.store.drafts.setText(this.shown, this.input.value);
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
    this.input.value = [escapeSlash(text), this.input.value].filter(Boolean).join("\n");
    this.onInput();
  }

  renderCount() {
    const count = countCodePoints(this.input.value);
    const over = count > MESSAGE_MAX;
    const said = `${count.toLocaleString()} of ${MESSAGE_MAX.toLocaleString()}`;
    setText(this.count, over ? `${said}. ${COMPOSER.tooLong(count - MESSAGE_MAX)}` : count < COUNT_FROM ? "" : said);
    this.count.classList.toggle("over", over);
    this.input.setAttribute("aria-invalid", String(over));
  }

  /** @param {string} text */
  showError(text) {
    setText(this.error, text);
  }

  /** @param {SubmitEvent} event */
  onSubmit(event) {
    event.preventDefault();
    const message = normalizeMessage(this.input.value);
    const { draft } = this;
    if (draft === null || message === "" || countCodePoints(message) > MESSAGE_MAX) return this.input.focus();
    const isCommand = draft.editing === null && message.startsWith("/");
    if (isCommand && !message.startsWith("//")) return void this.runCommand(draft, message);
    if (this.store.user === "") return this.userName.ask(() => this.form.requestSubmit());
    if (draft.editing !== null) return void this.saveEdit(draft, message);
    this.send(draft, isCommand ? message.slice(1) : message);
  }

  /**
   * @param {Draft} draft
   * @param {string} typed
   */
  async runCommand(draft, typed) {
    const { room } = this;
    if (room === null || this.isSaving) return;
    this.isSaving = true;
    const commands = await import("./commands.js").catch(() => null);
    const outcome = (await commands?.runCommand(typed, room, this.session)) ?? { error: COMPOSER.noCommands };
    this.isSaving = false;
    const { error = "", message = "", notice = "" } = outcome;
    this.showError(error);
    if (error !== "" || normalizeMessage(draft.text) !== typed || (message !== "" && room !== this.room)) return;
    if (message !== "" && this.store.user === "") return this.userName.ask(() => this.form.requestSubmit());
    if (message !== "") return this.send(draft, message);
    this.store.drafts.setText(room.name, "");
    if (room === this.room) this.clear();
    if (notice !== "") this.session.events.onNotice(notice);
  }

  /**
   * @param {Draft} draft
   * @param {string} message
   */
  send(draft, message) {
    this.session.sender.send(message, draft.replyTo === null ? {} : { ReplyTo: draft.replyTo.Id });
    this.clear();
    if (draft.replyTo !== null && this.shown !== null) this.store.drafts.reply(this.shown, null);
    this.input.focus();
  }

  clear() {
    this.input.value = "";
    this.onInput();
  }

  /**
   * Save the edit.  The text stays in the field until the server has it.
   * @param {Draft} draft
   * @param {string} message
   */
  async saveEdit(draft, message) {
    const { room, shown } = this;
    const { editing } = draft;
    if (room === null || shown === null || editing === null || this.isSaving) return;
    this.isSaving = true;
    const error = message === editing.Message ? "" : await this.session.actions.edit(room, editing.Id, message);
    this.isSaving = false;
    if (error !== "") return this.showError(MESSAGES.notSaved(error));
    if (draft.editing === editing) this.store.drafts.edit(room.name, null);
    this.input.focus();
  }
}

/**
 * @param {string} text  that was sent
 * @returns {string} the text as it is typed: one that begins with a slash would be a command
 */
function escapeSlash(text) {
  return text.startsWith("/") ? `/${text}` : text;
}

/**
 * @param {DataTransfer | null} data
 * @returns {boolean}
 */
function hasFiles(data) {
  return data !== null && [...data.types].includes("Files");
}
