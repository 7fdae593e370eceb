// @ts-check
// What is within a paragraph: code, links, emphasis, emoji names.  CommonMark §6 has the rules; text/markdown.js says
// where this parser differs.
//
// One pass makes a flat list of pieces.  Emphasis is then found with a stack of delimiters, as CommonMark's appendix has
// it; the stack has a bound.  Nothing here goes back over text that was passed, except over an address, whose length has
// a bound too.

import { URL_MAX } from "./urls.js";

/** @typedef {import("./markdown.js").ReadUrl} ReadUrl */

/**
 * @typedef {object} Inline
 * @property {"text" | "code" | "link" | "emphasis" | "strong" | "strike" | "emoji"} type
 * @property {string} [text]  of text and code; the name of an emoji
 * @property {string} [url]  of a link
 * @property {string} [title]  of a link; "" for none
 * @property {Inline[]} [children]
 */

/**
 * A run of `*`, `_` or `~` that may open or close emphasis.
 * @typedef {object} Delimiter
 * @property {string} sign
 * @property {number} count  what is left of it
 * @property {number} length  what it had at first
 * @property {boolean} opens
 * @property {boolean} closes
 */

/** @typedef {Inline | Delimiter} Piece */

/** Emphasis nests this deep; a browser's layout has limits too. */
const DEPTH_MAX = 12;
/** So many delimiters wait for their closers; with more, the first one is text. */
const OPENERS_MAX = 50;
/** CommonMark §6.3 asks for three at least. */
const BRACKETS_MAX = 32;
const SPECIAL = /[\\`*_~[\]<:hH]/g;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const SPACE = /\s/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const BARE = /https?:\/\/[^\s<>]+/iy;
const AUTOLINK = /<([a-z][a-z0-9+.-]{1,31}:[^\s<>]{0,2000})>/iy;
const EMAIL = /<([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})>/iy;
const EMOJI = /:([+\-\w]{1,40}):/y;
const TITLE_MAX = 300;

/**
 * @param {string} text
 * @param {ReadUrl} readUrl
 * @returns {Inline[]}
 */
export function parseInline(text, readUrl) {
  return new InlineParser(text, readUrl).parse();
}

class InlineParser {
  /**
   * @param {string} text
   * @param {ReadUrl} readUrl
   */
  constructor(text, readUrl) {
    this.text = text;
    this.readUrl = readUrl;
    this.at = 0;
    /** @type {Piece[]} */
    this.pieces = [];
    /** @type {{piece: number}[]} the `[` that may open a link, each a piece of its own */
    this.brackets = [];
    /** @type {Map<number, number[]>} the places of runs of backticks by their length, the last one first */
    this.ticks = findTicks(text);
  }

  /** @returns {Inline[]} */
  parse() {
    const { text } = this;
    while (this.at < text.length) {
      SPECIAL.lastIndex = this.at;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      this.addText(text.slice(this.at, next));
      this.at = next;
      if (next < text.length) this.parseSpecial(text.charAt(next));
    }
    return finish(this.pieces);
  }

  /** @param {string} sign */
  parseSpecial(sign) {
    if (sign === "\\") return this.parseEscape();
    if (sign === "`") return this.parseCode();
    if (sign === "*" || sign === "_" || sign === "~") return this.parseDelimiter(sign);
    if (sign === "[") return this.openBracket();
    if (sign === "]" && this.closeBracket()) return undefined;
    if (sign === "<" && this.parseAutolink()) return undefined;
    if (sign === ":" && this.parseEmoji()) return undefined;
    if ((sign === "h" || sign === "H") && this.parseBareUrl()) return undefined;
    this.addText(sign);
    this.at += 1;
  }

  /** @param {string} text */
  addText(text) {
    if (text === "") return;
    const last = this.pieces.at(-1);
    const isBracket = this.brackets.at(-1)?.piece === this.pieces.length - 1;
    if (last !== undefined && !isBracket && isInline(last) && last.type === "text") last.text += text;
    else this.pieces.push({ type: "text", text });
  }

  parseEscape() {
    const next = this.text.charAt(this.at + 1);
    const isEscape = next !== "" && ESCAPABLE.test(next);
    this.addText(isEscape ? next : "\\");
    this.at += isEscape ? 2 : 1;
  }

  parseCode() {
    const length = runLength(this.text, this.at, "`");
    const start = this.at + length;
    const ends = this.ticks.get(length) ?? [];
    while (ends.length > 0 && (ends.at(-1) ?? 0) < start) ends.pop();
    const end = ends.at(-1);
    if (end === undefined) {
      this.addText("`".repeat(length));
      this.at = start;
      return;
    }
    const code = this.text.slice(start, end).replace(/\n/g, " ");
    const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
    this.pieces.push({ type: "code", text: isPadded ? code.slice(1, -1) : code });
    this.at = end + length;
  }

  /** @param {string} sign */
  parseDelimiter(sign) {
    const length = runLength(this.text, this.at, sign);
    const before = charBefore(this.text, this.at);
    const after = charAt(this.text, this.at + length);
    this.at += length;
    if (sign === "~" && length !== 2) return this.addText(sign.repeat(length));
    const [spaceBefore, spaceAfter] = [before === "" || SPACE.test(before), after === "" || SPACE.test(after)];
    const [signBefore, signAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
    const left = !spaceAfter && (!signAfter || spaceBefore || signBefore);
    const right = !spaceBefore && (!signBefore || spaceAfter || signAfter);
    const opens = sign === "_" ? left && (!right || signBefore) : left;
    const closes = sign === "_" ? right && (!left || signAfter) : right;
    if (!opens && !closes) return this.addText(sign.repeat(length));
    this.pieces.push({ sign, count: length, length, opens, closes });
  }

  openBracket() {
    this.brackets.push({ piece: this.pieces.length });
    this.pieces.push({ type: "text", text: "[" });
    this.at += 1;
  }

  /** @returns {boolean} true where a link ended here */
  closeBracket() {
    const bracket = this.brackets.pop();
    if (bracket === undefined || this.text.charAt(this.at + 1) !== "(") return false;
    const target = readTarget(this.text, this.at + 2);
    if (target === null) return false;
    const url = this.readUrl(target.url);
    if (url === "") return false;
    const inner = this.pieces.splice(bracket.piece).slice(1);
    const children = finish(inner.flatMap(unlink));
    this.pieces.push({ type: "link", url, title: target.title, children });
    this.at = target.end;
    this.brackets.length = 0; // no link within a link
    return true;
  }

  /** @returns {boolean} */
  parseAutolink() {
    AUTOLINK.lastIndex = EMAIL.lastIndex = this.at;
    const email = EMAIL.exec(this.text);
    const found = email ?? AUTOLINK.exec(this.text);
    const shown = found?.[1] ?? "";
    const url = shown === "" ? "" : this.readUrl(email === null ? shown : `mailto:${shown}`);
    if (url === "") return false;
    this.pieces.push({ type: "link", url, title: "", children: [{ type: "text", text: shown }] });
    this.at += (found?.[0] ?? "").length;
    return true;
  }

  /** @returns {boolean} */
  parseEmoji() {
    EMOJI.lastIndex = this.at;
    const found = EMOJI.exec(this.text);
    if (found === null || /\w/.test(charBefore(this.text, this.at))) return false; // such as the minutes of 10:30:00
    this.pieces.push({ type: "emoji", text: found[1] ?? "" });
    this.at += found[0].length;
    return true;
  }

  /** @returns {boolean} */
  parseBareUrl() {
    BARE.lastIndex = this.at;
    if (/[\w/]/.test(charBefore(this.text, this.at))) return false;
    const found = trimUrl(BARE.exec(this.text)?.[0] ?? "");
    if (found === "") return false;
    const url = /\/\/[^/?#]/.test(found) ? this.readUrl(found) : "";
    if (url === "") this.addText(found); // the whole of it, so that no part is looked at again
    else this.pieces.push({ type: "link", url, title: "", children: [{ type: "text", text: found }] });
    this.at += found.length;
    return true;
  }
}

/**
 * No link stands within a link: a bare address there is text.
 * @param {Piece} piece
 * @returns {Piece | Inline[]}
 */
function unlink(piece) {
  return isInline(piece) && piece.type === "link" ? piece.children ?? [] : piece;
}

/**
 * @param {string} text
 * @returns {Map<number, number[]>}
 */
function findTicks(text) {
  /** @type {Map<number, number[]>} */
  const ticks = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    const places = ticks.get(run.length);
    if (places === undefined) ticks.set(run.length, [index]);
    else places.push(index);
  }
  for (const places of ticks.values()) places.reverse();
  return ticks;
}

/**
 * Leave off the punctuation that ends a sentence, and a bracket that was opened before the address.
 * @param {string} url
 * @returns {string}
 */
function trimUrl(url) {
  let open = count(url, "(") - count(url, ")");
  let end = url.length;
  for (; end > 0; end -= 1) {
    const last = url.charAt(end - 1);
    if (last === ")" && open < 0) open += 1;
    else if (!/[?!.,:;*_~'"\]]/.test(last)) break;
  }
  return url.slice(0, end);
}

/**
 * @param {string} text
 * @param {string} sign
 */
function count(text, sign) {
  return text.split(sign).length - 1;
}

/**
 * Read `address "title")`.
 * @param {string} text
 * @param {number} from  after the bracket
 * @returns {{url: string, title: string, end: number} | null}
 */
function readTarget(text, from) {
  let at = skipSpace(text, from);
  const isAngled = text.charAt(at) === "<";
  const end = isAngled ? endOfAngled(text, at) : endOfAddress(text, at);
  if (end < 0) return null;
  const url = unescapeText(isAngled ? text.slice(at + 1, end - 1) : text.slice(at, end));
  at = skipSpace(text, end);
  const quote = { '"': '"', "'": "'", "(": ")" }[text.charAt(at)];
  let title = "";
  if (quote !== undefined && at > end) {
    const close = endOfTitle(text, at + 1, quote);
    if (close < 0) return null;
    title = unescapeText(text.slice(at + 1, close));
    at = skipSpace(text, close + 1);
  }
  return text.charAt(at) === ")" ? { url, title, end: at + 1 } : null;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {number} after the `>`; -1 where there is none
 */
function endOfAngled(text, at) {
  for (let end = at + 1; end < text.length && end - at < URL_MAX; end += 1) {
    const sign = text.charAt(end);
    if (sign === ">") return end + 1;
    if (sign === "\n" || sign === "<") return -1;
    if (sign === "\\") end += 1;
  }
  return -1;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {number} -1 where its brackets do not match, or it is too long
 */
function endOfAddress(text, at) {
  let depth = 0;
  for (let end = at; end < text.length && end - at < URL_MAX; end += 1) {
    const sign = text.charAt(end);
    if (sign === "\\" && ESCAPABLE.test(text.charAt(end + 1))) end += 1;
    else if (sign === "(" && depth === BRACKETS_MAX) return -1;
    else if (sign === "(") depth += 1;
    else if (sign === ")" && depth === 0) return end;
    else if (sign === ")") depth -= 1;
    else if (sign <= " ") return depth === 0 ? end : -1;
  }
  return -1;
}

/**
 * @param {string} text
 * @param {number} from
 * @param {string} quote
 * @returns {number} -1 where there is none
 */
function endOfTitle(text, from, quote) {
  for (let end = from; end < text.length && end - from < TITLE_MAX; end += 1) {
    const sign = text.charAt(end);
    if (sign === quote) return end;
    if (sign === "\\") end += 1;
    if (quote === ")" && sign === "(") return -1;
  }
  return -1;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {number} after white space, of which a bounded part is read
 */
function skipSpace(text, at) {
  const end = at + TITLE_MAX;
  while (at < end && (text.charAt(at) === " " || text.charAt(at) === "\n")) at += 1;
  return at;
}

/** @param {string} text */
function unescapeText(text) {
  return text.replace(/\\([!-/:-@[-`{-~])/g, "$1");
}

/** @typedef {{delimiter: Delimiter, before: Inline[]}} Opener  a delimiter that waits, with what stands before it */

/**
 * Find emphasis among the pieces, and join what is left as text.
 * @param {Piece[]} pieces
 * @returns {Inline[]}
 */
function finish(pieces) {
  /** @type {Opener[]} */
  const openers = [];
  /** @type {Inline[]} */
  let current = [];
  for (const piece of pieces) {
    if (isInline(piece)) current.push(piece);
    else {
      if (piece.closes) current = close(piece, openers, current);
      if (piece.count > 0 && piece.opens) {
        openers.push({ delimiter: piece, before: current });
        current = [];
        if (openers.length > OPENERS_MAX) giveUpFirst(openers);
      } else if (piece.count > 0) current.push(asText(piece));
    }
  }
  while (openers.length > 0) current = giveUp(openers, current);
  return joinTexts(current);
}

/**
 * Let a delimiter close what it can.
 * @param {Delimiter} closer
 * @param {Opener[]} openers
 * @param {Inline[]} current
 * @returns {Inline[]} what stands before the rest of the closer
 */
function close(closer, openers, current) {
  while (closer.count > 0) {
    const at = openers.findLastIndex(({ delimiter }) => fits(delimiter, closer));
    if (at < 0) break;
    while (openers.length > at + 1) current = giveUp(openers, current);
    current = wrap(openers, closer, current);
  }
  return current;
}

/**
 * @param {Delimiter} opener
 * @param {Delimiter} closer
 * @returns {boolean}
 */
function fits(opener, closer) {
  if (opener.sign !== closer.sign) return false;
  const isAmbiguous = opener.closes || closer.opens;
  const isThird = (opener.length + closer.length) % 3 === 0;
  return !(isAmbiguous && isThird && (opener.length % 3 !== 0 || closer.length % 3 !== 0));
}

/**
 * Wrap what is between the last opener and the closer.
 * @param {Opener[]} openers
 * @param {Delimiter} closer
 * @param {Inline[]} current
 * @returns {Inline[]}
 */
function wrap(openers, closer, current) {
  const opener = openers.at(-1);
  if (opener === undefined) return current;
  const { delimiter } = opener;
  const used = delimiter.count >= 2 && closer.count >= 2 ? 2 : 1;
  const type = delimiter.sign === "~" ? "strike" : used === 2 ? "strong" : "emphasis";
  delimiter.count -= used;
  closer.count -= used;
  const children = joinTexts(current);
  const wrapped = depthOf(children) < DEPTH_MAX ? [note({ type, children })] : children;
  if (delimiter.count > 0) return wrapped;
  openers.pop();
  return append(opener.before, wrapped);
}

/** @type {WeakMap<Inline, number>} how deep a node nests */
const depths = new WeakMap();

/** @param {Inline[]} nodes */
function depthOf(nodes) {
  let depth = 0;
  for (const node of nodes) depth = Math.max(depth, depths.get(node) ?? 0);
  return depth;
}

/**
 * @param {Inline} node
 * @returns {Inline}
 */
function note(node) {
  depths.set(node, 1 + depthOf(node.children ?? []));
  return node;
}

/**
 * The last opener opens nothing: it is text.
 * @param {Opener[]} openers
 * @param {Inline[]} current
 * @returns {Inline[]}
 */
function giveUp(openers, current) {
  const opener = openers.pop();
  return opener === undefined ? current : append(opener.before, [asText(opener.delimiter)], current);
}

/**
 * The first opener opens nothing.
 * @param {Opener[]} openers
 */
function giveUpFirst(openers) {
  const [first, second] = openers;
  if (first === undefined || second === undefined) return;
  second.before = append(first.before, [asText(first.delimiter)], second.before);
  openers.shift();
}

/**
 * @param {Inline[]} nodes
 * @param {...Inline[]} more
 * @returns {Inline[]}
 */
function append(nodes, ...more) {
  for (const part of more) for (const node of part) nodes.push(node);
  return nodes;
}

/**
 * @param {Delimiter} delimiter
 * @returns {Inline}
 */
function asText({ sign, count: length }) {
  return { type: "text", text: sign.repeat(length) };
}

/**
 * @param {Inline[]} nodes
 * @returns {Inline[]} with each run of texts as one
 */
function joinTexts(nodes) {
  /** @type {Inline[]} */
  const joined = [];
  for (const node of nodes) {
    const last = joined.at(-1);
    if (node.type !== "text" || last?.type !== "text") joined.push(node);
    else joined[joined.length - 1] = { type: "text", text: `${last.text}${node.text}` };
  }
  return joined;
}

/**
 * @param {Piece} piece
 * @returns {piece is Inline}
 */
function isInline(piece) {
  return "type" in piece;
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} sign
 * @returns {number}
 */
function runLength(text, at, sign) {
  let end = at;
  while (text.charAt(end) === sign) end += 1;
  return end - at;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {string} the character before it; "" at the beginning
 */
function charBefore(text, at) {
  const code = at > 1 ? text.codePointAt(at - 2) ?? 0 : 0;
  return code > 0xffff ? String.fromCodePoint(code) : text.charAt(at - 1);
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {string} "" at the end
 */
function charAt(text, at) {
  const code = text.codePointAt(at);
  return code === undefined ? "" : String.fromCodePoint(code);
}
