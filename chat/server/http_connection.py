"""The loop of an HTTP connection: read a request, call the application, answer, and again (keep-alive).

Between two requests the poller has the connection (`poller.py`).  A whole request to which the application answers
without waiting is served in the poller's own thread.  Any other gets a thread, until the connection is quiet again.

Rules, beside those of `request_reader.py`
- `response_lock` is held from before a request is worked on until its answer is sent, whichever thread sends it.  So
  answers keep the order of their requests, and a pipelined request waits for the deferred answer before it.
- A CPU slot is held while a thread runs the application, never while anything is read, awaited or sent.
- An answer that had begun when the application failed is cut off, so that the client sees that it is not whole.
"""

import logging
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from threading import Lock
from time import monotonic
from typing import Any, TypeGuard

from chat.logs import request_log
from chat.server import failure_log
from chat.server.durations import NOT_COUNTED, Durations
from chat.server.http import ChunkedBody, HttpError, Request, SizedBody, check_partial_head
from chat.server.limits import KIB, Limits
from chat.server.problem_json import PROBLEM_JSON, problem_json
from chat.server.request_reader import ClientGone, RequestReader
from chat.server.responses import CONTINUE, Headers, ResponseHead, WsgiResponse, error_response, status_line
from chat.server.slow_readers import Progress
from chat.server.sockets import InputReceiver, send_now

logger = logging.getLogger(__name__)

STREAM_BUFFER_BYTES = 128 * KIB  # doubled by the kernel: 1.7 MB/s over a line of 150 ms
ID_KEY = "HTTP_X_REQUEST_ID"
CHUNKED_RECEIVE_BYTES = 2 * KIB  # at a time, by the poller: some hundred chunks, which take some hundred microseconds
POLLED_BODY_BYTES = 16 * KIB  # a body whose end is waited for without a thread
SEND_NOW_BYTES = 16 * KIB  # an answer to a post, whatever its text; copying it takes microseconds


