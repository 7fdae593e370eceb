"""A disk under one node that gives nothing back, and a record that is damaged on all disks."""

import json
from collections.abc import Iterator

import pytest

from tests.faults.disks import injected
from tests.faults.rot import all_copies
from tests.faults.tools import DISK, need
from tests.support.cluster import Cluster, NodeProcess
from tests.support.waiting import wait_until

ROOM = "random"  # the other test has its own
TEXTS = [f"unreadable {number} {'x' * 3000}" for number in range(5)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("rot")) as cluster:
        yield cluster.start_ready()


def texts_of(node: NodeProcess, path: str) -> list[str]:
    answer = node.request("GET", path)
    assert answer.status == 200, answer
    if path.endswith("/export"):
        return [post["Message"] for post in map(json.loads, answer.body.splitlines())]
    found = answer.json()
    return [post["Message"] for post in found] if isinstance(found, list) else [found["Message"]]


def test_reads_are_right_on_a_node_whose_disk_answers_with_eio_to_each_of_them(cluster: Cluster) -> None:
    need(DISK)
    leader = cluster.wait_leader()
    node = next(node for node in cluster.nodes.values() if node.id != leader)
    for text in TEXTS:
        assert cluster.post(leader, ROOM, text).status == 201
    wait_until(lambda: len(texts_of(node, f"/rooms/{ROOM}")) == len(TEXTS), 10, "all is applied")
    cluster.kill(node.id)
    cluster.restart(node.id)  # nothing is in a cache
    # the newest: a start carries on what the last segment held beyond its durable offset
    path = max(path for path in node.data_dir.glob("log-*.jsonl") if b"unreadable 4" in path.read_bytes())
    with injected(node, "error=EIO", "pread64", path=path):
        assert texts_of(node, f"/rooms/{ROOM}?consistency=stale") == TEXTS
        assert texts_of(node, f"/rooms/{ROOM}/messages/3?consistency=stale") == TEXTS[2:3]
        assert texts_of(node, f"/rooms/{ROOM}/messages/3/history") == TEXTS[2:3]
        assert texts_of(node, f"/rooms/{ROOM}/export") == TEXTS
        assert cluster.post(node.id, ROOM, "and it accepts messages").status == 201
    assert "cannot be read (Input/output error)" in node.log() and "Traceback" not in node.log()

    def is_mended() -> bool:
        return node.request("POST", "/raft/scrub").status == 202 and not node.status().get("Damage")

    wait_until(is_mended, 10, "all is whole again")
    assert node.running


def test_a_record_that_no_node_has_is_a_clear_problem_and_all_else_is_served(cluster: Cluster) -> None:
    outcome = all_copies.run(cluster)
    assert outcome.is_right, str(outcome)
