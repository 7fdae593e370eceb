// @ts-check
// Whether a message mentions a user: for what comes live.  The server counts by the same rule.

const WORD = /[\p{L}\p{N}_]/u;

/**
 * @param {string} message
 * @param {string} user
 * @returns {boolean} does it have "@user" or "@room", with no letter or digit before or after?
 */
export function mentionsUser(message, user) {
  return user !== "" && [user, "room"].some((name) => hasMention(message, name));
}

/**
 * @param {string} message
 * @param {string} name
 * @returns {boolean}
 */
function hasMention(message, name) {
  const mention = `@${name}`;
  for (let at = message.indexOf(mention); at >= 0; at = message.indexOf(mention, at + 1)) {
    const before = message.slice(0, at).match(/.$/su)?.[0] ?? "";
    const after = message.slice(at + mention.length).match(/^./su)?.[0] ?? "";
    if (!WORD.test(before) && !WORD.test(after)) return true;
  }
  return false;
}
