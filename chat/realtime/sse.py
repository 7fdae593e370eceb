"""Server-sent events: the messages that a subscriber's websocket gets, as an HTTP answer that does not end.

Rules
- A stream is a connection of the hub, in the same channels as the websockets.  Only the encoding differs: a message's
  JSON is an event's `data`, its Cursor is the `id`, which a client sends back as `Last-Event-ID` (WHATWG HTML §9.2).
- Each event is one chunk (RFC 9112 §7.1), so a client can tell a stream that was ended from one that broke off.  A
  client of HTTP/1.0 knows no chunks and gets the events alone.
- There is a comment each COMMENT_S, so that neither end, nor a proxy between them, takes a silent connection for a dead
  one.  The kernel gives up a client that acknowledges nothing for `dead_s`.
- If the client's id belongs to a lost history, the stream sends the Error `start_over` as an event that clears the
  client's id, and goes on from now: a browser has no other way to begin anew.
- A slow reader is bounded as a slow websocket is, and resumes by its last `id`.
- At most STREAMS_MAX are open.  When all are taken, the network that has most loses the one that it has had longest; a
  few more are kept for the operator.
"""

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, Final

from chat.auth.authenticator import is_operators
from chat.commands import Actor
from chat.errors import Problem, all_taken, unavailable
from chat.realtime import replies
from chat.realtime.authentication import Realtime
from chat.realtime.connection import Connection, Owner
from chat.realtime.frames import CloseCode
from chat.realtime.subscription import Subscription
from chat.server.limits import Limits, descriptor_limit
from chat.server.networks import network, network_to_evict
from chat.server.sockets import ClientSocket
from chat.services.cursors import Place

STREAMS_MAX: Final = 4096  # a node: as many as connections over HTTP, and less than half of what the hub may hold
COMMENT_S: Final = 15.0  # proxies commonly give up after 30 or 60 s of silence
_UNREAD_MAX: Final = 64 * 1024  # bytes that a client sends behind its request: a stream takes no further request

_RETRY: Final = b"retry: 1000\n\n"  # how long a browser waits before it comes back, in ms; left to itself some seconds
_COMMENT: Final = b":\n\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_EVICTED: Final = (CloseCode.TRY_AGAIN_LATER, "all streams are taken, and this address has most of them")


def event(payload: bytes, cursor: bytes) -> bytes:
    """The event of a message; `payload` is JSON in one line."""
    return b"id: %b\ndata: %b\n\n" % (cursor, payload) if cursor else b"data: %b\n\n" % payload


def event_chunk(payload: bytes, cursor: bytes) -> bytes:
    """Return `event` as one chunk."""
    return _chunk(event(payload, cursor))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class EventStreamConnection(Connection):
    """The connection of an open stream."""

    __slots__ = ("_is_chunked", "_unread")

    def __init__(self, owner: Owner, sock: ClientSocket, head: bytes, *, is_chunked: bool) -> None:
        """Send the answer's head before all else."""
        self._is_chunked = is_chunked
        self._unread = 0
        super().__init__(owner, sock, head + self._framed(_RETRY), event_chunk if is_chunked else event, owner.streams)
        self._plan_comment()
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(owner.limits.dead_s * 1000))

    def _framed(self, data: bytes) -> bytes:
        return _chunk(data) if self._is_chunked else data

    def send_lost(self, payload: bytes) -> None:
        """Queue a message that clears the client's id."""
        self.queue(self._framed(b"id\ndata: %b\n\n" % payload))

    def feed(self, data: bytes) -> None:
        """Throw input away, up to a bound; only its end means something."""
        self._unread += len(data)
        if self._unread > _UNREAD_MAX:
            self.abort()
        self._watch()

    def check(self, now: float) -> None:
        """Send a comment when it is time."""
        if now >= self.ping_at:
            self._plan_comment()
            self.queue(self._framed(_COMMENT))

    def _plan_comment(self) -> None:
        self.ping_at = self._owner.now() + min(COMMENT_S, self._owner.limits.ping_s)

    def end_marker(self, code: int, reason: str) -> bytes:
        """Return the last chunk; an HTTP/1.0 answer ends with its connection."""
        return _LAST_CHUNK if self._is_chunked else b""

    def end_of_message(self, data: bytes, start: int) -> int:
        """Return where the event ends that begins in `data` at `start`."""
        if not self._is_chunked:
            return data.index(b"\n\n", start) + 2
        line = data.index(b"\r\n", start)
        return line + 2 + int(data[start:line], 16) + 2


