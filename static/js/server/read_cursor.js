// @ts-check
// Where the first subscription begins, so that it brings what has happened since the page read its rooms and messages,
// and nothing need be read twice: at the lowest index of the answers so far.
//
// An index with a name is of a restored history (api.md, "Cursors"), and no cursor: then there is none.

/** @type {number | null} null before the first answer */
let lowest = null;
let isKnown = true;

/** @param {Response | null} answer */
export function noteAnswer(answer) {
  if (!answer?.ok) return;
  const index = answer.headers.get("X-Raft-Index") ?? "";
  if (/^\d+$/.test(index)) lowest = Math.min(lowest ?? Infinity, Number(index));
  else isKnown = false;
}

/** @returns {string | null} */
export function readCursor() {
  return isKnown && lowest !== null ? String(lowest) : null;
}
