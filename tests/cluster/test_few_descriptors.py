"""Nodes that may open few files: what clients hold open must not keep the nodes from each other."""

import json
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.cluster import COMMAND, Cluster
from tests.support.websocket_client import HandshakeRefused, WebSocketClient

FEW = ("prlimit", "--nofile=300", *COMMAND)
SOCKETS = 300
ANSWER_S = 3  # far less than the time after which the outcome of a post is unknown


def test_websockets_that_use_up_the_leaders_descriptors_hold_up_no_post_of_the_others(tmp_path: Path) -> None:
    with ExitStack() as stack, Cluster(tmp_path, command=FEW) as cluster:
        leader = cluster.start_ready().wait_ready()
        opened = 0
        for _ in range(SOCKETS):
            with suppress(HandshakeRefused):
                stack.enter_context(WebSocketClient(cluster.nodes[leader].port))
                opened += 1
        assert SOCKETS / 2 < opened < SOCKETS
        with pytest.raises(HandshakeRefused, match=" 503 "):
            WebSocketClient(cluster.nodes[leader].port)
        for id in cluster.nodes:
            for number in range(5):
                body = json.dumps({"Message": str(number), "User": "ann"})
                answer = cluster.nodes[id].request("POST", "/rooms/general", body, ANSWER_S)
                assert answer.status == 201, answer
        assert cluster.leader() == leader
