"""Signals that come to a node while it starts, and those that do not end it."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


# Each waits for a majority.
WAITING = {
    "a post": ("POST", "/rooms/general", '{"User": "ann", "Message": "hello"}'),
    "a read": ("GET", "/rooms/general", None),
    "a read at an index": ("GET", "/rooms/general?min_index=1000000&consistency=stale", None),
    "a post at an index": ("POST", "/rooms/general?min_index=1000000", '{"User": "ann", "Message": "hello"}'),
    "an export": ("GET", "/rooms/general/export", None),
    "a change of a room": ("PATCH", "/rooms/general", '{"Topic": "tea"}'),
    "a new member": ("POST", "/raft/4", "http://127.0.0.1:1"),
}


def test_every_request_in_flight_is_answered_when_a_node_without_a_majority_is_terminated(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.nodes[cluster.start_ready().wait_leader()]
        assert leader.request("POST", "/rooms/general", '{"User": "ann", "Message": "first"}').status == 201
        cluster.kill(*(id for id in cluster.nodes if id != leader.id))
        with ThreadPoolExecutor(len(WAITING)) as pool:
            asked = {what: pool.submit(leader.request, *request) for what, request in WAITING.items()}
            began = "every request is at the node"
            wait_until(lambda: all(answer.running() for answer in asked.values()) and leader.status(), 5, began)
            leader.signal(signal.SIGTERM)
            answers = {what: answer.result(10) for what, answer in asked.items()}
        assert {what: answer.status for what, answer in answers.items() if answer.status not in (503, 504)} == {}
        assert answers["a post"].json()["code"] in ("unavailable", "outcome_unknown")
        assert leader.wait_exit() == 0
