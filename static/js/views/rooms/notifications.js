// @ts-check
// Notifications of new messages, by the level that the user chose for each room.
//
// The rules it keeps: none while the page is seen, none in quiet hours, and one for each room, which the next replaces.

import { mentionsUser } from "../../text/mentions.js";

/** @typedef {import("../../store/store.js").Store} Store */
/** @typedef {import("../../types.js").Post} Post */
/** @typedef {import("../../types.js").Room} Room */

const TEXT_MAX = 200;
const SOUND_S = 0.15;
const SOUND_HZ = 660;
const SOUND_VOLUME = 0.1;

/**
 * @param {Store} store
 * @param {Room} room
 * @param {Post} post
 * @param {string} link  where a click leads
 */
export function notifyPost(store, room, post, link) {
  const { preferences, user } = store;
  const level = preferences.notifyLevel(room);
  const isWanted = level === "all" || (level === "mentions" && mentionsUser(post.Message, user));
  const isOn = preferences.choices.notifications && "Notification" in window && Notification.permission === "granted";
  if (!isOn || !isWanted || post.User === user || preferences.isQuiet(new Date())) return;
  if (document.hasFocus() && !document.hidden) return;
  try {
    const title = room.direct ? post.User : `${post.User} · ${room.title}`;
    const shown = new Notification(title, { body: post.Message.slice(0, TEXT_MAX), tag: `raft-chat ${room.name}`, silent: true });
    shown.onclick = () => {
      window.focus();
      location.hash = link;
      shown.close();
    };
  } catch {
    return; // Android shows notifications of a service worker only
  }
  if (preferences.choices.sound) playSound();
}

function playSound() {
  try {
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = SOUND_HZ;
    volume.gain.value = SOUND_VOLUME;
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + SOUND_S);
    tone.onended = () => void audio.close();
  } catch {
    // A browser may refuse sound; the notification is shown all the same.
  }
}
