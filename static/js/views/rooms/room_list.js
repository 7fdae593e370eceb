// @ts-check
// The side bar: favourites, direct messages and rooms, in sections that fold, and the field that filters them.
//
// The rules it keeps:
// - The rows are one stop of the Tab key; the arrows, Home and End move within them.
// - Only the rows near the view are in the DOM, so that 1,800 rooms are filtered between two frames.  Each has its place
//   and its number in the list; the room in view and the row that Tab reaches are there wherever they are.
// - A direct message has its own section, an avatar and a hidden text, so that no name of a room can look like one.

import { goToRoom } from "../../links.js";
import { COMMON, ROOMS } from "../../strings.js";
import { find, make, makeButton, setText, showRows } from "../dom.js";
import { makeIcon, makeIconButton } from "../icons.js";
import { buildRow } from "./room_row.js";

/** @typedef {import("../../session.js").Session} Session */
/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Room} Room */

/** Rows drawn above and below the view: enough for a turn of the wheel before the next frame. */
const ROWS_AROUND = 10;
/** Rows drawn while the side bar is hidden, and has no height. */
const ROWS_HIDDEN = 10;

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
    /** @type {import("../dom.js").Kept} the rows that are drawn */
    this.kept = new Map();
    /** @type {Room[]} */
    this.rooms = [];
    /** @type {Room[]} those that neither a fold nor the filter hides */
    this.shown = [];
    this.isFolded = false;
  }

  /**
   * Set the rows, and give the list the height of all of them.
   * @param {Room[]} rooms
   */
  setShown(rooms) {
    this.shown = rooms;
    this.toggle.setAttribute("aria-expanded", String(!this.isFolded));
    this.list.style.blockSize = `calc(${rooms.length} * var(--row-size))`;
  }

  /** @returns {[number, number]} the first row near the view, and the one after the last */
  inView() {
    const { top, height } = this.list.getBoundingClientRect();
    const count = this.shown.length;
    const row = height / count;
    if (!(row > 0)) return [0, Math.min(count, ROWS_HIDDEN)];
    return [
      Math.max(0, Math.floor(-top / row) - ROWS_AROUND),
      Math.min(count, Math.ceil((window.innerHeight - top) / row) + ROWS_AROUND),
    ];
  }

  /**
   * @param {[number, number]} range
   * @param {(name: string) => boolean} isWanted  also outside of the range
   * @param {(room: Room) => import("../dom.js").Row} makeRow
   */
  draw([from, to], isWanted, makeRow) {
    /** @type {Map<string, number>} */
    const places = new Map();
    const drawn = this.shown.filter(({ name }, at) => {
      const isDrawn = (at >= from && at < to) || isWanted(name);
      if (isDrawn) places.set(name, at);
      return isDrawn;
    });
    showRows(this.list, this.kept, drawn.map(makeRow));
    for (const [name, { element }] of this.kept) {
      const at = places.get(name) ?? 0;
      element.style.insetBlockStart = `calc(${at} * var(--row-size))`;
      element.ariaPosInSet = String(at + 1);
      element.ariaSetSize = String(this.shown.length);
    }
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
    find("sidebar-head", HTMLElement).append(makeIconButton("sliders", ROOMS.preferences, actions.preferences));
    this.browse = makeIconButton("list", ROOMS.browse, actions.browse);
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
    /** The room whose row Tab reaches. */
    this.stop = "";
    /** @type {string | null} the room in view whose row was scrolled to */
    this.revealed = null;
    this.filter.addEventListener("input", () => this.onFilter());
    this.filter.addEventListener("keydown", (event) => this.onFilterKey(event));
    const place = this.place = find("sidebar-rooms", HTMLElement);
    place.addEventListener("keydown", (event) => this.onKey(event));
    place.addEventListener("focusin", (event) => this.onFocus(event.target));
    const elements = this.sections.map(({ element }) => element);
    const filterRow = make("div", "filter-row", this.filter, makeIcon("search"));
    filterRow.setAttribute("role", "search");
    place.append(filterRow, make("div", "sections", ...elements, this.note));
    new ResizeObserver(() => this.draw()).observe(place);
    window.addEventListener("resize", () => this.draw());
    document.addEventListener("scroll", ({ target }) => {
      if (target instanceof Node && target.contains(place)) this.draw(); // in a low window the whole side bar scrolls
    }, { capture: true, passive: true });
  }

  render() {
    const { account, preferences, presence, rooms } = this.store;
    const version = [rooms.version, rooms.loaded, preferences.version, presence.version, account?.Auth].join();
    if (version === this.shown) return; // the list may be long, and most changes of the store are not about it
    this.shown = version;
    const all = rooms.sorted;
    const isFavourite = new Set(all.filter((room) => preferences.isFavourite(room)));
    const hasLogin = account?.Auth === "login";
    this.browse.hidden = this.direct.hidden = !hasLogin || account?.Role === "guest";
    this.show(this.favourites, all.filter((room) => isFavourite.has(room)));
    this.show(this.directs, all.filter((room) => room.direct && !isFavourite.has(room)));
    this.show(this.rooms, all.filter((room) => !room.direct && !isFavourite.has(room)));
    this.favourites.element.hidden = this.favourites.rooms.length === 0;
    this.directs.element.hidden = !hasLogin && this.directs.rooms.length === 0;
    this.folded = new Map(all.map((room) => [room.name, foldText(room.title)]));
    this.applyFilter();
    this.reveal();
  }

  /**
   * @param {Section} section
   * @param {Room[]} rooms
   */
  show(section, rooms) {
    section.rooms = rooms;
    section.isFolded = this.store.preferences.choices.folded.includes(section.id);
  }

  onFilter() {
    this.place.scrollTop = 0;
    this.applyFilter();
  }

  /** Show the rooms that have the text of the filter; without one, those that no fold hides. */
  applyFilter() {
    const wanted = foldText(this.filter.value.trim());
    const isFound = (/** @type {Room} */ { name }) => this.folded.get(name)?.includes(wanted) ?? false;
    const stays = (/** @type {Room} */ room) => this.staysInFold(room);
    for (const section of this.sections) {
      const isShown = wanted !== "" ? isFound : section.isFolded ? stays : null; // a filter looks into folds too
      section.setShown(isShown === null ? section.rooms : section.rooms.filter(isShown));
    }
    const count = this.sections.reduce((sum, { rooms, shown }) => sum + (wanted === "" ? rooms : shown).length, 0);
    this.renderNote(count, wanted !== "");
    this.draw();
  }

  /**
   * @param {Room} room
   * @returns {boolean}
   */
  staysInFold(room) {
    const { preferences, rooms } = this.store;
    return room.name === rooms.current || (room.unread > 0 && !preferences.isMuted(room));
  }

  /** Draw the rows near the view.  The row that has the focus keeps it. */
  draw() {
    const focused = nameOf(document.activeElement);
    this.chooseTabStop();
    const { current } = this.store.rooms;
    const isWanted = (/** @type {string} */ name) => name === current || name === this.stop;
    const ranges = this.sections.map((section) => section.inView()); // all reads of the layout before any change
    this.sections.forEach((section, at) => {
      section.draw(ranges[at] ?? [0, 0], isWanted, (room) => this.makeRow(room));
      for (const [name, { element }] of section.kept) {
        if (element.firstElementChild instanceof HTMLElement) element.firstElementChild.tabIndex = name === this.stop ? 0 : -1;
      }
    });
    if (focused !== null && nameOf(document.activeElement) === null) this.link(focused)?.focus({ preventScroll: true });
  }

  /** Scroll to the room in view, once. */
  reveal() {
    const { current } = this.store.rooms;
    if (current === this.revealed) return;
    const link = current === null ? null : this.link(current);
    if (current !== null && (link === null || link.offsetParent === null)) return; // not listed yet, or hidden
    this.revealed = current;
    link?.scrollIntoView({ block: "nearest" });
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
      muted: preferences.isMuted(room),
      online: room.direct && room.members.length === 1 && presence.online.has(room.members[0] ?? ""),
    };
    const { unread, mentions, direct, archived, title } = room;
    const signature = JSON.stringify([row, unread, mentions, direct, room.private, archived, title]);
    return { key: room.name, signature, build: () => buildRow(room, row) };
  }

  // The keyboard.

  /** @returns {string[]} the rooms that are shown, from top to bottom */
  shownNames() {
    return this.sections.flatMap(({ shown }) => shown.map(({ name }) => name));
  }

  /**
   * The link of a room that is drawn.
   * @param {string} name
   * @returns {HTMLElement | null}
   */
  link(name) {
    for (const { kept } of this.sections) {
      const link = kept.get(name)?.element.firstElementChild;
      if (link instanceof HTMLElement) return link;
    }
    return null;
  }

  /** Exactly one row is reached by Tab: the focused one, the room in view, or the first. */
  chooseTabStop() {
    const { current } = this.store.rooms;
    const focused = nameOf(document.activeElement);
    const isShown = (/** @type {string | null} */ wanted) =>
      wanted !== null && this.sections.some(({ shown }) => shown.some(({ name }) => name === wanted));
    const first = this.sections.find(({ shown }) => shown.length > 0)?.shown[0]?.name;
    this.stop = (isShown(focused) ? focused : isShown(current) ? current : first) ?? "";
  }

  /** @param {EventTarget | null} target */
  onFocus(target) {
    if (nameOf(target) !== null) this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const focused = nameOf(document.activeElement);
    if (focused === null || event.altKey || event.ctrlKey || event.metaKey) return;
    const names = this.shownNames();
    const at = names.indexOf(focused);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.focusRow(names[Math.min(Math.max(next, 0), names.length - 1)] ?? focused);
  }

  /**
   * Focus a row, drawn or not; the browser scrolls to it.
   * @param {string} name
   */
  focusRow(name) {
    const section = this.sections.find(({ shown }) => shown.some((room) => room.name === name));
    const isWanted = (/** @type {string} */ other) => other === name || nameOf(document.activeElement) === other;
    if (this.link(name) === null) section?.draw(section.inView(), isWanted, (room) => this.makeRow(room));
    this.link(name)?.focus();
  }

  /** @param {KeyboardEvent} event */
  onFilterKey(event) {
    const first = this.shownNames()[0];
    if (event.key === "ArrowDown" && first !== undefined) this.focusRow(first);
    else if (event.key === "Enter" && first !== undefined) this.openFound(first);
    else if (event.key === "Escape" && this.filter.value !== "") this.clearFilter();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} name */
  openFound(name) {
    this.clearFilter();
    goToRoom(name);
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
    const names = this.sections.flatMap(({ rooms }) => rooms.map(({ name }) => name));
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
 * @param {EventTarget | null} target
 * @returns {string | null} the room of a row's link
 */
function nameOf(target) {
  const isLink = target instanceof HTMLElement && target.classList.contains("room-link");
  return isLink ? target.dataset.room ?? null : null;
}

/**
 * @param {string} text
 * @returns {string} without case and accents
 */
function foldText(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
