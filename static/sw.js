// @ts-check
// The service worker: it keeps the page's own files, so that the page opens while its node does not answer.
//
// The rules it keeps:
// - Nothing of a user is kept here: only the document and what it names.  Other requests go past it.
// - The node is asked for the document first.  The kept one is used when the node does not answer in time, or fails.
// - A document is kept after all the files that it names, so that a kept page is whole.
// - The files of a version never change.  Those of the version before stay for tabs that still run it.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const HOME = worker.registration.scope;
/** Another chat on this host, under another path, has a cache of its own. */
const CACHE = `raft-chat page ${HOME}`;
const VERSION = /static\/([0-9a-f]{16})\//;
/** A node that takes longer for the document counts as gone. */
const PATIENCE_MS = 1_500;
/** A proxy answers so for a node that is gone. */
const FAILED_FROM = 500;

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  if (method !== "GET" || !url.startsWith(HOME)) return;
  const path = url.slice(HOME.length);
  if (mode === "navigate" && /^(?:[?#]|$)/.test(path)) event.respondWith(openPage(event));
  else if (VERSION.test(path) && path.startsWith("static/")) event.respondWith(openFile(event.request));
});

// The page has heard of other nodes: the kept document must allow connections to them.
worker.addEventListener("message", (event) => event.waitUntil(fetch(HOME).then(keepPage).catch(() => {})));

async function install() {
  await worker.skipWaiting();
  await keepPage(await fetch(HOME));
}

/**
 * @param {FetchEvent} event
 * @returns {Promise<Response>}
 */
async function openPage(event) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(HOME);
  const asked = fetch(event.request);
  event.waitUntil(asked.then((response) => keepPage(response.clone())).catch(() => {}));
  if (kept === undefined) return asked;
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const answer = await Promise.race([asked.catch(() => undefined), late]);
  return answer instanceof Response && answer.status < FAILED_FROM ? answer : kept;
}

/**
 * @param {Request} request
 * @returns {Promise<Response>}
 */
async function openFile(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request.url);
  if (kept !== undefined) return kept;
  const response = await fetch(request);
  const isImmutable = response.headers.get("Cache-Control")?.includes("immutable") ?? false;
  if (response.ok && isImmutable) await cache.put(request.url, response.clone());
  return response;
}

/**
 * Keep the document with all files of its version.
 * @param {Response} response
 */
async function keepPage(response) {
  if (!response.ok || response.type !== "basic") return; // a proxy's sign-in, for instance
  const text = await response.text();
  const version = VERSION.exec(text)?.[1];
  if (version === undefined) return;
  const cache = await caches.open(CACHE);
  const before = VERSION.exec((await (await cache.match(HOME))?.text()) ?? "")?.[1];
  const base = `${HOME}static/${version}/`;
  /** @type {string[]} */
  const files = await (await fetch(`${base}files.json`)).json();
  await Promise.all(files.map((file) => openFile(new Request(base + file))));
  const headers = new Headers(response.headers);
  headers.delete("Link"); // what it fetches ahead is for a node that answers
  await cache.put(HOME, new Response(text, { headers }));
  if (before !== version) await dropVersions(cache, [version, before]);
}

/**
 * @param {Cache} cache
 * @param {(string | undefined)[]} kept  versions
 */
async function dropVersions(cache, kept) {
  for (const { url } of await cache.keys()) {
    const version = VERSION.exec(url)?.[1];
    if (version !== undefined && !kept.includes(version)) await cache.delete(url);
  }
}
