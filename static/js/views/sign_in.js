// @ts-check
// The form that a reader meets who is not signed in: to sign in, to sign up by an invite, to make the first account.

import { find, setText } from "../dom.js";
import { readInvite } from "../links.js";
import { faultOfName, tidyName } from "../names.js";

/** @typedef {import("../identity.js").Identity} Identity */
/** @typedef {import("../store.js").Store} Store */

const PASSWORD_MIN = 8;
/** Checking a password takes a second or two on purpose. */
const WAITING = "One moment…";

/** What each form says, and where its second button leads. */
const DOORS = {
  login: { heading: "Sign in", words: "", secret: "", enter: "Sign in", other: "I have no account yet", leads: "signup" },
  signup: {
    heading: "Join", words: "Choose the name that others will know you by.", secret: "Invite", enter: "Join",
    other: "I have an account", leads: "login",
  },
  setup: {
    heading: "Welcome", words: "Nobody has an account here yet. Yours, the first one, will be an admin's.",
    secret: "Set-up token, which the server printed when it started", enter: "Make the account",
    other: "", leads: "setup",
  },
};

export class DoorView {
  /**
   * @param {Store} store
   * @param {Identity} identity
   */
  constructor(store, identity) {
    this.store = store;
    this.identity = identity;
    this.section = find("sign-in", HTMLElement);
    this.form = find("sign-in-form", HTMLFormElement);
    this.secret = find("sign-in-secret", HTMLInputElement);
    this.name = find("sign-in-name", HTMLInputElement);
    this.password = find("sign-in-password", HTMLInputElement);
    this.fault = find("sign-in-error", HTMLElement);
    this.enter = find("sign-in-submit", HTMLButtonElement);
    this.other = find("sign-in-switch", HTMLButtonElement);
    /** @type {import("../types.js").Door} */
    this.shown = "";
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.form.addEventListener("input", () => setText(this.fault, ""));
    this.other.addEventListener("click", () => this.goOn());
  }

  render() {
    const { door } = this.store;
    if (door === this.shown) return;
    this.shown = door;
    this.section.hidden = door === "";
    if (door === "") return;
    const { heading, words, enter, other } = DOORS[door];
    const invite = readInvite(location.hash);
    const secret = door === "signup" && this.store.signupOpen && invite === "" ? "" : DOORS[door].secret;
    setText(find("sign-in-heading", HTMLElement), heading);
    setText(find("sign-in-intro", HTMLElement), words);
    setText(find("sign-in-secret-label", HTMLElement), secret);
    setText(this.enter, enter);
    setText(this.other, other);
    setText(this.fault, "");
    find("sign-in-secret-row", HTMLElement).hidden = secret === "";
    this.other.hidden = other === "";
    this.password.autocomplete = door === "login" ? "current-password" : "new-password";
    this.secret.value = door === "signup" ? invite : "";
    (secret === "" || this.secret.value !== "" ? this.name : this.secret).focus();
  }

  goOn() {
    if (this.shown !== "") this.store.showDoor(/** @type {import("../types.js").Door} */ (DOORS[this.shown].leads));
  }

  /** @param {SubmitEvent} event */
  async submit(event) {
    event.preventDefault();
    const name = tidyName(this.name.value);
    const fault = faultOfName(name) || this.faultOfPassword();
    setText(this.fault, fault);
    if (fault !== "" || this.enter.disabled) return;
    this.enter.disabled = true;
    this.form.setAttribute("aria-busy", "true");
    setText(this.enter, WAITING);
    try {
      await this.pass(this.secret.value.trim(), name, this.password.value);
    } catch (error) {
      setText(this.fault, /** @type {Error} */ (error).message);
    }
    this.form.removeAttribute("aria-busy");
    if (this.shown !== "") setText(this.enter, DOORS[this.shown].enter);
    this.enter.disabled = false;
  }

  /** @returns {string} "" where there is none; at a sign-in any that is not blank is for the server to judge */
  faultOfPassword() {
    const { length } = [...this.password.value];
    if (this.shown === "login") return length > 0 ? "" : "Enter your password.";
    return length >= PASSWORD_MIN ? "" : `The password needs at least ${PASSWORD_MIN} characters.`;
  }

  /**
   * @param {string} secret
   * @param {string} name
   * @param {string} password
   */
  async pass(secret, name, password) {
    if (this.shown === "setup") return this.identity.setUp(secret, name, password);
    if (this.shown === "signup") return this.identity.signUp(secret, name, password);
    return this.identity.logIn(name, password);
  }
}
