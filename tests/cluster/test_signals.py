"""Signals that come to a node while it starts, and those that do not end it."""

import signal
from pathlib import Path

from tests.cluster import signals
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until


def test_a_hangup_is_logged_and_the_node_goes_on_until_it_is_terminated(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster:
        cluster.start_ready()
        cluster.nodes[1].signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP is ignored" in cluster.nodes[1].log(), 5, "it is logged")
        assert cluster.nodes[1].status()["Leader"] == 1
        cluster.nodes[1].signal(signal.SIGTERM)
        assert cluster.nodes[1].wait_exit() == 0


def test_every_request_in_flight_is_answered_when_a_node_without_a_majority_is_terminated(tmp_path: Path) -> None:
    seen = signals.without_majority(tmp_path, leads=True)
    assert seen.wrong == []
    assert seen.answers.total() == len(signals.WAITING)
    assert seen.codes == {0: 1}
