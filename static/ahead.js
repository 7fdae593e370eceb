// @ts-check
// Asks for the messages of the room to show while the page's script is still on its way: a first message comes a round
// trip earlier.  server/http.js takes the answer.  The server cannot ask for it itself: it is not told of the address
// behind `#`.

(() => {
  const last = matchMedia("(width > 45rem)").matches ? readLast() : "";
  const room = location.hash === "" ? encodeURIComponent(last) : /^#\/rooms\/([^/]+)$/.exec(location.hash)?.[1] ?? "";
  if (room === "") return;
  const path = `rooms/${room}?limit=100`;
  Object.assign(window, { fetchedAhead: { path, answer: fetch(path).catch(() => null) } });

  function readLast() {
    try {
      return localStorage.getItem("raft-chat.room") ?? "";
    } catch {
      return ""; // the browser refuses it
    }
  }
})();
