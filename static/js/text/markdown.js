// @ts-check
// Markdown to nodes: paragraphs, quotes, lists and fenced code.  text/inline.js does what is within a line.
//
// This is the part of CommonMark 0.31 that people use in a chat, with these differences:
// - A line break is shown as one.
// - There are no headings, rules, tables, images, HTML, indented code, entities and reference links: they are text.
// - A sign without content, such as a message "-" or ">", is text, not an empty list or quote.
// - `~~text~~` is struck out, a bare address is a link, and `:smile:` is an emoji.
//
// Every text has a result, in time linear in its length: what could nest without an end has a bound, beyond which it is
// text.

import { parseInline } from "./inline.js";

/** @typedef {import("./inline.js").Inline} Inline */
/** @typedef {(address: string) => string} ReadUrl  the address to link to; "" for none */

/**
 * @typedef {object} Block
 * @property {"paragraph" | "quote" | "code" | "list" | "item"} type
 * @property {Inline[]} [content]  of a paragraph
 * @property {Block[]} [children]  of a quote, a list or an item
 * @property {string} [text]  of code
 * @property {string} [language]  of code; "" for none
 * @property {boolean} [ordered]  of a list
 * @property {number} [start]  of an ordered list
 * @property {boolean} [tight]  of a list: no blank line between its parts
 */

/** Quotes and lists nest this deep. */
const DEPTH_MAX = 6;
const TAB = 4;
const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const BULLET = /^( {0,3})([-+*])( +)(?=\S)/;
const NUMBER = /^( {0,3})(\d{1,9})([.)])( +)(?=\S)/;

/**
 * @param {string} text
 * @param {ReadUrl} readUrl
 * @returns {Block[]}
 */
export function parseMarkdown(text, readUrl) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n").map(expandTabs);
  return new BlockParser(readUrl).parse(lines, 0);
}

/**
 * Expand the tabs at the beginning of a line.
 * @param {string} line
 * @returns {string}
 */
function expandTabs(line) {
  const end = line.search(/[^ \t]/);
  const lead = end < 0 ? line : line.slice(0, end);
  if (!lead.includes("\t")) return line;
  let column = 0;
  for (const sign of lead) column += sign === "\t" ? TAB - (column % TAB) : 1;
  return " ".repeat(column) + line.slice(lead.length);
}

class BlockParser {
  /** @param {ReadUrl} readUrl */
  constructor(readUrl) {
    this.readUrl = readUrl;
  }

  /**
   * @param {string[]} lines
   * @param {number} depth
   * @returns {Block[]}
   */
  parse(lines, depth) {
    /** @type {Block[]} */
    const blocks = [];
    /** @type {string[]} */
    let paragraph = [];
    const endParagraph = () => {
      if (paragraph.length > 0) blocks.push(this.makeParagraph(paragraph));
      paragraph = [];
    };
    for (let at = 0; at < lines.length; ) {
      const line = lines[at] ?? "";
      const found = this.parseContainer(lines, at, depth, paragraph.length > 0);
      if (found !== null) {
        endParagraph();
        blocks.push(found.block);
        at = found.next;
      } else {
        if (isBlank(line)) endParagraph();
        else paragraph.push(line);
        at += 1;
      }
    }
    endParagraph();
    return blocks;
  }

  /**
   * @param {string[]} lines
   * @param {number} at
   * @param {number} depth
   * @param {boolean} interrupts  a paragraph is open
   * @returns {{block: Block, next: number} | null}
   */
  parseContainer(lines, at, depth, interrupts) {
    const line = lines[at] ?? "";
    const fence = FENCE.exec(line);
    if (fence !== null) return parseFence(lines, at, fence);
    if (depth >= DEPTH_MAX) return null;
    if (QUOTE.test(line)) return this.parseQuote(lines, at, depth);
    const marker = readMarker(line);
    if (marker === null || (interrupts && marker.ordered && marker.start !== 1)) return null;
    return this.parseList(lines, at, depth, marker);
  }

  /**
   * @param {string[]} lines
   * @param {number} at
   * @param {number} depth
   * @returns {{block: Block, next: number}}
   */
  parseQuote(lines, at, depth) {
    const inner = [];
    const fences = new FenceState();
    let next = at;
    let isLazy = false; // may the next line go on without its sign?
    for (; next < lines.length; next += 1) {
      const line = lines[next] ?? "";
      if (QUOTE.test(line)) {
        const rest = expandTabs(line.replace(QUOTE, ""));
        inner.push(rest);
        fences.add(rest);
        isLazy = !fences.isOpen && isOfParagraph(rest);
      } else if (isLazy && !isBlank(line) && !startsBlock(line)) inner.push(line);
      else break;
    }
    if (inner.every(isBlank)) return { block: this.makeParagraph(lines.slice(at, next)), next };
    return { block: { type: "quote", children: this.parse(inner, depth + 1) }, next };
  }

