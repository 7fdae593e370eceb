"""One open websocket: its bytes become whole messages, its frames become bytes as fast as the peer takes them.

Rules
- Only the hub's selector thread enters; nothing here locks, and nothing here blocks.
- Frames are queued whole and flushed together at the end of the hub's turn: one send for all that is due.  What all
  get is sent at once to whom nothing waits for (`send_to_many`), and the others find it in their queue.
- A queue that the peer does not take is left to the selector: it is tried again when the socket is writable.
- What the peer does not take waits here, up to `backlog_bytes`; past it the rest is dropped and the socket closed
  with 1013, at the end of a frame: a reader that is slow costs itself, not the others.  What waits for many is the
  same bytes, and is not copied for one of them.
- Whoever starts closing: the close frame is the last one, then our half of the connection is shut down, and what still
  comes is thrown away until the peer ends its half.  Closing with input unread would reset the connection, and the
  peer would never see why.
- Frames are read and written by `frames.py`; what goes to many sockets is encoded once.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE
from time import thread_time
from typing import Protocol

from chat.realtime.frames import (
    IN_EIGHT_BYTES,
    IN_TWO_BYTES,
    PING,
    PONG,
    Close,
    CloseCode,
    Fragment,
    FrameReader,
    Ping,
    Pong,
    Received,
    close_frame,
    server_frame,
    text_frame,
)
from chat.realtime.processor_time import POINT_S, SHORT_POINTS
from chat.server import failure_log
from chat.server.freed_memory import HEAP
from chat.server.sockets import Receiver, send_now

# One socket's share of a turn.  No less than a TLS record: the selector knows nothing of decrypted bytes left behind.
READ_BYTES = 16 * 1024
FRAMES_A_TURN = 128  # likewise: 16 KiB are up to 2,730 frames, and the smallest ones take 10 to 20 µs each
_SEND_BYTES = 64 * 1024  # frames joined for one send; what is left of it after a short one is copied
_CONNECTION_BYTES = 4 * 1024  # what one takes beside its frames
_NOW_BYTES = 16 * 1024  # sent without letting go of the GIL: copying them takes microseconds

# The same bytes to all of these descriptors; how many bytes each took, 0 or less where it is full or fails.
SendToAll = Callable[[Sequence[int], bytes], list[int]]

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class HubLimits:
    """What one socket, and the hub, may hold, and how long they wait."""

    connections: int = 10_000  # about 2.5 KB each, the kernel's buffers and a descriptor
    operator_spare: int = 0  # beyond these, for the operator
    message_bytes: int = 64 * 1024  # the longest post is 8,000 code points, 48 KB where all of them are escaped
    backlog_bytes: int = 256 * 1024  # frames that wait for one slow reader
    crowded_backlog_bytes: int = 160 * 1024  # the same while half of what all may hold waits: a backfill still fits
    all_backlog_bytes: int = 64 * 1024 * 1024  # frames that wait for all of them
    drained_bytes: int = 64 * 1024  # below it a backfill goes on: what is live always finds room
    send_buffer_bytes: int = 128 * 1024  # the kernel's; unset it grows to megabytes before a slow reader is noticed
    held: int = 64  # posts of one socket that are not answered yet
    pending_bytes: int = 16 * 1024 * 1024  # published and not fanned out yet
    ping_s: float = 25
    dead_s: float = 35
    close_s: float = 5  # from our close frame to the end of the connection, at most


class MessageHandler(Protocol):
    """What the messages of one websocket mean; called in the selector thread, so it must not block."""

    def received(self, text: str) -> None:
        """One whole text message."""

    def closed(self) -> None:
        """The websocket is over; the last call."""


class Owner(Protocol):
    """The hub, as its websockets see it."""

    receiver: Receiver  # of READ_BYTES
    backlog: int  # bytes of all websockets' backlogs; they add and take off
    backlog_max: int  # bytes of one websocket's, for now

    @property
    def limits(self) -> HubLimits:
        """The same for every websocket."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def touched(self, connection: "WebSocketConnection") -> None:
        """Call its `flush` at the end of this turn."""

    def watch(self, connection: "WebSocketConnection", before: int, events: int) -> None:
        """Call its `ready` for these events of the selector instead of those `before`, 0 for none."""

    def charge(self, network: str, cost_s: float, *, is_post: bool) -> float:
        """Note what a message cost, as `spending.py` has it."""

    def call(self, job: Callable[[], None]) -> bool:
        """Run `job` in the selector thread, soon."""

    def call_later(self, delay_s: float, job: Callable[[], None]) -> None:
        """Run `job` in the selector thread after `delay_s`."""

    def forget(self, connection: "WebSocketConnection") -> None:
        """The websocket is over."""


