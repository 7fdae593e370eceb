// @ts-check
// The page's own icons: strokes of 16 px, drawn by paths.

/** @type {Record<string, string>} */
const PATHS = {
  add: "M8 3v10M3 8h10",
  bell: "M4 11V7.5a4 4 0 0 1 8 0V11l1 1.5H3zM6.8 14.5h2.4",
  fold: "M4.5 6 8 9.5 11.5 6",
  gear: "M8 5.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4M6.9 1.8h2.2l.5 1.8 1.4.8 1.8-.5 1.1 1.9L12.6 7.2v1.6l1.3 1.4-1.1 1.9-1.8-.5-1.4.8-.5 1.8H6.9l-.5-1.8-1.4-.8-1.8.5-1.1-1.9 1.3-1.4V7.2L2.1 5.8l1.1-1.9 1.8.5 1.4-.8z",
  sliders: "M2 5h6M12 5h2M10 3.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6M2 11h2M8 11h6M6 9.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6",
  hash: "M6 2.5 4.5 13.5M11.5 2.5 10 13.5M2.5 6h11.5M2 10h11.5",
  list: "M2.5 4h11M2.5 8h11M2.5 12h7",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5.5a2.5 2.5 0 0 1 5 0v2",
  people: "M6 8a2.4 2.4 0 1 0 0-4.8A2.4 2.4 0 0 0 6 8M1.8 13.5c0-4.4 8.4-4.4 8.4 0M11 3.4a2.4 2.4 0 0 1 0 4.4M12.2 10.4c1.3.5 2 1.6 2 3.1",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 13.5 13.5",
  star: "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z",
  react: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM5.5 9.5c1.3 2 3.7 2 5 0M6 6.3v.01M10 6.3v.01",
  reply: "M6.5 4 2.5 8l4 4M2.5 8h7a4 4 0 0 1 4 4v1",
  edit: "m10.5 3 2.5 2.5L6 12.5l-3 .5.5-3Z",
  delete: "M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.5 9h6l.5-9",
  pin: "m9.5 2 4.5 4.5-2.5.5L9 9.5 8.5 13 3 7.5 6.5 7 9 4.5ZM5.5 10.5 2.5 13.5",
  link: "M6.5 9.5l3-3M7 5l2-2a2.8 2.8 0 0 1 4 4l-2 2M9 11l-2 2a2.8 2.8 0 0 1-4-4l2-2",
  more: "M3.5 8v.01M8 8v.01M12.5 8v.01",
  command: "M3 4.5 6.5 8 3 11.5M8 12h5",
  close: "m4 4 8 8M12 4l-8 8",
  jump: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM8 4.5V8l2.5 1.5",
  smile: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM5.5 9.5c1.3 2 3.7 2 5 0M6 6.3v.01M10 6.3v.01",
};
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function makeIcon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("width", "16");
  svg.setAttribute("height", "16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}

/**
 * @param {string} icon
 * @param {string} label  the accessible name, and the tooltip
 * @param {() => void} onClick
 * @returns {HTMLButtonElement}
 */
export function makeIconButton(icon, label, onClick) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon-button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.append(makeIcon(icon));
  button.addEventListener("click", onClick);
  return button;
}
