// @ts-check
// The forms of a user who is not signed in: sign in, create an account, or create the first account.

import { readInvite } from "../../links.js";
import { ApiError } from "../../server/http.js";
import { checkName, checkPassword, countCodePoints, normalizeName, PASSWORD_MIN } from "../../validation.js";
import { find, setText } from "../dom.js";

/** @typedef {import("../../auth.js").Auth} Auth */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").SignInForm} SignInForm */

/** Checking a password takes a second or two on purpose. */
const BUSY = "One moment…";
const WRONG = "Wrong name or password.";
const NEED_INVITE = "You need an invite. Ask an admin for one.";

/**
 * The texts of a form, and the form that its second button opens.
 * @typedef {object} FormTexts
 * @property {string} heading
 * @property {string} intro
 * @property {string} secret  the label of the invite or the setup token; "" where the form needs none
 * @property {string} submit
 * @property {SignInForm | null} switchTo
 * @property {string} switchText
 */

/** @type {Record<SignInForm, FormTexts>} */
const FORMS = {
  "sign-in": {
    heading: "Sign in",
    intro: "",
    secret: "",
    submit: "Sign in",
    switchTo: "sign-up",
    switchText: "I have no account yet",
  },
  "sign-up": {
    heading: "Join",
    intro: "Choose the name that others see.",
    secret: "Invite",
    submit: "Create account",
    switchTo: "sign-in",
    switchText: "I have an account",
  },
  "set-up": {
    heading: "Welcome",
    intro: "Nobody has an account here yet. The first one is yours, and you are an admin.",
    secret: "Setup token, which the server printed when it started",
    submit: "Create account",
    switchTo: null,
    switchText: "",
  },
};

export class SignInView {
  /**
   * @param {Store} store
   * @param {Auth} auth
   */
  constructor(store, auth) {
    this.store = store;
    this.auth = auth;
    this.section = find("sign-in", HTMLElement);
    this.form = find("sign-in-form", HTMLFormElement);
    this.secret = find("sign-in-secret", HTMLInputElement);
    this.name = find("sign-in-name", HTMLInputElement);
    this.password = find("sign-in-password", HTMLInputElement);
    this.error = find("sign-in-error", HTMLElement);
    this.submit = find("sign-in-submit", HTMLButtonElement);
    this.switch = find("sign-in-switch", HTMLButtonElement);
    /** @type {SignInForm | null} */
    this.shown = null;
    this.form.addEventListener("submit", (event) => void this.onSubmit(event));
    this.form.addEventListener("input", () => setText(this.error, ""));
    this.switch.addEventListener("click", () => this.onSwitch());
  }

  render() {
    const form = this.store.signInForm;
    if (form === this.shown) return;
    this.shown = form;
    this.section.hidden = form === null;
    if (form !== null) this.show(form);
  }

  /** @param {SignInForm} form */
  show(form) {
    const { heading, intro, submit, switchTo, switchText } = FORMS[form];
    const invite = form === "sign-up" ? readInvite(location.hash) : "";
    const mayJoin = form !== "sign-up" || this.store.signUpOpen || invite !== "";
    const secret = form === "sign-up" && this.store.signUpOpen && invite === "" ? "" : FORMS[form].secret;
    setText(find("sign-in-heading", HTMLElement), heading);
    setText(find("sign-in-intro", HTMLElement), mayJoin ? intro : NEED_INVITE);
    setText(find("sign-in-secret-label", HTMLElement), secret);
    setText(this.submit, submit);
    setText(this.switch, switchText);
    setText(this.error, "");
    find("sign-in-secret-row", HTMLElement).hidden = secret === "";
    this.switch.hidden = switchTo === null;
    this.password.autocomplete = form === "sign-in" ? "current-password" : "new-password";
    this.secret.value = invite;
    (secret === "" || invite !== "" ? this.name : this.secret).focus();
  }

  onSwitch() {
    const form = this.shown === null ? null : FORMS[this.shown].switchTo;
    if (form !== null) this.store.showSignIn(form);
  }

  /** @param {SubmitEvent} event */
  async onSubmit(event) {
    event.preventDefault();
    const form = this.shown;
    const name = normalizeName(this.name.value);
    const error = checkName(name) || this.checkPassword();
    setText(this.error, error);
    if (form === null || error !== "" || this.submit.disabled) return;
    this.setBusy(true, BUSY);
    try {
      await this.send(form, this.secret.value.trim(), name, this.password.value);
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      setText(this.error, form === "sign-in" && failure.isWrongPassword ? WRONG : failure.message);
    } finally {
      this.setBusy(false, FORMS[this.shown ?? form].submit);
    }
  }

  /**
   * @param {boolean} busy
   * @param {string} text  of the button
   */
  setBusy(busy, text) {
    this.submit.disabled = busy;
    this.form.setAttribute("aria-busy", String(busy));
    setText(this.submit, text);
  }

  /** @returns {string} the error to show; "" where the password may be right */
  checkPassword() {
    const password = this.password.value;
    if (password === "") return "Enter your password.";
    if (this.shown !== "sign-in") return checkPassword(password);
    return countCodePoints(password) < PASSWORD_MIN ? WRONG : ""; // no user has such a short password
  }

  /**
   * @param {SignInForm} form
   * @param {string} secret
   * @param {string} name
   * @param {string} password
   */
  async send(form, secret, name, password) {
    if (form === "set-up") return this.auth.setUp(secret, name, password);
    if (form === "sign-up") return this.auth.signUp(secret, name, password);
    return this.auth.signIn(name, password);
  }
}
