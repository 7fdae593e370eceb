"""One connection and its thread: read a request, call the application, answer, and again (keep-alive).

Rules
- The thread blocks in plain recv and sendall.  Before each it sets `deadline`, and the server's loop, which looks
  at all of them, shuts the socket down when that has passed: a total deadline for the price of an assignment.  A
  client that drips keeps waking the thread, which then looks at the clock itself.
- `turn` is held from before a request is worked on until its answer is sent, whoever sends it.  So answers keep
  the order of their requests, and a pipelined request waits for the deferred answer before it.
- `door` is held, never while blocking, by whoever but this thread touches the socket, and to set `closed`.  After
  that only this thread and the backlog use the socket; it is closed when the backlog has let go.  So nobody ever
  writes to a descriptor that meanwhile is another connection's.
- The gate is held while the application runs, never while anything is read, awaited or sent.
"""

import io
import logging
import socket
import ssl
import sys
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import WSGIRequestHandler

from chat.answers import CONTINUE, Head, Headers, Reply, problem, refusal_bytes, status_line
from chat.gate import Outside
from chat.http import ChunkedBody, Refused, Request, check_partial_head, parse_head
from chat.limits import KIB

if TYPE_CHECKING:
    from chat.serving import Server

logger = logging.getLogger(__name__)

RECV_BYTES: Final = 16 * KIB  # holds a usual request whole; the buffer is allocated for each recv
BODY_RECV_BYTES: Final = 256 * KIB
LARGE_BODY_BYTES: Final = 64 * KIB  # from here on a body counts against Limits.large_bodies_bytes
DRAIN_BYTES: Final = 64 * KIB  # of what nobody will read, so that our last answer is not lost to a reset


class ClientGone(Exception):
    """The connection is of no more use: closed, reset, or cut at a deadline."""


