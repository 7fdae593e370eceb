// @ts-check
// Requests about the nodes of the cluster, and the URLs of their websockets.

import { HOME } from "../links.js";
import { ask, readProblem } from "./http.js";

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
