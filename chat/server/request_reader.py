"""Read requests from a client's socket and write bytes to it, each within its limits and its deadline.

Rules
- A thread that serves it blocks in plain recv and sendall.  Before each it sets `deadline`, and the server's loop,
  which looks at all of them, shuts the socket down when that has passed: a total deadline for the price of an
  assignment.  A client that drips keeps waking the thread, which then looks at the clock itself.
- `socket_lock` is held, never while blocking, by every other thread that touches the socket, and to set `closed`.
  After that only this thread and the send queue use the socket; it is closed when the send queue has let go.  So
  nobody ever writes to a descriptor that meanwhile is another connection's.
- What a body costs in memory is counted before it is read, and what is too much is refused unread.
"""

import io
import select
import socket
import ssl
from contextlib import suppress
from math import inf
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from werkzeug.serving import WSGIRequestHandler

from chat.server.durations import Durations
from chat.server.http import (
    LENGTH_DIGITS_MAX,
    ChunkedBody,
    HttpError,
    Request,
    SizedBody,
    check_partial_head,
    parse_head,
)
from chat.server.limits import KIB, MIB, Limits
from chat.server.responses import CONTINUE
from chat.server.send_queue import SendQueue
from chat.server.slow_readers import STREAM_BYTES, LargeBody, Progress, SlowReaders, UnsentResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RECV_BYTES: Final = 4 * KIB  # holds a usual request; the buffer is allocated each time: 16 KiB cost 12 % of the posts
BODY_RECV_BYTES: Final = 256 * KIB
LARGE_BODY_BYTES: Final = 16 * KIB  # from here on a body counts against Limits.large_bodies_bytes
_LAST_LENGTH: Final = b"\r\nContent-Length: "
# Of what nobody will read, so that a reset does not take our last answer away: proxies send all of a body before they
# read the answer, and a server that they cannot read from is one that failed (502).
DRAIN_BYTES: Final = 2 * MIB
DRAIN_RECV_BYTES: Final = 64 * KIB
LOOK_MS: Final = 1000  # at how fast a client reads


class ClientGone(Exception):
    """The connection was closed, reset, or cut at a deadline."""


class HttpServer(Protocol):
    """The server, as its connections see it."""

    host: str
    port: int
    app: "WSGIApplication"
    cpu_slots: BoundedSemaphore
    limits: Limits
    draining: bool
    ssl_context: ssl.SSLContext | None
    send_queue: SendQueue
    slow_readers: SlowReaders
    has_poller: bool
    durations: Durations

    def never_waits(self, method: str, target: str) -> bool:
        """Return True if the application answers such a request, or defers it, without waiting for anything."""

    def finish_batch(self) -> None:
        """Finish what the application began; called by its caller, without a CPU slot."""

    def is_from_this_machine(self, address: str) -> bool:
        """Return True for the address of a client on this machine, which is not a proxy."""

    def poll(self, connection: Any) -> None:
        """Give a quiet connection to the poller; the last thing that its thread does with it."""

    def give_thread(self, connection: Any) -> None:
        """Have a thread serve a connection that is not polled."""

    def stop_polling(self, connection: Any) -> None:
        """Take a connection from the poller, before its socket is given away."""

    def ended(self, connection: Any) -> None:
        """Forget a connection that is closed or detached."""

    def network_of(self, address: str) -> str:
        """The network that this client counts for; "" for many clients behind one address."""

    def admit_large_body(self, body: LargeBody, length: int) -> None:
        """Count a large body that is about to be read.  Raises HttpError."""

    def return_large_body(self, body: LargeBody) -> None:
        """Release a large body that was worked on."""


