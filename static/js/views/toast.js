// @ts-check
// A notice that is shown for some seconds and read to who listens.

import { make, setText } from "./dom.js";

const SHOWN_MS = 5_000;

export class Toast {
  constructor() {
    this.element = make("div", "toast");
    this.element.setAttribute("role", "status");
    document.body.append(this.element);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** @param {string} text */
  show(text) {
    clearTimeout(this.timer);
    setText(this.element, text);
    this.timer = setTimeout(() => setText(this.element, ""), SHOWN_MS);
  }
}
