// @ts-check
// The ticket that signs in the next websocket at a node of another host, which does not get this page's cookie.
//
// The ticket is also kept in the browser: a page that is opened while its node is gone signs in with it.
// One ticket is kept in reserve and renewed before it expires.  The page asks for the first one some seconds after
// `Hello`, at a random moment: thousands of pages may reconnect at once.

import { dropTicket, keepTicket, takeTicket } from "../kept.js";

const ASK_FROM_MS = 1_000;
const ASK_SPREAD_MS = 9_000;
/** A ticket is valid for an hour. */
const RENEW_MS = 50 * 60 * 1000;

export class SpareTicket {
  /** @param {() => void} ask  ask the connected node for a ticket; pass the answer to `store` */
  constructor(ask) {
    this.ask = ask;
    this.secret = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * Ask for a ticket soon, if one of the nodes would need it.
   * @param {string[]} nodes  URLs
   * @param {boolean} isUrgent  the page's own node is gone: a reload needs a ticket at once
   */
  reserve(nodes, isUrgent) {
    if (this.secret !== "" || nodes.every(getsCookie)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.ask, isUrgent ? 0 : ASK_FROM_MS + Math.random() * ASK_SPREAD_MS);
  }

  /** @param {string} secret */
  store(secret) {
    if (this.secret !== "") dropTicket(this.secret);
    this.secret = secret;
    void keepTicket(secret);
    clearTimeout(this.timer);
    this.timer = setTimeout(this.ask, RENEW_MS);
  }

  /**
   * Look for a ticket of an earlier page, if the node needs one and this page has none.
   * @param {string} node  URL
   */
  async find(node) {
    if (this.secret === "" && !getsCookie(node)) this.secret = await takeTicket();
  }

  /**
   * The ticket, if the node needs it.  It stays until the node has answered: a node that fails has not used it up.
   * @param {string} node  URL
   * @returns {{Ticket?: string}} a part of the `subscribe` frame
   */
  take(node) {
    if (this.secret === "" || getsCookie(node)) return {};
    return { Ticket: this.secret };
  }

  /**
   * The node has let the page in, or refused it: a ticket that it got is used up.
   * @param {string} node  URL
   * @returns {boolean} true where the node got one
   */
  useUp(node) {
    if (this.secret === "" || getsCookie(node)) return false;
    dropTicket(this.secret);
    this.secret = "";
    return true;
  }
}

/**
 * A cookie belongs to a host, whatever the port.
 * @param {string} node  URL
 * @returns {boolean}
 */
function getsCookie(node) {
  return new URL(node).hostname === location.hostname;
}
