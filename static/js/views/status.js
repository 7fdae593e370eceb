// @ts-check
// Is the page connected, and to which node?  A quiet dot below the rooms; a notice when it lasts.
//
// A loss of less than 5 s, such as a failover, is not worth a word.

import { find, setText } from "../dom.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */

const PATIENCE_MS = 5_000;
const TICK_MS = 500;
const STARTED_OVER = "The server was restored from an older copy. This page now shows what it has.";
const NO_MAJORITY = "Read-only: the cluster has no majority. What you write is kept and sent later.";

export class StatusView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.dot = find("connection", HTMLElement);
    this.words = find("connection-text", HTMLElement);
    this.notice = find("connection-notice", HTMLElement);
    this.noticeWords = find("notice-text", HTMLElement);
    this.countdown = find("notice-countdown", HTMLElement);
    /** @type {ReturnType<typeof setInterval> | undefined} runs only while there is no connection */
    this.ticking = undefined;
    this.retry = find("retry-now", HTMLButtonElement);
    this.retry.addEventListener("click", () => session.retryNow());
    this.restored = find("restored", HTMLElement);
    this.restoredWords = find("restored-text", HTMLElement);
    find("restored-ok", HTMLButtonElement).addEventListener("click", () => store.noteStartSeen());
  }

  render() {
    const { hasMajority, refused } = this.store;
    const { phase, retryAt, lostAt } = this.store.connection;
    const lost = lostAt > 0 && Date.now() - lostAt >= PATIENCE_MS;
    this.tick(phase !== "open");
    this.dot.dataset.phase = refused || lost ? "lost" : phase === "open" && !hasMajority ? "read-only" : phase;
    setText(this.words, this.tellState(lost));
    this.notice.hidden = !(refused || lost || (phase === "open" && !hasMajority));
    setText(this.noticeWords, this.tellNotice(lost));
    this.dot.title = this.tellNotice(lost);
    this.retry.hidden = phase === "open";
    this.restored.hidden = !this.store.startedOver;
    setText(this.restoredWords, this.store.startedOver ? STARTED_OVER : "");
    setText(this.countdown, phase === "waiting" ? tellPause(retryAt - Date.now()) : phase === "open" ? "" : "Trying…");
  }

  /**
   * @param {boolean} lost  has there been no connection for a while?
   * @returns {string}
   */
  tellState(lost) {
    const { phase, node } = this.store.connection;
    if (this.store.refused) return "Refused";
    if (phase !== "open") return lost ? "Offline" : "Connecting…";
    return this.store.hasMajority ? new URL(node).host : "Read-only";
  }

  /**
   * @param {boolean} lost
   * @returns {string}
   */
  tellNotice(lost) {
    const { hasMajority, refused, connection } = this.store;
    if (refused) return refused;
    if (connection.phase === "open") return hasMajority ? "" : NO_MAJORITY;
    return lost ? "You are offline. What you write is kept and sent later." : "";
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
