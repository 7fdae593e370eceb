// @ts-check
// The ticket that lets the next websocket in where this page's cookie is not for: at a node of another host.
//
// One is kept in reserve and renewed before it is over.  It is asked for some seconds after a welcome, so that thousands
// of pages that come back at once do not ask at once as well.

const ASK_FROM_MS = 1_000;
const ASK_SPREAD_MS = 9_000;
/** A ticket is good for an hour. */
const RENEW_MS = 50 * 60 * 1000;

export class SpareTicket {
  /** @param {() => void} ask  the node that the page is connected to; the answer goes to `keep` */
  constructor(ask) {
    this.ask = ask;
    this.secret = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * The page is welcome as somebody; these are the nodes that it may have to go to.
   * @param {string[]} nodes
   */
  reserve(nodes) {
    if (this.secret !== "" || nodes.every(takesCookie)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.ask, ASK_FROM_MS + Math.random() * ASK_SPREAD_MS);
  }

  /** @param {string} secret */
  keep(secret) {
    this.secret = secret;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.ask, RENEW_MS);
  }

  /**
   * What a subscription at a node has to say.
   * @param {string} node
   * @returns {{Ticket?: string}}
   */
  spend(node) {
    if (this.secret === "" || takesCookie(node)) return {};
    const Ticket = this.secret;
    this.secret = "";
    return { Ticket };
  }
}

/**
 * A cookie is of a host, whatever the port.
 * @param {string} node
 * @returns {boolean}
 */
function takesCookie(node) {
  return new URL(node).hostname === location.hostname;
}
