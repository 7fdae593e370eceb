// @ts-check
// Sends the messages of the outbox, and decides what happens to each.
//
// The rules it keeps:
// - One message of a room is in flight at a time, so that their order stays.
// - A message leaves the outbox when the page sees it confirmed: in an Ack, in a live post or in a page of the room,
//   whichever comes first.
// - A message that got neither Ack nor Error is sent again: its ClientId makes that harmless.

import { NOT_OPEN, RETURNED } from "./room_notices.js";

/** @typedef {import("./store/store.js").Store} Store */
/** @typedef {import("./types.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./types.js").PendingPost} PendingPost */
/** @typedef {import("./types.js").Post} Post */

const ACK_TIMEOUT_MS = 12_000;
const TEMPORARY_PAUSE_MS = 2_000;
/** The codes that refuse a message to a room that became private, or that the user is no longer a member of. */
const CLOSED_CODES = ["room_gone", "not_found"];

export class OutboxSender {
  /**
   * @param {Store} store
   * @param {import("./server/socket.js").ChatSocket} socket
   * @param {(text: string, reason: string) => void} onTextReturned  called with what could not be sent to the room in
   *   view, and with what its author takes back
   */
  constructor(store, socket, onTextReturned) {
    this.store = store;
    this.outbox = store.outbox;
    this.socket = socket;
    this.onTextReturned = onTextReturned;
    /** @type {Map<string, ReturnType<typeof setTimeout>>} timeouts of the messages in flight, by ClientId */
    this.inFlight = new Map();
  }

  /**
   * Send a message to the room in view.
   * @param {string} message
   * @param {{ReplyTo?: number}} [more]
   */
  send(message, more = {}) {
    const { current } = this.store.rooms;
    if (current === null) return;
    this.outbox.add(current, this.store.user, message, more);
    this.sendWaiting();
  }

  /** @param {PendingPost} pending  a refused message */
  sendAgain(pending) {
    this.outbox.release(pending);
    this.sendWaiting();
  }

  /**
   * Put a message back into the field, to be changed there.
   * @param {PendingPost} pending  a refused message of the room in view
   */
  edit(pending) {
    this.outbox.remove(pending.ClientId);
    this.onTextReturned(pending.Message, "");
  }

  /** @param {PendingPost} pending  a refused message */
  discard(pending) {
    this.outbox.remove(pending.ClientId);
    this.store.changed();
  }

  /** Send the oldest waiting message of each room, unless it is in flight. */
  sendWaiting() {
    for (const pending of this.outbox.heads()) {
      const { ClientId } = pending;
      if (this.inFlight.has(ClientId) || !this.socket.post(pending)) continue;
      this.inFlight.set(ClientId, setTimeout(() => this.onTimeout(ClientId), ACK_TIMEOUT_MS));
    }
    this.store.changed();
  }

  /** @param {string} clientId */
  onTimeout(clientId) {
    this.inFlight.delete(clientId);
    this.sendWaiting();
  }

  /** Forget what is in flight: it is sent again over the next connection. */
  onDisconnected() {
    for (const timeout of this.inFlight.values()) clearTimeout(timeout);
    this.inFlight.clear();
  }

  /** @param {ErrorFrame} error */
  onError({ ClientId, code, detail, Temporary }) {
    if (ClientId === null) return;
    this.stopWaiting(ClientId);
    if (CLOSED_CODES.includes(code)) this.returnText(ClientId);
    else if (Temporary) setTimeout(() => this.sendWaiting(), TEMPORARY_PAUSE_MS);
    else this.outbox.refuse(ClientId, detail);
    if (!Temporary) this.sendWaiting();
  }

  /**
   * Return what was written in a room where the user may not write any more.  If the room is in view, the text goes
   * back into the composer.  Else it stays in the outbox, not sent.
   * @param {string} clientId
   */
  returnText(clientId) {
    const room = this.outbox.find(clientId)?.RoomName;
    if (room === undefined) return;
    this.store.rooms.close(room);
    if (room !== this.store.rooms.current) return this.outbox.refuse(clientId, NOT_OPEN);
    const waiting = this.outbox.inRoom(room).filter(({ Refusal }) => Refusal === undefined);
    for (const { ClientId } of waiting) this.outbox.remove(ClientId);
    this.onTextReturned(waiting.map(({ Message }) => Message).join("\n"), RETURNED);
  }

  /** @param {string} clientId */
  confirm(clientId) {
    this.outbox.remove(clientId);
    this.stopWaiting(clientId);
  }

  /**
   * Remove the messages from the outbox that the server has confirmed, and send the next ones.
   * @param {Post[]} posts  any posts that the server has sent
   * @returns {boolean} true where at least one of them was in the outbox
   */
  confirmAll(posts) {
    const users = new Map(posts.map((post) => [post.ClientId, post.User]));
    const confirmed = this.outbox.own.filter((pending) => users.get(pending.ClientId) === pending.User);
    for (const { ClientId } of confirmed) this.confirm(ClientId);
    if (confirmed.length > 0) this.sendWaiting();
    return confirmed.length > 0;
  }

  /** @param {string} clientId */
  stopWaiting(clientId) {
    clearTimeout(this.inFlight.get(clientId));
    this.inFlight.delete(clientId);
  }
}
