// @ts-check
// What the page knows: rooms, the connection, the user, and the outbox.
//
// The rules it keeps: views read the store and never write to it, and every change ends in `changed()`.

import { HOME } from "../links.js";
import { readItem, writeItem } from "../local_storage.js";
import { Deletions } from "./deletions.js";
import { Drafts } from "./drafts.js";
import { Outbox } from "./outbox.js";
import { Preferences } from "./preferences.js";
import { Presence } from "./presence.js";
import { RoomList } from "./room_list.js";

/** @typedef {import("../types.js").Connection} Connection */
/** @typedef {import("../types.js").SignInForm} SignInForm */

export class Store {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.outbox = new Outbox(changed, () => (this.account?.Auth === "login" ? this.user : null));
    this.preferences = new Preferences(changed, () => this.account?.Auth === "login");
    this.rooms = new RoomList(changed, () => this.user, (room) => this.preferences.isMuted(room));
    this.presence = new Presence(changed);
    this.drafts = new Drafts(changed);
    this.deletions = new Deletions(changed);
    /** @type {Connection} */
    this.connection = { phase: "connecting", node: HOME, retryAt: 0, lostAt: Date.now() };
    /** Does the connected node have a majority?  Without one nothing can be written. */
    this.hasMajority = true;
    /** The reason why the page's node refuses the page; "" if it does not. */
    this.originRefusal = "";
    /** Did the server lose what this page showed?  True until the user has read the notice. */
    this.restored = false;
    this.user = readItem("user");
    /** @type {import("../types.js").Account | null} null until the server has answered */
    this.account = null;
    /** @type {SignInForm | null} null where the user need not sign in */
    this.signInForm = null;
    /** May anybody create an account, without an invite? */
    this.signUpOpen = false;
  }

  /** @param {Connection} connection */
  setConnection(connection) {
    this.connection = connection;
    this.changed();
  }

  /** @param {boolean} hasMajority */
  setMajority(hasMajority) {
    this.hasMajority = hasMajority;
    this.changed();
  }

  /** @param {string} reason */
  setOriginRefusal(reason) {
    this.originRefusal = reason;
    this.changed();
  }

  /** @param {string} user */
  setUser(user) {
    this.user = user;
    writeItem("user", user);
    this.changed();
  }

  /** @param {import("../types.js").Account} account */
  setAccount(account) {
    this.account = account;
    this.signInForm = null;
    if (account.User !== undefined) this.user = account.User; // not stored: it must not stay for the next user
    this.changed();
  }

  /**
   * @param {SignInForm} form
   * @param {boolean} [signUpOpen]
   */
  showSignIn(form, signUpOpen = this.signUpOpen) {
    this.signInForm = form;
    this.signUpOpen = signUpOpen;
    this.changed();
  }

  /** Drop everything that was read from a server that has lost it.  The outbox and the drafts stay. */
  startOver() {
    this.restored = true;
    this.rooms.clear();
  }

  /** The user has read that the page started over. */
  dismissRestored() {
    this.restored = false;
    this.changed();
  }
}