_PING = server_frame(PING, b"")


class WebSocketConnection:
    """One websocket of the hub's.  `handler` is set by whoever attaches it, before the first byte is read."""

    __slots__ = (
        "_closed",
        "_drained",
        "_ending",
        "_frames",
        "_held",
        "_owner",
        "_partly_sent",
        "_queue",
        "_rests",
        "_shut",
        "_watched",
        "backlog",
        "closing",
        "direct",
        "handler",
        "heard_at",
        "is_over_budget",
        "network",
        "paused",
        "ping_at",
        "socket",
    )  # fmt: skip

    def __init__(self, owner: Owner, sock: socket.socket, greeting: bytes) -> None:
        """`greeting` goes out before all else: what is left of the handshake."""
        self.handler: MessageHandler | None = None
        self.socket = sock
        self.direct = _direct(sock)  # the descriptor while frames may go out past the queue, else -1
        self.backlog = 0  # bytes in _queue
        self.closing = False  # a close frame is queued: nothing more goes out, and what comes in is thrown away
        self.network = ""  # where the client is; "": it is not counted
        self.heard_at = owner.now()
        self.ping_at = owner.now() + owner.limits.ping_s
        self._owner = owner
        self._frames = FrameReader(owner.limits.message_bytes)
        self._rests = False  # frames are left for the next turn: until then the socket is not read
        self._queue: deque[bytes | memoryview] = deque()
        self._partly_sent = bool(greeting)  # _queue[0] is the rest of what the peer has begun to receive
        self._held = 0
        self.paused = False  # too much is held, or what was said last comes first: the socket is not read
        self.is_over_budget = False  # what was said last cost too much: the socket is not read for a while
        self._ending: tuple[int, str] | None = None  # to close with, once nothing is held
        self._drained: Callable[[], None] | None = None
        self._shut = False
        self._closed = False
        self._watched = 0
        self.queue(greeting)

    # --- out

    def send(self, payload: bytes) -> None:
        """Queue one text message."""
        self.queue(text_frame(payload))

    def queue(self, frames: bytes | memoryview) -> None:
        """Queue whole frames, if any; they go out at the end of the turn."""
        if frames and not self.closing:
            owner = self._owner
            self.direct = -1
            self._queue.append(frames)
            self.backlog += len(frames)
            owner.backlog += len(frames)
            if not self._watched & EVENT_WRITE or self.backlog > owner.backlog_max:
                owner.touched(self)

    def take(self, frames: bytes, sent: int) -> None:
        """Queue what the peer did not take of whole frames, of which `sent` bytes went out past the queue."""
        if sent > 0:
            self._partly_sent = True
            self.queue(memoryview(frames)[sent:])
        else:
            self.queue(frames)

    def when_drained(self, job: Callable[[], None]) -> None:
        """Call `job` once, in place of an earlier one, when the backlog is small enough for more of what can wait."""
        self._drained = job
        self._owner.touched(self)

    def flush(self) -> None:
        """Send what the peer takes now: at the end of the hub's turn, and whenever the socket is writable."""
        if self._closed:
            return
        try:
            self._send_queue()
        except OSError:
            self.abort()
            return
        if self.backlog > self._owner.backlog_max:
            self.expel(CloseCode.TRY_AGAIN_LATER, "too slow for what comes")
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
            except ssl.SSLError as error:
                if not isinstance(error, _NOT_NOW):
                    raise
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
        """What is first in the queue, as much as is worth one send."""
        queue = self._queue
        parts = [queue.popleft()]
        size = len(parts[0])
        while queue and size < _SEND_BYTES:
            parts.append(queue.popleft())
            size += len(parts[-1])
        return parts

    def _put_back(self, parts: list[bytes | memoryview], sent: int) -> None:
        """Queue what the peer did not take of these."""
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
        if len(data) > _NOW_BYTES or not isinstance(data, bytes) or isinstance(self.socket, ssl.SSLSocket):
            return self.socket.send(data)
        sent = send_now(self.socket.fileno(), data)
        if not sent:
            raise BlockingIOError
        return sent

    # --- in

    def ready(self, events: int) -> None:
        """The selector says so."""
        if events & EVENT_WRITE:
            self.flush()
        if events & EVENT_READ and not self._closed:
            self._read()

    def feed(self, data: bytes) -> None:
        """Take in what the peer has sent; also what was read together with the handshake."""
        if not self.closing:
            self._frames.feed(data)
            self._handle_some()
        self._watch()

    def limit(self, bytes_max: int, when: str = "") -> None:
        """Refuse messages of more bytes from the next frame on; `when` is what the client is told beside the number."""
        self._frames.bytes_max = bytes_max
        self._frames.bound = f"at most {bytes_max} bytes {when}".rstrip()

    def _read(self) -> None:
        try:
            data = self._receive()
        except _NOT_NOW:
            return
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
        """None: nothing has come.  A turn's posts are all read before the thread that writes them can begin."""
        if isinstance(self.socket, ssl.SSLSocket):
            return self.socket.recv(READ_BYTES)
        return self._owner.receiver.receive_now(self.socket.fileno())

    def _handle_some(self) -> None:
        """Handle what was said, until the handler has enough or it is the other sockets' turn."""
        for _ in range(FRAMES_A_TURN):
            received = None if self.closing or self.paused or self.is_over_budget else self._frames.next()
            if received is None:
                return
            self._handle(received)
        self._rests = True
        self._owner.call(self._resume)

    def _handle(self, received: Received) -> None:
        match received:
            case str():
                self._tell(received)
            case Ping():
                self.queue(server_frame(PONG, received.payload))
            case Close():
                self.close(received.code, received.reason)
            case Pong() | Fragment():  # that something was heard is all it says
                pass

    def _tell(self, message: str) -> None:
        """Have the handler act on a message, and read no more for a while where that cost too much."""
        assert self.handler is not None
        held = self._held
        if len(message) <= SHORT_POINTS:  # looking at the clock twice would cost a tenth of a post
            self.handler.received(message)
            if self._held > held:  # a post that was proposed
                return
            cost_s = len(message) * POINT_S
        else:
            began = thread_time()
            self.handler.received(message)
            cost_s = thread_time() - began
        pause_s = self._owner.charge(self.network, cost_s, is_post=self._held > held)
        if pause_s > 0:
            self.is_over_budget = True
            self._owner.call_later(pause_s, self._resume_after_pause)

    def _resume_after_pause(self) -> None:
        self.is_over_budget = False
        self._resume()

    # --- back-pressure

    @property
    def is_busy(self) -> bool:
        """Whether a message of its is being worked on."""
        return self._held > 0

    def hold(self) -> None:
        """One more message is being worked on; with too many of them the socket is not read until some are released."""
        self._held += 1
        if self._held >= self._owner.limits.held:
            self.paused = True

    def release(self) -> None:
        """One message less is being worked on."""
        self._held -= 1
        if self._ending is not None:
            if self._held == 0:
                self.close(*self._ending)
        elif self.paused and self._held <= self._owner.limits.held // 2:
            self.paused = False
            self._owner.call(self._resume)

    def pause(self) -> None:
        """Read nothing more until `go_on`; for a handler that holds nothing."""
        self.paused = True

    def go_on(self) -> None:
        """Read again, and first what was read already."""
        self.paused = False
        self._owner.call(self._resume)

    def _resume(self) -> None:
        self._rests = False
        if not self._closed:
            self.heard_at = self._owner.now()
            self.feed(b"")

    # --- the end

    def check(self, now: float) -> None:
        """Ping the peer when it is time, give it up when it has been silent for too long."""
        if self.paused or self.is_over_budget:
            self.heard_at = now  # we do not listen: its silence says nothing
        if now - self.heard_at >= self._owner.limits.dead_s:
            self.abort()
        elif now >= self.ping_at:
            self.ping_at = now + self._owner.limits.ping_s
            self.queue(_PING)

    def finish(self, code: int, reason: str) -> None:
        """Read nothing more, answer what is being worked on, then close."""
        if self._held == 0:
            self.close(code, reason)
        else:
            self._ending = (code, reason)
            self.paused = True
            self._watch()

    def close(self, code: int, reason: str) -> None:
        """Queue the close frame, and nothing after it; the connection ends within `close_s`."""
        if not self.closing:
            failure_log.closed(code, reason)
            self.queue(close_frame(code, reason))
            self.closing = True
            self._owner.call_later(self._owner.limits.close_s, self.abort)

    def expel(self, code: int, reason: str) -> None:
        """Drop what waits, but not the rest of what the peer has begun to receive, and close."""
        if self.closing:
            return
        rest = _rest_of_frame(self._queue[0]) if self._partly_sent else b""
        self._drop_queue()
        self.queue(rest)
        self.close(code, reason)

    def _drop_queue(self) -> None:
        HEAP.note_freed(self.backlog)
        self._owner.backlog -= self.backlog
        self.backlog = 0
        self._queue.clear()

    def _shut_down(self) -> None:
        """Our half is over; the peer sees the end right behind the close frame, and ends its half."""
        if not self._shut:
            self._shut = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # it has gone already
                self.abort()

    def abort(self) -> None:
        """End it now."""
        if self._closed:
            return
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
        reading = self.closing or not (self.paused or self._rests or self.is_over_budget)
        events = (EVENT_READ if reading else 0) | (EVENT_WRITE if self._queue else 0)
        if events != self._watched:
            before, self._watched = self._watched, events
            self._owner.watch(self, before, events)


