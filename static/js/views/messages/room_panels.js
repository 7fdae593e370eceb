// @ts-check
// What the tools of a room open: its pinned messages, and the form that jumps to a date or to the first message.

import { PANELS } from "../../dialog_strings.js";
import { goToMessage } from "../../links.js";
import { MESSAGES } from "../../strings.js";
import { formatDay, formatTime } from "../dates.js";
import { make } from "../dom.js";
import { makeIconButton } from "../icons.js";
import { openPopup } from "../menu.js";
import { firstWords } from "./text.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

/**
 * Open the list of pinned messages.
 * @param {HTMLElement} anchor
 * @param {Room} room
 * @param {Session} session
 */
export function openPins(anchor, room, session) {
  const list = make("ul", "pins");
  const content = make("div", "pins-panel", make("h2", "popup-heading", MESSAGES.pins), list);
  content.tabIndex = -1;
  const popup = openPopup(anchor, content, { label: MESSAGES.pins });
  const show = () => {
    const rows = (room.pins ?? []).map((post) => makePin(room, post, session, popup.close, show));
    list.replaceChildren(...(rows.length > 0 ? rows : [make("li", "popup-note", PANELS.noPins)]));
    (list.querySelector("button") ?? content).focus(); // also once the button that had the focus is gone
  };
  show();
}

/**
 * @param {Room} room
 * @param {Post} post
 * @param {Session} session
 * @param {() => void} close
 * @param {() => void} show
 * @returns {HTMLElement}
 */
function makePin(room, post, session, close, show) {
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
  if (!session.actions.mayPin || room.archived) return item;
  const unpin = async () => {
    await session.actions.togglePin(room, post);
    show();
  };
  item.append(makeIconButton("close", MESSAGES.unpin, () => void unpin()));
  return item;
}

/**
 * Open the form that finds the page of a date.
 * @param {HTMLElement} anchor
 * @param {Room} room
 * @param {Session} session
 */
export function openJump(anchor, room, session) {
  const field = make("input", "field");
  field.type = "date";
  field.required = true;
  field.setAttribute("aria-label", MESSAGES.jumpToDate);
  const go = make("button", "button", PANELS.go);
  go.type = "submit";
  const first = make("button", "button button-quiet", PANELS.first);
  first.type = "button";
  const form = make("form", "jump", field, go, first);
  const popup = openPopup(anchor, form, { label: MESSAGES.jumpToDate });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [year = 0, month = 1, day = 1] = field.value.split("-").map(Number);
    popup.close();
    void session.loader.loadAt(room, new Date(year, month - 1, day)); // midnight here, on that date
  });
  first.addEventListener("click", () => {
    popup.close();
    void session.loader.loadFirst(room);
  });
  field.focus();
}
