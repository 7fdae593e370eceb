// @ts-check
// The side bar: favourites, direct messages and rooms, in sections that fold, and the field that filters them.
//
// The rules it keeps:
// - The rows are one stop of the Tab key; the arrows, Home and End move within them.
// - A filter only hides rows, so that 1,800 of them are filtered between two frames.
// - A direct message has its own section, an avatar and a hidden text, so that no name of a room can look like one.

import { goToRoom, roomLink } from "../../links.js";
import { COMMON, PREFERENCES, ROOMS } from "../../strings.js";
import { makeAvatar } from "../avatar.js";
import { find, make, makeButton, makeText, setText, showRows } from "../dom.js";
import { makeIcon, makeIconButton } from "../icons.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

const SHOWN_MAX = 99;

/**
 * What the side bar opens.
 * @typedef {object} RoomListActions
 * @property {() => void} newRoom
 * @property {() => void} browse
 * @property {() => void} newDirect
 * @property {() => void} preferences
 */

/** One section of the side bar. */
class Section {
  /**
   * @param {string} id  of the list
   * @param {string} label
   * @param {() => void} onFold
   * @param {HTMLButtonElement[]} buttons
   */
  constructor(id, label, onFold, buttons) {
    this.id = id;
    this.list = make("ul", "rooms");
    this.list.id = id;
    this.toggle = make("button", "section-toggle", makeIcon("fold"), make("span", "", label));
    this.toggle.type = "button";
    this.toggle.setAttribute("aria-controls", id);
    this.toggle.addEventListener("click", onFold);
    const head = make("div", "rooms-head", make("h2", "", this.toggle), ...buttons);
    this.element = make("nav", "section", head, this.list);
    this.element.setAttribute("aria-label", label);
    /** @type {import("../dom.js").Kept} */
    this.kept = new Map();
  }

  /** @param {boolean} folded */
  fold(folded) {
    this.toggle.setAttribute("aria-expanded", String(!folded));
    this.list.classList.toggle("folded", folded);
  }
}

export class RoomListView {
  /**
   * @param {Store} store
   * @param {Session} session
   * @param {RoomListActions} actions
   */
  constructor(store, session, actions) {
    this.store = store;
    const fold = (/** @type {string} */ id) => () => store.preferences.toggleFold(id);
    const create = makeIconButton("add", ROOMS.newRoom, actions.newRoom);
    create.id = "new-room-toggle";
    find("sidebar-head", HTMLElement).append(makeIconButton("gear", PREFERENCES.heading, actions.preferences));
    this.browse = makeIconButton("search", ROOMS.browse, actions.browse);
    this.direct = makeIconButton("add", ROOMS.newDirect, actions.newDirect);
    this.favourites = new Section("favourites", ROOMS.favourites, fold("favourites"), []);
    this.directs = new Section("directs", ROOMS.directs, fold("directs"), [this.direct]);
    this.rooms = new Section("rooms", ROOMS.rooms, fold("rooms"), [this.browse, create]);
    this.sections = [this.favourites, this.directs, this.rooms];
    this.note = make("p", "rooms-note");
    this.note.id = "rooms-note";
    this.filter = make("input", "field filter");
    this.filter.type = "text";
    this.filter.placeholder = ROOMS.filter;
    this.filter.setAttribute("aria-label", ROOMS.filter);
    this.filter.autocomplete = "off";
    this.filter.spellcheck = false;
    this.retry = makeButton(COMMON.tryAgain, () => void session.loadRoomList());
    /** @type {Map<string, string>} what the filter compares, by the name of the room */
    this.folded = new Map();
    this.shown = "";
    this.filter.addEventListener("input", () => this.applyFilter());
    this.filter.addEventListener("keydown", (event) => this.onFilterKey(event));
    const place = find("sidebar-rooms", HTMLElement);
    place.addEventListener("keydown", (event) => this.onKey(event));
    place.addEventListener("focusin", (event) => this.onFocus(event.target));
    const elements = this.sections.map(({ element }) => element);
    place.append(make("div", "filter-row", this.filter), make("div", "sections", ...elements, this.note));
  }

