// @ts-check
// The dialog that makes a room.  In the open mode a public room is made by its first message, so it only needs a name.

import { goToRoom } from "../../links.js";
import { createRoom, putRoom } from "../../server/rooms_api.js";
import { ROOM_DIALOGS as TEXTS } from "../../dialog_strings.js";
import { checkName, normalizeName } from "../../validation.js";
import { Dialog, makeSelectField, makeTextField } from "../dialog.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */

/**
 * @param {Store} store
 * @param {Session} session
 * @param {string} [name]  to begin with
 */
export function openNewRoom(store, session, name = "") {
  const hasLogin = store.account?.Auth === "login";
  const title = makeTextField(TEXTS.name, { value: name, hint: TEXTS.nameHint });
  const topic = makeTextField(TEXTS.topic, { hint: TEXTS.topicHint });
  const visibility = makeSelectField(TEXTS.visibility, [["public", TEXTS.isPublic], ["private", TEXTS.isPrivate]], "public");
  const members = makeTextField(TEXTS.members, { hint: TEXTS.membersHint });
  members.row.hidden = true;
  visibility.input.addEventListener("change", () => (members.row.hidden = visibility.value === "public"));
  new Dialog({
    heading: TEXTS.newRoom,
    body: hasLogin ? [title.row, topic.row, visibility.row, members.row] : [title.row, topic.row],
    submit: TEXTS.create,
    onSubmit: async () => {
      const room = normalizeName(title.value);
      title.check(checkName(room));
      const Topic = topic.value.trim();
      if (hasLogin && visibility.value === "private") {
        const names = members.value.split(",").map(normalizeName).filter(Boolean);
        const made = await createRoom({ Name: room, Topic, Visibility: "private", Members: names });
        session.rooms.update(made);
        goToRoom(made.Name);
        return;
      }
      session.rooms.update(await putRoom(room, Topic));
      goToRoom(room);
    },
  });
  title.input.focus();
}
