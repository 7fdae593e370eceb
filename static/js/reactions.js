// @ts-check
// A post's reactions as they are after what the socket tells of them: one that was put or taken, or all of them.

/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").Happening} Happening */

/**
 * @param {Post} post
 * @param {Happening} happening
 * @returns {Post}
 */
export function reactedTo(post, { Reactions, Emoji, User, On }) {
  if (Emoji === undefined || User === undefined) return { ...post, Reactions };
  const users = new Map(Object.entries(post.Reactions ?? {}));
  const before = users.get(Emoji) ?? [];
  const others = before.filter((user) => user !== User);
  if (!On) users.set(Emoji, others);
  else if (others.length === before.length) users.set(Emoji, [...others, User]); // told of twice, it stays in its place
  return { ...post, Reactions: Object.fromEntries([...users].filter(([, who]) => who.length > 0)) };
}
