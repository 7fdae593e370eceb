// @ts-check
// The list of emoji and their names, loaded when it is needed first: data/emoji.json, made from Debian's unicode-data
// (tests/page/emoji_data.py).

/**
 * @typedef {object} Emoji
 * @property {string} sign
 * @property {string} name  the one to show
 * @property {string[]} codes  what stands between colons, the usual one first
 * @property {boolean} toned  may it have a skin tone?
 */

/** @typedef {{name: string, emoji: Emoji[]}} EmojiGroup */
/** @typedef {[string, string, string, number][]} Packed  sign, name, other codes, toned */

/** @type {EmojiGroup[]} */
let groups = [];
/** @type {Map<string, string>} */
const byCode = new Map();
/** @type {Promise<EmojiGroup[]> | null} */
let loading = null;

/** @returns {Promise<EmojiGroup[]>} rejects where it cannot be loaded; the next call tries again */
export function loadEmoji() {
  loading ??= fetchEmoji().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

/**
 * @param {string} code  without its colons
 * @returns {string | undefined} undefined also before the list is loaded
 */
export function emojiOf(code) {
  return byCode.get(code.toLowerCase());
}

async function fetchEmoji() {
  const response = await fetch(new URL("../data/emoji.json", import.meta.url));
  if (!response.ok) throw new Error(`emoji.json: ${response.status}`);
  const packed = /** @type {[string, Packed][]} */ (await response.json());
  groups = packed.map(([name, emoji]) => ({ name, emoji: emoji.map(unpack) }));
  for (const { emoji } of groups) {
    for (const { sign, codes } of emoji) for (const code of codes) if (!byCode.has(code)) byCode.set(code, sign);
  }
  return groups;
}

/**
 * @param {Packed[number]} packed
 * @returns {Emoji}
 */
function unpack([sign, name, codes, toned]) {
  const own = name.replace(/[^\p{L}\p{N}]+/gu, "_").replace(/^_|_$/g, "");
  return { sign, name, codes: [...codes.split(" ").filter(Boolean), own], toned: toned === 1 };
}
