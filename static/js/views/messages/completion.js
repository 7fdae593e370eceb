// @ts-check
// The list above the message field that completes what is typed.  Loaded when it is first wanted.
//
// The rules it keeps:
// - The focus stays in the field; the arrows choose, Enter and Tab take, Escape closes (WAI-ARIA APG, listbox).  The
//   field stays a textbox: a combobox has one line.
// - Enter sends while nothing is chosen: before the first letter, and when the name is typed in full.

import { COMPLETION } from "../../dialog_strings.js";
import { uniqueId } from "../dialog.js";
import { make, makeText, setText } from "../dom.js";
import { addStyles } from "../styles.js";
import { noteEmoji } from "./emoji_picker.js";
import { Suggestions } from "./suggestions.js";

/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("./suggestions.js").Found} Found */
/** @typedef {import("./suggestions.js").Suggestion} Suggestion */

export class Completion {
  /**
   * @param {HTMLTextAreaElement} input
   * @param {Store} store
   */
  constructor(input, store) {
    addStyles(new URL("../../../css/completion.css", import.meta.url).href);
    this.input = input;
    this.suggestions = new Suggestions(store, () => this.update());
    this.list = make("ul", "popup completion");
    this.list.id = uniqueId();
    this.list.hidden = true;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", COMPLETION.heading);
    this.count = make("p", "visually-hidden");
    this.count.setAttribute("role", "status");
    /** @type {Found | null} */
    this.found = null;
    /** -1: none */
    this.chosen = -1;
    /** Where the word begins whose list was closed by Escape; -1 for none. */
    this.closedAt = -1;
    this.shown = "";
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", this.list.id);
    input.after(this.list, this.count);
    input.addEventListener("blur", () => this.close());
    document.addEventListener("selectionchange", () => document.activeElement === input && this.update());
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the field
  }

  /** Show what fits the text before the caret. */
  update() {
    const { selectionStart: caret, selectionEnd, value } = this.input;
    const isHere = caret === selectionEnd && document.activeElement === this.input;
    const found = isHere ? this.suggestions.find(value.slice(0, caret)) : null;
    if (found?.from !== this.closedAt) this.closedAt = -1;
    this.found = this.closedAt < 0 ? found : null;
    const shown = JSON.stringify([caret, this.found]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.chosen = this.found?.isChosen ? 0 : -1;
    this.show();
  }

  show() {
    const suggestions = this.found?.suggestions ?? [];
    this.list.hidden = suggestions.length === 0;
    this.list.replaceChildren(...suggestions.map((suggestion, at) => this.makeOption(suggestion, at)));
    setText(this.count, suggestions.length === 0 ? "" : COMPLETION.count(suggestions.length));
    this.showChosen();
  }

  showChosen() {
    for (const [at, option] of [...this.list.children].entries()) option.ariaSelected = String(at === this.chosen);
    const chosen = this.list.children[this.chosen];
    chosen?.scrollIntoView({ block: "nearest" });
    if (chosen === undefined) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", chosen.id);
  }

  /**
   * @param {Suggestion} suggestion
   * @param {number} at
   * @returns {HTMLElement}
   */
  makeOption(suggestion, at) {
    const { title, note, sign } = suggestion;
    const name = makeText("span", "choice-title", title);
    const mark = sign === undefined ? [] : [make("span", "completion-sign", sign)];
    const option = make("li", "go-to-option", ...mark, name, makeText("span", "choice-note", note));
    option.id = `${this.list.id}-${at}`;
    option.setAttribute("role", "option");
    option.addEventListener("click", () => this.take(suggestion));
    return option;
  }

  /**
   * @param {KeyboardEvent} event  while no input method is open
   * @returns {boolean} true where the list has used the key
   */
  onKey(event) {
    const { found } = this;
    if (found === null || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return false;
    const count = found.suggestions.length;
    const { key } = event;
    if (key === "Escape") {
      this.closedAt = found.from;
      this.update();
    } else if (key === "ArrowDown") this.choose((this.chosen + 1) % count);
    else if (key === "ArrowUp") this.choose((Math.max(this.chosen, 0) + count - 1) % count);
    else if (key === "Tab" || (key === "Enter" && this.chosen >= 0)) this.takeChosen();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** @param {number} at */
  choose(at) {
    this.chosen = at;
    this.showChosen();
  }

  takeChosen() {
    const suggestion = this.found?.suggestions[Math.max(this.chosen, 0)];
    if (suggestion !== undefined) this.take(suggestion);
  }

  /** @param {Suggestion} suggestion */
  take({ sign, text }) {
    const { input, found } = this;
    if (found === null) return;
    const hasSpace = /^\s/u.test(input.value.slice(input.selectionStart));
    input.setRangeText(hasSpace ? text.trimEnd() : text, found.from, input.selectionStart, "end");
    if (sign !== undefined) noteEmoji(sign);
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    this.close();
    input.focus();
  }

  close() {
    this.found = null;
    this.shown = "";
    this.chosen = -1;
    this.show();
  }
}
