// @ts-check
// The dialog that chooses the theme, the density and the notifications.

import { PREFERENCES as TEXTS } from "../../dialog_strings.js";
import { ROOMS } from "../../strings.js";
import { Dialog, makeSelectField, makeTextField } from "../dialog.js";
import { make } from "../dom.js";

/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../store/preferences.js").Density} Density */
/** @typedef {import("../../store/preferences.js").Theme} Theme */

/**
 * Open the dialog of the user's preferences.  They hold on this device.
 * @param {Store} store
 */
export function openPreferences(store) {
  const { choices } = store.preferences;
  const theme = makeSelectField(TEXTS.theme, TEXTS.themes, choices.theme);
  const density = makeSelectField(TEXTS.density, TEXTS.densities, choices.density);
  const notify = makeSelectField(TEXTS.notifications, TEXTS.notifyChoices, notifyChoice(choices), notifyHint());
  const from = makeTextField(TEXTS.quietFrom, { type: "time", value: choices.quietFrom });
  const to = makeTextField(TEXTS.quietTo, { type: "time", value: choices.quietTo, hint: TEXTS.quietHint });
  notify.input.disabled = !canNotify();
  new Dialog({
    heading: ROOMS.preferences,
    body: [theme.row, density.row, notify.row, make("div", "form-pair", from.row, to.row)],
    submit: TEXTS.save,
    onSubmit: async () => {
      if (notify.value !== "off" && canNotify()) {
        notify.check((await Notification.requestPermission()) === "granted" ? "" : TEXTS.refused);
      }
      store.preferences.set({
        theme: /** @type {Theme} */ (theme.value),
        density: /** @type {Density} */ (density.value),
        notifications: notify.value !== "off",
        sound: notify.value === "sound",
        quietFrom: from.value,
        quietTo: to.value,
      });
    },
  });
}

/** @returns {boolean} a browser gives notifications over https and on localhost only */
function canNotify() {
  return window.isSecureContext && "Notification" in window;
}

/** @returns {string} */
function notifyHint() {
  return canNotify() ? TEXTS.notifyHint : TEXTS.notSecure;
}

/**
 * @param {{notifications: boolean, sound: boolean}} choices
 * @returns {string}
 */
function notifyChoice({ notifications, sound }) {
  return notifications ? (sound ? "sound" : "on") : "off";
}
