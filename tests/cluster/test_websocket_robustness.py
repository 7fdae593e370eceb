"""Websockets of real nodes that live through what happens to them: nonsense, silence, restarts and kills."""

import selectors
import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from tests.support.cluster import Cluster
from tests.support.websocket_client import WebSocketClient
from tests.support.websocket_frames import PING, PONG, TEXT

PING_S = 25  # a server pings each socket so often


def test_websocket_robustness_pings_and_reconnections(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        first, second = (id for id in cluster.nodes if id != leader)

        # Pings of both kinds are answered, and what makes no sense ends nothing.
        with WebSocketClient(cluster.nodes[leader].port) as client:
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
            silent = [sockets.enter_context(WebSocketClient(cluster.nodes[leader].port)) for _ in range(10)]
            assert first_ping(silent) <= PING_S

        # A node that is stopped says so before it goes, one that is killed does not: either way its clients go on
        # elsewhere, and hear of every post once.
        with WebSocketClient(cluster.nodes[leader].port) as client:
            client.subscribe()
            assert cluster.post(first, "general", "one").status == 201
            heard = client.next_post()
            assert heard["Post"]["Message"] == "one"
            cluster.nodes[leader].signal(signal.SIGTERM)
            assert client.hear_close() == 1012
        assert cluster.nodes[leader].wait_exit() == 0
        cluster.wait_ready()
        assert cluster.post(second, "general", "two").status == 201
        with WebSocketClient(cluster.nodes[first].port) as client:
            client.subscribe(cursor=heard["Cursor"])
            heard = client.next_post()
            assert heard["Post"]["Message"] == "two"
            cluster.restart(leader)
            cluster.kill(first)
        cluster.wait_ready()
        assert cluster.post(second, "general", "three").status == 201
        with WebSocketClient(cluster.nodes[leader].port) as client:
            client.subscribe(cursor=heard["Cursor"])
            assert cluster.post(second, "general", "four").status == 201
            assert client.next_texts(2) == ["three", "four"]


def first_ping(sockets: list[WebSocketClient]) -> float:
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
