"""The same ClientId sent to three nodes at once is one post, whatever becomes of the nodes meanwhile."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Barrier, Thread
from time import monotonic
from typing import Any

from tests.cluster.compacting import SMALL, soon
from tests.cluster.joining import compactions
from tests.cluster.writers import TRY_AGAIN
from tests.support.cluster import READY_S, Cluster, NodeProcess
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

KEEPS = 20  # entries
ROUNDS = 3


class Senders:
    """Clients that send each post to every node at once, and again to another one until it is answered for good."""

    def __init__(self, cluster: Cluster) -> None:
        self.posts: dict[str, dict[str, Any]] = {}  # by ClientId: as it was first answered
        self._cluster = cluster

    def send(self, client_id: str, meanwhile: Callable[[], object] = lambda: None) -> list[int]:
        """What the three were answered, sorted; `meanwhile` happens when all are on their way."""
        answers: list[Answer] = []
        nodes = list(self._cluster.nodes.values())
        away = Barrier(len(nodes) + 1)
        threads = [
            Thread(target=self._send_one, args=(client_id, nodes[n:] + nodes[:n], away, answers), name=f"sender-{n}")
            for n in range(len(nodes))
        ]
        for thread in threads:
            thread.start()
        away.wait(READY_S)
        meanwhile()
        for thread in threads:
            thread.join()
        assert len(answers) == len(nodes), f"of {client_id} somebody was not answered"
        assert {answer.status for answer in answers} <= {200, 201}, answers
        for answer in answers:
            assert self.posts.setdefault(client_id, answer.json()) == answer.json()
        return sorted(answer.status for answer in answers)

    @staticmethod
    def _send_one(client_id: str, nodes: Sequence[NodeProcess], away: Barrier, answers: list[Answer]) -> None:
        """The first of these nodes, and where it does not answer for good the next."""
        away.wait(READY_S)
        deadline_s, body = (
            monotonic() + READY_S,
            f'{{"Message": "{client_id}", "User": "ann", "ClientId": "{client_id}"}}',
        )
        while monotonic() < deadline_s:
            for node in nodes:
                try:
                    answer = node.request("POST", "/rooms/general", body, timeout_s=5)
                except OSError:
                    continue  # it is down
                if answer.status not in TRY_AGAIN:
                    answers.append(answer)
                    return

    def check(self) -> None:
        """On all nodes there is each post once, and none beside them."""
        posts = sorted(self.posts.values(), key=lambda post: int(post["Id"]))
        assert [post["Id"] for post in posts] == list(range(1, len(posts) + 1))
        for id in self._cluster.nodes:
            assert self._cluster.request(id, "GET", "/rooms/general?limit=1000").json() == posts


def _bring_a_snapshot(cluster: Cluster) -> None:
    """One node is away while the others compact their logs, so that it gets a snapshot when it is back."""
    leader = cluster.wait_ready()
    away = next(id for id in cluster.nodes if id != leader)
    cluster.kill(away)
    held = cluster.nodes[leader].status()["LastIndex"]
    for _ in range(300):
        assert cluster.post(leader, "doomed", "x" * 7_000, "filler").status == 201
    assert cluster.request(leader, "DELETE", "/rooms/doomed").status == 204

    def compacted() -> bool:
        """What is live is noted now and then: the newest note that may go has to be behind the deletion."""
        assert cluster.post(leader, "after", "x" * 7_000, "filler").status == 201
        return all(any(int(match[1]) > held for match in compactions(node)) for node in cluster.running())

    wait_until(compacted, READY_S, "the others' logs are compacted")
    cluster.restart(away)
    sent = f"member {away} is sent the snapshot"
    assert any(sent in node.log() for node in cluster.running())


def test_a_client_id_sent_to_three_nodes_at_once_over_failover_restart_and_snapshot_is_one_post(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=soon(KEEPS), flags=SMALL) as cluster:
        cluster.start_ready()
        senders = Senders(cluster)
        for number in range(ROUNDS):
            assert senders.send(f"calm-{number}") == [200, 200, 201]
        for number in range(ROUNDS):  # the first of the answers may go down with the node that made it
            leader = cluster.wait_ready()
            answered = senders.send(f"failover-{number}", lambda leader=leader: cluster.kill(leader))  # type: ignore[misc]
            assert answered in ([200, 200, 200], [200, 200, 201])
            cluster.restart(leader)
            assert senders.send(f"failover-{number}") == [200, 200, 200]

        def restart() -> None:
            cluster.kill()
            cluster.start()

        for number in range(ROUNDS):
            answered = senders.send(f"restart-{number}", restart)
            assert answered in ([200, 200, 200], [200, 200, 201])
            cluster.wait_ready()
        _bring_a_snapshot(cluster)
        for client_id in list(senders.posts):
            assert senders.send(client_id) == [200, 200, 200]
        senders.check()
        cluster.kill()
        cluster.restart()
        assert senders.send("calm-0") == [200, 200, 200]
        senders.check()
