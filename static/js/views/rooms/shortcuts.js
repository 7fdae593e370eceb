// @ts-check
// The dialog "Keyboard shortcuts".

import { KEYS } from "../../dialog_strings.js";
import { Dialog } from "../dialog.js";
import { make } from "../dom.js";
import { addStyles } from "../styles.js";

addStyles(new URL("../../../css/keyboard.css", import.meta.url).href);

/** Open the dialog. */
export function openShortcuts() {
  const rows = KEYS.list.map(([keys, what]) => make("div", "shortcut", make("dt", "", ...makeKeys(keys)), make("dd", "", what)));
  new Dialog({ heading: KEYS.heading, body: [make("dl", "shortcuts", ...rows)] });
}

/**
 * @param {string} keys  such as "Ctrl+K"
 * @returns {HTMLElement[]}
 */
function makeKeys(keys) {
  return keys.split("+").map((key) => make("kbd", "key", key));
}
