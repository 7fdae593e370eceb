// @ts-check
// The reader's account, where there is a login: a dialog behind their name.

import { find, setText } from "../dom.js";

/** @typedef {import("../identity.js").Identity} Identity */
/** @typedef {import("../store.js").Store} Store */

export class AccountView {
  /**
   * @param {Store} store
   * @param {Identity} identity
   */
  constructor(store, identity) {
    this.store = store;
    this.identity = identity;
    this.dialog = find("account-dialog", HTMLDialogElement);
    this.form = find("account-form", HTMLFormElement);
    this.link = find("account-invite-link", HTMLInputElement);
    this.said = find("account-status", HTMLElement);
    this.form.addEventListener("submit", (event) => this.changePassword(event));
    this.on("account-sign-out", () => this.attempt(() => identity.logOut()));
    this.on("account-close", () => this.dialog.close());
    this.on("account-invite-create", () => this.attempt(() => this.invite()));
  }

  open() {
    const { account } = this.store;
    setText(find("account-heading", HTMLElement), `${account?.User} (${account?.Role})`);
    setText(this.said, "");
    find("account-name", HTMLInputElement).value = this.store.user;
    find("account-details", HTMLDetailsElement).open = false;
    find("account-invite", HTMLElement).hidden = account?.Role !== "admin";
    this.link.hidden = true;
    this.form.reset();
    this.dialog.showModal();
  }

  /** @param {SubmitEvent} event */
  changePassword(event) {
    event.preventDefault();
    const [old, chosen] = [find("account-old", HTMLInputElement).value, find("account-new", HTMLInputElement).value];
    void this.attempt(async () => {
      await this.identity.changePassword(old, chosen);
      this.form.reset();
      setText(this.said, "Your password is changed, and you are signed out everywhere else.");
    });
  }

  async invite() {
    this.link.value = await this.identity.invite();
    this.link.hidden = false;
    this.link.select();
    setText(this.said, "Send this link to one person. It is good for a week.");
  }

  /**
   * @param {string} id
   * @param {() => void} press
   */
  on(id, press) {
    find(id, HTMLButtonElement).addEventListener("click", press);
  }

  /** @param {() => Promise<void>} verb */
  async attempt(verb) {
    setText(this.said, "");
    try {
      await verb();
    } catch (error) {
      setText(this.said, /** @type {Error} */ (error).message);
    }
  }
}
