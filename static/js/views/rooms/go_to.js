// @ts-check
// The dialog "Go to": rooms, people and commands, found by a part of their names.  Loaded when opened.
//
// The field is a combobox with a list (WAI-ARIA APG): the focus stays in it, and the arrows choose.

import { COMMANDS, GO_TO, KEYS } from "../../dialog_strings.js";
import { goToRoom } from "../../links.js";
import { ApiError } from "../../server/http.js";
import { fetchUsers } from "../../server/rooms_api.js";
import { ROOMS } from "../../strings.js";
import { makeAvatar } from "../avatar.js";
import { Dialog, uniqueId } from "../dialog.js";
import { make, makeText, setText } from "../dom.js";
import { makeIcon } from "../icons.js";
import { writeTo } from "./browse.js";
import { addStyles } from "../styles.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {{title: string, kind: string, mark: () => Element, run: () => Promise<void> | void}} Target */

/**
 * What the commands open.
 * @typedef {object} Opens
 * @property {() => void} newRoom
 * @property {() => void} browse
 * @property {() => void} preferences
 * @property {() => void} shortcuts
 * @property {(text: string) => void} begin  put this into the message field
 */

addStyles(new URL("../../../css/keyboard.css", import.meta.url).href);

const SHOWN_MAX = 12;

/**
 * @param {Store} store
 * @param {Session} session
 * @param {Opens} opens
 */
export async function openGoTo(store, session, opens) {
  const input = make("input", "field");
  const list = make("ul", "go-to-list");
  const note = make("p", "dialog-text");
  note.setAttribute("role", "status");
  list.id = uniqueId();
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", GO_TO.heading);
  input.type = "text";
  input.autocomplete = "off";
  input.placeholder = GO_TO.placeholder;
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-label": GO_TO.heading, "aria-expanded": "true", "aria-controls": list.id, "aria-autocomplete": "list",
  })) input.setAttribute(name, value);
  const dialog = new Dialog({
    heading: GO_TO.heading,
    className: "go-to",
    body: [input, list, note],
    onSubmit: () => choose(found[selected]),
  });
  /** @type {Target[]} */
  const targets = [
    ...store.rooms.sorted.map((room) => ({
      title: room.title,
      kind: room.direct ? GO_TO.direct : GO_TO.room,
      mark: () => (room.direct ? makeAvatar(room.members[0] ?? room.title) : makeIcon(room.private ? "lock" : "hash")),
      run: () => goToRoom(room.name),
    })),
    ...commandsOf(store, session, opens).map(([title, run]) => (
      { title, kind: GO_TO.command, mark: () => makeIcon("command"), run }
    )),
  ];
  /** @type {Target[]} */
  let found = [];
  let selected = 0;
  input.addEventListener("input", () => search());
  input.addEventListener("keydown", (event) => onKey(event));
  search();
  input.focus();
  if (store.account?.Auth === "login") await addPeople();

  async function addPeople() {
    try {
      const known = new Set(store.rooms.sorted.filter(({ direct, members }) => direct && members.length === 1)
        .map(({ members }) => members[0]));
      const people = (await fetchUsers()).filter(({ Active, Name }) => Active && Name !== store.user && !known.has(Name));
      targets.push(...people.map(({ DisplayName, Name }) => ({
        title: DisplayName, kind: GO_TO.person, mark: () => makeAvatar(Name), run: () => writeTo(session, Name),
      })));
      search();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the rooms can be found without the people
    }
  }

  function search() {
    const wanted = input.value.trim().toLocaleLowerCase();
    const rank = (/** @type {Target} */ { title }) => title.toLocaleLowerCase().indexOf(wanted);
    const matches = targets.filter((target) => rank(target) >= 0);
    if (wanted !== "") matches.sort((a, b) => Math.min(rank(a), 1) - Math.min(rank(b), 1));
    found = matches.slice(0, SHOWN_MAX);
    selected = 0;
    setText(note, found.length === 0 ? GO_TO.none : "");
    show();
  }

  function show() {
    list.replaceChildren(...found.map((target, at) => {
      const mark = make("span", "go-to-mark", target.mark());
      const title = makeText("span", "choice-title", target.title);
      const option = make("li", "go-to-option", mark, title, make("span", "choice-note", target.kind));
      option.id = `${list.id}-${at}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(at === selected));
      option.addEventListener("click", () => {
        selected = at;
        dialog.form.requestSubmit();
      });
      return option;
    }));
    if (found.length > 0) input.setAttribute("aria-activedescendant", `${list.id}-${selected}`);
    else input.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      dialog.form.requestSubmit();
    }
    if (step === undefined || found.length === 0) return;
    event.preventDefault();
    selected = (selected + step + found.length) % found.length;
    show();
  }

  /** @param {Target | undefined} target */
  async function choose(target) {
    if (target === undefined) throw new ApiError(0, GO_TO.none);
    if (target.kind !== GO_TO.command) return target.run();
    setTimeout(() => void target.run()); // once this dialog is closed, since a command may open another
  }
}

/**
 * @param {Store} store
 * @param {Session} session
 * @param {Opens} opens
 * @returns {[title: string, run: () => void][]}
 */
function commandsOf(store, session, { newRoom, browse, preferences, shortcuts, begin }) {
  const { current } = store.rooms;
  const isEmpty = current !== null && store.drafts.get(current).text === "";
  return [
    [ROOMS.newRoom, newRoom],
    ...(store.account?.Auth === "login" ? [/** @type {[string, () => void]} */ ([ROOMS.browse, browse])] : []),
    [GO_TO.markAllRead, () => session.readMarks.markAllRead()],
    [ROOMS.preferences, preferences],
    [KEYS.heading, shortcuts],
    ...(isEmpty ? COMMANDS.list : []).map(([name, , what]) =>
      /** @type {[string, () => void]} */ ([`/${name}: ${what}`, () => begin(`/${name} `)])),
  ];
}
