// @ts-check
// Who the user is: ask the server, show the sign-in form if it refuses, and do what the forms ask for.
//
// The rules it keeps:
// - Nothing is shown or fetched before the server has said who the user is, unless the page's own node does not answer.
//   Then the page goes on as the user of the last visit: another node lets them in by their ticket, or not.
// - Signing in or out loads the page anew, so that nothing of one user is left for the next.
// - Signing out, or a session that was ended, removes what the browser kept of the user.  Unsent messages of an ended
//   session stay: their author signs in again, and nobody else sees them.

import { goToRooms, inviteLink, readInvite } from "./links.js";
import { keepAccount, readAccount, wipe } from "./kept.js";
import { changePassword, createInvite, fetchMe, setUp, signIn, signOut, signUp } from "./server/accounts_api.js";
import { ApiError } from "./server/http.js";

/** @typedef {import("./store/store.js").Store} Store */

const RETRY_MS = 2_000;
/** A node that takes longer to answer counts as gone, if an earlier visit is known. */
const PATIENCE_MS = 1_500;
/** While the page's own node does not answer, the page asks it this often whether the user is still signed in. */
const RECHECK_MS = 10_000;
/** The server refuses the user whom a proxy names: deactivated, or a name that cannot be. */
const REFUSED = [403, 409];

export class Auth {
  /**
   * @param {Store} store
   * @param {(isHomeGone: boolean) => void} onSignedIn  also called where no sign-in is needed; isHomeGone: the page's own
   *   node does not answer
   */
  constructor(store, onSignedIn) {
    this.store = store;
    this.onSignedIn = onSignedIn;
  }

  /** Ask the server who the user is, until it answers. */
  async start() {
    const asked = fetchMe().then(
      (account) => ({ account, error: null }),
      (/** @type {unknown} */ error) => ({ account: null, error }),
    );
    const reading = readAccount(); // the first time it takes long
    const late = reading.then((kept) => (kept === null ? asked : pause(PATIENCE_MS)));
    const answer = await Promise.race([asked, late]);
    if (answer?.account) return this.onAccount(answer.account);
    const kept = await reading;
    if (kept !== null && (answer === null || isGone(answer.error))) return this.goOn(kept);
    return this.onRefused(answer?.error);
  }

  /** @param {import("./types.js").Account} account */
  onAccount(account) {
    keepAccount(account);
    this.store.setAccount(account);
    this.store.setOriginRefusal("");
    this.onSignedIn(false);
  }

  /**
   * Go on without the page's own node.
   * @param {import("./types.js").Account} kept  of the last visit
   */
  goOn(kept) {
    this.store.setAccount(kept);
    this.onSignedIn(true);
    const timer = setInterval(async () => (await this.recheck()) && clearInterval(timer), RECHECK_MS);
  }

  /**
   * A node refused the user: show the sign-in form if the page's own node refuses them too, or the page of the user
   * whom a proxy names now.
   * @returns {Promise<boolean>} true where the page's own node answered
   */
  async recheck() {
    try {
      const account = await fetchMe();
      if (account.Auth === "login" && account.User !== this.store.user) location.reload();
    } catch (error) {
      if (error instanceof ApiError && [401, ...REFUSED].includes(error.status)) location.reload();
      return !isGone(error);
    }
    return true;
  }

  /** @param {unknown} error */
  onRefused(error) {
    if (!(error instanceof ApiError)) throw error;
    const hasInvite = readInvite(location.hash) !== "";
    if (REFUSED.includes(error.status)) this.store.setOriginRefusal(error.message);
    if (error.status === 401) void wipe();
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
    this.store.drafts.clear();
    await Promise.all([wipe(), this.store.outbox.clear()]);
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

/**
 * @param {unknown} error
 * @returns {boolean} true where the page's own node did not answer, or a proxy answered for it
 */
function isGone(error) {
  return error instanceof ApiError && (error.status === 0 || error.status >= 502);
}

/**
 * @param {number} ms
 * @returns {Promise<null>}
 */
function pause(ms) {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}
