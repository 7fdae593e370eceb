// @ts-check
// The dialogs of a room: its settings, its deletion, and its members.  Loaded when opened.
//
// The rules it keeps: only what the user may change is shown.  In the open mode everybody may change a room.  With
// sign-in its owner and admins may; nobody changes a direct room.

import { ApiError } from "../../server/http.js";
import { addMember, changeRoom, deleteRoom, fetchMembers, removeMember } from "../../server/rooms_api.js";
import { ROOM_SETTINGS as TEXTS } from "../../dialog_strings.js";
import { checkName, normalizeName } from "../../validation.js";
import { makeAvatar } from "../avatar.js";
import { Dialog, makeSelectField, makeTextField } from "../dialog.js";
import { make, makeButton, makeText } from "../dom.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").NotifyLevel} NotifyLevel */
/** @typedef {import("../../types.js").Room} Room */

const DAY_S = 24 * 60 * 60;
const WHOLE = /^[1-9]\d{0,8}$/;

/**
 * @param {Store} store
 * @param {Room} room
 * @returns {boolean} may the user change and delete the room?
 */
function mayChange(store, room) {
  const { account, user } = store;
  if (room.direct || !room.exists) return false;
  return account?.Auth !== "login" || account.Role === "admin" || room.owner === user;
}

/**
 * @param {Store} store
 * @param {Session} session
 * @param {Room} room
 */
export function openSettings(store, session, room) {
  const { preferences } = store;
  const notify = makeSelectField(TEXTS.notify, TEXTS.levels, preferences.notifyLevel(room));
  const name = makeTextField(TEXTS.name, { value: room.title });
  const topic = makeTextField(TEXTS.topic, { value: room.topic });
  const archived = makeSelectField(TEXTS.archived, TEXTS.archiveChoices, room.archived ? "yes" : "no");
  const { MaxMessages, MaxAgeSeconds } = room.retention ?? {};
  const count = makeTextField(TEXTS.maxMessages, { value: MaxMessages ? String(MaxMessages) : "", hint: TEXTS.noLimit });
  const days = makeTextField(TEXTS.maxDays, { value: MaxAgeSeconds ? String(Math.ceil(MaxAgeSeconds / DAY_S)) : "" });
  const mayEdit = mayChange(store, room);
  const rows = mayEdit ? [name.row, topic.row, archived.row, make("div", "form-pair", count.row, days.row)] : [];
  const more = make("div", "dialog-more");
  const dialog = new Dialog({
    heading: TEXTS.heading(room.title),
    className: "room-settings",
    body: [notify.row, ...rows, more],
    submit: TEXTS.save,
    onSubmit: async () => {
      for (const limit of [count, days]) limit.check(limit.value === "" || WHOLE.test(limit.value) ? "" : TEXTS.notANumber);
      const changes = mayEdit ? findChanges() : {};
      if (Object.keys(changes).length > 0) {
        const details = await changeRoom(room.name, changes);
        session.followRename(() => session.rooms.update(details));
      }
      const Notify = /** @type {NotifyLevel} */ (notify.value);
      if (Notify !== preferences.notifyLevel(room)) await session.prefer(room, { Notify });
    },
  });
  if (mayEdit) {
    const remove = makeButton(TEXTS.delete, () => openDeletion(dialog, room));
    remove.classList.add("link-danger");
    more.append(remove);
  }
  if (store.account?.Auth === "login" && (room.joined || room.private) && !room.direct) {
    more.append(makeButton(TEXTS.leave, () => void leave(dialog)));
  }

  /** @returns {Record<string, unknown>} what differs from the room as it is */
  function findChanges() {
    /** @type {Record<string, unknown>} */
    const changes = {};
    const title = normalizeName(name.value);
    name.check(checkName(title));
    if (title !== room.title) changes.Name = title;
    if (topic.value.trim() !== room.topic) changes.Topic = topic.value.trim() || null;
    if ((archived.value === "yes") !== room.archived) changes.Archived = archived.value === "yes";
    const bounds = {
      ...(count.value === String(MaxMessages ?? "") ? {} : { MaxMessages: count.value === "" ? null : Number(count.value) }),
      ...(days.value === String(MaxAgeSeconds ? Math.ceil(MaxAgeSeconds / DAY_S) : "") ? {}
        : { MaxAgeSeconds: days.value === "" ? null : Number(days.value) * DAY_S }),
    };
    if (Object.keys(bounds).length > 0) changes.Retention = bounds;
    return changes;
  }

  /** @param {Dialog} settings */
  async function leave(settings) {
    try {
      await removeMember(room.name, store.user);
      room.joined = false;
      settings.close();
      void session.loadRoomList();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      settings.showError(error.message);
    }
  }
}

/**
 * @param {Dialog} settings  the dialog that asks for it
 * @param {Room} room
 */
function openDeletion(settings, room) {
  settings.close();
  const name = makeTextField(TEXTS.typeName);
  new Dialog({
    heading: TEXTS.deleteHeading(room.title),
    body: [make("p", "dialog-text", TEXTS.deleteText), name.row],
    submit: TEXTS.confirmDelete,
    danger: true,
    onSubmit: async () => {
      name.check(normalizeName(name.value) === room.title ? "" : TEXTS.wrongName);
      await deleteRoom(room.name);
    },
  });
  name.input.focus();
}

/**
 * @param {Store} store
 * @param {Room} room
 */
export async function openMembers(store, room) {
  const list = make("ul", "choices");
  const person = makeTextField(TEXTS.add);
  const mayRemove = mayChange(store, room);
  const mayAdd = !room.direct && (mayRemove || !room.private || room.joined);
  const dialog = new Dialog({
    heading: TEXTS.members(room.title),
    body: mayAdd ? [list, person.row] : [list],
    ...(mayAdd ? { submit: TEXTS.addButton, onSubmit: addPerson } : {}),
  });
  await show();

  /** @returns {Promise<void>} */
  async function addPerson() {
    const name = normalizeName(person.value);
    person.check(checkName(name));
    await addMember(room.name, name);
    void openMembers(store, room);
  }

  async function show() {
    try {
      const names = await fetchMembers(room.name);
      list.replaceChildren(...names.map((name) => makeMember(name)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      dialog.showError(error.message);
    }
  }

  /** @param {string} name */
  function makeMember(name) {
    const notes = [name === room.owner ? TEXTS.owner : "", name === store.user ? TEXTS.you : ""].filter(Boolean);
    const row = make("li", "choice", makeAvatar(name), makeText("span", "choice-title", name), make("span", "choice-note", notes.join(", ")));
    if (!mayRemove || name === store.user) return row;
    const remove = makeButton(TEXTS.remove, () => void removePerson(name));
    remove.setAttribute("aria-label", `${TEXTS.remove} ${name}`);
    row.append(remove);
    return row;
  }

  /** @param {string} name */
  async function removePerson(name) {
    try {
      await removeMember(room.name, name);
      await show();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      dialog.showError(error.message);
    }
  }
}
