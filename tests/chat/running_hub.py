"""A running hub with peers at the other end of real sockets, and handlers that keep what they are told."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

from chat.realtime.connection import HubLimits
from chat.realtime.hub import Hub
from chat.realtime.websocket_connection import WebSocketConnection
from chat.state.events import PostEvent
from tests.chat.peer import DEADLINE_S, Peer, tcp_pair
from tests.support.node import hung


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Recorder:
    """A handler that keeps what it is told, and does what the test says with it."""

    connection: WebSocketConnection
    texts: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    on_text: Callable[[WebSocketConnection, str], None] | None = None

    def received(self, text: str) -> None:
        self.texts.append(text)
        if self.on_text is not None:
            self.on_text(self.connection, text)

    def closed(self) -> None:
        self.ended.set()


class RunningHub:
    """A running hub, its peers, and a log index that counts."""

    def __init__(self, limits: HubLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.hub = Hub(lambda: "c0ffee", limits=limits, clock=clock)
        self.hub.start()
        self.index = 0
        self.peers: list[Peer] = []
        self._publishing = threading.Lock()

    def __enter__(self) -> "RunningHub":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self.peers:
            peer.close()
        self.hub.drain(1.0)

    def settle(self) -> None:
        """Return once the hub has done all that it was asked so far."""
        for _ in range(2):  # what the first turn touches, the second has flushed
            turned = threading.Event()
            assert self.hub.call(turned.set)
            assert turned.wait(DEADLINE_S)

    def hung(self) -> AbstractContextManager[None]:
        """Keep the hub from doing anything meanwhile."""
        return hung(self.hub)

    def connect(
        self,
        on_text: Callable[[WebSocketConnection, str], None] | None = None,
        receive_buffer: int | None = None,
        *,
        pair: tuple[socket.socket, socket.socket] | None = None,
        greeting: bytes = b"",
        then: bytes = b"",
    ) -> tuple[Peer, Recorder]:
        """A peer that listens, and its handler; `then` is queued in the turn in which it comes."""
        server, client = pair or tcp_pair(receive_buffer)
        recorders: list[Recorder] = []

        def record(connection: WebSocketConnection) -> Recorder:
            recorders.append(Recorder(connection, on_text=on_text))
            connection.queue(then)
            return recorders[0]

        self.hub.attach(server, greeting, b"", record)
        self.peers.append(Peer(client))
        self.settle()
        return self.peers[-1], recorders[0]

    def listen(self, count: int) -> list[Peer]:
        """So many peers that only listen."""
        return [self.connect()[0] for _ in range(count)]

    def publish(self, room: str = "general", post: bytes = b"{}", posts: int = 1) -> None:
        """A batch, as the apply thread hands it over; `post` may tell its log index, as %d."""
        with self._publishing:
            indexes = range(self.index + 1, self.index + posts + 1)
            self.index += posts
            self.hub.publish(
                self.index, [PostEvent(index, room, index, post.replace(b"%d", b"%d" % index)) for index in indexes]
            )


def numbered(payload: bytes, size: int) -> bytes:
    """A post of `size` bytes that can be told apart."""
    return b'{"Message":"%b"}' % payload.ljust(size - 14, b"x")