class EventStreams:
    """The streams of one node.  For any thread."""

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime
        self._descriptors_max = descriptor_limit() - Limits().spare_descriptors
        self._lock = Lock()
        self._open: dict[EventStream, None] = {}  # under the lock, by age

    def open(
        self, environ: Mapping[str, Any], head: bytes, rooms: frozenset[str] | None, place: Place | None, actor: Actor
    ) -> None:
        """Take the connection over and answer with `head`, then with the events in `rooms` (None: all).

        They begin after `place`, or from now on.  Raises Problem (503); then the connection is not taken.
        """
        hub = self._realtime.hub
        if hub.ending:
            raise unavailable("this node is shutting down")
        where = network(environ["REMOTE_ADDR"])
        if not hub.admits(where, is_operator=True):  # their own bound is lower, and they count in it
            raise all_taken("streams")
        if environ["werkzeug.socket"].fileno() >= self._descriptors_max:  # the rest is kept for the peers
            raise all_taken("streams")
        stream = EventStream(self._realtime, environ, where, rooms, place, self._closed)
        self._admit(stream, is_operators(environ, actor))
        connect = partial(EventStreamConnection, is_chunked=environ["SERVER_PROTOCOL"] != "HTTP/1.0")
        read_ahead = environ.get("raft_chat.read_ahead", b"")
        if not hub.attach(environ["raft_chat.detach"](), head, read_ahead, stream.attached, connect=connect):
            self._closed(stream)

    def _admit(self, stream: "EventStream", is_operator: bool) -> None:
        """Count a stream.  Raises Problem (503)."""
        evicted: EventStream | None = None
        with self._lock:
            limits = self._realtime.hub.limits
            room = min(STREAMS_MAX, limits.connections // 2) - len(self._open)
            if room <= 0 and not (is_operator and room > -limits.operator_spare):
                evicted = self._longest_of(
                    network_to_evict(Counter(held.network for held in self._open), stream.network)
                )
                del self._open[evicted]
            self._open[stream] = None
        if evicted is not None:
            evicted.evict()

    def _longest_of(self, largest: str | None) -> "EventStream":
        if largest is None:
            raise all_taken("streams")
        return next(held for held in self._open if held.network == largest)

    def _closed(self, stream: "EventStream") -> None:
        with self._lock:
            self._open.pop(stream, None)


class EventStream:
    """The subscription of one stream, and the handler of its connection."""

    def __init__(
        self,
        realtime: Realtime,
        environ: Mapping[str, Any],
        network: str,
        rooms: frozenset[str] | None,
        place: Place | None,
        closed: Callable[["EventStream"], None],
    ) -> None:
        self.network = network
        self._realtime = realtime
        self._environ = environ
        self._rooms = rooms
        self._place = place
        self._closed = closed
        self._connection: EventStreamConnection | None = None
        self._subscription: Subscription | None = None
        self._is_evicted = False  # perhaps before the hub has the connection

    def evict(self) -> None:
        """End the stream for another one's sake; from any thread."""
        self._realtime.hub.call(self._expel)

    def _expel(self) -> None:
        self._is_evicted = True
        if self._connection is not None:
            self._connection.expel(*_EVICTED)

    # The selector thread

    def attached(self, connection: Connection) -> "EventStream":
        """Authenticate the connection, which is the hub's from now on, and subscribe."""
        assert isinstance(connection, EventStreamConnection)
        self._connection = connection
        if self._is_evicted:
            connection.expel(*_EVICTED)
            return self
        self._realtime.authenticate(connection, self._environ, self._authenticated)
        return self

    def _authenticated(self, actor: Actor) -> None:
        realtime, connection = self._realtime, self._connection
        assert connection is not None
        if actor.by and actor.user:
            realtime.presence.add(connection, actor.user)
        self._subscription = Subscription(
            realtime.hub, connection, realtime.replica, realtime.state, realtime.nodes, actor, on_lost=self._start_over
        )
        self._subscription.ask(self._rooms, self._place)

    def _start_over(self, problem: Problem) -> None:
        assert self._connection is not None
        assert self._subscription is not None
        self._connection.send_lost(replies.error(problem, None))
        self._subscription.ask(self._rooms, None)

    def received(self, text: str) -> None:
        """Refuse a message: a stream's client has no way to send one."""
        raise AssertionError("a stream has no messages from its client")

    def closed(self) -> None:
        """Give the place of this stream back."""
        self._closed(self)
