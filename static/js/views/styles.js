// @ts-check
// Style sheets of views that are loaded when they are opened.

/**
 * Load a style sheet, once.
 * @param {string} href
 */
export function addStyles(href) {
  if (document.querySelector(`link[href="${href}"]`) !== null) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  document.head.append(link);
}
