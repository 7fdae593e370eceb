// @ts-check
// The room's name and topic above the timeline, the title of the window, and which screen is shown: the sign-in form,
// the list of rooms, or a room.  A wide window shows the list beside the room.

import { find, setText } from "../dom.js";

/** @typedef {import("../../store/store.js").Store} Store */

export class HeadingView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.title = find("room-title", HTMLElement);
    this.direct = find("room-direct", HTMLElement);
    this.topic = find("room-topic", HTMLElement);
    this.archived = find("room-archived", HTMLElement);
    this.room = find("room", HTMLElement);
    this.noRoom = find("no-room", HTMLElement);
  }

  render() {
    const { rooms, signInForm } = this.store;
    const room = rooms.currentRoom;
    document.body.dataset.screen = signInForm !== null ? "sign-in" : room === null ? "rooms" : "room";
    document.title = this.makeTitle(room?.title ?? "");
    this.room.hidden = room === null;
    this.noRoom.hidden = room !== null;
    setText(this.title, room?.title ?? "");
    setText(this.topic, room?.topic ?? "");
    this.direct.hidden = !room?.direct;
    this.archived.hidden = !room?.archived;
  }

  /**
   * @param {string} room  "" for none
   * @returns {string}
   */
  makeTitle(room) {
    const { unread } = this.store.rooms;
    return `${unread > 0 ? `(${unread}) ` : ""}${room === "" ? "" : `${room} · `}raft-chat`;
  }
}
