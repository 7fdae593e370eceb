// @ts-check
// Requests about the user of this page, and about accounts.  Only the page's own node gets the cookie, so no other node
// is asked.

import { askHere, getFresh, readJson } from "./http.js";

/** @typedef {import("../types.js").Account} Account */

const INVITE_S = 7 * 24 * 60 * 60;

/**
 * The user of this page.  Only the page's own node gets the cookie, so no other node is asked.
 * @returns {Promise<Account>}
 */
export async function fetchMe() {
  return /** @type {Account} */ (await readJson(await getFresh("me?", (path) => askHere("GET", path))));
}

/**
 * @param {string} name
 * @param {string} password
 */
export async function signIn(name, password) {
  await askHere("POST", "login", { Name: name, Password: password, Label: "browser" });
}

export async function signOut() {
  await askHere("POST", "logout", {});
}

/**
 * Create the first account, and sign in to it.
 * @param {string} token  the setup token that the node printed
 * @param {string} name
 * @param {string} password
 */
export async function setUp(token, name, password) {
  await askHere("POST", "setup", { Token: token, Name: name, Password: password });
}

/**
 * @param {string} invite  "" where anybody may sign up
 * @param {string} name
 * @param {string} password
 */
export async function signUp(invite, name, password) {
  await askHere("POST", "users", { Name: name, Password: password, ...(invite === "" ? {} : { Invite: invite }) });
}

/**
 * @param {string} name
 * @param {string} oldPassword
 * @param {string} password
 */
export async function changePassword(name, oldPassword, password) {
  const path = `users/${encodeURIComponent(name)}`;
  await askHere("PATCH", path, { OldPassword: oldPassword, Password: password });
}

/**
 * Create an invite for one member, valid for a week.
 * @returns {Promise<string>} its secret, which the server tells only once
 */
export async function createInvite() {
  const response = await askHere("POST", "invites", { Role: "member", Uses: 1, ExpiresIn: INVITE_S });
  return /** @type {{Invite: string}} */ (await readJson(response)).Invite;
}
