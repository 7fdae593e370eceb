// @ts-check
// Modal dialogs: a heading, rows of a form, an error, and buttons.
//
// The rules it keeps:
// - A dialog is made when it opens and removed when it closes.  The focus returns to the element that had it.
// - While a dialog sends something, its submit button is disabled.  A failure is shown as an alert above the buttons, and
//   what was typed stays.

import { DIALOG } from "../dialog_strings.js";
import { ApiError } from "../server/http.js";
import { make, setText } from "./dom.js";

/**
 * @typedef {object} DialogOptions
 * @property {string} heading  also the dialog's accessible name
 * @property {(Node | string)[]} [body]
 * @property {string} [submit]  the label of the button that submits; without it the dialog only has a button to close it
 * @property {boolean} [danger]  submitting destroys something
 * @property {(dialog: Dialog) => Promise<void> | void} [onSubmit]  the dialog closes when this is done; what it throws
 *   is shown; throw FieldError for what was typed wrongly
 * @property {string} [cancel]  the label of the button that closes
 * @property {string} [className]
 * @property {() => void} [onClose]
 */

/** A value that the server would refuse: shown beside the field. */
export class FieldError extends Error {
  /**
   * @param {Field} field
   * @param {string} message
   */
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/** A field of a form, with its label, hint and error. */
export class Field {
  /**
   * @param {string} label
   * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} input
   * @param {string} [hint]
   */
  constructor(label, input, hint = "") {
    const id = uniqueId();
    this.input = input;
    this.error = make("span", "error");
    this.error.id = `${id}-error`;
    this.error.setAttribute("role", "alert");
    const name = make("label", "form-label", label);
    input.id = id;
    name.htmlFor = id;
    this.row = make("div", "form-row", name, input);
    input.setAttribute("aria-describedby", this.error.id);
    if (hint !== "") {
      const note = make("span", "form-hint", hint);
      note.id = `${id}-hint`;
      this.row.append(note);
      input.setAttribute("aria-describedby", `${note.id} ${this.error.id}`);
    }
    this.row.append(this.error);
    input.addEventListener("input", () => this.showError(""));
  }

  /** @returns {string} */
  get value() {
    return this.input.value;
  }

  /** @param {string} error  "" for none */
  showError(error) {
    setText(this.error, error);
    this.input.setAttribute("aria-invalid", String(error !== ""));
  }

  /**
   * Refuse what was typed.
   * @param {string} error  "" where it is valid
   */
  check(error) {
    if (error !== "") throw new FieldError(this, error);
  }
}

export class Dialog {
  /** @param {DialogOptions} options */
  constructor({ heading, body = [], submit = "", danger = false, onSubmit = () => {}, cancel, className = "", onClose }) {
    const title = make("h2", "dialog-heading", heading);
    title.id = uniqueId();
    title.dir = "auto";
    this.onSubmit = onSubmit;
    this.error = make("p", "error");
    this.error.setAttribute("role", "alert");
    this.submit = make("button", danger ? "button button-danger" : "button", submit);
    this.submit.type = "submit";
    const close = make("button", "button button-quiet", cancel ?? (submit === "" ? DIALOG.close : DIALOG.cancel));
    close.type = "button";
    close.addEventListener("click", () => this.close());
    const buttons = submit === "" ? [close] : [close, this.submit];
    this.form = make("form", "dialog-form", title, ...body, this.error, make("div", "dialog-actions", ...buttons));
    this.form.noValidate = true;
    this.form.addEventListener("submit", (event) => void this.send(event));
    this.form.addEventListener("input", () => setText(this.error, ""));
    this.element = make("dialog", `dialog ${className}`.trim(), this.form);
    this.element.setAttribute("aria-labelledby", title.id);
    this.element.addEventListener("click", (event) => event.target === this.element && this.close());
    this.element.addEventListener("close", () => {
      this.element.remove();
      onClose?.();
    });
    document.body.append(this.element);
    this.element.showModal();
  }

  close() {
    this.element.close();
  }

  /** @param {string} error */
  showError(error) {
    setText(this.error, error);
  }

  /** @param {SubmitEvent} event */
  async send(event) {
    event.preventDefault();
    if (this.submit.disabled) return;
    this.setBusy(true);
    try {
      await this.onSubmit(this);
      this.close();
    } catch (error) {
      this.onFailed(error);
    } finally {
      this.setBusy(false);
    }
  }

  /** @param {unknown} error */
  onFailed(error) {
    if (error instanceof FieldError) {
      error.field.showError(error.message);
      error.field.input.focus();
    } else if (error instanceof ApiError) {
      this.showError(error.message);
    } else {
      throw error;
    }
  }

  /** @param {boolean} busy */
  setBusy(busy) {
    this.submit.disabled = busy;
    this.form.setAttribute("aria-busy", String(busy));
  }
}

/**
 * A field for a line of text.
 * @param {string} label
 * @param {Partial<{value: string, hint: string, type: string, placeholder: string, autocomplete: string}>} [options]
 * @returns {Field}
 */
export function makeTextField(label, { value = "", hint = "", type = "text", placeholder = "", autocomplete = "off" } = {}) {
  const input = make("input", "field");
  input.type = type;
  input.value = value;
  input.placeholder = placeholder;
  input.setAttribute("autocomplete", autocomplete);
  input.dir = "auto";
  return new Field(label, input, hint);
}

/**
 * A choice of one of a few values.
 * @param {string} label
 * @param {[value: string, text: string][]} choices
 * @param {string} value
 * @param {string} [hint]
 * @returns {Field}
 */
export function makeSelectField(label, choices, value, hint = "") {
  const select = make("select", "field", ...choices.map(([key, text]) => new Option(text, key, false, key === value)));
  return new Field(label, select, hint);
}

/**
 * @param {string} heading
 * @param {string} text
 * @param {string} submit
 * @param {() => Promise<void> | void} onSubmit
 * @returns {Dialog} a question before something that cannot be undone
 */
export function confirmDialog(heading, text, submit, onSubmit) {
  return new Dialog({ heading, body: [make("p", "dialog-text", text)], submit, danger: true, onSubmit });
}

let count = 0;

/** @returns {string} an id that no other element has */
export function uniqueId() {
  count += 1;
  return `made-${count}`;
}
