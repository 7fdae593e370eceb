// @ts-check
// The reactions of a message after a `Reacted` event: one reaction was added or removed, or all of them are given.

/** @typedef {import("../types.js").Post} Post */
/** @typedef {import("../types.js").RoomEvent} RoomEvent */

/**
 * @param {Post} post
 * @param {RoomEvent} event
 * @returns {Post}
 */
export function applyReaction(post, { Reactions = {}, Emoji, User, On }) {
  if (Emoji === undefined || User === undefined) return { ...post, Reactions };
  const users = new Map(Object.entries(post.Reactions ?? {}));
  const before = users.get(Emoji) ?? [];
  const others = before.filter((user) => user !== User);
  if (!On) users.set(Emoji, others);
  else if (others.length === before.length) users.set(Emoji, [...others, User]); // a repeated event changes nothing
  return { ...post, Reactions: Object.fromEntries([...users].filter(([, who]) => who.length > 0)) };
}
