// @ts-check
// The page's own icons: strokes of 16 px, drawn by paths.

/** @type {Record<string, string>} */
const PATHS = {
  add: "M8 3v10M3 8h10",
  bell: "M4 11V7.5a4 4 0 0 1 8 0V11l1 1.5H3zM6.8 14.5h2.4",
  fold: "M4.5 6 8 9.5 11.5 6",
  gear: "M8 5.6a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8M8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M12.4 3.6 11 5M5 11l-1.4 1.4",
  hash: "M6 2.5 4.5 13.5M11.5 2.5 10 13.5M2.5 6h11.5M2 10h11.5",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5.5a2.5 2.5 0 0 1 5 0v2",
  people: "M6 8a2.4 2.4 0 1 0 0-4.8A2.4 2.4 0 0 0 6 8M1.8 13.5c0-4.4 8.4-4.4 8.4 0M11 3.4a2.4 2.4 0 0 1 0 4.4M12.2 10.4c1.3.5 2 1.6 2 3.1",
  search: "M7 2.500a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 13.5 13.5",
  star: "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.100L8 11.300l-3.7 2 .8-4.100L2 6.300l4.2-.5z",
  react: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM5.5 9.5c1.3 2 3.7 2 5 0M6 6.300v.01M10 6.300v.01",
  reply: "M6.5 4 2.5 8l4 4M2.5 8h7a4 4 0 0 1 4 4v1",
  edit: "m10.5 3 2.5 2.500L6 12.500l-3 .5.5-3Z",
  delete: "M3 4.500h10M6.5 4V2.500h3V4M4.5 4.500l.5 9h6l.5-9",
  pin: "m9.5 2 4.5 4.5-2.5.5L9 9.5 8.5 13 3 7.5 6.5 7 9 4.500ZM5.5 10.5 2.5 13.5",
  link: "M6.5 9.500l3-3M7 5l2-2a2.8 2.8 0 0 1 4 4l-2 2M9 11l-2 2a2.8 2.8 0 0 1-4-4l2-2",
  more: "M3.5 8v.01M8 8v.01M12.5 8v.01",
  close: "m4 4 8 8M12 4l-8 8",
  jump: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM8 4.500V8l2.5 1.5",
  smile: "M8 14a6 6 0 1 1 0-12 6 6 0 0 1 0 12ZM5.5 9.500c1.3 2 3.7 2 5 0M6 6.300v.01M10 6.300v.01",
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
