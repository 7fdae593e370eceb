"""A real Prometheus on three real nodes, the files of docs/monitoring, and `/readyz` while a leader is in trouble."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.metrics.catalogue import METRICS
from tests.faults.tools import DISK, NETWORK, need, run
from tests.monitoring import prometheus
from tests.monitoring.prometheus import MONITORING, Prometheus, dashboard_queries, without_limit
from tests.monitoring.readiness import ELECTION_TIMEOUT_S, Row, Scene, scene
from tests.monitoring.traffic import traffic
from tests.support.cluster import NodeProcess
from tests.support.tools import absent, require
from tests.support.waiting import wait_until

RANGE_S = 10  # of the dashboard's rates: two scrapes suffice
SCRAPE_MS = 400
DATA_S = 20.0  # for a second scrape, on a busy machine
LATE_S = 0.5  # of a node that does not get the processor
AGAIN_S = 8.0  # until all are ready again; mostly a second after the fault is over
LASTS_S = 0.6  # a fault
SETTLED_S = 0.2


def test_promtool_accepts_the_configuration_and_the_alerts(tmp_path: Path) -> None:
    require(absent("promtool"))
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(MONITORING / name, tmp_path)
    (tmp_path / "metrics-token").write_text("t" * 32)
    assert "SUCCESS" in run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))


def test_the_dashboard_has_no_two_panels_in_one_place_and_no_two_with_one_id() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def test_every_metric_but_few_is_on_the_dashboard_or_in_an_alert() -> None:
    text = "".join((MONITORING / name).read_text(encoding="utf-8") for name in ("dashboard.json", "alerts.yml"))
    assert {metric.name for metric in METRICS if metric.name not in text} == {"process_virtual_memory_bytes"}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    need((*NETWORK, *DISK))
    with scene(tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def scraping(nodes: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus, started long before it is asked: it begins to scrape five seconds later."""
    require(absent("prometheus"))
    with prometheus.running(tmp_path_factory.mktemp("prometheus"), nodes.places, nodes.token, SCRAPE_MS) as found:
        yield found


def test_without_the_token_other_machines_get_no_metrics(nodes: Scene) -> None:
    for node in nodes.cluster.nodes.values():
        assert node.request("GET", "/metrics").status == 401
        assert node.request("GET", "/readyz").status in (200, 503)


def of(rows: list[Row], role: str) -> list[Row]:
    return [row for row in rows if row.role == role]


@pytest.mark.usefixtures("scraping")
def test_nobody_is_ready_for_a_moment_after_the_leader_is_killed(nodes: Scene) -> None:
    rows = nodes.measure("killed", nodes.killed, LASTS_S, SETTLED_S)
    for row in rows:
        assert row.last_ready_s is not None and row.last_ready_s < ELECTION_TIMEOUT_S + LATE_S, row
        assert row.true_s is not None and row.true_s < LASTS_S + AGAIN_S, row
    assert all("leader" in row.why for row in of(rows, "follower"))


def test_a_leader_whose_disk_hangs_is_not_ready_within_an_election_timeout(nodes: Scene) -> None:
    rows = nodes.measure("its disk hangs", nodes.without_a_disk, LASTS_S, SETTLED_S)
    (leader,) = of(rows, "leader")
    assert leader.last_ready_s is not None and leader.last_ready_s < ELECTION_TIMEOUT_S + LATE_S, leader
    assert leader.true_s is not None and leader.true_s < LASTS_S + AGAIN_S, leader
    assert "disk" in leader.why


def test_a_prometheus_that_scrapes_three_nodes_answers_every_query_of_the_dashboard_and_the_alerts(
    nodes: Scene, scraping: Prometheus
) -> None:
    nodes.cluster.wait_ready()
    with traffic(nodes.places):
        left = [*dashboard_queries(RANGE_S), *map(without_limit, scraping.alerts())]
        assert len(left) > 40

        def all_answered() -> bool:
            left[:] = scraping.unanswered(left)
            return not left

        wait_until(all_answered, DATA_S, "every query is answered")
        wait_until(lambda: scraping.values("count(up == 1)") == [3], DATA_S, "all nodes are scraped")
        wait_until(lambda: scraping.values("sum(raft_is_leader)") == [1], DATA_S, "one of them leads")


def test_a_node_that_is_told_to_stop_is_not_ready_at_once(nodes: Scene) -> None:
    leader = nodes.cluster.nodes[nodes.cluster.wait_ready()]
    leader.signal(signal.SIGTERM)
    answer = wait_until(lambda: not_ready(leader), DATA_S, "it says so before it is gone")
    assert "[-]draining failed: this node is stopping\n" in answer
    assert leader.wait_exit() == 0


def not_ready(node: NodeProcess) -> str | None:
    answer = node.request("GET", "/readyz")
    return answer.body.decode() if answer.status == 503 else None
