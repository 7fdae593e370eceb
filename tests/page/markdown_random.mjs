// 100,000 random texts (or as many as the argument says), and texts made to be slow, through the parser of static/js/text/:
// `node tests/page/markdown_random.mjs`.

import { strict as assert } from "node:assert";
import { parseMarkdown } from "../../static/js/text/markdown.js";
import { safeUrl } from "../../static/js/text/urls.js";

const TEXTS = Number(process.argv[2] ?? 100_000);
const PARTS = [
  "a", "b", "é", "😀", " ", " ", "\n", "\n\n", "*", "**", "_", "__", "~~", "`", "``", "[", "](", ")", "](http://a.b)", "<", ">", "\n> ",
  "\n- ", "\n  - ", "\n1. ", "\\", ":a:", ":", "http://a.b/c", "<http://a.b>", "&amp;", "\t", "|", "#", "!", '"', "(", "\r", "\ud800",
];
/** Signs that change what the letters beside them mean: the name of a language or an address is not shown. */
const HIDES = /```|~~~|\]\(|https?:|:a:/;
const LENGTH = 64_000;
const CPU_MS_MAX = 1_500;

/** A generator of the same numbers at each run (mulberry32). */
function makeRandom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function textOf(nodes) {
  return nodes.map((node) => (node.text ?? "") + textOf(node.children ?? []) + textOf(node.content ?? [])).join("");
}

function lettersOf(text) {
  return text.replace(/[^ab]/g, "");
}

const random = makeRandom(14);
for (let count = 0; count < TEXTS; count += 1) {
  const text = Array.from({ length: 1 + random() * 14 }, () => PARTS[Math.floor(random() * PARTS.length)]).join("");
  const shown = textOf(parseMarkdown(text, safeUrl));
  if (!HIDES.test(text)) assert.equal(lettersOf(shown), lettersOf(text), JSON.stringify(text));
}

const repeat = (text) => text.repeat(LENGTH / text.length);
const SLOW = [
  ...["`", "[", ">", "\n", " ", "\\", "*", "~~", "h", ":a", "- ", "> - ", "> a\n", ">\n", "```\n", "- a\n", "- a\n\n", "<a:", "<a@", "[a](", "[a](<b"],
  ...['[a](b "', "[a](((", "http://a.", "https://", "*a _b ~~c [d `e ", "_a *b ", "a* *a ", "**a *b c* d** ", "~~a~~"],
].map(repeat);
SLOW.push("*a ".repeat(LENGTH / 6) + "b* ".repeat(LENGTH / 6), "*".repeat(LENGTH / 2) + "a" + "*".repeat(LENGTH / 2));
SLOW.push(Array.from({ length: 350 }, (_, length) => "`".repeat(length)).join("a"));
SLOW.push(Array.from({ length: 250 }, (_, depth) => `${"  ".repeat(depth)}- a`).join("\n"));
for (const text of SLOW) {
  const before = process.cpuUsage();
  parseMarkdown(text, safeUrl);
  const { user, system } = process.cpuUsage(before);
  assert.ok((user + system) / 1000 < CPU_MS_MAX, `${JSON.stringify(text.slice(0, 20))}… took ${(user + system) / 1000} ms`);
}
