// @ts-check
// Helpers for the DOM, in place of a framework.  Text enters the page here, and only through textContent.

/**
 * The element with that id in index.html.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html has no ${type.name} with the id ${id}`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children  a string becomes a text node, never markup
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/**
 * An element with text that a user wrote: the direction follows its first letter.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {string} text
 * @returns {HTMLElementTagNameMap[K]}
 */
export function makeText(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.dir = "auto";
  element.textContent = text;
  return element;
}

/**
 * @param {string} label
 * @param {() => void} onClick
 * @returns {HTMLButtonElement}
 */
export function makeButton(label, onClick) {
  const button = make("button", "link-button", label);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

/**
 * Set the text only if it differs: a screen reader reads a live region at every change.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * One row of a list.  A row with the same key and signature is kept; one with another signature is built again.
 * @typedef {object} Row
 * @property {string} key
 * @property {string} signature
 * @property {() => HTMLElement} build
 */

/** @typedef {Map<string, {signature: string, element: HTMLElement}>} Kept */

/**
 * Make a list show exactly these rows, and change only those that differ.  `kept` has the rows between the calls.
 * @param {HTMLElement} list
 * @param {Kept} kept
 * @param {Row[]} rows
 */
export function showRows(list, kept, rows) {
  const next = rows.map((row) => ({ ...row, element: reuse(kept, row) ?? row.build() }));
  const wanted = new Set(next.map((row) => row.element));
  for (const { element } of kept.values()) if (!wanted.has(element)) element.remove();
  let place = list.firstElementChild;
  for (const { element } of next) {
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  kept.clear();
  for (const { key, signature, element } of next) kept.set(key, { signature, element });
}

/**
 * @param {Kept} kept
 * @param {Row} row
 * @returns {HTMLElement | undefined}
 */
function reuse(kept, row) {
  const old = kept.get(row.key);
  return old?.signature === row.signature ? old.element : undefined;
}
