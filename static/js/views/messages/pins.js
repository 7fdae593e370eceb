// @ts-check
// The tools of the room in view: its pinned messages, and jumps to a date and to the first message.  What they open is
// loaded when it is opened.

import { MESSAGES } from "../../strings.js";
import { find } from "../dom.js";
import { makeIconButton } from "../icons.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

export class RoomToolsView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.session = session;
    this.pins = makeIconButton("pin", MESSAGES.pins, () => void this.open("openPins", this.pins));
    this.jump = makeIconButton("jump", MESSAGES.jumpToDate, () => void this.open("openJump", this.jump));
    find("room-tools", HTMLElement).append(this.pins, this.jump);
  }

  render() {
    const room = this.store.rooms.currentRoom;
    const count = room?.pins?.length ?? 0;
    this.pins.hidden = count === 0;
    this.jump.hidden = room === null || room.timeline.posts.length === 0;
    this.pins.ariaDescription = this.pins.dataset.count = String(count);
  }

  /**
   * @param {"openPins" | "openJump"} which
   * @param {HTMLElement} anchor
   */
  async open(which, anchor) {
    const room = this.store.rooms.currentRoom;
    if (room === null) return;
    const panels = await import("./room_panels.js");
    panels[which](anchor, room, this.session);
  }
}
