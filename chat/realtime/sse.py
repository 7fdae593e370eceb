"""Server-sent events: what a subscriber of the websocket is told, as an HTTP answer that does not end.

Rules
- A stream is a websocket that this node opens to itself: one end of a socket pair is the hub's, as any websocket, and
  the request's own thread reads the other end.  So groups, cursors, what was missed, the bound on the backlog and the
  end by a drain are those of a websocket, and what a frame says is encoded once for both.
- What comes out (WHATWG HTML §9.2): a frame's JSON is an event's `data`, its Cursor the `id`, which a client brings
  back as `Last-Event-ID`.  Where nothing is to be told for `COMMENT_S` there is a comment, so that neither end, nor a
  proxy between them, takes a silent connection for a dead one.
- Where the id that a client brings back is of a history that is lost, the Error frame (`start_over`) is an event that
  clears the client's id, and the stream goes on from now on: a browser has no other way to begin anew.
- A client that does not read holds up this thread, then the socket pair, then the websocket's backlog, and is cut off
  like any; it resumes by its last `id`.
- Each stream has a thread, so there are STREAMS_MAX.  When all are taken, the network that has most loses the one that
  it has had longest; a few more are kept for the operator.
"""

import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final

from chat.auth.authenticator import is_operators
from chat.commands import Actor
from chat.errors import all_taken, unavailable
from chat.realtime.authentication import Realtime
from chat.realtime.cursors import START_OVER
from chat.realtime.frames import IN_TWO_BYTES, MASKED, PING_OPCODE, PONG_OPCODE, SHORT_MAX, TEXT_OPCODE
from chat.realtime.protocol import ClientProtocol
from chat.server.limits import Limits, descriptor_limit
from chat.server.networks import network, network_to_evict

STREAMS_MAX: Final = 256  # a node: each has a thread
COMMENT_S: Final = 15.0  # proxies commonly give up after 30 or 60 s of silence

_RECEIVE_BYTES: Final = 64 * 1024
_RETRY: Final = b"retry: 1000\n\n"  # how long a browser waits before it comes back, in ms; left to itself some seconds
_COMMENT: Final = b":\n\n"
_NO_MASK: Final = bytes(4)  # masking is for proxies (RFC 6455 §10.3); there is none in this process
# The Cursor is the last member; in a text it would have its quotes escaped.
_CURSOR: Final = re.compile(rb', ?"Cursor": ?"([0-9A-Za-z]+-(?:[0-9a-f]+-)?[0-9]+)"}$')
_HELLO: Final = re.compile(rb'{"Hello": ?{"Cursor": ?"([0-9A-Za-z]+-(?:[0-9a-f]+-)?[0-9]+)"')


class EventStreams:
    """The streams of one node.  `open` is for any thread, a stream for the one that sends it."""

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime
        self._descriptors_max = descriptor_limit() - Limits().spare_descriptors
        self._lock = Lock()
        self._open: dict[EventStream, None] = {}  # under the lock, by age

    def open(
        self, environ: Mapping[str, Any], rooms: list[str] | None, cursor: str | None, actor: Actor
    ) -> "EventStream":
        """What happens in `rooms` (None: all) from after `cursor` on (None: from now on), for `actor`, who asked.

        Raises Problem (503).
        """
        hub = self._realtime.hub
        if hub.ending:
            raise unavailable("this node is shutting down")
        where = network(environ["REMOTE_ADDR"])
        if not hub.admits(where, is_operator=True):  # their own bound is lower, and they count in it
            raise all_taken("streams")
        wish = {"Action": "subscribe", "Rooms": "*" if rooms is None else rooms}
        anew, first = (_frame(TEXT_OPCODE, json.dumps(each).encode()) for each in (wish, {**wish, "Cursor": cursor}))
        stream = EventStream(where, self._closed, environ.get("raft_chat.cut", _nothing))
        self._admit(stream, is_operators(environ, actor))
        try:
            theirs = stream.connect(self._descriptors_max, anew)
        except BaseException:
            stream.close()
            raise
        make_protocol = partial(ClientProtocol, self._realtime, environ, None)
        hub.attach(theirs, b"", first, make_protocol)
        return stream

    def _admit(self, stream: "EventStream", is_operator: bool) -> None:
        """Count a stream.  Raises Problem (503)."""
        out: EventStream | None = None
        with self._lock:
            room = STREAMS_MAX - len(self._open)
            if room <= 0 and not (is_operator and room > -self._realtime.hub.limits.operator_spare):
                out = self._longest_of(network_to_evict(Counter(held.network for held in self._open), stream.network))
                del self._open[out]
            self._open[stream] = None
        if out is not None:
            out.cut()

    def _longest_of(self, largest: str | None) -> "EventStream":
        if largest is None:
            raise all_taken("streams")
        return next(held for held in self._open if held.network == largest)

    def _closed(self, stream: "EventStream") -> None:
        with self._lock:
            self._open.pop(stream, None)


