// @ts-check
// Toolbars, menus and pop-ups: what opens beside an element and closes again.
//
// The rules it keeps:
// - One pop-up is open at a time, except that a pop-up may open another one from inside itself.
// - Escape, a press outside, and Tab out of it close a pop-up; the focus returns to where it was.
// - A toolbar and a menu are one stop of the Tab key; the arrows move within them (WAI-ARIA APG).

import { make } from "./dom.js";

/**
 * One line of a menu.
 * @typedef {object} MenuItem
 * @property {string} label
 * @property {() => void} onSelect
 * @property {boolean} [danger]
 */

/**
 * @typedef {object} PopupOptions
 * @property {string} label
 * @property {"dialog" | "menu" | "listbox"} [role]
 * @property {() => void} [onClose]
 * @property {boolean} [keepsFocus]  the focus stays where it is, as with a list that completes what is typed
 */

/** @typedef {{element: HTMLElement, close: () => void}} Popup */

const GAP_PX = 4;
const EDGE_PX = 8;

/** @type {Popup[]} the outermost first */
const open = [];

/**
 * Open a pop-up beside an element.
 * @param {Element} anchor
 * @param {HTMLElement} content
 * @param {PopupOptions} options
 * @returns {Popup}
 */
export function openPopup(anchor, content, { label, role = "dialog", onClose = () => {}, keepsFocus = false }) {
  const outer = open.findIndex(({ element }) => element.contains(anchor));
  closePopups(outer + 1);
  const element = make("div", "popup", content);
  element.setAttribute("role", role);
  element.setAttribute("aria-label", label);
  const before = document.activeElement;
  const popup = { element, close };
  open.push(popup);
  (anchor.closest("main") ?? document.body).append(element); // a menu belongs into a landmark
  place(element, anchor);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && !(event.key === "Tab" && role === "menu")) return;
    event.preventDefault();
    event.stopPropagation();
    close();
  });
  return popup;

  function close() {
    const at = open.indexOf(popup);
    if (at < 0) return;
    closePopups(at + 1);
    open.splice(at, 1);
    const hadFocus = element.contains(document.activeElement);
    element.remove();
    if (hadFocus && !keepsFocus && before instanceof HTMLElement) before.focus({ preventScroll: true });
    onClose();
  }
}

/**
 * Close all pop-ups, or those from one on.
 * @param {number} [from]
 */
export function closePopups(from = 0) {
  for (const popup of open.slice(from).reverse()) popup.close();
}

/** @returns {boolean} is a pop-up open? */
export function hasPopup() {
  return open.length > 0;
}

/**
 * Open a menu beside a button.
 * @param {HTMLElement} anchor
 * @param {string} label
 * @param {MenuItem[]} items
 * @param {() => void} [onClose]
 * @returns {Popup}
 */
export function openMenu(anchor, label, items, onClose = () => {}) {
  const content = make("div", "menu");
  anchor.setAttribute("aria-expanded", "true");
  const popup = openPopup(anchor, content, {
    label,
    role: "menu",
    onClose: () => {
      anchor.setAttribute("aria-expanded", "false");
      onClose();
    },
  });
  const buttons = items.map((item) => {
    const button = makeItem(item.label, item.danger ? "menu-item menu-item-danger" : "menu-item", () => {
      popup.close();
      item.onSelect();
    });
    button.setAttribute("role", "menuitem");
    return button;
  });
  content.append(...buttons);
  rove(content, buttons, "ArrowUp", "ArrowDown");
  place(popup.element, anchor);
  buttons[0]?.focus();
  return popup;
}

/**
 * Make a toolbar of these buttons.
 * @param {string} label
 * @param {HTMLButtonElement[]} buttons
 * @returns {HTMLElement}
 */
export function makeToolbar(label, buttons) {
  const bar = make("div", "toolbar", ...buttons);
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", label);
  rove(bar, buttons, "ArrowLeft", "ArrowRight");
  return bar;
}

/**
 * Make the arrows, Home and End move the focus among elements, of which Tab reaches one.
 * @param {HTMLElement} container
 * @param {HTMLElement[]} elements
 * @param {string} back
 * @param {string} forth
 */
export function rove(container, elements, back, forth) {
  elements.forEach((element, at) => (element.tabIndex = at === 0 ? 0 : -1));
  container.addEventListener("focusin", (event) => {
    if (!elements.some((element) => element === event.target)) return;
    for (const element of elements) element.tabIndex = element === event.target ? 0 : -1;
  });
  container.addEventListener("keydown", (event) => {
    const shown = elements.filter((element) => !element.hidden);
    const at = shown.findIndex((element) => element === document.activeElement);
    if (at < 0) return;
    const isMirrored = getComputedStyle(container).direction === "rtl" && back === "ArrowLeft";
    const step = { [back]: isMirrored ? 1 : -1, [forth]: isMirrored ? -1 : 1 }[event.key] ?? 0;
    const next = event.key === "Home" ? 0 : event.key === "End" ? shown.length - 1 : at + step;
    if (next === at && step === 0) return;
    event.preventDefault();
    event.stopPropagation();
    shown[(next + shown.length) % shown.length]?.focus();
  });
}

/**
 * @param {string} label
 * @param {string} className
 * @param {() => void} onClick
 * @returns {HTMLButtonElement}
 */
function makeItem(label, className, onClick) {
  const button = make("button", className, label);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

/**
 * Place a pop-up below its anchor, or above it where there is more room, and inside the window.
 * @param {HTMLElement} element
 * @param {Element} anchor
 */
function place(element, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = element;
  const isRtl = getComputedStyle(anchor).direction === "rtl";
  const below = box.bottom + GAP_PX;
  const isTight = below + height > innerHeight - EDGE_PX && box.top > innerHeight - box.bottom;
  const top = isTight ? box.top - GAP_PX - height : below;
  const left = isRtl ? box.right - width : box.left;
  element.style.top = `${Math.max(EDGE_PX, Math.min(top, innerHeight - height - EDGE_PX))}px`;
  element.style.left = `${Math.max(EDGE_PX, Math.min(left, innerWidth - width - EDGE_PX))}px`;
}

document.addEventListener("pointerdown", (event) => {
  const at = open.findIndex(({ element }) => event.target instanceof Node && element.contains(event.target));
  if (open.length > 0) closePopups(at + 1);
}, true);
window.addEventListener("resize", () => closePopups());
