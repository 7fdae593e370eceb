// @ts-check
// The bar of actions of one message: on hover, on a long press, and on the message that has the focus.
//
// There is one bar, which moves into the message; a message that is built again gets it back, with the focus in it.

import { goToMessage, messageLink } from "../../links.js";
import { MESSAGES } from "../../strings.js";
import { copyText } from "../clipboard.js";
import { make } from "../dom.js";
import { makeIconButton } from "../icons.js";
import { hasPopup, makeToolbar, openMenu } from "../menu.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

const LONG_PRESS_MS = 450;
const MOVED_PX = 12;

export class ActionBar {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {HTMLElement} list
   * @param {(post: Post, anchor: HTMLElement) => void} showHistory
   * @param {() => void} focusComposer
   * @param {(text: string) => void} notice
   */
  constructor(store, session, list, showHistory, focusComposer, notice) {
    this.store = store;
    this.session = session;
    this.list = list;
    this.showHistory = showHistory;
    this.focusComposer = focusComposer;
    this.notice = notice;
    this.id = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.pressTimer = undefined;
    this.pressedAt = { x: 0, y: 0 };
    /** @type {HTMLElement | null} what has the focus in the bar while rows are painted */
    this.focused = null;
    /**
     * @param {string} icon
     * @param {string} label
     * @param {(post: Post, room: Room) => void} act
     */
    const button = (icon, label, act) => makeIconButton(icon, label, () => this.act(act));
    this.react = button("react", MESSAGES.react, (post, room) => this.pickReaction(post, room));
    this.reply = button("reply", MESSAGES.reply, (post, room) => this.startReply(post, room));
    this.edit = button("edit", MESSAGES.edit, (post, room) => this.startEdit(post, room));
    this.remove = button("delete", MESSAGES.delete, (post, room) => session.actions.delete(room, post));
    this.pin = button("pin", MESSAGES.pin, (post, room) => void session.actions.togglePin(room, post));
    this.link = button("link", MESSAGES.copyLink, (post, room) => this.copyLink(post, room));
    this.more = button("more", MESSAGES.more, (post, room) => this.openMore(post, room));
    this.more.setAttribute("aria-haspopup", "menu");
    const buttons = [this.react, this.reply, this.edit, this.remove, this.pin, this.link, this.more];
    this.bar = makeToolbar(MESSAGES.actions, buttons);
    this.bar.classList.add("message-actions");
    this.place = make("div", "message-actions-place", this.bar);
    this.listen();
  }

