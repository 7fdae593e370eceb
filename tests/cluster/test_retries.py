"""A client that tries again with its ClientId, whatever has become of the nodes meanwhile."""

import json
from pathlib import Path

from tests.cluster.writers import TRY_AGAIN
from tests.support.cluster import READY_S, Cluster
from tests.support.curl import curl
from tests.support.http_client import Answer
from tests.support.waiting import wait_until


def tried(cluster: Cluster, id: int) -> Answer:
    """The one post, at node `id`, until the answer is final."""

    def final() -> Answer | None:
        answer = cluster.post(id, "general", "once", ClientId="the-same")
        return None if answer.status in TRY_AGAIN else answer

    return wait_until(final, READY_S, f"node {id} answers for good")


def test_a_retry_across_failover_and_restart_gets_the_first_post(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        leader = cluster.wait_ready()
        first = tried(cluster, leader)
        assert first.status == 201
        cluster.kill(leader)
        for node in cluster.running():
            again = tried(cluster, node.id)
            assert (again.status, again.json()) == (200, first.json())
        cluster.kill()
        cluster.restart()
        for node in cluster.running():
            again = tried(cluster, node.id)
            assert (again.status, again.json()) == (200, first.json())
        assert cluster.request(leader, "GET", "/rooms/general").json() == [first.json()]


def test_curl_with_an_idempotency_key_posts_once_whichever_node_it_asks(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        post = ("-H", "Idempotency-Key: key-1", "-d", '{"Message": "once", "User": "ann"}')
        answers = {curl(*post, f"{node.url}/rooms/general") for node in cluster.running()}
        assert len(answers) == 1
        assert json.loads(answers.pop())["ClientId"] == "key-1"
        assert len(cluster.request(1, "GET", "/rooms/general").json()) == 1