  /**
   * @param {string[]} lines
   * @param {number} at
   * @param {number} depth
   * @param {Marker} first
   * @returns {{block: Block, next: number}}
   */
  parseList(lines, at, depth, first) {
    /** @type {Block[]} */
    const items = [];
    let tight = true;
    let next = at;
    let blanks = false; // a blank line came before this one
    /** @type {Marker | null} */
    let marker = first;
    while (marker !== null && marker.sign === first.sign) {
      if (blanks) tight = false;
      const item = takeItem(lines, next, marker.column);
      if (item.blankInside) tight = false;
      items.push({ type: "item", children: this.parse(item.lines, depth + 1) });
      next = item.next;
      blanks = item.blankAfter;
      marker = next < lines.length ? readMarker(lines[next] ?? "") : null;
    }
    const { ordered, start } = first;
    return { block: { type: "list", ordered, start, tight, children: items }, next };
  }

  /**
   * @param {string[]} lines
   * @returns {Block}
   */
  makeParagraph(lines) {
    const text = lines.map((line, at) => (at === lines.length - 1 ? line.trim() : line.trimStart())).join("\n");
    return { type: "paragraph", content: parseInline(text, this.readUrl) };
  }
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {RegExpExecArray} fence
 * @returns {{block: Block, next: number} | null}
 */
function parseFence(lines, at, [, indent = "", sign = "", info = ""]) {
  const end = new RegExp(`^ {0,3}${sign.charAt(0)}{${sign.length},}[ \\t]*$`);
  const outdent = new RegExp(`^ {0,${indent.length}}`);
  let next = at + 1;
  const code = [];
  for (; next < lines.length && !end.test(lines[next] ?? ""); next += 1) {
    code.push((lines[next] ?? "").replace(outdent, ""));
  }
  const language = /^[\w+#.-]{1,20}/.exec(info)?.[0] ?? "";
  return { block: { type: "code", text: code.map((line) => `${line}\n`).join(""), language }, next: next + 1 };
}

/**
 * @typedef {object} Marker
 * @property {boolean} ordered
 * @property {number} start
 * @property {string} sign  items of one list have the same
 * @property {number} column  where the text of the item begins
 */

/**
 * @param {string} line
 * @returns {Marker | null}
 */
function readMarker(line) {
  const bullet = BULLET.exec(line);
  if (bullet !== null) {
    const [, indent = "", sign = "", gap = ""] = bullet;
    return { ordered: false, start: 1, sign, column: indent.length + 1 + gapColumns(gap) };
  }
  const number = NUMBER.exec(line);
  if (number === null) return null;
  const [, indent = "", digits = "", sign = "", gap = ""] = number;
  return { ordered: true, start: Number(digits), sign, column: indent.length + digits.length + 1 + gapColumns(gap) };
}

/** @param {string} gap  more than four spaces begin indented code in CommonMark, which here is text */
function gapColumns(gap) {
  return gap.length > TAB ? 1 : gap.length;
}

/**
 * Take the lines of one item: those that are indented, and those that go on with its paragraph.
 * @param {string[]} lines
 * @param {number} at
 * @param {number} column
 * @returns {{lines: string[], next: number, blankInside: boolean, blankAfter: boolean}}
 */
function takeItem(lines, at, column) {
  const first = (lines[at] ?? "").slice(column);
  const taken = [first];
  const fences = new FenceState();
  fences.add(first);
  let next = at + 1;
  let blanks = 0;
  let blankInside = false; // not counting those of a list inside this item
  let nested = readMarker(first)?.column ?? 0;
  const indent = " ".repeat(column);
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? "";
    if (isBlank(line)) {
      blanks += 1;
      taken.push("");
    } else if (line.startsWith(indent)) {
      const rest = line.slice(column);
      const isNested = nested > 0 && rest.startsWith(" ".repeat(nested));
      blankInside ||= blanks > 0 && !fences.isOpen && !isNested;
      if (!isNested) nested = readMarker(rest)?.column ?? 0;
      blanks = 0;
      taken.push(rest);
      fences.add(rest);
    } else {
      const goesOn = blanks === 0 && !startsBlock(line) && !fences.isOpen && isOfParagraph(taken.at(-1) ?? "");
      if (!goesOn) break;
      taken.push(line);
    }
  }
  return { lines: taken.slice(0, taken.length - blanks), next, blankInside, blankAfter: blanks > 0 };
}

/** Follows lines of code fences, in one pass. */
class FenceState {
  constructor() {
    /** The sign that opened the code; "" outside of code. */
    this.sign = "";
  }

  get isOpen() {
    return this.sign !== "";
  }

  /** @param {string} line */
  add(line) {
    const found = FENCE.exec(line)?.[2] ?? "";
    if (this.sign === "") this.sign = found;
    else if (found.startsWith(this.sign)) this.sign = "";
  }
}

/**
 * @param {string} line  outside of code
 * @returns {boolean} could it be of a paragraph, also within quotes and items?
 */
function isOfParagraph(line) {
  const last = line.replace(/^(?: {0,3}(?:>|[-+*] |\d{1,9}[.)] ) ?)+/, "");
  return !isBlank(last) && !FENCE.test(last);
}

/**
 * @param {string} line
 * @returns {boolean} does it begin a quote, a list or code?
 */
function startsBlock(line) {
  return FENCE.test(line) || QUOTE.test(line) || readMarker(line) !== null;
}

/**
 * @param {string} line
 * @returns {boolean}
 */
function isBlank(line) {
  return line.trim() === "";
}
