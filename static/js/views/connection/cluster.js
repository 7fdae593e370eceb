// @ts-check
// The cluster, live: its nodes, the leader, how far each is behind, and for admins the changes that they may make.
// It is loaded when somebody opens it.

import { ApiError } from "../../server/http.js";
import { addNode, changeNode, fetchCluster } from "../../server/cluster_api.js";
import { CLUSTER } from "../../dialog_strings.js";
import { confirmDialog, Dialog, makeTextField } from "../dialog.js";
import { make, makeButton, setText } from "../dom.js";
import { addStyles } from "../styles.js";
import { RateChart } from "./rate_chart.js";

/** @typedef {import("../../server/cluster_api.js").Cluster} Cluster */
/** @typedef {import("../../server/cluster_api.js").Member} Member */

/** A killed node is shown within a second: it is asked twice in that time. */
const POLL_MS = 400;
/** A node that misses this many questions in a row counts as gone. */
const MISSES_MAX = 2;

const STYLES = new URL("../../../css/cluster.css", import.meta.url).href;

export class ClusterView {
  /** @param {boolean} mayChange  the user is an admin, or there is no sign-in */
  constructor(mayChange) {
    this.mayChange = mayChange;
    addStyles(STYLES);
    this.summary = make("p", "cluster-summary");
    this.summary.setAttribute("role", "status");
    this.rows = make("tbody", "");
    const head = make("tr", "", ...CLUSTER.columns.map((text) => make("th", "", text)));
    if (mayChange) head.append(make("td", "")); // over the buttons
    const table = make("table", "cluster-nodes", make("thead", "", head), this.rows);
    table.setAttribute("aria-label", CLUSTER.nodes);
    this.chart = new RateChart();
    /** @type {HTMLElement[]} */
    const body = [this.summary, make("div", "cluster-scroll", table)];
    if (mayChange) body.push(make("div", "", makeButton(CLUSTER.add, () => this.askForNode())));
    body.push(this.chart.element);
    this.dialog = new Dialog({ heading: CLUSTER.heading, body, className: "cluster", onClose: () => this.stop() });
    /** @type {Map<number, number>} how often in a row each node did not answer */
    this.misses = new Map();
    this.shown = "";
    this.isOpen = true;
    void this.poll();
  }

  stop() {
    this.isOpen = false;
    this.chart.stop();
  }

  async poll() {
    while (this.isOpen) {
      const began = performance.now();
      try {
        this.show(await fetchCluster(), performance.now() - began);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        setText(this.summary, error.message);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /**
   * @param {Cluster} cluster
   * @param {number} tookMs  a node that has answered the question was heard within this time
   */
  show(cluster, tookMs) {
    const members = cluster.Members ?? [];
    for (const { Id, HeardMs } of members) {
      const hasAnswered = Id === cluster.Id || (HeardMs !== undefined && HeardMs <= tookMs + 1);
      this.misses.set(Id, hasAnswered ? 0 : (this.misses.get(Id) ?? 0) + 1);
    }
    setText(this.summary, this.summarize(cluster, members));
    const rows = members.map((member) => this.describe(cluster, member));
    if (JSON.stringify(rows) === this.shown) return; // buttons keep their focus
    this.shown = JSON.stringify(rows);
    this.rows.replaceChildren(...rows.map((texts, at) => this.makeRow(cluster, members[at], texts)));
  }

  /** @param {Member} member */
  isGone({ Id }) {
    return (this.misses.get(Id) ?? 0) >= MISSES_MAX;
  }

  /**
   * @param {Cluster} cluster
   * @param {Member[]} members
   * @returns {string}
   */
  summarize({ Leader, Term }, members) {
    if (members.length === 0) return Leader > 0 ? CLUSTER.healthy : CLUSTER.noLeader;
    const gone = members.filter((member) => this.isGone(member)).length;
    const leader = Leader > 0 ? CLUSTER.leader(Leader, Term) : CLUSTER.noLeader;
    return gone === 0 ? `${leader} ${CLUSTER.allAnswer}` : `${leader} ${CLUSTER.gone(gone)}`;
  }

  /**
   * @param {Cluster} cluster
   * @param {Member} member
   * @returns {string[]} the texts of a row
   */
  describe(cluster, member) {
    const isGone = this.isGone(member);
    const isLeader = cluster.Leader === member.Id;
    const role = isGone ? CLUSTER.noAnswer : isLeader ? CLUSTER.leads : member.Voting ? CLUSTER.follows : CLUSTER.learns;
    const applied = Math.max(...(cluster.Members ?? []).map(({ LastApplied }) => LastApplied ?? 0));
    const lag = member.LastApplied === undefined ? "" : String(applied - member.LastApplied);
    return [String(member.Id), member.Advertise || member.Url, role, isGone ? "" : lag];
  }

  /**
   * @param {Cluster} cluster
   * @param {Member | undefined} member
   * @param {string[]} texts
   * @returns {HTMLElement}
   */
  makeRow(cluster, member, texts) {
    const row = make("tr", "", ...texts.map((text) => make("td", "", text)));
    if (member === undefined) return row;
    row.dataset.node = String(member.Id);
    row.dataset.state = this.isGone(member) ? "gone" : cluster.Leader === member.Id ? "leader" : "follower";
    if (this.mayChange) row.append(make("td", "cluster-actions", ...this.makeActions(cluster, member)));
    return row;
  }

  /**
   * @param {Cluster} cluster
   * @param {Member} member
   * @returns {HTMLElement[]}
   */
  makeActions({ Leader }, member) {
    const { Id, Voting } = member;
    /** @type {["lead" | "promote" | "remove", boolean][]} */
    const actions = [["lead", Voting && Leader !== Id && !this.isGone(member)], ["promote", !Voting], ["remove", true]];
    return actions
      .filter(([, isPossible]) => isPossible)
      .map(([action]) => {
        const button = makeButton(CLUSTER[action].label, () => this.confirm(Id, action));
        button.setAttribute("aria-label", CLUSTER[action].heading(Id));
        return button;
      });
  }

  /**
   * @param {number} id
   * @param {"lead" | "promote" | "remove"} action
   */
  confirm(id, action) {
    const { heading, text, label } = CLUSTER[action];
    confirmDialog(heading(id), text, label, () => changeNode(id, action));
  }

  askForNode() {
    const id = makeTextField(CLUSTER.id);
    const url = makeTextField(CLUSTER.url, { type: "url", placeholder: CLUSTER.urlExample });
    new Dialog({
      heading: CLUSTER.add,
      body: [make("p", "dialog-text", CLUSTER.addHint), id.row, url.row],
      submit: CLUSTER.addSubmit,
      onSubmit: async () => {
        id.check(/^[1-9]\d*$/.test(id.value) ? "" : CLUSTER.idWrong);
        url.check(URL.canParse(url.value) ? "" : CLUSTER.urlWrong);
        await addNode(Number(id.value), url.value);
      },
    });
  }
}
