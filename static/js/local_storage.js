// @ts-check
// localStorage, without exceptions: a private window may refuse it or have no space left.
// An item that cannot be stored is missing after a reload, and nothing else goes wrong.

const PREFIX = "raft-chat.";

/**
 * @param {string} key
 * @returns {string} "" where there is no such item
 */
export function readItem(key) {
  try {
    return localStorage.getItem(PREFIX + key) ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {string} key
 * @param {string} value
 * @returns {boolean} false where there is no space, or where the browser refuses it
 */
export function writeItem(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} key */
export function removeItem(key) {
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Refused: then it was never stored.
  }
}

/**
 * @param {string} prefix
 * @returns {string[]} the keys that begin with it
 */
export function listKeys(prefix) {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX + prefix));
    return keys.map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/** @param {(key: string) => void} onRemoved  called for each item that another tab removes */
export function watchRemovals(onRemoved) {
  window.addEventListener("storage", (event) => {
    if (event.key?.startsWith(PREFIX) && event.newValue === null) onRemoved(event.key.slice(PREFIX.length));
  });
}

/**
 * @param {string} key
 * @param {() => void} onChanged  called when another tab changes this item
 */
export function watchItem(key, onChanged) {
  window.addEventListener("storage", (event) => event.key === PREFIX + key && onChanged());
}
