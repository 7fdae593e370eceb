"""A majority that stands still: its leader takes in no more than its bound, and says so in time."""

import signal
import threading
from pathlib import Path
from time import monotonic

from tests.cluster.writers import read_room
from tests.support.cluster import READY_S, Cluster, Forked
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

BOUND = 10_000
# The bound is no option; nobody waits for 64 MiB in a test.
SMALL_BOUND = Forked(
    "import raft_chat_node; from raft.core.node import Settings; "
    f"raft_chat_node.Settings = lambda **given: Settings(**given, uncommitted_bytes_max={BOUND})"
)
PATIENT = ("--election-timeout-ms", "2000")  # for so long the leader believes that it is only slow


def test_what_is_over_the_bound_is_answered_503_within_5_s_and_is_not_proposed(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=SMALL_BOUND, flags=PATIENT) as cluster:
        leader = cluster.start_ready().wait_settled()
        assert cluster.post(leader, "general", "before").status == 201
        for id in cluster.nodes.keys() - {leader}:
            cluster.nodes[id].signal(signal.SIGSTOP)
        last_index = cluster.nodes[leader].status()["LastIndex"]
        answers: list[Answer] = []
        large = threading.Thread(target=lambda: answers.append(cluster.post(leader, "general", "x" * 7_900)))
        large.start()
        wait_until(lambda: cluster.nodes[leader].status()["LastIndex"] == last_index + 1, READY_S, "it is appended")
        began_s = monotonic()
        refused = cluster.post(leader, "general", "y" * 7_900)
        took_s = monotonic() - began_s
        large.join()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert took_s < 5
        assert [answer.status for answer in answers] == [504]
        assert cluster.nodes[leader].status()["LastIndex"] == last_index + 1

        for node in cluster.nodes.values():
            node.signal(signal.SIGCONT)
        wait_until(lambda: cluster.post(leader, "general", "after").status == 201, READY_S, "there is room again")
        shown = {post["Message"][0] for post in read_room(cluster.nodes[leader].port, "general")}
        assert "y" not in shown
