// @ts-check
// What says where the reader is: the room's name and topic above the timeline, the window's title, and which screen is
// shown: the door, or of the two of a phone one.

import { find, setText } from "../dom.js";

/** @typedef {import("../store.js").Store} Store */

export class HeadingView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.title = find("room-title", HTMLElement);
    this.direct = find("room-direct", HTMLElement);
    this.topic = find("room-topic", HTMLElement);
    this.archived = find("room-archived", HTMLElement);
    this.room = find("room", HTMLElement);
    this.nothing = find("no-room", HTMLElement);
  }

  render() {
    const { current, door, unread } = this.store;
    document.body.dataset.screen = door !== "" ? "sign-in" : current === null ? "rooms" : "room";
    this.room.hidden = current === null;
    this.nothing.hidden = current !== null;
    const name = this.store.currentRoom?.title ?? "";
    setText(this.title, name);
    this.direct.hidden = !this.store.currentRoom?.direct;
    setText(this.topic, this.store.currentRoom?.topic ?? "");
    this.archived.hidden = !this.store.currentRoom?.archived;
    const title = current === null ? "raft-chat" : `${name} · raft-chat`;
    document.title = unread > 0 ? `(${unread}) ${title}` : title;
  }
}
