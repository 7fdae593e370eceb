// @ts-check
// The earlier texts of an edited message.

import { PANELS } from "../../dialog_strings.js";
import { MESSAGES } from "../../strings.js";
import { formatFull } from "../dates.js";
import { make } from "../dom.js";
import { openPopup } from "../menu.js";
import { makeMessageText } from "./text.js";

/** @typedef {import("../../types.js").Post} Post */

/**
 * @param {HTMLElement} anchor
 * @param {Promise<Post[]>} asked  all texts, the first one first
 */
export function openHistory(anchor, asked) {
  const list = make("ol", "history-list", make("li", "", MESSAGES.loadingReply));
  const content = make("div", "history", make("h2", "popup-heading", PANELS.history), list);
  content.tabIndex = -1;
  openPopup(anchor, content, { label: PANELS.history });
  content.focus();
  asked.then(
    (versions) => list.replaceChildren(...versions.reverse().map(makeVersion)),
    () => list.replaceChildren(make("li", "error", PANELS.historyFailed)),
  );
}

/**
 * @param {Post} version
 * @returns {HTMLElement}
 */
function makeVersion({ Message, EditedAt, PostedAt }) {
  const time = make("time", "post-time", formatFull(new Date(EditedAt ?? PostedAt)));
  time.dateTime = EditedAt ?? PostedAt;
  return make("li", "history-version", time, makeMessageText(Message, ""));
}
