// @ts-check
// Joins the parts: the store, the session that changes it, and the views that show it.

import { Auth } from "./auth.js";
import { HOME, messageLink, readMessageId, readRoom, roomLink } from "./links.js";
import { readItem, writeItem } from "./local_storage.js";
import { Session } from "./session.js";
import { Store } from "./store/store.js";
import { Announcer } from "./views/announcer.js";
import { AppBadge } from "./views/app_badge.js";
import { ComposerView } from "./views/messages/composer.js";
import { AppearanceView } from "./views/rooms/appearance.js";
import { HeadingView } from "./views/rooms/heading.js";
import { listenForKeys } from "./views/rooms/keyboard.js";
import { notifyPost } from "./views/rooms/notifications.js";
import { PresenceView } from "./views/rooms/presence.js";
import { RoomListView } from "./views/rooms/room_list.js";
import { SignInView } from "./views/accounts/sign_in.js";
import { StatusView } from "./views/connection/status.js";
import { RoomToolsView } from "./views/messages/pins.js";
import { TimelineView } from "./views/messages/timeline.js";
import { Toast } from "./views/toast.js";
import { UserNameView } from "./views/accounts/user_name.js";

/** A page in the background need not paint; it only keeps its title up to date. */
const BACKGROUND_MS = 500;
const TICK_MS = 5_000;
/** After a gap this long between two ticks, the device was asleep; a page in the background ticks once a minute. */
const ASLEEP_MS = 90_000;
/** Above this width the list and a room stand side by side; the style sheets have the same width. */
const WIDE = "(width > 45rem)";

let isScheduled = false;
/** @type {import("./views/accounts/account.js").AccountView | null} null until it is opened first */
let accountView = null;
const store = new Store(scheduleRender);
const announcer = new Announcer(store);
const toast = new Toast();
const auth = new Auth(store, onSignedIn);
const session = new Session(store, {
  onPost: (room, post) => {
    if (post.Imported !== undefined) return; // an import would never stop talking
    announcer.addPost(room, post);
    notifyPost(store, store.rooms.get(room), post, messageLink(room, post.Id));
  },
  onRoomDeleted: (room) => announcer.announceDeletion(room),
  onRoomRenamed: (room) => location.replace(roomLink(room)),
  onTextReturned: (text, reason) => {
    composer.returnText(text);
    if (reason !== "") announcer.announce(reason);
  },
  onNotice: notice,
  onSignedOut: () => void auth.recheck(),
});
const userName = new UserNameView(store, session, () => void openAccount());
const composer = new ComposerView(store, session, userName);
const roomList = new RoomListView(store, session, {
  newRoom,
  preferences,
  browse,
  newDirect: () => void import("./views/rooms/browse.js").then(({ openPeople }) => openPeople(store, session)),
});
listenForKeys(session, roomList, () => void openGoTo(), shortcuts);
/** @type {{render: () => void}[]} in the order of painting */
const views = [
  new AppearanceView(store),
  new HeadingView(store, {
    favourite: (room) => void session.toggleFavourite(room),
    settings: (room) => void import("./views/rooms/settings.js").then(({ openSettings }) => openSettings(store, session, room)),
    members: (room) => void import("./views/rooms/settings.js").then(({ openMembers }) => openMembers(store, room)),
  }),
  roomList,
  new TimelineView(store, session, () => composer.focus(), notice),
  new RoomToolsView(store, session),
  new PresenceView(store),
  composer,
  userName,
  new StatusView(store, session),
  new SignInView(store, auth),
  new AppBadge(store),
];

function newRoom() {
  void import("./views/rooms/new_room.js").then(({ openNewRoom }) => openNewRoom(store, session));
}

function preferences() {
  void import("./views/rooms/preferences_dialog.js").then(({ openPreferences }) => openPreferences(store));
}

function shortcuts() {
  void import("./views/rooms/shortcuts.js").then(({ openShortcuts }) => openShortcuts());
}

function browse() {
  void import("./views/rooms/browse.js").then(({ openBrowse }) => openBrowse(store, session));
}

async function openAccount() {
  const { AccountView } = await import("./views/accounts/account.js");
  accountView ??= new AccountView(store, auth);
  accountView.open();
}

/** Open the dialog that finds rooms, people and commands. */
async function openGoTo() {
  const dialog = await import("./views/rooms/go_to.js");
  await dialog.openGoTo(store, session, {
    newRoom, browse, preferences, shortcuts, begin: (text) => composer.begin(text),
  });
}

/** Paint once a frame, however many changes there are. */
function scheduleRender() {
  if (isScheduled) return;
  isScheduled = true;
  if (document.hidden) setTimeout(render, BACKGROUND_MS);
  else requestAnimationFrame(render);
}

function render() {
  isScheduled = false;
  for (const view of views) view.render();
  session.readMarks.see();
}

/** Show the room that the address names. */
function onHashChange() {
  const room = readRoom(location.hash);
  if (room !== null) writeItem("room", room);
  const id = readMessageId(location.hash);
  if (room !== null && id > 0) void session.openMessage(room, id);
  else session.openRoom(room);
}

/** @param {string} text  shown for a moment, and read */
function notice(text) {
  toast.show(text);
}

/** Show the room that the address names, else the last one; a phone begins with the list. */
function openFirstRoom() {
  const last = readItem("room");
  if (location.hash === "" && last !== "" && matchMedia(WIDE).matches) location.replace(roomLink(last));
  else onHashChange();
}

/** @param {boolean} isHomeGone  the page's own node does not answer */
function onSignedIn(isHomeGone) {
  window.addEventListener("hashchange", onHashChange);
  openFirstRoom();
  void session.start(isHomeGone);
}

/** Keep the page's own files, where the browser allows it: on https, and on localhost. */
async function keepPage() {
  try {
    await navigator.serviceWorker?.register(new URL("static/sw.js", HOME), { scope: HOME, updateViaCache: "none" });
  } catch {
    // A certificate that the browser does not trust, for instance: the page does without.
  }
}

/** Timers stand still while the device sleeps. */
let tickedAt = Date.now();
setInterval(() => {
  if (Date.now() - tickedAt > ASLEEP_MS) session.wake();
  tickedAt = Date.now();
}, TICK_MS);

window.addEventListener("online", () => session.retryNow());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) store.changed(); // the paint that follows marks what is in view as read
});

scheduleRender();
void auth.start();
void keepPage();
