// @ts-check
// Joins the parts: the store, the session that changes it, the views that show it.

import { CLOSED } from "./room_notices.js";
import { keep, recall } from "./local_storage.js";
import { Identity } from "./identity.js";
import { linkRoom, readRoom } from "./links.js";
import { Session } from "./session.js";
import { Store } from "./store.js";
import { AccountView } from "./views/account.js";
import { Announcer } from "./views/announcer.js";
import { CompanyView } from "./views/presence.js";
import { ComposerView } from "./views/composer.js";
import { DoorView } from "./views/sign_in.js";
import { HeadingView } from "./views/heading.js";
import { NameView } from "./views/name.js";
import { RoomsView } from "./views/rooms.js";
import { StatusView } from "./views/status.js";
import { TimelineView } from "./views/timeline.js";

/** A page in the background need not paint, only keep its title. */
const BACKGROUND_MS = 500;

const store = new Store();
const announcer = new Announcer(store);
const identity = new Identity(store, () => comeIn());
const session = new Session(
  store,
  identity,
  (room, post) => announcer.announce(room, post),
  (room) => announcer.announceDeletion(room),
  (room) => location.replace(linkRoom(room)),
  (text) => {
    composer.takeBack(text);
    announcer.say(CLOSED);
  },
);
const nameView = new NameView(store, session, new AccountView(store, identity));
const composer = new ComposerView(store, session, nameView);
/** @type {{render: () => void}[]} in the order of painting */
const views = [
  new HeadingView(store),
  new RoomsView(store, session),
  new TimelineView(store, session),
  new CompanyView(store),
  composer,
  nameView,
  new StatusView(store, session),
  new DoorView(store, identity),
];

let scheduled = false;

/** Paint once a frame, however many changes there were. */
function scheduleRender() {
  if (scheduled) return;
  scheduled = true;
  if (document.hidden) setTimeout(render, BACKGROUND_MS);
  else requestAnimationFrame(render);
}

function render() {
  scheduled = false;
  for (const view of views) view.render();
}

/** Show the room that the address names. */
function followAddress() {
  const room = readRoom(location.hash);
  if (room !== null) keep("room", room);
  session.openRoom(room);
}

/** Where the address names nothing, go to the room that was read last; a phone begins with the list. */
function chooseStart() {
  const last = recall("room");
  const wide = matchMedia("(min-width: 45.01rem)").matches;
  if (location.hash === "" && last !== "" && wide) location.replace(linkRoom(last));
  else followAddress();
}

/** The reader is known: show what there is. */
function comeIn() {
  window.addEventListener("hashchange", followAddress);
  chooseStart();
  session.start();
}

store.changed = scheduleRender;
window.addEventListener("online", () => session.retryNow());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && store.current !== null) store.markRead(store.current);
});

scheduleRender();
void identity.begin();