class DeferredResponse:
    """A response that any thread sends later, once.  The application returns it in place of an iterable.

    An application that asked for one and returns something else, or raises, has revoked it.
    """

    __slots__ = ("_connection", "_request", "durations", "revoked", "sent")

    def __init__(self, connection: "HttpConnection", request: Request) -> None:
        self.sent = False
        self.revoked = False  # set under the connection's door
        self._connection = connection
        self._request = request
        self.durations: Durations = NOT_COUNTED  # where the application wants the time that this took to be noted

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the response, without blocking.  Nothing happens if the connection is gone.

        Raises BrokenApplication for a malformed header, after the client has got a 500.
        """
        assert not self.sent, "an answer is sent once"
        self.sent = True
        connection = self._connection
        keep_alive = self._request.keep_alive and not connection.http_server.draining
        try:
            head = ResponseHead(status_line(status), headers, self._request, keep_alive)
            payload = head.with_body(body)
        except Exception:
            self.durations[5].append(monotonic() - connection.began_s)
            failed = _internal_error(self._request, _id_of(self._request), connection.network)
            connection.deliver(failed, True, self)
            raise
        self.durations[status // 100].append(head.made_s - connection.began_s)  # before the next request begins
        connection.deliver(payload, head.close, self)


class HttpConnection(RequestReader):
    """The handler of one connection, with a request loop of its own in place of Werkzeug's."""

    __slots__ = (
        "_answer", "_answer_by", "_has_response_lock", "_known_environ", "_known_request", "_template",
        "began_s", "closing", "detached", "in_send_queue", "response_lock",
    )  # fmt: skip

    def setup(self) -> None:
        """Prepare the connection, in the thread that accepts.  The other methods are for the thread that serves it."""
        super().setup()
        self.response_lock = Lock()
        self.in_send_queue = False  # set under the door
        self.began_s = 0.0  # when the request that is worked on was whole
        self.closing = False  # the last answer is sent
        self.detached = False
        self._has_response_lock = False
        self._answer: DeferredResponse | None = None
        self._answer_by = 0.0  # the deferred one
        self._template = self._environ_template()
        self._known_environ: dict[str, Any] = {}  # made for this request, which has come again, and again ...
        self._known_request: Request | None = None

    def _environ_template(self) -> dict[str, Any]:
        """The part of `environ` that all requests of this connection have in common."""
        http_server = self.http_server
        return {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if http_server.ssl_context is None else "https",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SERVER_NAME": http_server.host,
            "SERVER_PORT": str(http_server.port),
            "SCRIPT_NAME": "",
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": self.client_address[1],
            "raft_chat.connection": {},
            "raft_chat.set_limits": self.set_limits,
            "raft_chat.detach": self.detach,
            "raft_chat.off_cpu": self.off_cpu,
            "raft_chat.defer": self.defer,
            "raft_chat.from_this_machine": http_server.is_from_this_machine(self.client_address[0]),
        }

    # In the poller's thread

    def serve_now(self, receiver: InputReceiver) -> bool:
        """Serve the input that has arrived, if that waits for nothing.  False: a thread has to, and finds it here."""
        if self._incoming is not None:
            return self._collect_more(receiver)
        try:
            data = receiver.receive_now(self.descriptor)
        except OSError:
            return False
        if data is None:
            return True
        if not data:
            self.client_has_closed = not self._buffer  # half a request may have to be answered
            return False
        self.idle = False
        self._buffer += data
        try:
            request = self._whole_request()
            if request is None and self._may_wait_for_rest():
                return True
        except HttpError:
            return False  # the thread refuses it
        if request is None or not self._never_waits or not self.response_lock.acquire(blocking=False):
            return False
        self._has_response_lock = True
        if self.closing:
            return False
        if self._rest_until:
            self._rest_until, self._has_continued = 0.0, False
        self._buffer = self._buffer[len(self._head) + 4 :]
        environ = self._environ(request)
        environ["wsgi.input"] = self._read_body(request, environ)
        environ["raft_chat.read_ahead"] = self._buffer
        self.began_s = now_s = monotonic()
        self.deadline = now_s + self.limits.idle_s
        self.idle = not self._buffer  # before the call: the answer may be sent before it returns
        self._call_now(request, environ)
        return self.detached or not self._buffer

    def _call_now(self, request: Request, environ: dict[str, Any]) -> None:
        pieces: list[bytes] = []
        reply = WsgiResponse(pieces.append, request, request.keep_alive and not self.http_server.draining)
        self._answer = None
        try:
            result = self.http_server.app(environ, reply.start_response)
            if self._is_deferred(result):
                self._defer_to(result, request)
                return
            if not self.detached:
                self._revoke_answer()
                reply.run(result)
                self._note_duration(environ, reply.head)
        except ClientGone:
            reply.keep_alive = False
        except Exception:
            request_id = _id_of(request)
            logger.exception("the application failed on a %s; request %s", request.method, request_id)
            pieces, reply.keep_alive = [_internal_error(request, request_id, self.network)], False
            self._note_duration(environ, None)
        if self.detached:
            self.finish()
            return
        self._has_response_lock = False
        self.deliver(b"".join(pieces), not reply.keep_alive)

    def _note_duration(self, environ: dict[str, Any], head: ResponseHead | None) -> None:
        """Note how long an answer took that was not deferred; `head` None: the application failed."""
        durations = environ.get("raft_chat.durations", self.http_server.durations)
        durations[5 if head is None else head.status_class].append(monotonic() - self.began_s)

    def _whole_request(self) -> Request | None:
        """Return the request at the buffer's start, if all of it is there.  Raises HttpError."""
        end = self._buffer.find(b"\r\n\r\n")
        if end <= 0 or self._buffer[0] == 13:
            return None
        head = self._buffer[:end]
        request = self._request
        if request is None or head != self._head:
            request = self._parsed(head)
        if request.chunked or request.length > min(len(self._buffer) - end - 4, self.limits.body_bytes):
            return None
        return request

    def _may_wait_for_rest(self) -> bool:
        """Return True to wait for the rest of a request without a thread.  Raises HttpError.

        So a client that sends half a head, or half of a body, holds no more than these bytes.
        """
        if self._buffer.startswith(b"\r\n"):  # one is forgiven (RFC 9112 §2.2), and the deadline stays
            self._buffer, self._head_seen = self._buffer[2:], 0
        is_head = b"\r\n\r\n" not in self._buffer
        if is_head:
            seen = self._head_seen if self._rest_until and self._rest_is_head else 0
            check_partial_head(self._buffer, self.limits, seen)
            self._head_seen = len(self._buffer)
        elif not self._has_small_body():
            return self._begin_to_collect()
        if not self._rest_until or self._rest_is_head != is_head:
            self._rest_is_head = is_head
            allowance_s = self.limits.head_deadline_s if is_head else self.limits.body_deadline_s
            self.deadline = self._rest_until = monotonic() + allowance_s
        return monotonic() < self._rest_until  # past it, a thread says so

    def _has_small_body(self) -> bool:
        """Return True if `_request` is whole but for a small body of a known length."""
        request = self._request
        if request is None or not self._buffer.startswith(self._head + b"\r\n\r\n"):
            return False
        if request.chunked or not 0 < request.length <= min(POLLED_BODY_BYTES, self.limits.body_bytes):
            return False
        if len(self._buffer) >= len(self._head) + 4 + request.length:
            return False
        if request.expects_continue and not self._has_continued:
            self._has_continued = self._send_continue()
            return self._has_continued
        return True

    def _send_continue(self) -> bool:
        """Have the client send the body, unless the answer before is under way: a thread waits for that."""
        if not self.response_lock.acquire(blocking=False):
            return False
        try:
            with self.socket_lock:  # an answer may have let go of the turn before it is sent
                sent = 0 if self.closing else self._send_now(CONTINUE)
        finally:
            self.response_lock.release()
        if 0 < sent < len(CONTINUE):
            self.cut()
        return sent == len(CONTINUE)

    def _begin_to_collect(self) -> bool:
        """Begin to collect the body that `_request` announces, where it is not small.  False: that is for a thread.

        Raises HttpError.
        """
        request = self._request
        if request is None or not self._buffer.startswith(self._head + b"\r\n\r\n"):
            return False
        if not request.chunked and not POLLED_BODY_BYTES < request.length <= self.limits.body_bytes:
            return False
        begun = self._buffer[len(self._head) + 4 :]
        if not request.chunked and len(begun) >= request.length:
            return False
        self._admit_body(request)
        if request.expects_continue and not begun and not self._send_continue():
            return False
        self._incoming = ChunkedBody(self.limits) if request.chunked else SizedBody(request.length)
        self._rest_is_head, self._has_continued = False, request.expects_continue
        self.deadline = self._rest_until = monotonic() + self.limits.body_deadline_s
        return self._collect(self._incoming, begun)

    def _collect_more(self, receiver: InputReceiver) -> bool:
        assert self._incoming is not None
        most = CHUNKED_RECEIVE_BYTES if isinstance(self._incoming, ChunkedBody) else 0
        try:
            data = receiver.receive_now(self.descriptor, most)
        except OSError:
            return False
        if data is None:
            return True
        return self._collect(self._incoming, data) if data else False  # half a body has to be answered

    def _collect(self, incoming: ChunkedBody | SizedBody, data: bytes) -> bool:
        """Take what came of the body.  False: a thread goes on, for it is whole, is refused or is late."""
        try:
            self._follows = incoming.feed(data)
        except HttpError as error:
            self._body_refusal = error
            return False
        return self._follows is None and monotonic() < self._rest_until

    # In a thread

    def serve(self) -> None:
        """Serve requests until the connection is quiet, and give it back to the poller, or until it ends."""
        quiet = False
        try:
            quiet = self._serve_while_busy()
            if not quiet and not self.detached:
                self._acquire_response_lock()
                self._linger()
        except HttpError as error:
            self._refuse(error)
        except (ClientGone, OSError):
            pass  # there is no client to answer
        finally:
            if not quiet:
                self.finish()
        if quiet:
            self.http_server.poll(self)

    def _serve_while_busy(self) -> bool:
        """Serve requests until the connection is quiet.  False: it is to end."""
        while self._serve_one():
            if self.is_pollable and not self._buffer:
                self.deadline = monotonic() + self._wait_s
                self.idle = True
                if self.http_server.draining:
                    self.shut_if_quiet()
                return True
        return False

    def _serve_one(self) -> bool:
        """Serve one request.  False: it was the last."""
        request = self._next_request()
        if request is None:
            return False
        self._acquire_response_lock()
        if self.closing:
            return False
        environ = self._environ(request)
        environ["wsgi.input"] = self._read_body(request, environ)
        environ["raft_chat.read_ahead"] = self._buffer
        self._rest_until, self._has_continued = 0.0, False
        self.began_s = monotonic()
        self.deadline = inf  # from here on it is the application's time
        going_on = self._answer_with_app(request, environ)
        self.http_server.finish_batch()
        return going_on

    def _answer_with_app(self, request: Request, environ: dict[str, Any]) -> bool:
        self._answer = None
        reply = WsgiResponse(self._write, request, request.keep_alive and not self.http_server.draining)
        try:
            with self.http_server.cpu_slots:
                result = self.http_server.app(environ, reply.start_response)
            if self._is_deferred(result):
                return self._defer_to(result, request)
            if not self.detached:
                self._revoke_answer()
                self._answers_to = environ["REMOTE_ADDR"], environ.get("raft_chat.user", "")
                self._progress, self._sent = Progress(), 0
                if not isinstance(result, list):
                    self._bound_send_buffer()
                reply.run(result)
                self._note_duration(environ, reply.head)
        except ClientGone:
            raise
        except Exception:
            request_id = _id_of(request)
            logger.exception("the application failed on a %s; request %s", request.method, request_id)
            self._note_duration(environ, None)
            self._fail(reply, request, request_id)
        finally:
            self._body_is_used()
        if self.detached:
            return False
        self._wait_s = self.limits.idle_s
        self._has_response_lock = False
        self.response_lock.release()
        return reply.keep_alive

    def _bound_send_buffer(self) -> None:
        """Bound what the kernel buffers of an answer that is made while it is sent: a client may never take it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)

    def _is_deferred(self, result: object) -> TypeGuard[DeferredResponse]:
        """Return whether the application returned the deferred response that it asked for."""
        return result is not None and result is self._answer

    def _defer_to(self, answer: DeferredResponse, request: Request) -> bool:
        self._answer = None
        self._has_response_lock = False  # `deliver` releases it
        self._wait_s = self.limits.idle_s
        self._answer_by = monotonic() + self.limits.answer_s
        return request.keep_alive

    def _environ(self, request: Request) -> dict[str, Any]:
        if request is self._known_request:
            return self._known_environ.copy()
        self._known_request = request
        self._known_environ = {
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
        return self._known_environ.copy()

    def _fail(self, reply: WsgiResponse, request: Request, request_id: str) -> None:
        """Answer 500 for an application that failed, or cut off the answer that had begun."""
        reply.keep_alive = False
        if self.detached:
            return
        if not reply.head_sent:
            self._revoke_answer()
            self._write(_internal_error(request, request_id, self.network))
        elif request.protocol == "HTTP/1.0":  # in HTTP/1.0 only a reset tells a broken end from a good one
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ClientGone

    def _revoke_answer(self) -> None:
        """Revoke a deferred response that the application did not return."""
        if self._answer is None:
            return
        with self.socket_lock:
            self._answer.revoked = True
        if self._answer.sent:
            logger.error("the application sent a deferred answer and gave another; the connection is closed")
            raise ClientGone
        self._answer = None

    def _acquire_response_lock(self) -> None:
        """Wait until the answer to the previous request is sent."""
        if self._has_response_lock:
            return
        if not self.response_lock.acquire(blocking=False):
            self.deadline = inf  # not the client is waited for
            if not self.response_lock.acquire(timeout=max(0.0, self._answer_by - monotonic())):
                self._await_send_queue()
        self._has_response_lock = True

    def _await_send_queue(self) -> None:
        """Wait for a slow client, up to the send queue's deadline.  Raises ClientGone if the answer is overdue."""
        with self.socket_lock:
            overdue = not self.in_send_queue
            self.closed = self.closed or overdue  # what comes later is not sent
        if overdue:
            logger.error("a deferred answer was not sent in %s s", self.limits.answer_s)
            raise ClientGone
        self.response_lock.acquire()

    def _refuse(self, refused: HttpError) -> None:
        with suppress(ClientGone, OSError):
            self._acquire_response_lock()
            if not self.closing:
                self.http_server.durations[refused.status // 100].append(0.0)
                self._write(error_response(refused, self.network))
                self._linger()

    def finish(self) -> None:
        """Close, after the send queue has let go of the socket.  A detached socket stays open."""
        own = self._template.get("raft_chat.connection")
        self._template.clear()  # breaks the cycles through the bound methods
        self._known_environ.clear()
        if not self.detached:
            with self.socket_lock:
                self.closed = True
            if self.in_send_queue:
                with suppress(OSError):
                    self.socket.shutdown(socket.SHUT_RDWR)
                self.response_lock.acquire()  # the send queue releases it
            self.socket.close()
        self.http_server.ended(self)
        self._body_is_used()
        if own and (on_end := own.get("on_end")) is not None:
            on_end()

    # For the application

    def defer(self) -> DeferredResponse:
        """environ["raft_chat.defer"]: promise the answer; the thread goes back to wait for the next request."""
        assert self._request is not None
        self._answer = DeferredResponse(self, self._request)
        return self._answer

    def set_limits(self, limits: Limits) -> None:
        """environ["raft_chat.set_limits"]: from the next request on, these limits hold for this connection."""
        self.limits = limits
        self.known_by = monotonic() + limits.stranger_s

    def detach(self) -> socket.socket:
        """environ["raft_chat.detach"]: the connection is the caller's from here on; the application returns []."""
        with self.socket_lock:
            self.detached = self.closed = True  # closed to the server
        self.http_server.stop_polling(self)
        return self.socket

    @contextmanager
    def off_cpu(self) -> Iterator[None]:
        """environ["raft_chat.off_cpu"]: `with` this, the application waits, and its CPU slot is for others."""
        self.http_server.cpu_slots.release()
        try:
            yield
        finally:
            self.http_server.cpu_slots.acquire()

    # From other threads

    def deliver(self, payload: bytes, close: bool, answer: DeferredResponse | None = None) -> None:
        """Send an answer; the send queue gets the rest that does not fit in the socket's buffer."""
        with self.socket_lock:
            if self.closed or (answer is not None and answer.revoked):
                return
            # Where the client is waited for and waits for this answer, the next request is on its way as soon as the
            # answer is: with a turn that is let go of after the sending, it would find it taken, and need a thread.
            # What that writes itself waits for the door.
            early = self.idle and not close
            if early:
                self.response_lock.release()
            sent = self._send_now(payload)
            if 0 <= sent < len(payload) and (not early or self.response_lock.acquire(blocking=False)):
                early = False
                self.in_send_queue = self.http_server.send_queue.put(self, memoryview(payload)[sent:], close)
                if self.in_send_queue:
                    return
        if not early:
            self._delivered(close or sent < len(payload))
        elif sent < len(payload):  # a client that does not read and asks for more
            self.shut(socket.SHUT_RDWR)
        elif self.http_server.draining and self.idle:
            self.shut_if_quiet()

    def _send_now(self, data: bytes) -> int:
        try:
            if len(data) <= SEND_NOW_BYTES:
                return send_now(self.descriptor, data)
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def left_send_queue(self, close: bool) -> None:
        """Go on after the send queue has let go of the socket; in the thread of the server's loop."""
        with self.socket_lock:  # the loop may be quicker than `deliver`, which notes that the queue has the rest
            self.in_send_queue = False
        self._delivered(close)

    def _delivered(self, close: bool) -> None:
        """Release the connection for the next request: the answer is sent, or never will be."""
        self.closing = self.closing or close
        self.response_lock.release()
        if close:
            self.shut(socket.SHUT_RD)
        elif self.http_server.draining and self.idle:
            self.shut_if_quiet()


def _id_of(request: Request) -> str:
    """The id that a line of the log has in place of the path, which may hold secrets."""
    return request_log.id_of(request.fields.get(ID_KEY))


def _internal_error(request: Request, request_id: str, network: str) -> bytes:
    detail = "the server failed on this request; its log says why"
    failure_log.answered(500, "internal_error", detail)
    request_log.refused_early(500, "internal_error", network, request_id)
    headers = [("Content-Type", PROBLEM_JSON), (request_log.HEADER, request_id)]
    head = ResponseHead(status_line(500), headers, request, keep_alive=False)
    return head.with_body(problem_json(500, "internal_error", detail, request_id=request_id))
