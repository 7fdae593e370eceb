// @ts-check
// The round sign of a user: initials on the colour of the name.

import { make } from "../dom.js";
import { makeInitials, pickHue } from "../names.js";

/**
 * @param {string} user
 * @returns {HTMLElement}
 */
export function makeAvatar(user) {
  const avatar = make("span", `avatar ${pickHue(user)}`, makeInitials(user));
  avatar.setAttribute("aria-hidden", "true"); // the name itself stands beside it
  return avatar;
}
