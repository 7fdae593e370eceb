"""Thousands of websockets in one thread, as plain sockets: whoever measures a server must cost less than it does.

Nothing of a client's library is here.  All sockets get the same bytes, so they are compared, not parsed.
"""

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType

from tests.support.http_client import HOST
from tests.support.websocket_frames import FIN, PING, PONG, client_frame, frame_end, handshake

CONNECT_S = 30
LOOK_AGAIN_S = 0.0005  # what a figure may be too high by
PING_FRAME = FIN | PING  # the first byte
EVENTS_MAX = 20_000
RECV_BYTES = 16 * 1024
UNDER_WAY_MAX = 256  # handshakes at a time, where nothing else is asked for: below what a server's queue holds

_READ = select.EPOLLIN
_WRITE = select.EPOLLOUT


def without_pings(data: bytes, peer: socket.socket) -> bytes:
    """What else a socket has heard; its pings are answered.  `data` is whole frames but for the last one."""
    start, rest = 0, b""
    while end := frame_end(data, start):
        if data[start] == PING_FRAME:
            ping = data[start + 2 : end]
            peer.send(client_frame(ping, FIN | PONG))
        else:
            rest += data[start:end]
        start = end
    return rest + data[start:]


class Crowd:
    """Websockets to one port of 127.0.0.1.  `said`: what each says first, and is answered with one frame."""

    def __init__(self, port: int, said: bytes = b"") -> None:
        self.port = port
        self.sockets: dict[int, socket.socket] = {}  # those that are open, by descriptor
        self.epoll = select.epoll()
        self._said = said
        self._ask = handshake(port) + said
        self._joining: dict[int, tuple[socket.socket, bytes]] = {}  # what was read of the handshake so far

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.drop()
        self.epoll.close()

    def join(self, count: int, *, at_once: int = UNDER_WAY_MAX, deadline_s: float = CONNECT_S) -> None:
        """Open so many more, with `at_once` handshakes under way at a time.  Raises AssertionError."""
        wanted, until = len(self.sockets) + count, monotonic() + deadline_s
        while len(self.sockets) < wanted:
            while len(self._joining) < at_once and len(self.sockets) + len(self._joining) < wanted:
                self._begin()
            self._take_in(until)

    def _begin(self) -> None:
        joining = socket.socket()
        joining.setblocking(False)
        joining.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            joining.connect((HOST, self.port))
        self._joining[joining.fileno()] = (joining, b"")
        self.epoll.register(joining, _WRITE)

    def _take_in(self, until: float) -> None:
        """One turn of the handshakes."""
        events = self.epoll.poll(max(0.0, until - monotonic()))
        assert events, f"{len(self._joining)} handshakes are not over in time"
        for descriptor, event in events:
            if descriptor in self.sockets:
                here = self.sockets[descriptor]
                assert not without_pings(here.recv(RECV_BYTES), here), "a frame where there was to be none yet"
                continue
            joining, answer = self._joining[descriptor]
            if event & _WRITE:
                joining.send(self._ask)
                self.epoll.modify(descriptor, _READ)
                continue
            received = joining.recv(RECV_BYTES)
            assert received, f"closed during the handshake: {answer!r}"
            answer += received
            self._joining[descriptor] = (joining, answer)
            if self._is_in(answer):
                del self._joining[descriptor]
                self.sockets[descriptor] = joining
                self.epoll.modify(descriptor, _READ | select.EPOLLET)

    def _is_in(self, answer: bytes) -> bool:
        head = answer.find(b"\r\n\r\n") + 4
        if head < 4:
            return False
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        if not self._said:
            assert len(answer) == head, answer
            return True
        end = frame_end(answer, head)
        assert end in (0, len(answer)), answer
        return bool(end)

    def hear(self, trigger: Callable[[], None], deadline_s: float = CONNECT_S) -> tuple[float, bytes]:
        """Call `trigger`; the seconds from then until every socket has a frame to read, and that frame.

        While the clock runs nothing is read and nobody waits in a system call for a socket: a server on the same
        machine would pay for our reading, and for waking us with each send.  Raises AssertionError where a socket got
        nothing, or something else.
        """
        waiting, frame = set(self.sockets), b""
        began = monotonic()
        trigger()
        while waiting:
            waiting_still = set(waiting)
            while waiting_still:
                select.select((), (), (), LOOK_AGAIN_S)
                waiting_still.difference_update([descriptor for descriptor, _ in self.epoll.poll(0, EVENTS_MAX)])
                taken_s = monotonic() - began
                assert taken_s < deadline_s, f"{len(waiting_still)} sockets got nothing in time"
            for descriptor in list(waiting):
                data = without_pings(self.sockets[descriptor].recv(RECV_BYTES), self.sockets[descriptor])
                if data:  # else it was a ping only
                    frame = frame or data
                    assert data == frame, f"{data!r} is not {frame!r}"
                    waiting.remove(descriptor)
        return taken_s, frame

    def drop(self) -> None:
        """Close all of them at once, as a network that breaks does."""
        for dropped in [*self.sockets.values(), *(joining for joining, _ in self._joining.values())]:
            dropped.close()
        self.sockets.clear()
        self._joining.clear()