  render() {
    const { account, preferences, presence, rooms } = this.store;
    const version = [rooms.version, rooms.loaded, preferences.version, presence.version, account?.Auth].join();
    if (version === this.shown) return; // the list may be long, and most changes of the store are not about it
    this.shown = version;
    const all = rooms.sorted;
    const isFavourite = new Set(preferences.choices.favourites);
    const hasLogin = account?.Auth === "login";
    this.browse.hidden = this.direct.hidden = !hasLogin || account?.Role === "guest";
    this.show(this.favourites, all.filter((room) => isFavourite.has(room.name)));
    this.show(this.directs, all.filter((room) => room.direct && !isFavourite.has(room.name)));
    this.show(this.rooms, all.filter((room) => !room.direct && !isFavourite.has(room.name)));
    this.favourites.element.hidden = this.favourites.kept.size === 0;
    this.directs.element.hidden = !hasLogin && this.directs.kept.size === 0;
    this.folded = new Map(all.map((room) => [room.name, foldText(room.title)]));
    this.applyFilter();
    this.placeTabStop();
  }

  /**
   * @param {Section} section
   * @param {Room[]} rooms
   */
  show(section, rooms) {
    showRows(section.list, section.kept, rooms.map((room) => this.makeRow(room)));
    section.fold(this.store.preferences.choices.folded.includes(section.id));
  }

  /** Hide the rows that do not have the text of the filter. */
  applyFilter() {
    const wanted = foldText(this.filter.value.trim());
    let count = 0;
    for (const { kept, list } of this.sections) {
      list.classList.toggle("filtered", wanted !== ""); // shows the rows of a folded section too
      for (const [name, { element }] of kept) {
        const isHidden = wanted !== "" && !this.folded.get(name)?.includes(wanted);
        if (element.hidden !== isHidden) element.hidden = isHidden;
        if (!isHidden) count += 1;
      }
    }
    this.renderNote(count, wanted !== "");
  }

  /**
   * @param {number} count
   * @param {boolean} isFiltered
   */
  renderNote(count, isFiltered) {
    const { loaded } = this.store.rooms;
    if (loaded === "failed") this.note.replaceChildren(ROOMS.failed, this.retry);
    else setText(this.note, count > 0 || loaded !== "yes" ? "" : isFiltered ? ROOMS.noMatch : ROOMS.none);
  }

  /**
   * @param {Room} room
   * @returns {import("../dom.js").Row}
   */
  makeRow(room) {
    const { preferences, presence, rooms } = this.store;
    const row = {
      current: room.name === rooms.current,
      isNew: !room.exists && rooms.loaded === "yes",
      muted: preferences.isMuted(room.name),
      online: room.direct && room.members.length === 1 && presence.online.has(room.members[0] ?? ""),
    };
    const { unread, mentions, direct, archived, title } = room;
    const signature = JSON.stringify([row, unread, mentions, direct, room.private, archived, title]);
    return { key: room.name, signature, build: () => buildRow(room, row) };
  }

  // The keyboard.

  /** @returns {HTMLElement[]} the links that are shown, from top to bottom */
  shownLinks() {
    const links = [];
    for (const { kept, list } of this.sections) {
      if (list.classList.contains("folded") && !list.classList.contains("filtered")) continue;
      for (const { element } of kept.values()) {
        const link = element.firstElementChild;
        if (!element.hidden && link instanceof HTMLElement) links.push(link);
      }
    }
    return links;
  }

  /** Exactly one row is reached by Tab: the focused one, the room in view, or the first. */
  placeTabStop() {
    const links = this.sections.flatMap(({ kept }) => [...kept.values()].map(({ element }) => element.firstElementChild));
    const shown = this.shownLinks();
    const stop = shown.find((link) => link === document.activeElement)
      ?? shown.find((link) => link.hasAttribute("aria-current")) ?? shown[0];
    for (const link of links) if (link instanceof HTMLElement) link.tabIndex = link === stop ? 0 : -1;
  }

  /** @param {EventTarget | null} target */
  onFocus(target) {
    if (target instanceof HTMLElement && target.classList.contains("room-link")) this.placeTabStop();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const links = this.shownLinks();
    const at = links.findIndex((link) => link === document.activeElement);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
  }

