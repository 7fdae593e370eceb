"""Signals that come to a node while it starts, and those that do not end it."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

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


def test_a_post_in_flight_is_answered_when_a_node_without_a_majority_is_terminated(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        leader = cluster.wait_leader()
        for id in cluster.nodes:
            if id != leader:
                cluster.kill(id)
        with ThreadPoolExecutor(1) as pool:
            request = Request(
                f"http://127.0.0.1:{cluster.nodes[leader].port}/rooms/general",
                json.dumps({"User": "ann", "Message": "hello"}).encode(),
                {"Content-Type": "application/json"},
            )
            answer = pool.submit(urlopen, request, timeout=10)
            wait_until(lambda: answer.running() and cluster.nodes[leader].status() is not None, 5, "it was sent")
            cluster.nodes[leader].signal(signal.SIGTERM)
            with pytest.raises(HTTPError) as answered:
                answer.result(10)
        answered.value.close()
        assert answered.value.code in (503, 504)
        assert cluster.nodes[leader].wait_exit() == 0