class EventStream:
    """One stream, a piece of its answer at a time: whoever iterates waits for what comes, and closes it."""

    def __init__(self, network: str, closed: Callable[["EventStream"], None], cut: Callable[[], None]) -> None:
        """`cut` ends the connection that it is sent on; from any thread."""
        self.network = network
        self._closed = closed
        self._cut = cut
        self._socket: socket.socket | None = None
        self._pieces: Iterator[bytes] = iter(())

    def connect(self, descriptors_max: float, anew: bytes) -> socket.socket:
        """Make the socket pair, and return the hub's end; `anew`: the frame that subscribes without a cursor.

        Raises Problem (503) where descriptors are used up.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            raise all_taken("streams") from None
        self._socket = ours
        if max(ours.fileno(), theirs.fileno()) >= descriptors_max:
            theirs.close()
            raise all_taken("streams")
        self._pieces = _pieces(ours, anew)
        return theirs

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def cut(self) -> None:
        """Have it end at once, whatever its thread waits for; from any thread."""
        self._cut()
        ours = self._socket
        if ours is not None:
            with suppress(OSError):  # it has just ended by itself
                ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The websocket ends with it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._closed(self)


def _nothing() -> None:
    """The connection cannot be cut: there is TLS."""


def _pieces(sock: socket.socket, anew: bytes) -> Iterator[bytes]:
    """Until the hub closes the websocket."""
    yield _RETRY
    sock.settimeout(COMMENT_S)
    unread = b""
    while True:
        try:
            received = sock.recv(_RECEIVE_BYTES)
        except TimeoutError:
            yield _COMMENT
            continue
        except ConnectionResetError:  # cut off, before it had heard all that was said to it
            return
        if not received:
            return
        told, unread = _told(sock, unread + received, anew)
        if told:
            yield told


def _told(sock: socket.socket, data: bytes, anew: bytes) -> tuple[bytes, bytes]:
    """What the whole frames tell that stand at the beginning of `data`, and what is left of it."""
    told: list[bytes] = []
    start = 0
    while (frame := _frame_at(data, start)) is not None:
        opcode, payload, start = frame
        if opcode == TEXT_OPCODE and _is_start_over(payload):
            told.append(b"id\ndata: %b\n\n" % payload)
            with suppress(OSError):  # as below
                sock.sendall(anew)
        elif opcode == TEXT_OPCODE:
            told.append(event_of(payload))
        elif opcode == PING_OPCODE:
            told.append(_COMMENT)
            with suppress(OSError):  # the websocket is over, which is seen next
                sock.sendall(_frame(PONG_OPCODE, payload))
    return b"".join(told), data[start:]


def _is_start_over(payload: bytes) -> bool:
    return payload.startswith(b'{"Error"') and json.loads(payload)["Error"]["code"] == START_OVER


def event_of(payload: bytes) -> bytes:
    """The event that tells what a frame does; `payload` is JSON, in one line."""
    cursor = _CURSOR.search(payload) or _HELLO.match(payload)
    return b"id: %b\ndata: %b\n\n" % (cursor[1], payload) if cursor else b"data: %b\n\n" % payload


def _frame_at(data: bytes, start: int) -> tuple[int, bytes, int] | None:
    """Opcode, payload and end of a frame that a server sent, None where it is not all there (RFC 6455 §5.2)."""
    if len(data) < start + 2:
        return None
    begin, size = start + 2, data[start + 1]
    if size > SHORT_MAX:
        begin += 2 if size == IN_TWO_BYTES else 8
        size = int.from_bytes(data[start + 2 : begin])
    end = begin + size
    return (data[start] & 0x0F, data[begin:end], end) if end <= len(data) else None


def _frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame (RFC 6455 §5.2), shorter than 64 KiB: a request's head, which names the rooms, is."""
    size = len(payload)
    head = bytes((0x80 | opcode, MASKED | min(size, IN_TWO_BYTES)))
    return head + (size.to_bytes(2) if size > SHORT_MAX else b"") + _NO_MASK + payload
