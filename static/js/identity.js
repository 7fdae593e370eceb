// @ts-check
// Who the reader is: what the server says, what the forms at the door ask of it, and what is to be shown of both.
//
// The rules it keeps:
// - Nothing is fetched before it is known that the reader may come in.
// - Who comes in or goes out begins with a new page, so that nothing of one reader is left for another.  What was written
//   and not sent is in the outbox, and stays.

import { ApiError, changePassword, fetchMe, logIn, logOut, makeInvite, setUp, signUp } from "./api.js";
import { goToRooms, linkInvite, readInvite } from "./links.js";

/** @typedef {import("./store.js").Store} Store */

const RETRY_MS = 2_000;

export class Identity {
  /**
   * @param {Store} store
   * @param {() => void} admitted  the reader may come in
   */
  constructor(store, admitted) {
    this.store = store;
    this.admitted = admitted;
    this.asking = false;
  }

  /** Ask until there is an answer. */
  async begin() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.store.setAccount(await fetchMe());
      this.admitted();
    } catch (error) {
      this.noticeRefusal(/** @type {ApiError} */ (error));
    }
    this.asking = false;
  }

  /** A node turned the reader away: signed out, or this is not an open cluster any more. */
  async askAgain() {
    try {
      await fetchMe();
    } catch (error) {
      if (/** @type {ApiError} */ (error).status === 401) location.reload();
    }
  }

  /** @param {ApiError} error */
  noticeRefusal(error) {
    if (error.status !== 401) setTimeout(() => this.begin(), RETRY_MS);
    else if (error.problem.Setup === true) this.store.showDoor("setup");
    else this.store.showDoor(readInvite(location.hash) === "" ? "login" : "signup", error.problem.Signup === "open");
  }

  // What the reader does.  Each throws ApiError.

  /**
   * @param {string} name
   * @param {string} password
   */
  async logIn(name, password) {
    await logIn(name, password);
    location.reload();
  }

  /**
   * @param {string} invite
   * @param {string} name
   * @param {string} password
   */
  async signUp(invite, name, password) {
    await signUp(invite, name, password);
    goToRooms();
    await this.logIn(name, password);
  }

  /**
   * @param {string} token
   * @param {string} name
   * @param {string} password
   */
  async setUp(token, name, password) {
    await setUp(token, name, password);
    location.reload();
  }

  async logOut() {
    await logOut();
    location.reload();
  }

  /**
   * @param {string} oldPassword
   * @param {string} password
   */
  async changePassword(oldPassword, password) {
    await changePassword(this.store.user, oldPassword, password);
  }

  /** @returns {Promise<string>} the address that one who is invited opens */
  async invite() {
    return linkInvite(await makeInvite());
  }
}
