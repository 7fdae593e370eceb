"""Answers that do not fit in their socket's buffer, finished one writable socket at a time by the server's loop.

So whoever sends a deferred answer never waits for a client that reads slowly, and one such client never delays
another.  A connection has at most one answer here, and each has a deadline; how much all of them may hold, and how slow
a client may be, is in `slow_readers.py`.
"""

import selectors
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from chat.server.limits import Limits
from chat.server.slow_readers import Progress, SlowReaders, UnsentResponse


class SendingConnection(Protocol):
    """A connection, as the send queue sees it."""

    socket: socket.socket

    @property
    def network(self) -> str:
        """The network that the client counts for; "" if it is not counted."""

    def shut(self, how: int) -> None:
        """Shut the socket down."""

    def left_send_queue(self, close: bool) -> None:
        """Go on: the answer is sent; with `close` it may be cut off, and the connection ends."""


class _UnsentRest:
    """The rest of one answer."""

    __slots__ = ("close", "connection", "data", "deadline", "is_over", "length", "progress", "waiting")

    def __init__(
        self,
        connection: SendingConnection,
        data: memoryview,
        close: bool,
        deadline: float,
        cut: Callable[["_UnsentRest"], None],
    ) -> None:
        self.waiting = UnsentResponse(connection.network, "", partial(cut, self))
        self.progress = Progress()
        self.progress.begin()
        self.is_over = False
        self.connection = connection
        self.data = data
        self.length = len(data)
        self.close = close
        self.deadline = deadline


class SendQueue:
    """The answers that wait.  `put` is for any thread and does not block; all else is for the server's loop."""

    def __init__(
        self, limits: Limits, selector: selectors.BaseSelector, wake: Callable[[], None], slow_readers: SlowReaders
    ) -> None:
        self._limits = limits
        self._selector = selector
        self._wake = wake
        self._slow_readers = slow_readers
        self._new: deque[_UnsentRest] = deque()
        self._gone: deque[_UnsentRest] = deque()  # they gave way to others
        self._waiting: set[_UnsentRest] = set()

    def put(self, connection: SendingConnection, data: memoryview, close: bool) -> bool:
        """Finish this answer later.  False: there is no room for it, and the connection is to be closed.

        Called under the connection's `socket_lock`.  No other connection's lock is taken here but that of one whose
        answer is streamed, and nobody holds that for long.
        """
        deadline = monotonic() + self._limits.write_allowance_s(len(data))
        rest = _UnsentRest(connection, data, close, deadline, self._evict)
        if not self._slow_readers.reserve(rest.waiting, len(data)):
            return False
        self._new.append(rest)
        self._wake()
        return True

    def _evict(self, rest: _UnsentRest) -> None:
        """Have the loop give up an answer; any thread."""
        self._gone.append(rest)
        self._wake()

    def take_in(self) -> None:
        """Register the answers that were put with the selector."""
        while self._new:
            rest = self._new.popleft()
            self._waiting.add(rest)
            self._selector.register(rest.connection.socket, selectors.EVENT_WRITE, partial(self._flush, rest))
        while self._gone:
            self._give_up(self._gone.popleft())

    def _flush(self, rest: _UnsentRest) -> None:
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
        """Give up on the clients that are past their deadline, or too slow."""
        for rest in [*self._waiting]:
            if rest.deadline <= now:
                self._give_up(rest)
            elif rest.progress.is_too_slow(rest.connection.socket, rest.length - len(rest.data)):
                self._slow_readers.note_cut()
                self._give_up(rest)

    def _give_up(self, rest: _UnsentRest) -> None:
        if not rest.is_over:
            rest.connection.shut(socket.SHUT_RDWR)
            self._let_go(rest, close=True)

    def _let_go(self, rest: _UnsentRest, close: bool) -> None:
        rest.is_over = True
        self._selector.unregister(rest.connection.socket)
        self._waiting.discard(rest)
        self._slow_readers.release(rest.waiting)
        rest.connection.left_send_queue(close)
