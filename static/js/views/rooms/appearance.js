// @ts-check
// The theme and the density of the page.

/** @typedef {import("../../store/store.js").Store} Store */

export class AppearanceView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.shown = -1;
  }

  render() {
    const { choices, version } = this.store.preferences;
    if (version === this.shown) return;
    this.shown = version;
    const { dataset } = document.documentElement;
    if (choices.theme === "system") delete dataset.theme;
    else dataset.theme = choices.theme;
    if (choices.density === "normal") delete dataset.density;
    else dataset.density = choices.density;
  }
}
