// @ts-check
// The text of a message as elements: Markdown, mentions, emoji names, code with a button that copies it.
//
// Only this file makes elements of what text/ has parsed.  Text enters them as text, and an address only where
// text/urls.js lets it.

import { emojiOf, loadEmoji } from "../../emoji_data.js";
import { HOME } from "../../links.js";
import { MESSAGES } from "../../strings.js";
import { parseMarkdown } from "../../text/markdown.js";
import { safeUrl } from "../../text/urls.js";
import { copyText } from "../clipboard.js";
import { make, makeButton } from "../dom.js";

/** @typedef {import("../../text/inline.js").Inline} Inline */
/** @typedef {import("../../text/markdown.js").Block} Block */

/** A message with more lines or characters than this is folded. */
const LINES_MAX = 24;
const LENGTH_MAX = 1_800;
/** So many emoji alone are shown big. */
const JUMBO_MAX = 6;
const JUMBO_LENGTH = 80;
/** Joiners, skin tones and flags of regions are parts of an emoji. */
const EMOJI_ONLY =
  /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}|\p{Emoji_Modifier}|[\uFE0F\u200D\s\u{E0020}-\u{E007F}])+$/u;
const MENTION = /(?<![\p{L}\p{N}])@([\p{L}\p{N}][\p{L}\p{N}._-]{0,63})/gu;

/**
 * @param {string} message
 * @param {string} user  the user of this page, whose mentions stand out
 * @returns {HTMLElement}
 */
export function makeMessageText(message, user) {
  const element = make("div", "post-text");
  element.dir = "auto";
  element.append(...parseMarkdown(message, safeUrl).map((block) => makeBlock(block, user)));
  if (isJumbo(message)) element.classList.add("post-jumbo");
  return element;
}

/**
 * @param {string} message
 * @returns {boolean} is it so long that the page folds it?
 */
export function isLong(message) {
  return message.length > LENGTH_MAX || message.split("\n", LINES_MAX + 1).length > LINES_MAX;
}

/**
 * The first words of a message, on one line, without its signs.
 * @param {string} message
 * @param {number} length
 * @returns {string}
 */
export function firstWords(message, length = 120) {
  const words = plain(parseMarkdown(message.slice(0, 4 * length), safeUrl)).replace(/\s+/gu, " ").trim();
  const letters = Array.from(words);
  return letters.length > length ? `${letters.slice(0, length).join("").trimEnd()}…` : words;
}

/** @param {string} message */
function isJumbo(message) {
  if (message.length > JUMBO_LENGTH || message.trim() === "" || !EMOJI_ONLY.test(message)) return false;
  return [...new Intl.Segmenter().segment(message.replace(/\s/gu, ""))].length <= JUMBO_MAX;
}

/**
 * @param {(Block | Inline)[]} nodes
 * @returns {string}
 */
function plain(nodes) {
  return nodes.map((node) => {
    if (node.type === "emoji") return `:${node.text}:`;
    const inner = node.text ?? plain(node.children ?? ("content" in node ? node.content ?? [] : []));
    return ["paragraph", "code", "item"].includes(node.type) && !("url" in node) ? `${inner} ` : inner;
  }).join("");
}

/**
 * @param {Block} block
 * @param {string} user
 * @returns {HTMLElement}
 */
function makeBlock(block, user) {
  if (block.type === "code") return makeCode(block.text ?? "", block.language ?? "");
  if (block.type === "paragraph") {
    const paragraph = make("p", "text-paragraph", ...makeInlines(block.content ?? [], user));
    paragraph.dir = "auto";
    return paragraph;
  }
  const children = (block.children ?? []).map((child) => makeBlock(child, user));
  if (block.type === "quote") return make("blockquote", "text-quote", ...children);
  if (block.type === "item") return make("li", "", ...children);
  if (!block.ordered) return make("ul", "text-list", ...children);
  const list = make("ol", "text-list", ...children);
  list.start = block.start ?? 1;
  return list;
}

/**
 * @param {string} text
 * @param {string} language
 * @returns {HTMLElement}
 */
function makeCode(text, language) {
  const code = make("code", "", text.replace(/\n$/, ""));
  if (language !== "") code.dataset.language = language;
  const pre = make("pre", "text-code", code);
  pre.tabIndex = 0; // it may scroll sideways
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", MESSAGES.code);
  pre.dir = "ltr";
  const copy = makeButton(MESSAGES.copyCode, () => void copyText(text, copy));
  copy.className = "text-copy";
  return make("div", "text-code-frame", pre, copy);
}

/**
 * @param {Inline[]} nodes
 * @param {string} user
 * @returns {(Node | string)[]}
 */
function makeInlines(nodes, user) {
  return nodes.flatMap((node) => makeInline(node, user));
}

/**
 * @param {Inline} node
 * @param {string} user
 * @returns {Node | string | (Node | string)[]}
 */
function makeInline({ type, text = "", url = "", title = "", children = [] }, user) {
  if (type === "text") return makeMentions(text, user);
  if (type === "code") return make("code", "text-inline-code", text);
  if (type === "emoji") return makeEmoji(text);
  if (type === "link") return makeLink(url, title, makeInlines(children, ""));
  return make(type === "strong" ? "strong" : type === "strike" ? "s" : "em", "", ...makeInlines(children, user));
}

/**
 * @param {string} url  as text/urls.js gave it
 * @param {string} title
 * @param {(Node | string)[]} children
 * @returns {HTMLAnchorElement}
 */
function makeLink(url, title, children) {
  const link = make("a", "text-link", ...children);
  const isHere = url.startsWith(`${HOME}#`);
  link.href = isHere ? url.slice(HOME.length) : url;
  if (title !== "") link.title = title;
  if (isHere) return link;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

/**
 * @param {string} text
 * @param {string} user
 * @returns {(Node | string)[]}
 */
function makeMentions(text, user) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let at = 0;
  const own = user === "" ? -1 : text.indexOf(`@${user}`);
  for (const { 0: found, 1: name, index } of text.matchAll(MENTION)) {
    const isOwn = index === own || name === "room";
    const length = index === own ? user.length + 1 : found.replace(/[._-]+$/u, "").length;
    if (index < at) continue;
    parts.push(text.slice(at, index));
    parts.push(make("span", isOwn ? "mention mention-own" : "mention", text.slice(index, index + length)));
    at = index + length;
  }
  parts.push(text.slice(at));
  return parts.filter((part) => part !== "");
}

/**
 * An emoji by its name.  The name stands there until the list of names is loaded, and if it has no such name.
 * @param {string} name
 * @returns {HTMLElement}
 */
function makeEmoji(name) {
  const element = make("span", "", emojiOf(name) ?? `:${name}:`);
  if (emojiOf(name) !== undefined) element.title = `:${name}:`;
  else void loadEmoji().then(() => (element.textContent = emojiOf(name) ?? `:${name}:`), () => {});
  return element;
}
