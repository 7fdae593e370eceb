// @ts-check
// The dialogs that list rooms to join and people to write to.  Loaded when opened.

import { goToRoom } from "../../links.js";
import { ApiError } from "../../server/http.js";
import { addMember, fetchUsers, openDirect } from "../../server/rooms_api.js";
import { BROWSE as TEXTS } from "../../dialog_strings.js";
import { makeAvatar } from "../avatar.js";
import { Dialog, makeTextField } from "../dialog.js";
import { make, makeText, setText } from "../dom.js";
import { makeIcon } from "../icons.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

/** Rows that are made; the filter finds the others. */
const ROWS_MAX = 200;

/**
 * @typedef {object} Choice
 * @property {string} key
 * @property {string} title
 * @property {string} note
 * @property {string} action  the label of the button
 * @property {Node} mark
 * @property {() => Promise<void>} choose
 */

/**
 * Open the list of the public rooms.
 * @param {Store} store
 * @param {Session} session
 */
export function openBrowse(store, session) {
  const dialog = openList(TEXTS.rooms, TEXTS.findRoom, TEXTS.noRooms);
  dialog.show(store.rooms.sorted.filter((room) => !room.direct && room.exists).map((room) => ({
    key: room.name,
    title: room.title,
    note: room.topic,
    action: room.joined ? TEXTS.open : TEXTS.join,
    mark: makeIcon(room.private ? "lock" : "hash"),
    choose: async () => {
      if (!room.joined) await addMember(room.name, store.user);
      room.joined = true;
      void session.loadRoomList();
      goToRoom(room.name);
    },
  })));
}

/**
 * Open the list of the people whom the user may write to.
 * @param {Store} store
 * @param {Session} session
 */
export async function openPeople(store, session) {
  const dialog = openList(TEXTS.people, TEXTS.findPerson, TEXTS.noPeople);
  try {
    const users = await fetchUsers();
    dialog.show(users.filter(({ Active, Name }) => Active && Name !== store.user).map((user) => ({
      key: user.Name,
      title: user.DisplayName,
      note: user.DisplayName === user.Name ? "" : user.Name,
      action: TEXTS.write,
      mark: makeAvatar(user.Name),
      choose: () => writeTo(session, user.Name),
    })));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    dialog.fail(error.message);
  }
}

/**
 * Open the direct room with this user.
 * @param {Session} session
 * @param {string} user
 */
export async function writeTo(session, user) {
  const room = await openDirect([user]);
  session.rooms.update(room);
  goToRoom(room.Name);
}

/**
 * @param {string} heading
 * @param {string} label  of the field that filters
 * @param {string} empty
 */
function openList(heading, label, empty) {
  const filter = makeTextField(label, { type: "search" });
  const list = make("ul", "choices");
  const note = make("p", "dialog-text", TEXTS.loading);
  note.setAttribute("role", "status");
  const dialog = new Dialog({ heading, body: [filter.row, list, note] });
  /** @type {Choice[]} */
  let choices = [];
  filter.input.addEventListener("input", () => showFound());
  filter.input.focus();

  function showFound() {
    const wanted = filter.value.trim().toLocaleLowerCase();
    const found = choices.filter(({ title, note: more }) => `${title} ${more}`.toLocaleLowerCase().includes(wanted));
    list.replaceChildren(...found.slice(0, ROWS_MAX).map((choice) => makeChoice(choice)));
    setText(note, found.length === 0 ? empty : found.length > ROWS_MAX ? TEXTS.more(found.length - ROWS_MAX) : "");
  }

  /** @param {Choice} choice */
  function makeChoice({ title, note: more, action, mark, choose }) {
    const button = make("button", "button button-quiet", action);
    button.type = "button";
    button.setAttribute("aria-label", `${action} ${title}`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await choose();
        dialog.close();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        dialog.showError(error.message);
        button.disabled = false;
      }
    });
    return make("li", "choice", mark, makeText("span", "choice-title", title), makeText("span", "choice-note", more), button);
  }

  return {
    /** @param {Choice[]} all */
    show(all) {
      choices = all;
      showFound();
    },
    /** @param {string} error */
    fail(error) {
      setText(note, "");
      dialog.showError(error);
    },
  };
}
