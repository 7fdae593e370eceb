// @ts-check
// Is the page connected, and to which node?  A quiet dot below the rooms; a notice when it lasts.
//
// A loss of less than 5 s, such as a failover, is not worth a word.

import { find, setText } from "../dom.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */

const PATIENCE_MS = 5_000;
const TICK_MS = 500;

export class StatusView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.dot = find("connection", HTMLElement);
    this.words = find("connection-words", HTMLElement);
    this.notice = find("offline", HTMLElement);
    this.noticeWords = find("offline-words", HTMLElement);
    this.countdown = find("offline-countdown", HTMLElement);
    /** @type {ReturnType<typeof setInterval> | undefined} runs only while there is no connection */
    this.ticking = undefined;
    find("retry-now", HTMLButtonElement).addEventListener("click", () => session.retryNow());
  }

  render() {
    const { phase, node, retryAt, lostAt } = this.store.connection;
    const lost = lostAt > 0 && Date.now() - lostAt >= PATIENCE_MS;
    this.tick(phase !== "open");
    this.dot.dataset.phase = lost ? "lost" : phase;
    setText(this.words, phase === "open" ? new URL(node).host : lost ? "Offline" : "Connecting…");
    this.notice.hidden = !lost;
    setText(this.noticeWords, lost ? "You are offline. What you write is kept and sent later." : "");
    setText(this.countdown, phase === "waiting" ? tellPause(retryAt - Date.now()) : "Trying…");
  }

  /** @param {boolean} wanted */
  tick(wanted) {
    if (wanted) this.ticking ??= setInterval(() => this.render(), TICK_MS);
    else {
      clearInterval(this.ticking);
      this.ticking = undefined;
    }
  }
}

/**
 * @param {number} ms
 * @returns {string}
 */
function tellPause(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds > 1 ? `Next try in ${seconds} s.` : "Trying…";
}
