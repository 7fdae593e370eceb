"""Clients that keep what they show: two that are told of posts, and one that reads at an index it knows.

Each does what docs/api.md asks of a client.  Where it is told to start over it shows what a node has now, and goes on
from there.  What it shows in the end is held against what stands: a post that is missing, shown twice, or shown though
it does not stand, has been kept from its user.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote

from tests.cluster.writers import PAGE, TRY_AGAIN, read_room
from tests.support.cluster import NodeProcess
from tests.support.curl import CurlEvents
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient
from tests.support.websocket_frames import CLOSE, PING, PONG, TEXT

ROOM = "general"
FOLLOW_S = 20
LOOK_S = 2  # for one event where none may come

Posts = Sequence[dict[str, Any]]
Nodes = Callable[[], Sequence[NodeProcess]]


class ReadingClient(Protocol):
    """One client: what it shows, and how often it was told to start over."""

    name: str
    shown: list[tuple[int, str]]
    started_over: int

    def follow(self, nodes: Nodes, newest: str) -> None:
        """Come to show the post with this text, by the first of these nodes; "": come to be told of what comes."""

    def close(self) -> None:
        """Leave the node that it is at."""


def wrongly_shown(client: ReadingClient, history: Posts) -> int:
    """How many posts from the first one shown on are missing, doubled, out of order, or do not stand."""
    if not client.shown:
        return len(history)
    first = min(id for id, _ in client.shown)
    stands = [(post["Id"], post["Message"]) for post in history if post["Id"] >= first]
    shown, expected = Counter(client.shown), Counter(stands)
    differ = (shown - expected).total() + (expected - shown).total()
    return differ or int(client.shown != stands)


class _Told:
    """What a client does with the frames of a subscription, however they come."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown: list[tuple[int, str]] = []
        self.started_over = 0
        self.cursor: str | None = None
        self._read_to = 0  # what was read since it started over needs not be told again
        self._starting_over = False

    def take(self, frame: dict[str, Any], node: NodeProcess) -> bool:
        """Whether it may go on here; False: it has to subscribe anew."""
        if is_start_over(frame):
            self.started_over += 1
            self.cursor, self._starting_over = None, True
            return False
        if "Hello" in frame and self._starting_over:
            self.shown = [(post["Id"], post["Message"]) for post in read_room(node.port, ROOM)]
            self._read_to = self.shown[-1][0] if self.shown else 0
            self._starting_over = False
        self.cursor = frame.get("Hello", frame).get("Cursor", self.cursor)
        if "Post" in frame and "Cursor" in frame and frame["Post"]["Id"] > self._read_to:
            self.shown.append((frame["Post"]["Id"], frame["Post"]["Message"]))
        return True

    def shows(self, newest: str) -> bool:
        return any(text == newest for _, text in self.shown) if newest else self.cursor is not None


def is_start_over(frame: dict[str, Any]) -> bool:
    """A cursor that no node can go on from."""
    return "StartOver" in frame or "Error" in frame


class SocketClient(_Told):
    """A websocket that subscribes with its last cursor."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._socket: WebSocketClient | None = None
        self._node: NodeProcess | None = None

    def follow(self, nodes: Nodes, newest: str) -> None:
        end = monotonic() + FOLLOW_S
        while not self.shows(newest) and monotonic() < end:
            with suppress(OSError, AssertionError):  # that connection is over: the next one goes on
                if self._socket is None:
                    self._connect(nodes)
                if self._hear():
                    continue
            self.close()

    def _connect(self, nodes: Nodes) -> None:
        (self._node, *_) = wait_until(lambda: nodes() or None, FOLLOW_S, "a node runs")
        self._socket = WebSocketClient(self._node.port, timeout_s=FOLLOW_S / 2)
        self._socket.say(Action="subscribe", Rooms=[ROOM], Cursor=self.cursor)

    def _hear(self) -> bool:
        """Whether the connection goes on after its next frame."""
        assert self._socket is not None
        assert self._node is not None
        opcode, payload = self._socket.frame()
        if opcode == PING:
            self._socket.send(PONG, payload)
        return opcode != CLOSE and (opcode != TEXT or self.take(_decoded(payload), self._node))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _decoded(payload: bytes) -> dict[str, Any]:
    found = json.loads(payload)
    assert isinstance(found, dict)
    return found


class StreamClient(_Told):
    """Server-sent events by curl, resumed by `Last-Event-ID`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._curl: CurlEvents | None = None
        self._node: NodeProcess | None = None

    def follow(self, nodes: Nodes, newest: str) -> None:
        end = monotonic() + FOLLOW_S
        while not self.shows(newest) and monotonic() < end:
            if self._curl is None:
                (self._node, *_) = wait_until(lambda: nodes() or None, FOLLOW_S, "a node runs")
                self._curl = CurlEvents(self._node.url, f"?rooms={ROOM}", self.cursor).__enter__()
            assert self._node is not None
            with suppress(AssertionError):  # nothing came
                frame = self._curl.next(FOLLOW_S / 2)
                if frame is not None and self.take(frame, self._node):
                    continue
            self.close()

    def close(self) -> None:
        if self._curl is not None:
            self._curl.__exit__(None, None, None)
        self._curl = None


class IndexReader:
    """Reads the room, each time at the `X-Raft-Index` of its last answer or later."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown: list[tuple[int, str]] = []
        self.started_over = 0
        self._index = ""

    def follow(self, nodes: Nodes, newest: str) -> None:
        end = monotonic() + FOLLOW_S
        while not any(text == newest or not newest for _, text in self.shown) and monotonic() < end:
            with suppress(OSError):
                self._read(wait_until(lambda: nodes() or None, FOLLOW_S, "a node runs")[0])

    def _read(self, node: NodeProcess) -> None:
        at = f"&min_index={quote(self._index)}" if self._index else ""
        answer = node.request("GET", f"/rooms/{ROOM}?after=0&limit={PAGE}{at}")
        if answer.status == 200:
            self._index = answer.headers["X-Raft-Index"]
            posts = [(post["Id"], post["Message"]) for post in answer.json()]
            gone = [shown for shown in self.shown if shown not in posts]
            self.shown = gone + posts  # what is gone without a word its user has seen for nothing
        elif answer.status not in TRY_AGAIN:
            self.started_over += 1
            self._index, self.shown = "", []

    def close(self) -> None:
        """Every answer has a connection of its own."""