def _rest_of_frame(rest: bytes | memoryview) -> bytes | memoryview:
    """Of the rest of whole frames, what ends the frame that it begins in the middle of."""
    if not isinstance(rest, memoryview) or not isinstance(rest.obj, bytes):  # the handshake's end, or a record of TLS
        return rest
    frames, end = rest.obj, 0
    begin = len(frames) - len(rest)
    while end < begin:
        size, head = frames[end + 1], 2
        if size == IN_TWO_BYTES:
            size, head = int.from_bytes(frames[end + 2 : end + 4]), 4
        elif size == IN_EIGHT_BYTES:
            size, head = int.from_bytes(frames[end + 2 : end + 10]), 10
        end += head + size
    return rest[: end - begin]


def send_to_many(connections: Iterable[WebSocketConnection], frames: bytes, send: SendToAll) -> None:
    """Send whole frames to many websockets: at once where nothing is queued, and through the queue otherwise.

    No queue and no turn of the selector comes between two sends: 1,000 sockets in 7 ms instead of 12.
    """
    size, direct = len(frames), []
    for connection in connections:
        if connection.direct >= 0:
            direct.append(connection)
        else:
            connection.queue(frames)
    taken = send([connection.direct for connection in direct], frames)
    if taken.count(size) < len(direct):
        for connection, sent in zip(direct, taken, strict=True):
            if sent != size:
                connection.take(frames, sent)


def _direct(sock: socket.socket) -> int:
    return -1 if isinstance(sock, ssl.SSLSocket) else sock.fileno()
