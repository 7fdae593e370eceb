// @ts-check
// The user's name below the rooms.  A click opens the account.  Without sign-in it opens a dialog to choose a name.

import { checkName, normalizeName } from "../../validation.js";
import { makeAvatar } from "../avatar.js";
import { ACCOUNT } from "../../strings.js";
import { find, makeText, setText } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

export class UserNameView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {() => void} openAccount
   */
  constructor(store, session, openAccount) {
    this.store = store;
    this.session = session;
    this.place = find("me", HTMLElement);
    this.button = find("account", HTMLButtonElement); // lies over the whole place
    this.dialog = find("name-dialog", HTMLDialogElement);
    this.form = find("name-form", HTMLFormElement);
    this.input = find("name", HTMLInputElement);
    this.error = find("name-error", HTMLElement);
    this.shown = "";
    this.onChosen = () => {};
    this.button.addEventListener("click", () => this.open(openAccount));
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.input.addEventListener("input", () => this.showError(""));
    find("name-cancel", HTMLButtonElement).addEventListener("click", () => this.dialog.close());
  }

  render() {
    const { account, user } = this.store;
    const signature = JSON.stringify([user, account?.Auth]);
    if (signature === this.shown) return;
    this.shown = signature;
    const label = makeText("span", "me-name", user === "" ? ACCOUNT.chooseName : user);
    this.place.replaceChildren(makeAvatar(user === "" ? "?" : user), label, this.button);
    this.button.setAttribute("aria-label", ACCOUNT.button);
    this.button.setAttribute("aria-description", describe(user, account?.Auth === "login"));
  }

  /** @param {() => void} openAccount */
  open(openAccount) {
    if (this.store.account?.Auth === "login") openAccount();
    else this.ask(() => {});
  }

  /**
   * Open the dialog.
   * @param {() => void} onChosen  called once a name was chosen
   */
  ask(onChosen) {
    this.onChosen = onChosen;
    this.input.value = this.store.user;
    this.showError("");
    this.dialog.showModal();
    this.input.select();
  }

  /** @param {SubmitEvent} event */
  onSubmit(event) {
    event.preventDefault();
    const name = normalizeName(this.input.value);
    const error = checkName(name);
    this.showError(error);
    if (error !== "") return this.input.focus();
    this.session.setUser(name);
    this.dialog.close();
    this.onChosen();
  }

  /** @param {string} error */
  showError(error) {
    setText(this.error, error);
    this.input.setAttribute("aria-invalid", String(error !== ""));
  }
}

/**
 * @param {string} user  "" for none
 * @param {boolean} hasLogin
 * @returns {string}
 */
function describe(user, hasLogin) {
  if (user === "") return ACCOUNT.chooseName;
  return `${ACCOUNT.youAre(user)} ${hasLogin ? "" : ACCOUNT.changeName}`.trim();
}
