// @ts-check
// Whether the page is connected, and to which node: a dot below the rooms, and a notice when there is a problem.
//
// A loss of less than 5 s, such as a failover, shows no notice.

import { CONNECTION } from "../../strings.js";
import { formatFull } from "../dates.js";
import { find, setText } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

const NOTICE_AFTER_MS = 5_000;
const TICK_MS = 500;

export class StatusView {
  /**
   * @param {Store} store
   * @param {Session} session
   */
  constructor(store, session) {
    this.store = store;
    this.dot = find("connection", HTMLElement);
    this.text = find("connection-text", HTMLElement);
    this.notice = find("connection-notice", HTMLElement);
    this.noticeText = find("notice-text", HTMLElement);
    this.countdown = find("notice-countdown", HTMLElement);
    this.retry = find("retry-now", HTMLButtonElement);
    this.restored = find("restored", HTMLElement);
    this.restoredText = find("restored-text", HTMLElement);
    /** @type {ReturnType<typeof setInterval> | undefined} runs only while there is no connection */
    this.ticker = undefined;
    this.retry.addEventListener("click", () => session.retryNow());
    find("cluster", HTMLButtonElement).addEventListener("click", () => void this.openCluster());
    find("restored-ok", HTMLButtonElement).addEventListener("click", () => store.dismissRestored());
  }

  render() {
    const { phase, retryAt } = this.store.connection;
    const isLost = this.isLost();
    const notice = this.noticeOf(isLost);
    this.tick(phase !== "open");
    this.dot.dataset.phase = this.dotPhase(isLost);
    this.dot.title = notice;
    setText(this.text, this.statusText(isLost));
    this.notice.hidden = notice === "";
    setText(this.noticeText, notice);
    setText(this.countdown, phase === "open" ? "" : phase === "waiting" ? formatPause(retryAt - Date.now()) : CONNECTION.trying);
    this.retry.hidden = phase === "open";
    this.restored.hidden = !this.store.restored;
    setText(this.restoredText, this.store.restored ? CONNECTION.restored : "");
  }

  async openCluster() {
    const { ClusterView } = await import("./cluster.js");
    const { account } = this.store;
    new ClusterView(account?.Auth !== "login" || account.Role === "admin");
  }

  /** @returns {boolean} has there been no connection for a while? */
  isLost() {
    const { lostAt } = this.store.connection;
    return lostAt > 0 && Date.now() - lostAt >= NOTICE_AFTER_MS;
  }

  /**
   * @param {boolean} isLost
   * @returns {string} a value of data-phase in status.css
   */
  dotPhase(isLost) {
    const { connection, hasMajority, originRefusal } = this.store;
    if (originRefusal !== "" || isLost) return "lost";
    return connection.phase === "open" && !hasMajority ? "read-only" : connection.phase;
  }

  /**
   * @param {boolean} isLost
   * @returns {string}
   */
  statusText(isLost) {
    const { connection, hasMajority, originRefusal } = this.store;
    if (originRefusal !== "") return "Refused";
    if (connection.phase !== "open") return isLost ? "Offline" : CONNECTION.connecting;
    return hasMajority ? new URL(connection.node).host : "Read-only";
  }

  /**
   * @param {boolean} isLost
   * @returns {string} "" where there is no problem
   */
  noticeOf(isLost) {
    const { connection, hasMajority, originRefusal } = this.store;
    if (originRefusal !== "") return originRefusal;
    if (connection.phase === "open") return hasMajority ? "" : `${CONNECTION.readOnly} ${CONNECTION.mayBeStale}`;
    if (!isLost) return "";
    const keptAt = this.store.rooms.currentRoom?.timeline.keptAt ?? 0;
    return keptAt === 0 ? CONNECTION.offline : `${CONNECTION.offline} ${CONNECTION.keptAt(formatFull(new Date(keptAt)))}`;
  }

  /** @param {boolean} isNeeded */
  tick(isNeeded) {
    if (isNeeded) this.ticker ??= setInterval(() => this.render(), TICK_MS);
    else {
      clearInterval(this.ticker);
      this.ticker = undefined;
    }
  }
}

/**
 * @param {number} ms
 * @returns {string}
 */
function formatPause(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds > 1 ? CONNECTION.nextTry(seconds) : CONNECTION.trying;
}
