// @ts-check
// The addresses that a message may link to.

/** A longer address is shown as text: no browser promises to open it. */
export const URL_MAX = 2_000;
const SCHEMES = ["http:", "https:", "mailto:"];

/**
 * @param {string} address
 * @returns {string} the address to link to; "" where the page makes no link of it, such as `javascript:`
 */
export function safeUrl(address) {
  if (address.length > URL_MAX) return "";
  try {
    const url = new URL(address);
    return SCHEMES.includes(url.protocol) ? url.href : "";
  } catch {
    return ""; // no address, or one without a scheme
  }
}
