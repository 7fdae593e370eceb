// The HTML that CommonMark has for what static/js/text/ parses, for tests only: the page makes nodes, never markup.

import { parseMarkdown } from "../../static/js/text/markdown.js";

const TAGS = { emphasis: "em", strong: "strong", strike: "del" };

export function toHtml(markdown, readUrl = (url) => url) {
  return parseMarkdown(markdown.replace(/\n$/, ""), readUrl).map((node) => block(node)).join("");
}

function block(node, tight = false) {
  if (node.type === "paragraph") return tight ? inlines(node.content) : `<p>${inlines(node.content)}</p>\n`;
  if (node.type === "code") {
    const language = node.language === "" ? "" : ` class="language-${node.language}"`;
    return `<pre><code${language}>${escape(node.text)}</code></pre>\n`;
  }
  if (node.type === "quote") return `<blockquote>\n${node.children.map((child) => block(child)).join("")}</blockquote>\n`;
  const tag = node.ordered ? "ol" : "ul";
  const start = node.ordered && node.start !== 1 ? ` start="${node.start}"` : "";
  return `<${tag}${start}>\n${node.children.map((child) => item(child, node.tight)).join("")}</${tag}>\n`;
}

function item({ children }, tight) {
  const [first, ...rest] = children;
  const isInline = tight && first?.type === "paragraph";
  const open = isInline ? inlines(first.content) + (rest.length > 0 ? "\n" : "") : `\n${first ? block(first, tight) : ""}`;
  return `<li>${open}${rest.map((child) => block(child, tight)).join("")}</li>\n`;
}

function inlines(nodes) {
  return nodes.map(inline).join("");
}

function inline(node) {
  if (node.type === "text") return escape(node.text);
  if (node.type === "code") return `<code>${escape(node.text)}</code>`;
  if (node.type === "emoji") return `:${escape(node.text)}:`;
  if (node.type !== "link") return `<${TAGS[node.type]}>${inlines(node.children)}</${TAGS[node.type]}>`;
  const title = node.title === "" ? "" : ` title="${escape(node.title)}"`;
  return `<a href="${escape(encodeURI(node.url).replace(/%25/g, "%"))}"${title}>${inlines(node.children)}</a>`;
}

function escape(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