  /** @param {KeyboardEvent} event */
  onFilterKey(event) {
    const first = this.shownLinks()[0];
    if (event.key === "ArrowDown") first?.focus();
    else if (event.key === "Enter" && first instanceof HTMLAnchorElement) this.openFound(first);
    else if (event.key === "Escape" && this.filter.value !== "") this.clearFilter();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {HTMLAnchorElement} link */
  openFound(link) {
    const name = link.dataset.room;
    this.clearFilter();
    if (name !== undefined) goToRoom(name);
  }

  clearFilter() {
    this.filter.value = "";
    this.applyFilter();
  }

  /**
   * The room above or below the one in view, in the order of the side bar.
   * @param {number} step  1 or -1
   * @param {boolean} onlyUnread
   * @returns {string | null}
   */
  neighbour(step, onlyUnread) {
    const names = this.sections.flatMap(({ kept }) => [...kept.keys()]);
    const { byName, current } = this.store.rooms;
    const start = current === null ? (step > 0 ? -1 : names.length) : names.indexOf(current);
    for (let at = start + step; at >= 0 && at < names.length; at += step) {
      const name = names[at] ?? "";
      if (!onlyUnread || (byName.get(name)?.unread ?? 0) > 0) return name;
    }
    return null;
  }
}

/**
 * @param {Room} room
 * @param {{current: boolean, isNew: boolean, muted: boolean, online: boolean}} row
 * @returns {HTMLElement}
 */
function buildRow(room, { current, isNew, muted, online }) {
  const link = make("a", "room-link", makeMark(room, online), makeText("span", "room-name", room.title));
  link.href = roomLink(room.name);
  link.dataset.room = room.name;
  link.tabIndex = -1;
  if (current) link.setAttribute("aria-current", "page");
  if (room.unread > 0 && !muted) link.classList.add("has-unread");
  if (muted) link.classList.add("is-muted");
  if (isNew) link.append(makeTag(ROOMS.isNew, ROOMS.isNewHint));
  if (room.archived) link.append(makeTag(ROOMS.archived, ""));
  if (muted) link.append(make("span", "visually-hidden", ` ${ROOMS.muted}`));
  if (room.mentions > 0) link.append(makeBadge(room.mentions, ROOMS.mentions, "badge badge-mentions"));
  else if (room.unread > 0) link.append(makeBadge(room.unread, ROOMS.unread, "badge"));
  return make("li", current || (room.unread > 0 && !muted) ? "stays" : "", link); // stays in a folded section
}

/**
 * @param {Room} room
 * @param {boolean} online
 * @returns {HTMLElement}
 */
function makeMark(room, online) {
  if (!room.direct) {
    const mark = make("span", "room-mark", makeIcon(room.private ? "lock" : "hash"));
    if (room.private) mark.append(make("span", "visually-hidden", ROOMS.privateRoom));
    return mark;
  }
  const mark = make("span", "direct-mark", make("span", "visually-hidden", ROOMS.directWith));
  const avatar = makeAvatar(room.members[0] ?? room.title);
  avatar.dataset.initials = avatar.textContent ?? ""; // drawn by CSS, so that the row's text is its name only
  avatar.textContent = "";
  mark.append(avatar);
  if (online) mark.append(make("span", "online-dot", make("span", "visually-hidden", `(${ROOMS.online}) `)));
  return mark;
}

/**
 * @param {string} text
 * @param {string} hint
 * @returns {HTMLElement}
 */
function makeTag(text, hint) {
  const tag = make("span", "room-tag", text);
  tag.title = hint;
  return tag;
}

/**
 * @param {number} count
 * @param {string} what
 * @param {string} className
 * @returns {HTMLElement}
 */
function makeBadge(count, what, className) {
  const shown = count > SHOWN_MAX ? `${SHOWN_MAX}+` : String(count);
  return make("span", className, shown, make("span", "visually-hidden", what));
}

/**
 * @param {string} text
 * @returns {string} without case and accents
 */
function foldText(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
