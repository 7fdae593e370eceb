// @ts-check
// The one file that knows the server's URLs, and how its errors look.
//
// Every function is one request (or one walk along `Link: rel="next"`), has a deadline, and throws ApiError only.
// Any node answers any request: the one that the socket has reached is asked first, the one that served the page after it.

/** @typedef {import("./types.js").Account} Account */
/** @typedef {import("./types.js").Post} Post */
/** @typedef {import("./types.js").RoomDetails} RoomDetails */

import { HOME } from "./links.js";

export const PAGE_SIZE = 100;

const DEADLINE_MS = 15_000;
/** A node that takes longer to say whether it has a leader is not one to go to. */
const LOOK_MS = 3_000;
const INVITE_S = 7 * 24 * 60 * 60;
/** The most pages one walk takes: 100,000 rooms. Past that something is wrong with the links. */
const PAGES_MAX = 100;

/** The node that the socket has reached, as the URL its paths are relative to; at first the page's own. */
let preferredNode = HOME;

/** A request that brought nothing: `status` is 0 where no answer came at all. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail  for the reader
   * @param {Record<string, unknown>} [problem]  what else the server said of it
   */
  constructor(status, detail, problem = {}) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

/** @param {string} node  the URL of a node that is known to answer, with a slash at its end */
export function preferNode(node) {
  preferredNode = node;
}

/** @returns {Promise<RoomDetails[]>} all rooms, by the code points of their names */
export async function fetchRooms() {
  /** @type {RoomDetails[]} */
  const rooms = [];
  /** @type {string | null} */
  let path = "rooms?limit=1000&details=true";
  for (let page = 0; path !== null && page < PAGES_MAX; page += 1) {
    const response = await fresh(path, get);
    rooms.push(.../** @type {RoomDetails[]} */ (await readJson(response)));
    path = nextPage("rooms", response);
  }
  return rooms;
}

/**
 * The newest page of a room, oldest first.
 * @param {string} room
 * @returns {Promise<Post[]>}
 */
export async function fetchNewest(room) {
  return fetchPosts(room, `limit=${PAGE_SIZE}`);
}

/**
 * The page that ends just before post `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchBefore(room, id) {
  return fetchPosts(room, `before=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page that begins just after post `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchAfter(room, id) {
  return fetchPosts(room, `after=${id}&limit=${PAGE_SIZE}`);
}

/**
 * Who the reader is.  The cookie that says so is this page's own node's, so no other is asked.
 * @returns {Promise<Account>}
 */
export async function fetchMe() {
  return /** @type {Account} */ (await readJson(await fresh("me?", (path) => askHere("GET", path))));
}

/**
 * @param {string} name
 * @param {string} password
 */
export async function logIn(name, password) {
  await askHere("POST", "login", { Name: name, Password: password, Label: "browser" });
}

export async function logOut() {
  await askHere("POST", "logout", {});
}

/**
 * Make the first account, and log in as it.
 * @param {string} token  that the node printed
 * @param {string} name
 * @param {string} password
 */
export async function setUp(token, name, password) {
  await askHere("POST", "setup", { Token: token, Name: name, Password: password });
}

/**
 * @param {string} invite  "" where everybody may sign up
 * @param {string} name
 * @param {string} password
 */
export async function signUp(invite, name, password) {
  await askHere("POST", "users", { Name: name, Password: password, ...(invite === "" ? {} : { Invite: invite }) });
}

/**
 * @param {string} name
 * @param {string} oldPassword
 * @param {string} password
 */
export async function changePassword(name, oldPassword, password) {
  const path = `users/${encodeURIComponent(name)}`;
  await askHere("PATCH", path, { OldPassword: oldPassword, Password: password });
}

/**
 * An invite for one member, good for a week.
 * @returns {Promise<string>} its secret, which is told this once
 */
export async function makeInvite() {
  const response = await askHere("POST", "invites", { Role: "member", Uses: 1, ExpiresIn: INVITE_S });
  return /** @type {{Invite: string}} */ (await readJson(response)).Invite;
}

/**
 * The address of a node's websocket.
 * @param {string} node  its URL, with a slash at its end
 * @returns {string}
 */
export function socketUrl(node) {
  const url = new URL("ws", node);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * Why the page's own node refuses this page's websocket; a browser does not say.
 * @returns {Promise<string>} "" where the node refuses nothing, or does not answer
 */
export async function whyRefused() {
  const response = await ask(HOME, "ws", { method: "OPTIONS" });
  return response?.status === 403 ? (await readProblem(response)).message : "";
}

/**
 * The first of these nodes that knows a leader; "" where none says so within some seconds.
 * @param {string[]} nodes  URLs, each with a slash at its end
 * @returns {Promise<string>}
 */
export async function findLed(nodes) {
  const signal = AbortSignal.timeout(LOOK_MS);
  const led = await Promise.all(nodes.map((node) => isLed(node, signal)));
  return nodes.find((_, at) => led[at]) ?? "";
}

/**
 * @param {string} node
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>}
 */
async function isLed(node, signal) {
  try {
    const status = await (await fetch(new URL("raft", node), { signal })).json();
    return status.Leader > 0;
  } catch {
    return false;
  }
}

/**
 * @param {string} room
 * @param {string} query
 * @returns {Promise<Post[]>}
 */
async function fetchPosts(room, query) {
  const response = await fresh(`rooms/${encodeURIComponent(room)}?${query}`, get);
  return /** @type {Post[]} */ (await readJson(response));
}

/**
 * What the cluster has; while it has no quorum (503) what this node has, for that is better than nothing: the socket
 * brings the rest.
 * @param {string} path  with a query
 * @param {(path: string) => Promise<Response>} asked
 * @returns {Promise<Response>}
 */
async function fresh(path, asked) {
  try {
    return await asked(path);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 503)) throw error;
    return asked(`${path}&consistency=stale`);
  }
}

/**
 * @param {string} path
 * @returns {Promise<Response>}
 */
async function get(path) {
  let response = await ask(preferredNode, path);
  if (response === null && preferredNode !== HOME) response = await ask(HOME, path);
  return accept(response);
}

/**
 * Ask the node that served the page.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Response>}
 */
async function askHere(method, path, body) {
  return accept(await ask(HOME, path, { method, body: body && JSON.stringify(body) }));
}

/**
 * @param {string} node
 * @param {string} path
 * @param {RequestInit} [request]
 * @returns {Promise<Response | null>} null where no answer came
 */
async function ask(node, path, request) {
  try {
    return await fetch(new URL(path, node), { ...request, signal: AbortSignal.timeout(DEADLINE_MS) });
  } catch {
    return null;
  }
}

/**
 * @param {Response | null} response
 * @returns {Promise<Response>}
 */
async function accept(response) {
  if (response === null) throw new ApiError(0, "The server cannot be reached.");
  if (!response.ok) throw await readProblem(response);
  return response;
}

/**
 * @param {Response} response
 * @returns {Promise<unknown>}
 */
async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "The server's answer broke off.");
  }
}

/**
 * An `application/problem+json` answer.
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function readProblem(response) {
  const problem = await response.json().catch(() => ({}));
  const detail = String(problem.detail || problem.title || `The server answered ${response.status}.`);
  return new ApiError(response.status, detail, problem);
}

/**
 * The page that `Link: <…>; rel="next"` names, for whichever node is asked next: only its query is taken over.
 * @param {string} path
 * @param {Response} response
 * @returns {string | null}
 */
function nextPage(path, response) {
  const match = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get("Link") ?? "");
  return match === null ? null : path + new URL(match[1], response.url).search;
}
