// @ts-check
// Copying text.  A page that comes over plain http from another machine has no navigator.clipboard: there the old way
// works, which needs the text to be selected.

import { COMMON } from "../strings.js";
import { make } from "./dom.js";

const SHOWN_MS = 1_500;

/**
 * Copy the text, and say so on the button for a moment.
 * @param {string} text
 * @param {HTMLElement} [button]
 */
export async function copyText(text, button) {
  const isCopied = await copy(text);
  if (button === undefined) return isCopied;
  const label = button.dataset.label ?? button.textContent ?? "";
  button.dataset.label = label;
  button.textContent = isCopied ? COMMON.copied : COMMON.notCopied;
  setTimeout(() => (button.textContent = label), SHOWN_MS);
  return isCopied;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // no such object, or the browser refused
  }
}

/**
 * @param {string} text
 * @returns {boolean}
 */
function copyBySelection(text) {
  const focused = document.activeElement;
  const area = make("textarea", "visually-hidden");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  return isCopied;
}