  listen() {
    const { list } = this;
    list.addEventListener("pointerover", (event) => event.pointerType === "mouse" && this.moveTo(event.target));
    list.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.leave());
    list.addEventListener("focusin", (event) => this.moveTo(event.target));
    list.addEventListener("pointerdown", (event) => this.onPress(event));
    for (const type of /** @type {const} */ (["pointerup", "pointercancel", "scroll"])) {
      list.addEventListener(type, () => clearTimeout(this.pressTimer));
    }
    list.addEventListener("pointermove", (event) => {
      const { x, y } = this.pressedAt;
      if (Math.hypot(event.clientX - x, event.clientY - y) > MOVED_PX) clearTimeout(this.pressTimer);
    });
  }

  /** @param {PointerEvent} event */
  onPress(event) {
    clearTimeout(this.pressTimer);
    if (event.pointerType === "mouse") return;
    if (event.target instanceof Node && this.bar.contains(event.target)) return;
    this.pressedAt = { x: event.clientX, y: event.clientY };
    this.hide();
    this.pressTimer = setTimeout(() => this.moveTo(event.target), LONG_PRESS_MS);
  }

  /** @param {EventTarget | null} target */
  moveTo(target) {
    const row = target instanceof Element ? target.closest("article[data-id]") : null;
    if (!(row instanceof HTMLElement) || hasPopup()) return;
    if (row.contains(this.bar)) return;
    const focused = document.activeElement;
    if (this.bar.contains(focused) && target !== focused && !row.contains(focused)) return;
    this.show(row);
  }

  /** @param {HTMLElement} row */
  show(row) {
    this.id = Number(row.dataset.id);
    const post = this.post;
    if (post === undefined || row.classList.contains("post-deleted")) return this.hide();
    this.setButtons(post);
    row.append(this.place);
  }

  leave() {
    if (!hasPopup() && !this.bar.contains(document.activeElement)) this.hide();
  }

  /** Move the focus into the bar. */
  focus() {
    for (const child of this.bar.children) if (child instanceof HTMLElement && !child.hidden) return child.focus();
  }

  hide() {
    this.id = 0;
    this.place.remove();
  }

  /** @param {Post} post */
  setButtons(post) {
    const { actions } = this.session;
    const room = this.store.rooms.currentRoom;
    const isOpen = room !== null && !room.archived;
    const isPinned = room?.pins?.some(({ Id }) => Id === post.Id) ?? false;
    this.react.hidden = this.reply.hidden = !isOpen;
    this.edit.hidden = this.remove.hidden = !isOpen || !actions.mayEdit(post);
    this.pin.hidden = !isOpen || !actions.mayPin;
    const label = isPinned ? MESSAGES.unpin : MESSAGES.pin;
    this.pin.setAttribute("aria-label", label);
    this.pin.title = label;
    const shown = [...this.bar.children].filter((child) => child instanceof HTMLElement && !child.hidden);
    shown.forEach((child, at) => child instanceof HTMLElement && (child.tabIndex = at === 0 ? 0 : -1));
  }

  /** Put the bar back after the rows were painted: its message may have been built again. */
  restore() {
    if (this.id === 0) return;
    const row = this.list.querySelector(`article[data-id="${this.id}"]`);
    if (!(row instanceof HTMLElement) || this.store.rooms.currentRoom === null) return this.hide();
    if (row.contains(this.bar)) return this.post !== undefined ? this.setPin(this.post) : undefined;
    const focused = this.focused;
    this.show(row);
    focused?.focus({ preventScroll: true });
  }

  /** @param {Post} post */
  setPin(post) {
    const isPinned = this.store.rooms.currentRoom?.pins?.some(({ Id }) => Id === post.Id) ?? false;
    this.pin.setAttribute("aria-label", isPinned ? MESSAGES.unpin : MESSAGES.pin);
  }

  /** Remember what has the focus in the bar, before rows are painted. */
  remember() {
    const focused = document.activeElement;
    this.focused = focused instanceof HTMLElement && this.bar.contains(focused) ? focused : null;
  }

  /** @returns {Post | undefined} */
  get post() {
    return this.store.rooms.currentRoom?.timeline.posts.find(({ Id }) => Id === this.id);
  }

  /** @param {(post: Post, room: Room) => void} what */
  act(what) {
    const { post } = this;
    const room = this.store.rooms.currentRoom;
    if (post !== undefined && room !== null) what(post, room);
  }

  /**
   * @param {Post} post
   * @param {Room} room
   */
  async pickReaction(post, room) {
    const { openEmojiPicker } = await import("./emoji_picker.js");
    openEmojiPicker(this.react, (emoji) => void this.session.actions.toggleReaction(room, post, emoji));
  }

  /**
   * @param {Post} post
   * @param {Room} room
   */
  startReply(post, room) {
    this.store.drafts.reply(room.name, post);
    this.focusComposer();
  }

  /**
   * @param {Post} post
   * @param {Room} room
   */
  startEdit(post, room) {
    this.store.drafts.edit(room.name, post);
    this.focusComposer();
  }

  /**
   * @param {Post} post
   * @param {Room} room
   */
  copyLink(post, room) {
    void copyText(new URL(messageLink(room.name, post.Id), location.href).href).then((isCopied) => {
      if (isCopied) this.notice(MESSAGES.linkCopied);
      else goToMessage(room.name, post.Id); // then the address bar has it
    });
  }

  /** @param {Post} post */
  async copyMessage(post) {
    if (await copyText(post.Message)) this.notice(MESSAGES.textCopied);
  }

  /**
   * @param {Post} post
   * @param {Room} room
   */
  openMore(post, room) {
    /** @type {import("../menu.js").MenuItem[]} */
    const items = [{ label: MESSAGES.copyText, onSelect: () => void this.copyMessage(post) }];
    items.push({ label: MESSAGES.markUnread, onSelect: () => void this.session.markUnreadFrom(room, post.Id) });
    if (post.EditedAt !== undefined) {
      items.push({ label: MESSAGES.showHistory, onSelect: () => this.showHistory(post, this.more) });
    }
    openMenu(this.more, MESSAGES.more, items);
  }
}
