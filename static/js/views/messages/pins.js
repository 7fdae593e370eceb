// @ts-check
// The tools of the room in view: its pinned messages, and jumps to a date and to the first message.

import { goToMessage } from "../../links.js";
import { MESSAGES } from "../../strings.js";
import { formatDay, formatTime } from "../dates.js";
import { find, make } from "../dom.js";
import { makeIconButton } from "../icons.js";
import { openPopup } from "../menu.js";
import { firstWords } from "./text.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

export class RoomToolsView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.session = session;
    this.pins = makeIconButton("pin", MESSAGES.pins, () => this.openPins());
    this.jump = makeIconButton("jump", MESSAGES.jumpToDate, () => this.openJump());
    this.count = make("span", "pin-count");
    this.pins.append(this.count);
    find("room-tools", HTMLElement).append(this.pins, this.jump);
  }

  render() {
    const room = this.store.rooms.currentRoom;
    const count = room?.pins?.length ?? 0;
    this.pins.hidden = count === 0;
    this.jump.hidden = room === null || room.timeline.posts.length === 0;
    this.count.textContent = String(count);
  }

  openPins() {
    const room = this.store.rooms.currentRoom;
    if (room === null) return;
    const list = make("ul", "pins");
    const content = make("div", "pins-panel", make("h2", "popup-heading", MESSAGES.pins), list);
    const popup = openPopup(this.pins, content, { label: MESSAGES.pins });
    const show = () => {
      const rows = (room.pins ?? []).map((post) => this.makePin(room, post, popup.close, show));
      list.replaceChildren(...(rows.length > 0 ? rows : [make("li", "popup-note", MESSAGES.noPins)]));
    };
    show();
    list.querySelector("button")?.focus();
  }

  /**
   * @param {Room} room
   * @param {Post} post
   * @param {() => void} close
   * @param {() => void} show
   * @returns {HTMLElement}
   */
  makePin(room, post, close, show) {
    const date = new Date(post.PostedAt);
    const when = `${formatDay(date, new Date())} ${formatTime(date)}`;
    const head = make("span", "pin-head", make("b", "", post.User), " ", when);
    const go = make("button", "pin", head, make("span", "pin-text", firstWords(post.Message, 200)));
    go.type = "button";
    go.dir = "auto";
    go.addEventListener("click", () => {
      close();
      goToMessage(room.name, post.Id);
    });
    const item = make("li", "pin-row", go);
    if (!this.session.actions.mayPin || room.archived) return item;
    const unpin = async () => {
      await this.session.actions.togglePin(room, post);
      show();
    };
    item.append(makeIconButton("close", MESSAGES.unpin, () => void unpin()));
    return item;
  }

  openJump() {
    const room = this.store.rooms.currentRoom;
    if (room === null) return;
    const field = make("input", "field");
    field.type = "date";
    field.required = true;
    field.setAttribute("aria-label", MESSAGES.jumpToDate);
    const go = make("button", "button", MESSAGES.go);
    go.type = "submit";
    const first = make("button", "button button-quiet", MESSAGES.first);
    first.type = "button";
    const form = make("form", "jump", field, go, first);
    const popup = openPopup(this.jump, form, { label: MESSAGES.jumpToDate });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [year = 0, month = 1, day = 1] = field.value.split("-").map(Number);
      popup.close();
      void this.session.loader.loadAt(room, new Date(year, month - 1, day)); // midnight here, on that date
    });
    first.addEventListener("click", () => {
      popup.close();
      void this.session.loader.loadFirst(room);
    });
    field.focus();
  }
}
