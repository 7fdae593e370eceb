// @ts-check
// The REST API: all URLs of the server except the page's own files, and the form of its errors.
//
// Every function is one request (or follows `Link: rel="next"` to the end), has a deadline, and throws ApiError only.
// Any node answers any request: the connected node is asked first, then the node that served the page.

/** @typedef {import("../types.js").Account} Account */
/** @typedef {import("../types.js").Post} Post */
/** @typedef {import("../types.js").RoomDetails} RoomDetails */

import { HOME } from "../links.js";

export const PAGE_SIZE = 100;

const DEADLINE_MS = 15_000;
/** A node that takes longer to answer whether it has a leader is not chosen. */
const LEADER_DEADLINE_MS = 3_000;
const INVITE_S = 7 * 24 * 60 * 60;
/** At most 100,000 rooms.  With more pages than this, something is wrong with the links. */
const PAGES_MAX = 100;

/** The URL of the node to ask first, with a slash at its end. */
let preferredNode = HOME;

/** A request that failed.  `status` is 0 if no answer came. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail  shown to the user
   * @param {Record<string, unknown>} [problem]  all fields of the server's `application/problem+json`
   */
  constructor(status, detail, problem = {}) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }

  /** @returns {boolean} was the name or the password wrong? */
  get isWrongPassword() {
    return this.problem.code === "bad_login";
  }

  static unreachable() {
    return new ApiError(0, "The server cannot be reached. Check your connection and try again.");
  }
}

/** @param {string} node  the URL of a node that answers, with a slash at its end */
export function preferNode(node) {
  preferredNode = node;
}

/** @returns {Promise<RoomDetails[]>} all rooms, in the order of their names' code points */
export async function fetchRooms() {
  /** @type {RoomDetails[]} */
  const rooms = [];
  /** @type {string | null} */
  let path = "rooms?limit=1000&details=true";
  for (let page = 0; path !== null && page < PAGES_MAX; page += 1) {
    const response = await getFresh(path, get);
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
 * The page that ends just before message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchBefore(room, id) {
  return fetchPosts(room, `before=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The page that begins just after message `id`.
 * @param {string} room
 * @param {number} id
 * @returns {Promise<Post[]>}
 */
export async function fetchAfter(room, id) {
  return fetchPosts(room, `after=${id}&limit=${PAGE_SIZE}`);
}

/**
 * The user of this page.  Only the page's own node gets the cookie, so no other node is asked.
 * @returns {Promise<Account>}
 */
export async function fetchMe() {
  return /** @type {Account} */ (await readJson(await getFresh("me?", (path) => askHere("GET", path))));
}

/**
 * @param {string} name
 * @param {string} password
 */
export async function signIn(name, password) {
  await askHere("POST", "login", { Name: name, Password: password, Label: "browser" });
}

export async function signOut() {
  await askHere("POST", "logout", {});
}

/**
 * Create the first account, and sign in to it.
 * @param {string} token  the setup token that the node printed
 * @param {string} name
 * @param {string} password
 */
export async function setUp(token, name, password) {
  await askHere("POST", "setup", { Token: token, Name: name, Password: password });
}

/**
 * @param {string} invite  "" where anybody may sign up
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
 * Create an invite for one member, valid for a week.
 * @returns {Promise<string>} its secret, which the server tells only once
 */
export async function createInvite() {
  const response = await askHere("POST", "invites", { Role: "member", Uses: 1, ExpiresIn: INVITE_S });
  return /** @type {{Invite: string}} */ (await readJson(response)).Invite;
}

/**
 * The URL of a node's websocket.
 * @param {string} node  its URL, with a slash at its end
 * @returns {string}
 */
export function socketUrl(node) {
  const url = new URL("ws", node);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * The reason why the page's own node refuses this page's websocket: the browser does not say.
 * @returns {Promise<string>} "" where the node does not refuse it, or does not answer
 */
export async function fetchOriginRefusal() {
  const response = await ask(HOME, "ws", { method: "OPTIONS" });
  return response?.status === 403 ? (await readProblem(response)).message : "";
}

/**
 * Find a node that has a leader.
 * @param {string[]} nodes  URLs, each with a slash at its end
 * @returns {Promise<string>} the first of them; "" where no node says so within some seconds
 */
export async function findNodeWithLeader(nodes) {
  const signal = AbortSignal.timeout(LEADER_DEADLINE_MS);
  const answers = await Promise.all(nodes.map((node) => hasLeader(node, signal)));
  return nodes.find((_, at) => answers[at]) ?? "";
}

/**
 * @param {string} node
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>}
 */
async function hasLeader(node, signal) {
  try {
    const status = /** @type {{Leader: number}} */ (await (await fetch(new URL("raft", node), { signal })).json());
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
  const response = await getFresh(`rooms/${encodeURIComponent(room)}?${query}`, get);
  return /** @type {Post[]} */ (await readJson(response));
}

/**
 * Read what the cluster has.  While it has no majority (503), read what this node has: the websocket brings the rest.
 * @param {string} path  with a query
 * @param {(path: string) => Promise<Response>} read
 * @returns {Promise<Response>}
 */
async function getFresh(path, read) {
  try {
    return await read(path);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 503)) throw error;
    return read(`${path}&consistency=stale`);
  }
}

/**
 * @param {string} path
 * @returns {Promise<Response>}
 */
async function get(path) {
  let response = await ask(preferredNode, path);
  if (response === null && preferredNode !== HOME) response = await ask(HOME, path);
  return check(response);
}

/**
 * Ask the node that served the page.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Response>}
 */
async function askHere(method, path, body) {
  return check(await ask(HOME, path, { method, body: body === undefined ? null : JSON.stringify(body) }));
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
async function check(response) {
  if (response === null) throw ApiError.unreachable();
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
    throw new ApiError(0, "The server's answer is incomplete. Try again.");
  }
}

/**
 * Read an `application/problem+json` answer.
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function readProblem(response) {
  const problem = /** @type {Record<string, unknown>} */ (await response.json().catch(() => ({})));
  const fallback = `The server failed with status ${response.status}. Try again later.`;
  return new ApiError(response.status, String(problem.detail || problem.title || fallback), problem);
}

/**
 * The page that `Link: <…>; rel="next"` names.  Only its query is used, since another node may be asked next.
 * @param {string} path
 * @param {Response} response
 * @returns {string | null}
 */
function nextPage(path, response) {
  const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get("Link") ?? "")?.[1];
  return next === undefined ? null : path + new URL(next, response.url).search;
}
