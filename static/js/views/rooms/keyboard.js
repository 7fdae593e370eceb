// @ts-check
// The keys that work everywhere on the page.
//
// The rules it keeps: a dialog or a pop-up that is open has the keys to itself, and `?` in a field is a letter.

import { goToRoom } from "../../links.js";
import { hasPopup } from "../menu.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

/**
 * @param {Session} session
 * @param {{neighbour: (step: number, onlyUnread: boolean) => string | null}} roomList
 * @param {() => void} openGoTo
 * @param {() => void} openShortcuts
 */
export function listenForKeys(session, roomList, openGoTo, openShortcuts) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || session.store.signInForm !== null) return;
    if (document.querySelector("dialog[open]") !== null || hasPopup()) return;
    const action = findAction(event);
    if (action === null) return;
    event.preventDefault();
    action();
  });

  /**
   * @param {KeyboardEvent} event
   * @returns {(() => void) | null}
   */
  function findAction(event) {
    const { key, altKey, shiftKey } = event;
    const hasCommand = event.ctrlKey || event.metaKey;
    if (hasCommand && !altKey && !shiftKey && key.toLowerCase() === "k") return openGoTo;
    if (hasCommand) return null;
    if (altKey && (key === "ArrowUp" || key === "ArrowDown")) return () => move(key === "ArrowUp" ? -1 : 1, shiftKey);
    if (altKey) return null;
    if (key === "Escape") return () => (shiftKey ? session.readMarks.markAllRead() : session.readMarks.markCurrentRead());
    return key === "?" && !isField(event.target) ? openShortcuts : null;
  }

  /**
   * @param {number} step
   * @param {boolean} onlyUnread
   */
  function move(step, onlyUnread) {
    const room = roomList.neighbour(step, onlyUnread);
    if (room !== null) goToRoom(room);
  }
}

/**
 * @param {EventTarget | null} target
 * @returns {boolean}
 */
function isField(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select");
}