class Answer:
    """A promised answer: the application returns it instead of an iterable, and any thread sends it once.

    An application that asked for one and returns something else, or raises, has revoked it.
    """

    __slots__ = ("_connection", "_request", "revoked", "sent")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.sent = False
        self.revoked = False  # set under the connection's door
        self._connection = connection
        self._request = request

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer, without ever blocking for long; nothing happens where the connection is gone.

        A malformed header is the caller's bug: the client gets a 500, and the caller BrokenApplication.
        """
        assert not self.sent, "an answer is sent once"
        self.sent = True
        keep_alive = self._request.keep_alive and not self._connection.server.draining
        try:
            head = Head(status_line(status), headers, self._request, keep_alive)
            payload = head.with_body(body)
        except Exception:
            self._connection.deliver(self, _failure(self._request), close=True)
            raise
        self._connection.deliver(self, payload, head.close)


class Connection(WSGIRequestHandler):
    """Werkzeug's handler of one connection, with a request loop of its own."""

    server: "Server"

    def setup(self) -> None:
        """Called in the connection's own thread, as are all methods where nothing else is said."""
        self.socket: socket.socket = self.request
        self.limits = self.server.limits
        self.door = Lock()
        self.turn = Lock()
        self.closed = False  # set under the door
        self.in_backlog = False  # set under the door
        self.closing = False  # the last answer is sent
        self.detached = False
        self.idle = False  # between two requests: a draining server may close
        self.writing = False  # what the deadline is for
        self.deadline = monotonic() + self.limits.head_deadline_s
        self._wait_s = self.limits.head_deadline_s  # for the next request's first byte
        self._buffer = b""  # read, but not used yet
        self._has_turn = False
        self._large_bytes = 0  # of the body being read
        self._head = b""
        self._request: Request | None = None  # what `_head` says: clients repeat themselves, and parsing is a third
        self._answer: Answer | None = None
        self._answer_by = 0.0  # the deferred one
        self._template = self._environ_template()
        self.server.opened(self)

    def _environ_template(self) -> dict[str, Any]:
        """What all requests of this connection have in common."""
        server = self.server
        template: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if server.ssl_context is None else "https",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SERVER_NAME": server.host,
            "SERVER_PORT": str(server.port),
            "SCRIPT_NAME": "",
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": self.client_address[1],
            "raft_chat.detach": self.detach,
            "raft_chat.waiting": self.waiting,
        }
        # OpenSSL can not read in one thread and write in another: there the application waits instead.
        if server.ssl_context is None:
            template["raft_chat.defer"] = self.defer
        return template

    # The loop

    def handle(self) -> None:
        """Serve requests until the connection ends; BaseRequestHandler then calls finish()."""
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.server.ssl_context is not None:
                self._shake_hands(self.server.ssl_context)
            while self._serve_one():
                pass
            if not self.detached:
                self._take_turn()
                self._linger()
        except Refused as refused:
            self._refuse(refused)
        except (ClientGone, OSError):
            pass  # nobody is there to be told

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        plain = self.socket
        with self.door:
            self.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.do_handshake()

    def _serve_one(self) -> bool:
        """Serve one request.  False: it was the last."""
        end = self._read_head()
        if end < 0:
            return False
        head = self._buffer[:end]
        request = self._request
        if request is None or head != self._head:
            request = self._request = parse_head(head, self.limits)
            self._head = head
        self._buffer = self._buffer[end + 4 :]
        self._take_turn()
        if self.closing:
            return False
        environ = self._environ(request)
        environ["wsgi.input"] = self._read_body(request, environ)
        environ["raft_chat.read_ahead"] = self._buffer
        self.deadline = inf  # from here on it is the application's time
        return self._answer_with_app(request, environ)

    def _answer_with_app(self, request: Request, environ: dict[str, Any]) -> bool:
        self._answer = None
        reply = Reply(self._write, request, request.keep_alive and not self.server.draining)
        try:
            with self.server.gate:
                result = self.server.app(environ, reply.start_response)
            if self._answer is not None and result is self._answer:
                return self._defer_to(self._answer, request)
            if not self.detached:
                self._revoke_answer()
                reply.run(result)
        except ClientGone:
            raise
        except Exception:
            logger.exception("the application failed on %s %s", request.method, request.path)
            self._fail(reply, request)
        finally:
            if self._large_bytes:
                self.server.return_large_body(self._large_bytes)
                self._large_bytes = 0
        if self.detached:
            return False
        self._wait_s = self.limits.idle_s
        self._has_turn = False
        self.turn.release()
        return reply.keep_alive

    def _defer_to(self, answer: Answer, request: Request) -> bool:
        self._answer = None
        self._has_turn = False  # it goes with the answer
        self._wait_s = self.limits.answer_s
        self._answer_by = monotonic() + self.limits.answer_s
        return request.keep_alive

    def _environ(self, request: Request) -> dict[str, Any]:
        return {
            **self._template,
            **request.fields,
            "REQUEST_METHOD": request.method,
            "SERVER_PROTOCOL": request.protocol,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "RAW_URI": request.target,
            "REQUEST_URI": request.target,
            "werkzeug.socket": self.socket,
        }

    def _fail(self, reply: Reply, request: Request) -> None:
        """Answer for an application that failed; an answer that had begun is cut off, so that it is seen to be."""
        reply.keep_alive = False
        if self.detached or reply.head_sent:
            return
        self._revoke_answer()
        self._write(_failure(request))

    def _revoke_answer(self) -> None:
        """Take back a promise that the application did not return."""
        if self._answer is None:
            return
        with self.door:
            self._answer.revoked = True
        if self._answer.sent:
            logger.error("the application sent a deferred answer and gave another; the connection is closed")
            raise ClientGone
        self._answer = None

    def _take_turn(self) -> None:
        """Wait until the answer to the request before is sent."""
        if self._has_turn:
            return
        if not self.turn.acquire(blocking=False):
            self.deadline = inf  # it is not the client that is waited for
            if not self.turn.acquire(timeout=max(0.0, self._answer_by - monotonic())):
                logger.error("a deferred answer was not sent in %s s", self.limits.answer_s)
                raise ClientGone
        self._has_turn = True

    # Reading

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
            if self.server.draining:
                self.shut(socket.SHUT_RD)  # what has arrived is still read
            self._buffer = self._recv(RECV_BYTES)
            self.idle = False
            if not self._buffer:
                return -1
        end = self._buffer.find(b"\r\n\r\n")
        return end if end > 0 and self._buffer[0] != 13 else self._read_rest_of_head()

    def _read_rest_of_head(self) -> int:
        deadline = self.deadline = monotonic() + self.limits.head_deadline_s
        blank = False
        while True:
            if not blank and self._buffer.startswith(b"\r\n"):  # one is forgiven (RFC 9112 §2.2)
                self._buffer, blank = self._buffer[2:], True
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                return end
            check_partial_head(self._buffer, self.limits)
            more = self._recv(RECV_BYTES)
            if monotonic() >= deadline:
                raise Refused(408, "request_timeout", "the head did not arrive in time")
            if not more:
                return -1
            self._buffer += more

    def _read_body(self, request: Request, environ: dict[str, Any]) -> io.BytesIO:
        """Read the whole body, so that the application never waits for it.  Raises Refused before it is too much."""
        if not request.length and not request.chunked:
            return io.BytesIO()
        if request.length > self.limits.body_bytes:
            raise Refused(413, "body_too_large", f"the body is over {self.limits.body_bytes} bytes")
        if request.chunked or request.length > len(self._buffer):
            return self._receive_body(request, environ)
        body, self._buffer = self._buffer[: request.length], self._buffer[request.length :]
        return io.BytesIO(body)

    def _receive_body(self, request: Request, environ: dict[str, Any]) -> io.BytesIO:
        size = self.limits.body_bytes if request.chunked else request.length
        if size > LARGE_BODY_BYTES:
            self.server.admit_large_body(size)
            self._large_bytes = size
        if request.expects_continue and not self._buffer:
            self._write(CONTINUE)
        self.deadline = monotonic() + self.limits.body_deadline_s
        body = self._receive_chunks(environ) if request.chunked else self._receive_length(request.length)
        body.seek(0)
        return body

    def _receive_length(self, length: int) -> io.BytesIO:
        body = io.BytesIO()
        left = length - body.write(self._buffer)
        self._buffer = b""
        while left:
            left -= body.write(self._recv_body(min(left, BODY_RECV_BYTES)))
        return body

    def _receive_chunks(self, environ: dict[str, Any]) -> io.BytesIO:
        chunked = ChunkedBody(self.limits)
        rest = chunked.feed(self._buffer)
        while rest is None:
            rest = chunked.feed(self._recv_body(RECV_BYTES))
        self._buffer = rest
        del environ["HTTP_TRANSFER_ENCODING"]  # it is taken off
        environ["CONTENT_LENGTH"] = str(chunked.body.tell())
        return chunked.body

    def _recv_body(self, size: int) -> bytes:
        data = self._recv(size)
        if monotonic() >= self.deadline:
            raise Refused(408, "request_timeout", "the body did not arrive in time")
        if not data:
            raise Refused(400, "malformed_request", "the body is shorter than was announced")
        return data

    # Writing

    def _write(self, data: bytes) -> None:
        self.deadline = monotonic() + self.limits.write_allowance_s(len(data))
        self.writing = True
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ClientGone from error
        self.deadline = inf
        self.writing = False

    def _refuse(self, refused: Refused) -> None:
        try:
            self._take_turn()
            if not self.closing:
                self._write(refusal_bytes(refused))
                self._linger()
        except (ClientGone, OSError):
            pass

    def _linger(self) -> None:
        """Let the client read our last answer before a reset could take it away (RFC 9112 §9.6)."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)
        deadline = self.deadline = monotonic() + self.limits.linger_s
        drained = 0
        while drained < DRAIN_BYTES and monotonic() < deadline:
            data = self._recv(RECV_BYTES)
            if not data:
                return
            drained += len(data)

    def finish(self) -> None:
        """Close, once the backlog has let go; a detached socket is its new owner's."""
        self._template.clear()  # breaks the cycle through the bound methods
        if not self.detached:
            with self.door:
                self.closed = True
            if self.in_backlog:
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
                self._wait_for_backlog()
            self.socket.close()
        self.server.ended(self)
        if self._large_bytes:
            self.server.return_large_body(self._large_bytes)

    def _wait_for_backlog(self) -> None:
        with self.turn:
            pass

    # For the application

    def defer(self) -> Answer:
        """environ["raft_chat.defer"]: promise the answer; the thread goes back to wait for the next request."""
        assert self._request is not None
        self._answer = Answer(self, self._request)
        return self._answer

    def detach(self) -> socket.socket:
        """environ["raft_chat.detach"]: the connection is the caller's from here on; the application returns []."""
        with self.door:
            self.detached = self.closed = True  # closed to the server
        return self.socket

    def waiting(self) -> Outside:
        """environ["raft_chat.waiting"]: `with` this, the application waits, and others may pass the gate."""
        return Outside(self.server.gate)

    # From other threads

    def shut(self, how: int) -> None:
        """Shut the socket down, so that the thread wakes; any thread."""
        with self.door, suppress(OSError):  # the client may have been quicker
            if not self.closed:
                socket.socket.shutdown(self.socket, how)  # SSLSocket's own forgets its TLS state

    def deliver(self, answer: Answer, payload: bytes, close: bool) -> None:
        """Send a deferred answer; what does not fit in the socket's buffer is left to the backlog; any thread."""
        with self.door:
            if self.closed or answer.revoked:
                return
            sent = self._send_now(payload)
            if 0 <= sent < len(payload):
                self.in_backlog = self.server.backlog.put(self, memoryview(payload)[sent:], close)
                if self.in_backlog:
                    return
        self._delivered(close or sent < len(payload))

    def _send_now(self, data: bytes) -> int:
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def left_backlog(self, close: bool) -> None:
        """The backlog is done with the socket; the loop's thread."""
        self.in_backlog = False
        self._delivered(close)

    def _delivered(self, close: bool) -> None:
        """A deferred answer is out, or will never be: the next request may be worked on."""
        self.closing = self.closing or close
        self.turn.release()
        if close or (self.server.draining and self.idle):
            self.shut(socket.SHUT_RD)


def _failure(request: Request) -> bytes:
    headers, body = problem(500, "internal_error", "the server failed on this request; its log says why")
    return Head(status_line(500), headers, request, keep_alive=False).with_body(body)