class RequestReader(WSGIRequestHandler):
    """The half of a connection that knows its socket.  All methods but shut() are for the thread that serves it."""

    __slots__ = (  # more attributes than an instance's dictionary shares: as slots they are found fastest
        "_answers_to", "_body_refusal", "_buffer", "_follows", "_has_continued", "_head", "_head_before_length",
        "_head_seen", "_incoming", "_large_body", "_network", "_never_waits", "_progress", "_request",
        "_rest_is_head", "_rest_until", "_sent", "_wait_s", "client_has_closed", "closed", "deadline",
        "descriptor", "http_server", "idle", "is_pollable", "is_receiving_body", "known_by", "limits", "socket",
        "socket_lock", "writing",
    )  # fmt: skip

    http_server: HttpServer

    def __init__(self, request: socket.socket, client_address: Any, server: Any) -> None:
        """Do not serve the connection here, as BaseRequestHandler's own does."""
        self.request, self.client_address, self.server = request, client_address, server
        self.setup()

    def setup(self) -> None:
        """Prepare the connection for its first byte."""
        self.http_server = cast(HttpServer, self.server)
        self.socket: socket.socket = self.request
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or Nagle costs 40 ms a request
        self.descriptor = self.socket.fileno()
        self.limits = self.http_server.limits
        self.is_pollable = self.http_server.has_poller  # whether it waits for its client without a thread
        self.socket_lock = Lock()
        self.closed = False  # set under the door
        self.client_has_closed = False  # as seen by the watch
        self.idle = False  # between two requests: a draining server may close
        self.writing = False  # what the deadline is for
        now_s = monotonic()
        self.known_by = now_s + self.limits.stranger_s  # the deadline for becoming known; inf: the client is known
        self.deadline = now_s + self.limits.head_deadline_s
        self._wait_s = self.limits.head_deadline_s  # for the next request's first byte
        self._buffer = b""  # read, but not used yet
        self._rest_until = 0.0  # a request has begun: the watch waits for its rest until then; 0: none has
        self._rest_is_head = False
        self._head_seen = 0  # bytes of it, checked before
        self._has_continued = False  # its client was told to send the body
        self._network: str | None = None  # not looked at yet
        self._answers_to = ("", "")  # the address and the user whom an answer that waits counts for
        self._progress = Progress()  # of the client, with the answer that is being sent
        self._sent = 0  # bytes of it
        self._large_body: LargeBody | None = None  # which is being read or worked on
        self._incoming: ChunkedBody | SizedBody | None = None  # which the poller collects, or has collected
        self._follows: bytes | None = None  # what follows it, once it is whole
        self._body_refusal: HttpError | None = None  # why it is not taken
        self.is_receiving_body = False  # by a thread; whoever sends it may be evicted
        self._head = b""
        self._head_before_length = b""  # `_head` without the digits of a Content-Length at its end, if there is one
        self._request: Request | None = None  # what `_head` says: clients repeat themselves, and parsing is a third
        self._never_waits = False  # the application does not, on a request like `_request`

    def _next_request(self) -> Request | None:
        """Read the next head; None: the client has closed, or has been silent too long.  Raises HttpError."""
        if self._incoming is not None:
            return self._collected_request()
        end = self._read_head()
        if end < 0:
            return None
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        request = self._request
        if request is None or head != self._head:
            request = self._parsed(head)
        return request

    def _collected_request(self) -> Request | None:
        """Return the request whose body the poller has collected.  Raises HttpError."""
        if self._body_refusal is not None:
            raise self._body_refusal
        if self._follows is None:
            if monotonic() >= self._rest_until:
                raise HttpError(408, "request_timeout", "the body did not arrive in time")
            raise HttpError(400, "malformed_request", "the body is shorter than was announced")
        self._buffer = self._follows
        return self._request

    def _parsed(self, head: bytes) -> Request:
        request = self._again_with_another_length(head)
        if request is None:
            request = parse_head(head, self.limits)
            before, name, length = head.rpartition(_LAST_LENGTH)
            self._head_before_length = before + name if length.isdigit() else b""
        self._never_waits = self.http_server.never_waits(request.method, request.target)
        self._head, self._request = head, request
        return request

    def _again_with_another_length(self, head: bytes) -> Request | None:
        """Return the previous request with another Content-Length, if only that differs, as in requests of peers."""
        before = self._head_before_length
        length = head[len(before) :]
        if not before or self._request is None or not head.startswith(before) or not length.isdigit():
            return None
        if len(length) > LENGTH_DIGITS_MAX:
            return None
        fields = {**self._request.fields, "CONTENT_LENGTH": length.decode()}
        return self._request._replace(length=int(length), fields=fields)

    def _recv(self, size: int) -> bytes:
        try:
            return self.socket.recv(size)
        except OSError as error:
            raise ClientGone from error

    def _read_head(self) -> int:
        """Read until `_buffer` starts with a whole head, and return where it ends; -1: the client has closed."""
        if not self._buffer:
            self.deadline = monotonic() + self._wait_s
            self.idle = True
            if self.http_server.draining:
                self.shut_if_quiet()
            self._buffer = self._recv(RECV_BYTES)
            self.idle = False
            if not self._buffer:
                return -1
        end = self._buffer.find(b"\r\n\r\n")
        return end if end > 0 and self._buffer[0] != 13 else self._read_rest_of_head()

    def _read_rest_of_head(self) -> int:
        deadline = self.deadline = self._rest_until or monotonic() + self.limits.head_deadline_s
        self._rest_until = 0.0
        blank = False
        seen = 0  # of the head, checked before
        head = bytearray(self._buffer)  # bytes would be copied with each piece that comes
        try:
            while True:
                if not blank and head.startswith(b"\r\n"):  # one is forgiven (RFC 9112 §2.2)
                    del head[:2]
                    blank, seen = True, 0
                end = head.find(b"\r\n\r\n", max(0, seen - 3))
                if end >= 0:
                    return end
                check_partial_head(head, self.limits, seen)
                seen = len(head)
                more = self._recv(RECV_BYTES)
                if monotonic() >= deadline:
                    raise HttpError(408, "request_timeout", "the head did not arrive in time")
                if not more:
                    return -1
                head += more
        finally:
            self._buffer = bytes(head)

    def _read_body(self, request: Request, environ: dict[str, Any]) -> io.BytesIO:
        """Read the whole body, so that the application never waits for it.  Raises HttpError before it is too much."""
        if not request.length and not request.chunked:
            return io.BytesIO()
        if self._incoming is not None:
            collected, self._incoming, self._follows = self._incoming.body, None, None
            return _ready(collected, request, environ)
        if request.length > self.limits.body_bytes:
            raise HttpError(413, "body_too_large", f"the body is over {self.limits.body_bytes} bytes")
        if request.chunked or request.length > len(self._buffer):
            return self._receive_body(request, environ)
        body, self._buffer = self._buffer[: request.length], self._buffer[request.length :]
        return io.BytesIO(body)

    def _receive_body(self, request: Request, environ: dict[str, Any]) -> io.BytesIO:
        self._admit_body(request)
        if request.expects_continue and not self._buffer and not self._has_continued:
            self._write(CONTINUE)
        self.deadline = self._rest_until or monotonic() + self.limits.body_deadline_s
        self.is_receiving_body = True
        try:
            body = self._receive_chunks() if request.chunked else self._receive_length(request.length)
        finally:
            self.is_receiving_body = False
        return _ready(body, request, environ)

    def _admit_body(self, request: Request) -> None:
        """Count the body that is about to be read.  Raises HttpError."""
        size = self.limits.body_bytes if request.chunked else request.length
        if size > LARGE_BODY_BYTES and self._large_body is None:
            body = LargeBody(self.network, "", self.cut)
            self.http_server.admit_large_body(body, size)
            self._large_body = body

    def _receive_length(self, length: int) -> io.BytesIO:
        body = io.BytesIO()
        left = length - body.write(self._buffer)
        self._buffer = b""
        while left:
            left -= body.write(self._recv_body(min(left, BODY_RECV_BYTES)))
        return body

    def _receive_chunks(self) -> io.BytesIO:
        chunked = ChunkedBody(self.limits)
        rest = chunked.feed(self._buffer)
        while rest is None:
            rest = chunked.feed(self._recv_body(RECV_BYTES))
        self._buffer = rest
        return chunked.body

    def _recv_body(self, size: int) -> bytes:
        data = self._recv(size)
        if monotonic() >= self.deadline:
            raise HttpError(408, "request_timeout", "the body did not arrive in time")
        if not data:
            raise HttpError(400, "malformed_request", "the body is shorter than was announced")
        return data

    def _body_is_used(self) -> None:
        if self._large_body is not None:
            self.http_server.return_large_body(self._large_body)
            self._large_body = None

    def _write(self, data: bytes) -> None:
        self.deadline = monotonic() + self.limits.write_allowance_s(len(data))
        self.writing = True
        with (
            self.socket_lock
        ):  # the answer before may still be under way: whoever sends it has let go of the turn already
            pass
        try:
            self._send_all(data)
        except OSError as error:
            raise ClientGone from error
        self.deadline = inf
        self.writing = False

    def _send_all(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._sent += sent
        if sent == len(data):
            return
        address, user = self._answers_to
        waiting = UnsentResponse(self.http_server.network_of(address), user, self.cut)
        if not self.http_server.slow_readers.reserve(waiting, STREAM_BYTES + len(data)):
            raise ClientGone
        try:
            self._send_slowly(memoryview(data)[sent:])
        finally:
            self.http_server.slow_readers.release(waiting)

    def _send_slowly(self, rest: memoryview) -> None:
        """Send what the client takes as it takes it.  Raises ClientGone where it is too slow."""
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        self._progress.begin()
        while rest:
            poll.poll(LOOK_MS)
            with suppress(BlockingIOError):
                sent = self.socket.send(rest, socket.MSG_DONTWAIT)
                self._sent += sent
                rest = rest[sent:]
            if self._progress.is_too_slow(self.socket, self._sent):
                self.http_server.slow_readers.note_cut()
                raise ClientGone

    @property
    def network(self) -> str:
        """The network that the client counts for; any thread."""
        if self._network is None:
            self._network = self.http_server.network_of(self.client_address[0])
        return self._network

    def cut(self) -> None:
        """End the connection at once, whatever its thread waits for; any thread."""
        self.shut(socket.SHUT_RDWR)

    def _linger(self) -> None:
        """Let the client read our last answer before a reset could take it away (RFC 9112 §9.6)."""
        self.socket.shutdown(socket.SHUT_WR)
        deadline = self.deadline = monotonic() + self.limits.linger_s
        drained = 0
        while drained < DRAIN_BYTES and monotonic() < deadline:
            data = self._recv(DRAIN_RECV_BYTES)
            if not data:
                return
            drained += len(data)

    @property
    def may_be_evicted(self) -> bool:
        """True while no whole request is worked on and no answer is being sent; any thread."""
        return self.idle or self._rest_until > 0 or self._request is None

    def shut_if_quiet(self) -> None:
        """Let an idle connection go, but not where a request has begun to arrive; any thread."""
        with self.socket_lock, suppress(OSError):
            if not self.closed and not _has_data(self.socket):
                self.socket.shutdown(socket.SHUT_RD)

    def shut(self, how: int) -> None:
        """Shut the socket down, so that the thread wakes; any thread."""
        with self.socket_lock, suppress(OSError):  # the client may have been quicker
            if not self.closed:
                self.socket.shutdown(how)


def _ready(body: io.BytesIO, request: Request, environ: dict[str, Any]) -> io.BytesIO:
    """Return a whole body for the application to read."""
    if request.chunked:
        del environ["HTTP_TRANSFER_ENCODING"]  # it is taken off
        environ["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)
    return body


def _has_data(connected: socket.socket) -> bool:
    try:
        return bool(connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
