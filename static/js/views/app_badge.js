// @ts-check
// The number on the icon of the installed page: unread messages.

/** @typedef {import("../store/store.js").Store} Store */

export class AppBadge {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.shown = 0;
  }

  render() {
    const { unread } = this.store.rooms;
    if (unread === this.shown) return;
    this.shown = unread;
    void this.show(unread);
  }

  /** @param {number} unread  0 removes the badge */
  async show(unread) {
    try {
      await navigator.setAppBadge?.(unread);
    } catch {
      // The page is not installed, or the system has no badges.
    }
  }
}
