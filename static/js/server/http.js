// @ts-check
// Requests of the REST API: which node is asked, the deadline, the form of errors, and pages of lists.
//
// Every function has a deadline and throws ApiError only.
// Any node answers any request: the connected node is asked first, then the node that served the page.

import { HOME } from "../links.js";
import { noteAnswer } from "./read_cursor.js";

const DEADLINE_MS = 15_000;
/** At most 100,000 rooms or users.  With more pages than this, something is wrong with the links. */
const PAGES_MAX = 100;
/** An answer that was asked for while the page was loading is used within this time. */
const AHEAD_MS = 10_000;

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

/**
 * All of a list that comes in pages.
 * @param {string} path  without a query
 * @param {string} query
 * @returns {Promise<unknown[]>}
 */
export async function fetchAll(path, query) {
  /** @type {unknown[]} */
  const items = [];
  /** @type {string | null} */
  let next = `${path}?${query}`;
  for (let page = 0; next !== null && page < PAGES_MAX; page += 1) {
    const response = await getFresh(next, get);
    items.push(.../** @type {unknown[]} */ (await readJson(response)));
    next = nextPage(path, response);
  }
  return items;
}

/**
 * Read what the cluster has.  While it has no majority (503), read what this node has: the websocket brings the rest.
 * @param {string} path  with a query
 * @param {(path: string) => Promise<Response>} read
 * @returns {Promise<Response>}
 */
export async function getFresh(path, read) {
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
export async function get(path) {
  let response = await ask(preferredNode, path);
  if (response === null && preferredNode !== HOME) response = await ask(HOME, path);
  return check(response);
}

/**
 * Ask the connected node, then the one that served the page: for a change that may be made twice.
 * @param {string} method
 * @param {string} path
 * @returns {Promise<Response>}
 */
export async function askAny(method, path) {
  let response = await ask(preferredNode, path, { method });
  if (response === null && preferredNode !== HOME) response = await ask(HOME, path, { method });
  return check(response);
}

/**
 * Ask the node that served the page.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Response>}
 */
export async function askHere(method, path, body) {
  return check(await ask(HOME, path, { method, body: body === undefined ? null : JSON.stringify(body) }));
}

/**
 * @param {string} node
 * @param {string} path
 * @param {RequestInit} [request]
 * @returns {Promise<Response | null>} null where no answer came
 */
export async function ask(node, path, request) {
  try {
    const ahead = node === HOME && request === undefined ? await takeAhead(path) : null;
    const answer = ahead ?? (await fetch(new URL(path, node), { ...request, signal: AbortSignal.timeout(DEADLINE_MS) }));
    noteAnswer(answer);
    return answer;
  } catch {
    return null;
  }
}

/**
 * What ahead.js has asked for, once.
 * @param {string} path
 * @returns {Promise<Response | null>} null where it has not, or where that failed
 */
async function takeAhead(path) {
  const ahead = /** @type {{path: string, answer: Promise<Response | null>} | undefined} */ (Reflect.get(window, "fetchedAhead"));
  if (ahead?.path !== path || performance.now() > AHEAD_MS) return null;
  Reflect.deleteProperty(window, "fetchedAhead");
  const answer = await ahead.answer;
  return answer?.ok ? answer : null;
}

/**
 * @param {Response | null} response
 * @returns {Promise<Response>}
 */
export async function check(response) {
  if (response === null) throw ApiError.unreachable();
  if (!response.ok) throw await readProblem(response);
  return response;
}

/**
 * @param {Response} response
 * @returns {Promise<unknown>}
 */
export async function readJson(response) {
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
export async function readProblem(response) {
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
