// @ts-check
// localStorage where the browser allows it: private windows may refuse it or have none left.
//
// Nothing here throws.  What cannot be kept is only not there after a reload.

const PREFIX = "raft-chat.";

/**
 * @param {string} key
 * @returns {string} "" where there is none
 */
export function recall(key) {
  try {
    return localStorage.getItem(PREFIX + key) ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
export function keep(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // Full or refused.
  }
}

/** @param {string} key */
export function forget(key) {
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Refused: then it was never kept.
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

/**
 * Hear of keys that another tab removed.
 * @param {(key: string) => void} heard
 */
export function watchRemovals(heard) {
  window.addEventListener("storage", (event) => {
    if (event.key?.startsWith(PREFIX) && event.newValue === null) heard(event.key.slice(PREFIX.length));
  });
}
