"""Nodes that may open few files: what clients hold open must not keep the nodes from each other."""

from contextlib import ExitStack
from pathlib import Path

from tests.cluster.harness import COMMAND, Cluster
from tests.cluster.socket_client import Socket

FEW = ("prlimit", "--nofile=300", *COMMAND)
SOCKETS = 300
ANSWER_S = 3  # far less than the time after which the outcome of a post is unknown


def test_websockets_that_use_up_the_leaders_descriptors_hold_up_no_post_of_the_others(tmp_path: Path) -> None:
    with ExitStack() as stack, Cluster(tmp_path, command=FEW) as cluster:
        leader = cluster.start_ready().wait_ready()
        refused = 0
        for _ in range(SOCKETS):
            try:
                stack.enter_context(Socket(cluster.nodes[leader]))
            except AssertionError as error:
                assert " 503 " in str(error)
                refused += 1
        assert 0 < refused < SOCKETS / 2
        for id in cluster.nodes:
            for number in range(5):
                body = '{"Message": "%d", "User": "ann"}' % number
                answer = cluster.nodes[id].request("POST", "/rooms/general", body, ANSWER_S)
                assert answer.status == 201, answer
        assert cluster.leader() == leader
