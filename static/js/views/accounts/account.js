// @ts-check
// The dialog behind the user's name, where there is sign-in: change the password, invite people, sign out.

import { ApiError } from "../../server/http.js";
import { SIGN_OUT } from "../../dialog_strings.js";
import { checkPassword } from "../../validation.js";
import { find, setText } from "../dom.js";

/** @typedef {import("../../auth.js").Auth} Auth */
/** @typedef {import("../../store/store.js").Store} Store */

export class AccountView {
  /**
   * @param {Store} store
   * @param {Auth} auth
   */
  constructor(store, auth) {
    this.store = store;
    this.auth = auth;
    this.dialog = find("account-dialog", HTMLDialogElement);
    this.form = find("account-form", HTMLFormElement);
    this.oldPassword = find("account-old", HTMLInputElement);
    this.newPassword = find("account-new", HTMLInputElement);
    this.link = find("account-invite-link", HTMLInputElement);
    this.status = find("account-status", HTMLElement);
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.onClick("account-sign-out", () => this.run(() => this.signOut()));
    /** Does the user know that signing out discards unsent messages? */
    this.isWarned = false;
    this.onClick("account-close", () => this.dialog.close());
    this.onClick("account-invite-create", () => this.run(() => this.invite()));
  }

  open() {
    const { account } = this.store;
    setText(find("account-heading", HTMLElement), `${this.store.user} (${account?.Role})`);
    setText(this.status, "");
    this.isWarned = false;
    find("account-name", HTMLInputElement).value = this.store.user;
    find("account-details", HTMLDetailsElement).open = false;
    find("account-details", HTMLDetailsElement).hidden = account?.Proxy === true;
    find("account-sign-out", HTMLButtonElement).hidden = account?.Proxy === true;
    find("account-invite", HTMLElement).hidden = account?.Role !== "admin";
    this.link.hidden = true;
    this.form.reset();
    this.dialog.showModal();
  }

  /** @param {SubmitEvent} event */
  onSubmit(event) {
    event.preventDefault();
    void this.run(() => this.changePassword());
  }

  async changePassword() {
    const error = checkPassword(this.newPassword.value);
    if (error !== "") return setText(this.status, error);
    await this.auth.changePassword(this.oldPassword.value, this.newPassword.value);
    this.form.reset();
    setText(this.status, "Your password was changed, and you are signed out everywhere else.");
  }

  async signOut() {
    const unsent = this.store.outbox.own.length;
    if (unsent > 0 && !this.isWarned) {
      this.isWarned = true;
      return setText(this.status, SIGN_OUT.unsent(unsent));
    }
    await this.auth.signOut();
  }

  async invite() {
    this.link.value = await this.auth.createInviteLink();
    this.link.hidden = false;
    this.link.select();
    setText(this.status, "Send this link to one person. It works once, within seven days.");
  }

  /**
   * @param {string} id
   * @param {() => void} onClick
   */
  onClick(id, onClick) {
    find(id, HTMLButtonElement).addEventListener("click", onClick);
  }

  /**
   * Run an action, and show its error.
   * @param {() => Promise<void>} action
   */
  async run(action) {
    setText(this.status, "");
    try {
      await action();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.status, error.isWrongPassword ? "The old password is wrong." : error.message);
    }
  }
}
