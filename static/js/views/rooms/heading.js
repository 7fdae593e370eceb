// @ts-check
// The room's name and topic above the timeline, the title of the window, and which screen is shown: the sign-in form,
// the list of rooms, or a room.  A wide window shows the list beside the room.

import { ROOMS } from "../../strings.js";
import { find, make, setText } from "../dom.js";
import { makeIcon, makeIconButton } from "../icons.js";

/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

export class HeadingView {
  /**
   * @param {Store} store
   * @param {Record<"favourite" | "settings" | "members", (room: Room) => void>} actions
   */
  constructor(store, actions) {
    this.store = store;
    const act = (/** @type {(room: Room) => void} */ action) => () => {
      const room = store.rooms.currentRoom;
      if (room !== null) action(room);
    };
    this.favourite = makeIconButton("star", ROOMS.favourite, act(actions.favourite));
    this.members = makeIconButton("people", ROOMS.members, act(actions.members));
    const settings = makeIconButton("gear", ROOMS.settings, act(actions.settings));
    find("room-actions", HTMLElement).append(this.favourite, this.members, settings);
    this.icon = find("icon", HTMLLinkElement);
    this.plainIcon = this.icon.getAttribute("href") ?? "";
    this.title = find("room-title", HTMLElement);
    this.mark = make("span", "room-mark");
    this.title.before(this.mark);
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
    this.mark.hidden = room === null || room.direct;
    this.mark.replaceChildren(makeIcon(room?.private ? "lock" : "hash"));
    this.favourite.setAttribute("aria-pressed", String(room !== null && this.store.preferences.isFavourite(room)));
    this.members.hidden = this.store.account?.Auth !== "login";
    this.renderIcon();
    this.archived.hidden = !room?.archived;
  }

  /** Show on the icon of the tab that something is unread. */
  renderIcon() {
    const { mentions, unread } = this.store.rooms;
    const suffix = mentions > 0 ? "-mentions" : unread > 0 ? "-unread" : "";
    const href = this.plainIcon.replace(/icon\.svg$/, `icon${suffix}.svg`);
    if (this.icon.getAttribute("href") !== href) this.icon.setAttribute("href", href);
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
