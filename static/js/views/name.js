// @ts-check
// The reader's name: shown below the rooms, asked for in a dialog where it is not an account's.

import { find, setText } from "../dom.js";
import { faultOfName, tidyName } from "../names.js";
import { makeAvatar } from "./avatar.js";

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../store.js").Store} Store */

export class NameView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {import("./account.js").AccountView} accountView
   */
  constructor(store, session, accountView) {
    this.store = store;
    this.session = session;
    this.button = find("me", HTMLButtonElement);
    this.dialog = find("name-dialog", HTMLDialogElement);
    this.form = find("name-form", HTMLFormElement);
    this.input = find("name", HTMLInputElement);
    this.fault = find("name-error", HTMLElement);
    /** @type {string | null} */
    this.shown = null;
    this.then = () => {};
    this.button.addEventListener("click", () => this.openAccount(accountView));
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.input.addEventListener("input", () => this.tellFault(""));
    find("name-cancel", HTMLButtonElement).addEventListener("click", () => this.dialog.close());
  }

  render() {
    const { user } = this.store;
    if (user === this.shown) return;
    this.shown = user;
    const label = document.createElement("span");
    label.className = "me-name";
    label.dir = "auto";
    label.textContent = user === "" ? "Choose your name" : user;
    this.button.replaceChildren(makeAvatar(user === "" ? "?" : user), label);
    const verb = this.store.account?.Auth === "login" ? "Your account" : "Change your name";
    this.button.setAttribute("aria-label", user === "" ? "Choose your name" : `You are ${user}. ${verb}`);
  }

  /** @param {import("./account.js").AccountView} accountView */
  openAccount(accountView) {
    if (this.store.account?.Auth === "login") accountView.open();
    else this.ask(() => {});
  }

  /**
   * Open the dialog; `then` runs once a name has been chosen.
   * @param {() => void} then
   */
  ask(then) {
    this.then = then;
    this.input.value = this.store.user;
    this.tellFault("");
    this.dialog.showModal();
    this.input.select();
  }

  /** @param {SubmitEvent} event */
  submit(event) {
    event.preventDefault();
    const name = tidyName(this.input.value);
    const fault = faultOfName(name);
    this.tellFault(fault);
    if (fault !== "") return this.input.focus();
    this.session.beCalled(name);
    this.dialog.close();
    this.then();
  }

  /** @param {string} fault */
  tellFault(fault) {
    setText(this.fault, fault);
    this.input.setAttribute("aria-invalid", String(fault !== ""));
  }
}
