// @ts-check
// Two lines over the last minutes: messages per second, and the mean time of a sync of the log to the disk and of a
// commit.  The numbers are those of `GET /metrics` of the connected node, which not everybody may read.

import { fetchMetrics } from "../../server/cluster_api.js";
import { CLUSTER } from "../../dialog_strings.js";
import { make, setText } from "../dom.js";

const POLL_MS = 2_000;
const POINTS = 60;
const WIDTH = 240;
const HEIGHT = 48;
const SVG = "http://www.w3.org/2000/svg";
const COMMIT = "http_request_duration_seconds";
/** The route that posts a message: its answer comes once the message is committed. */
const POST_ROUTE = /method="POST",route="\/rooms\/\{room\}"/;

export class RateChart {
  constructor() {
    this.rate = new Line(CLUSTER.rate);
    this.time = new Line(CLUSTER.commitTime);
    this.element = make("div", "cluster-chart", this.rate.element, this.time.element);
    this.element.hidden = true;
    /** @type {{at: number, posts: number, count: number, sum: number} | null} */
    this.last = null;
    this.timer = setInterval(() => void this.poll(), POLL_MS);
    void this.poll();
  }

  stop() {
    clearInterval(this.timer);
  }

  async poll() {
    const text = await fetchMetrics();
    if (text === "") return this.stop(); // this user may not read them
    this.element.hidden = false;
    const now = {
      at: performance.now(),
      posts: sum(text, "posts_total"),
      count: sum(text, `${COMMIT}_count`, POST_ROUTE),
      sum: sum(text, `${COMMIT}_sum`, POST_ROUTE),
    };
    if (this.last !== null) {
      this.rate.add(Math.max(0, ((now.posts - this.last.posts) * 1000) / (now.at - this.last.at)), CLUSTER.perSecond);
      const count = now.count - this.last.count;
      if (count > 0) this.time.add(((now.sum - this.last.sum) * 1000) / count, CLUSTER.milliseconds);
    }
    this.last = now;
  }
}

class Line {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {number[]} */
    this.values = [];
    this.path = document.createElementNS(SVG, "polyline");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.path);
    this.text = make("figcaption", "", name);
    this.element = make("figure", "", this.text, svg);
  }

  /**
   * @param {number} value
   * @param {(value: string) => string} format
   */
  add(value, format) {
    this.values = [...this.values, value].slice(-POINTS);
    const most = Math.max(1, ...this.values);
    const points = this.values.map((y, x) => `${(x * WIDTH) / (POINTS - 1)},${HEIGHT - (y * (HEIGHT - 2)) / most - 1}`);
    this.path.setAttribute("points", points.join(" "));
    setText(this.text, `${this.name}: ${format(value.toFixed(value < 10 ? 1 : 0))}`);
  }
}

/**
 * @param {string} text  of Prometheus
 * @param {string} name
 * @param {RegExp} [labels]
 * @returns {number} the sum of the series with this name
 */
function sum(text, name, labels = /^/) {
  let total = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(name) || !/^[{ ]/.test(line.slice(name.length)) || !labels.test(line)) continue;
    total += Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return total;
}
