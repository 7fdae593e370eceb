// @ts-check
// Who the user is: ask the server, show the sign-in form if it refuses, and do what the forms ask for.
//
// The rules it keeps:
// - Nothing is fetched before the server has said who the user is.
// - Signing in or out loads the page anew, so that nothing of one user is left for the next.  The outbox stays.

import { goToRooms, inviteLink, readInvite } from "./links.js";
import { changePassword, createInvite, fetchMe, setUp, signIn, signOut, signUp } from "./server/accounts_api.js";
import { ApiError } from "./server/http.js";

/** @typedef {import("./store/store.js").Store} Store */

const RETRY_MS = 2_000;
/** The server refuses the user whom a proxy names: deactivated, or a name that cannot be. */
const REFUSED = [403, 409];

export class Auth {
  /**
   * @param {Store} store
   * @param {() => void} onSignedIn  also called where no sign-in is needed
   */
  constructor(store, onSignedIn) {
    this.store = store;
    this.onSignedIn = onSignedIn;
  }

  /** Ask the server who the user is, until it answers. */
  async start() {
    try {
      this.store.setAccount(await fetchMe());
      this.store.setOriginRefusal("");
    } catch (error) {
      return this.onRefused(error);
    }
    this.onSignedIn();
  }

  /**
   * A node refused the user: show the sign-in form if the page's own node refuses them too, or the page of the user
   * whom a proxy names now.
   */
  async recheck() {
    try {
      const account = await fetchMe();
      if (account.Auth === "login" && account.User !== this.store.user) location.reload();
    } catch (error) {
      if (error instanceof ApiError && [401, ...REFUSED].includes(error.status)) location.reload();
    }
  }

  /** @param {unknown} error */
  onRefused(error) {
    if (!(error instanceof ApiError)) throw error;
    const hasInvite = readInvite(location.hash) !== "";
    if (REFUSED.includes(error.status)) this.store.setOriginRefusal(error.message);
    if (error.status !== 401) setTimeout(() => this.start(), RETRY_MS);
    else if (error.problem.Setup === true) this.store.showSignIn("set-up");
    else this.store.showSignIn(hasInvite ? "sign-up" : "sign-in", error.problem.Signup === "open");
  }

  // What the user does.  Each method throws ApiError.

  /**
   * @param {string} name
   * @param {string} password
   */
  async signIn(name, password) {
    await signIn(name, password);
    location.reload();
  }

  /**
   * @param {string} invite  "" where none is needed
   * @param {string} name
   * @param {string} password
   */
  async signUp(invite, name, password) {
    await signUp(invite, name, password);
    goToRooms();
    await this.signIn(name, password);
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

  async signOut() {
    await signOut();
    location.reload();
  }

  /**
   * @param {string} oldPassword
   * @param {string} password
   */
  async changePassword(oldPassword, password) {
    await changePassword(this.store.user, oldPassword, password);
  }

  /** @returns {Promise<string>} the link that an invited person opens */
  async createInviteLink() {
    return inviteLink(await createInvite());
  }
}
