// @ts-check
// The emoji picker: search, the recent ones, groups, and a skin tone that is kept.

import { loadEmoji } from "../../emoji_data.js";
import { readItem, writeItem } from "../../local_storage.js";
import { EMOJI } from "../../dialog_strings.js";
import { make } from "../dom.js";
import { openPopup } from "../menu.js";
import { addStyles } from "../styles.js";

/** @typedef {import("../../emoji_data.js").Emoji} Emoji */
/** @typedef {import("../../emoji_data.js").EmojiGroup} EmojiGroup */

addStyles(new URL("../../../css/emoji.css", import.meta.url).href);

const RECENT_MAX = 24;
const USUAL = ["👍", "❤️", "😂", "🎉", "👀", "🙏", "✅", "🚀"];
const FOUND_MAX = 120;
const TONES = ["", "🏻", "🏼", "🏽", "🏾", "🏿"];
/** A row of the picker has so many, for the arrows up and down; its style sheet has the same number. */
const COLUMNS = 8;

/** @returns {string[]} the emoji that were used last, then usual ones */
export function recentEmoji() {
  const used = readItem("emoji.recent").split(" ").filter(Boolean);
  return [...new Set([...used, ...USUAL])].slice(0, RECENT_MAX);
}

/** @param {string} sign */
export function noteEmoji(sign) {
  const used = readItem("emoji.recent").split(" ").filter((other) => other !== "" && other !== sign);
  writeItem("emoji.recent", [sign, ...used].slice(0, RECENT_MAX).join(" "));
}

/**
 * @param {Element} anchor
 * @param {(sign: string) => void} onPick
 * @param {() => void} [onClose]
 */
export function openEmojiPicker(anchor, onPick, onClose = () => {}) {
  const search = make("input", "field");
  search.type = "search";
  search.placeholder = EMOJI.search;
  search.setAttribute("aria-label", EMOJI.search);
  const tone = makeToneSelect();
  const list = make("div", "emoji-list");
  const content = make("div", "emoji-picker", make("div", "emoji-head", search, tone), list);
  const popup = openPopup(anchor, content, { label: EMOJI.picker, onClose });
  /** @type {EmojiGroup[]} */
  let groups = [];
  const pick = (/** @type {string} */ sign) => {
    noteEmoji(sign);
    popup.close();
    onPick(sign);
  };
  const show = () => {
    list.replaceChildren(...makeSections(groups, search.value.trim().toLowerCase(), Number(tone.value)));
  };
  list.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button !== null) pick(button.dataset.sign ?? "");
  });
  search.addEventListener("input", show);
  tone.addEventListener("change", () => {
    writeItem("emoji.tone", tone.value);
    show();
  });
  content.addEventListener("keydown", (event) => onKey(event, search, list, pick));
  show();
  search.focus();
  loadEmoji().then(
    (loaded) => {
      groups = loaded;
      show();
    },
    () => list.append(make("p", "emoji-note", EMOJI.failed)),
  );
}

/** @returns {HTMLSelectElement} */
function makeToneSelect() {
  const select = make("select", "emoji-tone", ...TONES.map((tone, at) => {
    const option = make("option", "", `✋${tone}`);
    option.value = String(at);
    option.setAttribute("aria-label", EMOJI.tones[at] ?? "");
    return option;
  }));
  select.setAttribute("aria-label", EMOJI.tone);
  select.value = readItem("emoji.tone") || "0";
  return select;
}

/**
 * @param {EmojiGroup[]} groups
 * @param {string} sought
 * @param {number} tone
 * @returns {HTMLElement[]}
 */
function makeSections(groups, sought, tone) {
  if (sought !== "") return [makeSection(EMOJI.found, search(groups, sought), tone)];
  const recent = recentEmoji().map((sign) => ({ sign, name: sign, codes: [], toned: false }));
  return [makeSection(EMOJI.recent, recent, tone), ...groups.map(({ name, emoji }) => makeSection(name, emoji, tone))];
}

/**
 * Find emoji whose name has all words; those whose name begins with the first one come first.
 * @param {EmojiGroup[]} groups
 * @param {string} sought
 * @returns {Emoji[]}
 */
export function search(groups, sought) {
  const words = sought.replace(/^:|:$/g, "").split(/[\s_]+/).filter(Boolean);
  const all = groups.flatMap(({ emoji }) => emoji);
  const fits = (/** @type {Emoji} */ { name, codes }) =>
    words.every((word) => name.includes(word) || codes.some((code) => code.includes(word)));
  const first = words[0] ?? "";
  const rank = (/** @type {Emoji} */ each) => (each.codes.some((code) => code.startsWith(first)) ? 0 : 1);
  return all.filter(fits).sort((one, other) => rank(one) - rank(other)).slice(0, FOUND_MAX);
}

/**
 * @param {string} heading
 * @param {Emoji[]} emoji
 * @param {number} tone
 * @returns {HTMLElement}
 */
function makeSection(heading, emoji, tone) {
  const buttons = emoji.map((each) => {
    const sign = each.toned ? withTone(each.sign, tone) : each.sign;
    const button = make("button", "emoji", sign);
    button.type = "button";
    button.dataset.sign = sign;
    button.tabIndex = -1;
    button.title = each.codes[0] === undefined ? each.name : `:${each.codes[0]}:`;
    if (each.name !== each.sign) button.setAttribute("aria-label", each.name);
    return button;
  });
  if (buttons.length === 0) return make("p", "emoji-note", EMOJI.none);
  return make("section", "emoji-section", make("h2", "emoji-heading", heading), make("div", "emoji-grid", ...buttons));
}

/**
 * @param {string} sign
 * @param {number} tone
 * @returns {string}
 */
function withTone(sign, tone) {
  const [first = "", ...rest] = Array.from(sign);
  if (tone === 0) return sign;
  return first + (TONES[tone] ?? "") + rest.filter((part, at) => at > 0 || part !== "\uFE0F").join("");
}

/**
 * Move from the field into the list and within it; Enter in the field takes the first one.
 * @param {KeyboardEvent} event
 * @param {HTMLInputElement} field
 * @param {HTMLElement} list
 * @param {(sign: string) => void} pick
 */
function onKey(event, field, list, pick) {
  const buttons = [...list.querySelectorAll("button")];
  const at = buttons.findIndex((button) => button === document.activeElement);
  if (event.key === "Enter" && event.target === field) {
    event.preventDefault();
    const first = buttons[0];
    if (first !== undefined && field.value !== "") pick(first.dataset.sign ?? "");
    return;
  }
  if (at < 0 && event.key !== "ArrowDown") return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: at < 0 ? 1 : COLUMNS }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const next = buttons[at + step];
  if (next === undefined) field.focus();
  else next.focus();
}
