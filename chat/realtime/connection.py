"""A client's socket in the hub: what is sent to it, as fast as the client takes it.

`WebSocketConnection` and `EventStreamConnection` add how a message is encoded and what becomes of input.

Rules
- Only the hub's selector thread enters.  Nothing here locks, and nothing here blocks.
- Encoded messages are queued whole and flushed together at the end of the hub's turn: one send for all that is due.
  `send_to_many` sends at once to those for whom nothing waits; the others find the bytes in their queue.
- A queue that the client does not take is left to the selector, and is tried again when the socket is writable.
- The queue is bounded by `backlog_bytes`.  Past it the rest is dropped and the connection is closed, behind a whole
  message: a slow reader costs itself, not the others.  Bytes that wait for many are not copied for one of them.
- After the end marker (a close frame, a last chunk) nothing is sent.  Then our half of the connection is shut down, and
  input is thrown away until the client ends its half: closing with input unread would reset the connection, and the
  client would never see why.
"""

import socket
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE
from typing import Protocol

from chat.metrics.sockets import SocketCounts
from chat.realtime.frames import CloseCode
from chat.server import failure_log
from chat.server.freed_memory import HEAP
from chat.server.sockets import ClientSocket, Receiver, send_now

# One socket's share of a turn.
READ_BYTES = 16 * 1024
_SEND_BYTES = 64 * 1024  # messages joined for one send; what is left of it after a short one is copied
_TLS_SEND_BYTES = 16 * 1024  # the same over TLS, where they stay in the queue until all of them are sent: one record
_CONNECTION_BYTES = 4 * 1024  # the size of one connection beside its queue
_NOW_BYTES = 16 * 1024  # sent without letting go of the GIL: copying them takes microseconds

# Send the same bytes to all of these descriptors; returns how many bytes each took, 0 or less if full or failed.
SendToAll = Callable[[Sequence[int], bytes], list[int]]

# A message's JSON and its Cursor (b"" for none) as the bytes that one kind of client gets.
Encode = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class HubLimits:
    """The bounds of one connection and of the hub: sizes, counts and times."""

    connections: int = 10_000  # about 2.5 KB each, the kernel's buffers and a descriptor
    operator_spare: int = 0  # beyond these, for the operator
    message_bytes: int = 64 * 1024  # the longest post is 8,000 code points, 48 KB where all of them are escaped
    backlog_bytes: int = 256 * 1024  # queued for one slow reader
    crowded_backlog_bytes: int = 160 * 1024  # the same while half of `all_backlog_bytes` waits: a backfill still fits
    all_backlog_bytes: int = 64 * 1024 * 1024  # queued for all of them
    drained_bytes: int = 64 * 1024  # below it a backfill goes on: live messages always find room
    send_buffer_bytes: int = 128 * 1024  # the kernel's; unset it grows to megabytes before a slow reader is noticed
    held: int = 64  # posts of one websocket that are not answered yet
    pending_bytes: int = 16 * 1024 * 1024  # published and not fanned out yet
    ping_s: float = 25
    dead_s: float = 35
    close_s: float = 5  # from our end marker to the end of the connection, at most


class MessageHandler(Protocol):
    """Acts on the messages of one connection, in the selector thread: it must not block."""

    def received(self, text: str) -> None:
        """Act on one whole text message."""

    def closed(self) -> None:
        """Note that the connection is over; the last call."""


class Owner(Protocol):
    """The hub, as its connections see it."""

    receiver: Receiver  # of READ_BYTES
    backlog: int  # bytes in all queues; the connections add and take off
    backlog_max: int  # bytes in one queue, for now

    @property
    def limits(self) -> HubLimits:
        """The limits, which all connections share."""

    @property
    def sockets(self) -> SocketCounts:
        """The counts of websockets."""

    @property
    def streams(self) -> SocketCounts:
        """The counts of event streams."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def touched(self, connection: "Connection") -> None:
        """Call the connection's `flush` at the end of this turn."""

    def watch(self, connection: "Connection", before: int, events: int) -> None:
        """Call the connection's `ready` for these events of the selector instead of those `before`, 0 for none."""

    def charge(self, network: str, cost_s: float, *, is_post: bool) -> float:
        """Note the processor time that a message cost, and return for how long not to read the websocket."""

    def call(self, job: Callable[[], None]) -> bool:
        """Run `job` in the selector thread, soon."""

    def call_later(self, delay_s: float, job: Callable[[], None]) -> None:
        """Run `job` in the selector thread after `delay_s`."""

    def forget(self, connection: "Connection") -> None:
        """Drop a connection that is over."""


