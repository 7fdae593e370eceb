// @ts-check
// Requests about the nodes of the cluster, and the URLs of their websockets.

import { HOME } from "../links.js";
import { ask, askHere, check, get, readJson, readProblem } from "./http.js";

/**
 * A node of the cluster, as `GET /raft` shows it.
 * @typedef {object} Member
 * @property {number} Id
 * @property {string} Url
 * @property {string} [Advertise]
 * @property {boolean} Voting
 * @property {number} [LastApplied]
 * @property {number} [HeardMs]  how long ago the node that answers heard of it
 */

/** @typedef {{Id: number, Leader: number, Term: number, Members?: Member[]}} Cluster  Leader: 0 for none */

/** A node that takes longer to answer whether it has a leader is not chosen. */
const LEADER_DEADLINE_MS = 3_000;

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

/** @returns {Promise<Cluster>} as the connected node sees it, after it has asked all the others */
export async function fetchCluster() {
  return /** @type {Cluster} */ (await readJson(await get("raft?refresh=true")));
}

/** @returns {Promise<string>} the numbers of the page's own node; "" where the user may not read them */
export async function fetchMetrics() {
  const response = await ask(HOME, "metrics");
  return response?.ok ? await response.text() : "";
}

/**
 * @param {number} id
 * @param {string} url  where its peers reach it
 */
export async function addNode(id, url) {
  await check(await ask(HOME, `raft/${id}`, { method: "POST", body: url })); // the URL itself, not JSON
}

/**
 * @param {number} id
 * @param {"lead" | "promote" | "remove"} action
 */
export async function changeNode(id, action) {
  await (action === "remove" ? askHere("DELETE", `raft/${id}`) : askHere("POST", `raft/${id}/${action}`));
}
