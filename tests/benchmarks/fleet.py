"""Thousands of subscribers in one thread that are dropped and come back by their cursors, each checking what it gets.

Each follows one room.  All of a room get the same bytes, so a frame is decoded once and then recognised.
"""

import json
import select
import socket
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType

from tests.benchmarks.crowd import PING_FRAME, RECV_BYTES, without_pings
from tests.support.http_client import HOST
from tests.support.websocket_frames import client_frame, frame_end, handshake

KNOWN_MAX = 20_000  # frames to be recognised
EVENTS_MAX = 512


@dataclass(slots=True)
class Subscriber:
    """What one of them knows, over all its connections."""

    room: str
    cursor: str | None = None
    last_id: int = 0  # 0: nothing has come yet
    peer: socket.socket | None = None
    unread: bytes = b""
    upgraded: bool = False
    greeted: bool = False


class Fleet:
    """Subscribers to one node's rooms.  AssertionError where a post is missing, comes twice or out of order."""

    def __init__(self, port: int, rooms: list[str], count: int) -> None:
        self.port = port
        self.all = [Subscriber(rooms[number % len(rooms)]) for number in range(count)]
        self.greeted = 0
        self.frames = 0
        self._away = list(self.all)
        self._joining = 0
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Subscriber] = {}
        self._known: dict[bytes, tuple[int, str]] = {}  # a frame's Id and Cursor

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.drop()
        self._epoll.close()

    def drop(self) -> None:
        """Cut all connections at once, in the middle of whatever they were hearing."""
        for subscriber in self._by_descriptor.values():
            assert subscriber.peer is not None
            subscriber.peer.close()
            subscriber.peer, subscriber.unread, subscriber.upgraded, subscriber.greeted = None, b"", False, False
        self._by_descriptor.clear()
        self._away = list(self.all)
        self.greeted = self._joining = 0

    def join(self, at_once: int, deadline_s: float) -> float:
        """Bring all back, with so many handshakes under way at a time; the seconds until the last is greeted."""
        began = monotonic()
        while self.greeted < len(self.all):
            while self._away and self._joining < at_once:
                self._begin(self._away.pop())
            self._turn(0.1)
            assert monotonic() < began + deadline_s, f"{len(self.all) - self.greeted} are not back in {deadline_s} s"
        return monotonic() - began

    def hear(self, seconds: float) -> None:
        """Take in what comes for so long."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            self._turn(left)

    def hear_until(self, newest_ids: dict[str, int], deadline_s: float) -> list[Subscriber]:
        """Take in what comes until all have these posts of their rooms; those that have not, past the deadline."""
        until = monotonic() + deadline_s
        while behind := [one for one in self.all if one.last_id not in (0, newest_ids[one.room])]:
            if monotonic() > until:
                break
            self._turn(0.1)
        return behind

    def _begin(self, subscriber: Subscriber) -> None:
        subscriber.peer = joining = socket.socket()
        joining.setblocking(False)
        joining.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            joining.connect((HOST, self.port))
        self._joining += 1
        self._by_descriptor[joining.fileno()] = subscriber
        self._epoll.register(joining, select.EPOLLOUT)

    def _turn(self, timeout_s: float) -> None:
        for descriptor, event in self._epoll.poll(timeout_s, EVENTS_MAX):
            subscriber = self._by_descriptor[descriptor]
            assert subscriber.peer is not None
            if event & select.EPOLLOUT:
                subscriber.peer.send(self._first_words(subscriber))
                self._epoll.modify(descriptor, select.EPOLLIN)
            else:
                data = subscriber.peer.recv(RECV_BYTES)
                assert data, f"a socket was closed: {subscriber}"
                self._take(subscriber, subscriber.unread + data)

    def _first_words(self, subscriber: Subscriber) -> bytes:
        ask = {"Action": "subscribe", "Rooms": [subscriber.room], "Cursor": subscriber.cursor}
        return handshake(self.port) + client_frame(json.dumps(ask).encode())

    def _take(self, subscriber: Subscriber, data: bytes) -> None:
        if not subscriber.upgraded:
            head, separator, rest = data.partition(b"\r\n\r\n")
            if not separator:
                subscriber.unread = data
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            subscriber.upgraded, data = True, rest
        if bytes((PING_FRAME,)) in data:
            assert subscriber.peer is not None
            data = without_pings(data, subscriber.peer)
        start = 0
        while end := frame_end(data, start):
            self._take_frame(subscriber, data[start:end])
            start = end
        subscriber.unread = data[start:]

    def _take_frame(self, subscriber: Subscriber, frame: bytes) -> None:
        found = self._known.get(frame)
        if found is None:
            said = json.loads(frame[2 if frame[1] < 126 else 4 :])
            if not subscriber.greeted:
                self._take_first(subscriber, said)
                return
            assert said.get("RoomName") == subscriber.room, said
            found = (said["Post"]["Id"], said["Cursor"])
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[frame] = found
        id, cursor = found
        assert subscriber.greeted, "a post before the greeting"
        assert subscriber.last_id in (0, id - 1), f"{subscriber.room}: Id {id} after {subscriber.last_id}"
        subscriber.last_id, subscriber.cursor = id, cursor
        self.frames += 1

    def _take_first(self, subscriber: Subscriber, said: dict[str, dict[str, str]]) -> None:
        """Until it has subscribed it hears every room, without cursors, as one that only listens."""
        if "Hello" in said:
            subscriber.greeted = True
            subscriber.cursor = said["Hello"]["Cursor"]
            self.greeted += 1
            self._joining -= 1
        else:
            assert set(said) == {"RoomName", "Post"}, said