class Connection(ABC):
    """A connection of the hub.  Its `handler` is set by the hub before the first byte is read."""

    __slots__ = (
        "_closed", "_drained", "_owner", "_partly_sent", "_queue", "_send_bytes", "_shut", "_watched", "backlog",
        "closing", "counts", "direct", "encode", "handler", "heard_at", "network", "paused", "ping_at", "socket",
    )  # fmt: skip

    def __init__(self, owner: Owner, sock: ClientSocket, greeting: bytes, encode: Encode, counts: SocketCounts) -> None:
        """Send `greeting` before all else: the end of the handshake, or the head of the answer.

        `counts`: of the connections of this kind.
        """
        self.counts = counts
        self.encode = encode
        self.handler: MessageHandler | None = None
        self.socket = sock
        self._send_bytes = _SEND_BYTES if isinstance(sock, socket.socket) else _TLS_SEND_BYTES
        self.direct = _direct(sock)  # the descriptor while bytes may go out past the queue, else -1
        self.backlog = 0  # bytes in _queue
        self.closing = False  # the end marker is queued: nothing more goes out, and input is thrown away
        self.network = ""  # of the client; "": it is not counted
        self.heard_at = owner.now()
        self.ping_at = owner.now() + owner.limits.ping_s
        self.paused = False  # the handler holds too much, or waits for an answer: the socket is not read
        self._owner = owner
        self._queue: deque[bytes | memoryview] = deque()
        self._partly_sent = bool(greeting)  # the client has begun to receive _queue[0]
        self._drained: Callable[[], None] | None = None
        self._shut = False
        self._closed = False
        self._watched = 0
        self.queue(greeting)

    # For a kind of connection

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take in bytes from the client, also those that were read together with the request."""

    @abstractmethod
    def check(self, now: float) -> None:
        """Send a sign of life when it is time, and give up a client that has been silent for too long."""

    @abstractmethod
    def end_marker(self, code: int, reason: str) -> bytes:
        """Return the bytes that end the conversation for this reason."""

    @abstractmethod
    def end_of_message(self, data: bytes, start: int) -> int:
        """Return where the whole message ends that begins in `data` at `start`."""

    @property
    def is_reading(self) -> bool:
        """True if the socket is to be read."""
        return self.closing or not self.paused

    # Output

    def send(self, payload: bytes) -> None:
        """Queue one message that has no Cursor; `payload` is its JSON."""
        self.counts.frames_out += 1
        self.queue(self.encode(payload, b""))

    def queue(self, encoded: bytes | memoryview) -> None:
        """Queue whole encoded messages, if any; they go out at the end of the turn."""
        if encoded and not self.closing:
            owner = self._owner
            self.direct = -1
            self._queue.append(encoded)
            self.backlog += len(encoded)
            owner.backlog += len(encoded)
            if not self._watched & EVENT_WRITE or self.backlog > owner.backlog_max:
                owner.touched(self)

    def take(self, encoded: bytes, sent: int) -> None:
        """Queue the rest of whole messages, of which `sent` bytes went out past the queue."""
        if sent > 0:
            self._partly_sent = True
            self.queue(memoryview(encoded)[sent:])
        else:
            self.queue(encoded)

    def when_drained(self, job: Callable[[], None]) -> None:
        """Call `job` once, in place of an earlier one, when the queue is short enough for more of a backfill."""
        self._drained = job
        self._owner.touched(self)

    def flush(self) -> None:
        """Send what the client takes now: at the end of the hub's turn, and whenever the socket is writable."""
        if self._closed:
            return
        try:
            self._send_queue()
        except OSError:
            self.abort()
            return
        if self.backlog > self._owner.backlog_max:
            self.expel(CloseCode.TRY_AGAIN_LATER, "too slow: too much waits for this client")
        if not self._queue:
            if self.closing:
                self._shut_down()
            else:
                self.direct = _direct(self.socket)
        self._watch()
        if self._drained is not None and self.backlog <= self._owner.limits.drained_bytes:
            job, self._drained = self._drained, None
            job()

    def _send_queue(self) -> None:
        queue = self._queue
        while queue:
            parts = self._next_parts()
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            try:
                sent = self._send(data)
            except ssl.SSLWantWriteError:
                queue.appendleft(data)  # TLS has made a record of it already, and takes nothing else before it
                self._partly_sent = True
                return
            except BlockingIOError:
                queue.extendleft(reversed(parts))
                return
            self.backlog -= sent
            self._owner.backlog -= sent
            self._partly_sent = False
            if sent < len(data):
                self._put_back(parts, sent)
                return

    def _next_parts(self) -> list[bytes | memoryview]:
        """Take the first items off the queue, as many as are worth one send."""
        queue = self._queue
        parts = [queue.popleft()]
        size = len(parts[0])
        while queue and size < self._send_bytes:
            parts.append(queue.popleft())
            size += len(parts[-1])
        return parts

    def _put_back(self, parts: list[bytes | memoryview], sent: int) -> None:
        """Queue the rest of these parts, of which `sent` bytes went out."""
        rest: list[bytes | memoryview] = []
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            elif sent > 0:
                rest.append(memoryview(part)[sent:])
                self._partly_sent = True
                sent = 0
            else:
                rest.append(part)
        self._queue.extendleft(reversed(rest))

    def _send(self, data: bytes | memoryview) -> int:
        if len(data) > _NOW_BYTES or not isinstance(data, bytes) or not isinstance(self.socket, socket.socket):
            return self.socket.send(data)
        sent = send_now(self.socket.fileno(), data)
        if not sent:
            raise BlockingIOError
        return sent

    # Input

    def ready(self, events: int) -> None:
        """Act on what the selector saw."""
        if events & EVENT_WRITE:
            self.flush()
        if events & EVENT_READ and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._receive()
        except OSError:
            data = b""
        if data is None:
            return
        if data:
            self.heard_at = self._owner.now()
            self.feed(data)
        else:
            self.abort()

    def _receive(self) -> bytes | None:
        """Return what has come; None for nothing.  A turn's posts are read before the thread that writes them runs."""
        if isinstance(self.socket, socket.socket):
            return self._owner.receiver.receive_now(self.socket.fileno())
        return self.socket.receive_now(self._owner.receiver)

    def pause(self) -> None:
        """Read nothing more until `go_on`; for a handler that holds nothing."""
        self.paused = True

    def go_on(self) -> None:
        """Read again, and first what was read already."""
        self.paused = False
        self._owner.call(self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self.heard_at = self._owner.now()
            self.feed(b"")

    # The end

    def finish(self, code: int, reason: str) -> None:
        """Answer what is being worked on, then close."""
        self.close(code, reason)

    def close(self, code: int, reason: str) -> None:
        """Queue the end marker, and nothing after it; the connection ends within `close_s`."""
        if not self.closing:
            failure_log.closed(code, reason)
            self.counts.note_end(code)
            self.counts.frames_out += 1
            self.queue(self.end_marker(code, reason))
            self.closing = True
            self.direct = -1  # also where there is no end marker
            self._owner.touched(self)
            self._owner.call_later(self._owner.limits.close_s, self.abort)

    def expel(self, code: int, reason: str) -> None:
        """Drop the queue, but not the rest of a message that the client has begun to receive, and close."""
        if self.closing:
            return
        rest = self._rest_of_message(self._queue[0]) if self._partly_sent else b""
        self._drop_queue()
        self.queue(rest)
        self.close(code, reason)

    def _rest_of_message(self, rest: bytes | memoryview) -> bytes | memoryview:
        """Return the end of the message that was begun, from the rest of whole messages."""
        if not isinstance(rest, memoryview) or not isinstance(rest.obj, bytes):  # whole, or a record of TLS
            return rest
        data, end = rest.obj, 0
        if data.startswith(b"HTTP/"):  # the greeting, which is no message
            return rest
        begin = len(data) - len(rest)
        while end < begin:
            end = self.end_of_message(data, end)
        return rest[: end - begin]

    def _drop_queue(self) -> None:
        HEAP.note_freed(self.backlog)
        self._owner.backlog -= self.backlog
        self.backlog = 0
        self._queue.clear()

    def _shut_down(self) -> None:
        """End our half.  The client sees the end right behind the end marker, and ends its half."""
        if not self._shut:
            self._shut = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # it has gone already
                self.abort()

    def abort(self) -> None:
        """End the connection now."""
        if self._closed:
            return
        if not self.closing:
            self.counts.note_end(0)
        self._closed = self.closing = True
        self.direct = -1
        if self._watched:
            self._owner.watch(self, self._watched, 0)
        self.socket.close()
        self._drop_queue()  # nobody is to wait for it to be taken
        HEAP.note_freed(_CONNECTION_BYTES)
        self._drained = None
        self._owner.forget(self)
        if self.handler is not None:
            self.handler.closed()

    def _watch(self) -> None:
        if self._closed:
            return
        events = (EVENT_READ if self.is_reading else 0) | (EVENT_WRITE if self._queue else 0)
        if events != self._watched:
            before, self._watched = self._watched, events
            self._owner.watch(self, before, events)


def send_to_many(connections: Iterable[Connection], encoded: bytes, send: SendToAll) -> None:
    """Send whole messages to many: at once where nothing is queued, and through the queue otherwise.

    No queue and no turn of the selector comes between two sends: 1,000 sockets in 7 ms instead of 12.
    """
    size, direct = len(encoded), []
    for connection in connections:
        if connection.direct >= 0:
            direct.append(connection)
        else:
            connection.queue(encoded)
    taken = send([connection.direct for connection in direct], encoded)
    if taken.count(size) < len(direct):
        for connection, sent in zip(direct, taken, strict=True):
            if sent != size:
                connection.take(encoded, sent)


def _direct(sock: ClientSocket) -> int:
    return sock.fileno() if isinstance(sock, socket.socket) else -1
