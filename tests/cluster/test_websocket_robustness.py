"""Websockets of real nodes that live through what happens to them: nonsense, silence, restarts and kills."""

import json
import selectors
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Self

from tests.cluster.clients import HOST
from tests.cluster.harness import Cluster, Node
from tests.cluster.listeners import CLOSE, PING, PONG, TEXT, client_frame, frame_at, upgrade

PING_S = 25  # a server pings each socket so often
FRAME_S = 10


class Socket:
    """A client that sees every frame, pings too."""

    def __init__(self, node: Node) -> None:
        self.socket = socket.create_connection((HOST, node.port), FRAME_S)
        self.socket.sendall(upgrade(node.port))
        self._unread = bytearray()
        self._take_head()

    def _take_head(self) -> None:
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, rest = bytes(self._unread).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self._unread = bytearray(rest)

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, "the connection has ended"
        self._unread += data

    def frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        while (found := frame_at(self._unread, 0)) is None:
            self._receive()
        opcode, payload, end = found
        del self._unread[:end]
        return opcode, payload

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Those that are here already; and what has come, where something has."""
        self._receive()
        while (found := frame_at(self._unread, 0)) is not None:
            opcode, payload, end = found
            del self._unread[:end]
            yield opcode, payload

    def say(self, **said: object) -> None:
        self.send(TEXT, json.dumps(said).encode())

    def send(self, opcode: int, payload: bytes) -> None:
        self.socket.sendall(client_frame(opcode, payload))

    def hear(self) -> dict[str, Any]:
        """The next message; pings are answered."""
        while (frame := self.frame())[0] == PING:
            self.send(PONG, frame[1])
        opcode, payload = frame
        assert opcode == TEXT, frame
        found = json.loads(payload)
        assert isinstance(found, dict)
        return found

    def hear_close(self) -> int:
        """The code that the node closes it with."""
        while (frame := self.frame())[0] != CLOSE:
            pass
        return int.from_bytes(frame[1][:2])

    def subscribe(self, cursor: str | None = None) -> str:
        self.say(Action="subscribe", Rooms="*", Cursor=cursor)
        return str(self.hear()["Hello"]["Cursor"])

    def next_post(self) -> tuple[str, str]:
        """The next frame's text and cursor; it is a post."""
        frame = self.hear()
        return frame["Post"]["Message"], frame["Cursor"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


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
