"""Websockets of real nodes that live through what happens to them: nonsense, silence, restarts and kills."""

import selectors
import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from tests.cluster.listeners import PING, PONG, TEXT
from tests.cluster.socket_client import Socket
from tests.support.cluster import Cluster

PING_S = 25  # a server pings each socket so often


def test_websocket_robustness_pings_and_reconnections(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        first, second = (id for id in cluster.nodes if id != leader)

        # Pings of both kinds are answered, and what makes no sense ends nothing.
        with Socket(cluster.nodes[leader]) as client:
            client.send(PING, b"are you there?")
            assert client.frame() == (PONG, b"are you there?")
            client.say(Action="ping")
            assert client.hear() == {"Pong": {}}
            client.send(TEXT, b"{nonsense")
            assert client.hear()["Error"]["code"] == "invalid_field"
            client.say(Action="nonsense")
            assert client.hear()["Error"]["code"] == "unknown_action"
            client.say(Action="ping")
            assert client.hear() == {"Pong": {}}

        # The node pings too, each of many sockets at another moment.
        with ExitStack() as sockets:
            silent = [sockets.enter_context(Socket(cluster.nodes[leader])) for _ in range(10)]
            assert first_ping(silent) <= PING_S

        # A node that is stopped says so before it goes, one that is killed does not: either way its clients go on
        # elsewhere, and hear of every post once.
        with Socket(cluster.nodes[leader]) as client:
            client.subscribe()
            assert cluster.post(first, "general", "one").status == 201
            text, cursor = client.next_post()
            assert text == "one"
            cluster.nodes[leader].signal(signal.SIGTERM)
            assert client.hear_close() == 1012
        assert cluster.nodes[leader].wait_exit() == 0
        cluster.wait_ready()
        assert cluster.post(second, "general", "two").status == 201
        with Socket(cluster.nodes[first]) as client:
            client.subscribe(cursor)
            text, cursor = client.next_post()
            assert text == "two"
            cluster.restart(leader)
            cluster.kill(first)
        cluster.wait_ready()
        assert cluster.post(second, "general", "three").status == 201
        with Socket(cluster.nodes[leader]) as client:
            client.subscribe(cursor)
            assert cluster.post(second, "general", "four").status == 201
            assert [client.next_post()[0] for _ in range(2)] == ["three", "four"]


def first_ping(sockets: list[Socket]) -> float:
    """After how many seconds one of them is pinged."""
    began = monotonic()
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one.socket, selectors.EVENT_READ, one)
        while (left := began + PING_S - monotonic()) > 0:
            for key, _ in selector.select(left):
                if any(opcode == PING for opcode, _ in key.data.frames()):
                    return monotonic() - began
    return PING_S + 1
