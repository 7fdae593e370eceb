"""Answers that do not fit in their socket's buffer, finished one writable socket at a time by the server's loop.

So whoever sends a deferred answer never waits for a client that reads slowly, and one such client never delays
another.  A connection has at most one answer here, all of them together `backlog_bytes`, and each a deadline.
"""

import selectors
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Protocol

from chat.limits import Limits


class Receiver(Protocol):
    """What the backlog needs of a connection."""

    socket: socket.socket

    def shut(self, how: int) -> None:
        """Shut the socket down."""

    def left_backlog(self, close: bool) -> None:
        """The backlog is done with the socket: the answer is sent, or with `close` maybe not."""


class _Rest:
    """What is left of one answer."""

    __slots__ = ("close", "connection", "data", "deadline", "length")

    def __init__(self, connection: Receiver, data: memoryview, close: bool, deadline: float) -> None:
        self.connection = connection
        self.data = data
        self.length = len(data)
        self.close = close
        self.deadline = deadline


class Backlog:
    """`put` is for any thread and does not block; all else belongs to the loop."""

    def __init__(self, limits: Limits, selector: selectors.BaseSelector, wake: Callable[[], None]) -> None:
        self._limits = limits
        self._selector = selector
        self._wake = wake
        self._lock = Lock()
        self._bytes = 0  # under the lock
        self._new: deque[_Rest] = deque()
        self._waiting: set[_Rest] = set()

    def put(self, connection: Receiver, data: memoryview, close: bool) -> bool:
        """Finish this answer later; False: there is no room for it, and the connection is to be closed.

        Called under the connection's door, which stays the only lock that is held while this one is taken.
        """
        with self._lock:
            if self._bytes + len(data) > self._limits.backlog_bytes:
                return False
            self._bytes += len(data)
        self._new.append(_Rest(connection, data, close, monotonic() + self._limits.write_allowance_s(len(data))))
        self._wake()
        return True

    def take_in(self) -> None:
        """Start to watch what was put."""
        while self._new:
            rest = self._new.popleft()
            self._waiting.add(rest)
            self._selector.register(rest.connection.socket, selectors.EVENT_WRITE, partial(self._flush, rest))

    def _flush(self, rest: _Rest) -> None:
        try:
            rest.data = rest.data[rest.connection.socket.send(rest.data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return
        except OSError:
            self._let_go(rest, close=True)
            return
        if not rest.data:
            self._let_go(rest, rest.close)

    def cut(self, now: float) -> None:
        """Give up on the clients that are past their deadline."""
        for rest in [rest for rest in self._waiting if rest.deadline <= now]:
            rest.connection.shut(socket.SHUT_RDWR)
            self._let_go(rest, close=True)

    def _let_go(self, rest: _Rest, close: bool) -> None:
        self._selector.unregister(rest.connection.socket)
        self._waiting.discard(rest)
        with self._lock:
            self._bytes -= rest.length
        rest.connection.left_backlog(close)
