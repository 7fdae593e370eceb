"""A connection over TLS: the same loop as without, with encrypted bytes on the wire.

Rules
- The poller reads encrypted bytes, and what they decrypt to is served as it is without TLS.  Nothing decrypted stays in
  OpenSSL while the connection waits for its client: the poll would not show it.
- `_tls_lock` is held for each use of the session, and from the encryption of bytes until they are sent or are in the
  send queue: they have to arrive in the order in which they were encrypted.  It is taken before `socket_lock`, and
  nothing blocks under it.
- Each step of the handshake is taken by the threads of `handshakes.py`, the first one once a whole record is there.
  All steps together have the time that a head has, and then the first byte of a request has it again.
- A client that speaks plain HTTP is told in plain HTTP where to go.
- The end of a session is told (close_notify) behind a whole answer only: one that was cut off must not look whole.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any, Final, Protocol

from chat.server.http import ChunkedBody, Request, SizedBody
from chat.server.http_connection import CHUNKED_RECEIVE_BYTES, DeferredResponse, HttpConnection
from chat.server.limits import KIB
from chat.server.request_reader import ClientGone, HttpServer
from chat.server.responses import CONTINUE
from chat.server.sockets import InputReceiver, send_now
from chat.server.tls.detached_socket import DetachedTlsSocket
from chat.server.tls.handshakes import Handshakes
from chat.server.tls.plain_text import TLS_HANDSHAKE, answer_to_plain_http
from chat.server.tls.session import RECORD_BYTES, TlsSession

OUTPUT_MAX: Final = 16 * KIB  # alerts and keys that a client asks for and does not read
_RECORD_HEADER: Final = 5  # type, version, length (RFC 8446 §5.1)
_RECORD_LENGTH_MAX: Final = RECORD_BYTES + 2 * KIB  # encrypted; OpenSSL refuses what is longer


class TlsServer(HttpServer, Protocol):
    """The server, as its connections over TLS see it."""

    ssl_context: ssl.SSLContext
    handshakes: Handshakes
    host_refusal: Callable[[str], str]


class _Nothing:
    """The receiver of a connection whose input was received before."""

    def receive_now(self, descriptor: int, most: int = 0) -> bytes | None:
        """Return nothing."""
        return None


_NOTHING = _Nothing()


class TlsConnection(HttpConnection):
    """The handler of one connection over TLS."""

    __slots__ = (
        "_collected", "_has_begun", "_has_ended", "_has_shaken_hands", "_left", "_plain_answer", "_receiver",
        "_session", "_tls_lock",
    )  # fmt: skip

    http_server: TlsServer

    def setup(self) -> None:
        """Prepare the connection, in the thread that accepts.  Nothing of TLS is begun before its first bytes."""
        super().setup()
        self._tls_lock = Lock()
        self._session: TlsSession  # from the first step of the handshake on
        self._has_begun = False  # there is a session
        self._has_shaken_hands = False
        self._has_ended = False  # the client was told; its input is thrown away
        self._collected = b""  # of the handshake, not yet acted on
        self._plain_answer = b""  # for a client that does not speak TLS
        self._left = b""  # decrypted, not read yet by this connection's thread
        self._receiver: InputReceiver = _NOTHING  # of the poller

    # In the poller's thread

    def serve_now(self, receiver: InputReceiver) -> bool:
        """Serve the input that has arrived, if that waits for nothing.  False: a thread has to."""
        self._receiver = receiver
        return super().serve_now(self) if self._has_shaken_hands else self._collect_handshake()

    def receive_now(self, descriptor: int, most: int = 0) -> bytes | None:
        """Return the input, decrypted, as `Receiver.receive_now` does."""
        received = self._receiver.receive_now(descriptor, most)
        return self._decrypt(received) if received else received

    def _collect_handshake(self) -> bool:
        """Take what came of the handshake.  False: the connection is over, or a thread ends it."""
        try:
            received = self._receiver.receive_now(self.descriptor)
        except OSError:
            received = b""
        if received is None:
            return True
        if not received:
            self.client_has_closed = True
            return False
        self._collected += received
        if self._is_plain_http():
            return not self._plain_answer
        if self._has_begun or _is_whole_record(self._collected):
            self.http_server.stop_polling(self)
            self.http_server.handshakes.put(self)
        return True

    def _is_plain_http(self) -> bool:
        """Return whether the client speaks plain HTTP, and make the answer once its head is whole, or too long."""
        if self._has_begun or self._collected[0] == TLS_HANDSHAKE:
            return False
        head, end, _ = self._collected.partition(b"\r\n\r\n")
        if end or len(head) > self.limits.line_bytes:
            server = self.http_server
            self._plain_answer = answer_to_plain_http(head, server.port, self.limits, server.host_refusal)
        return True

    def _collect(self, incoming: ChunkedBody | SizedBody, data: bytes) -> bool:
        """Take what came of the body.  False: a thread goes on, also with chunks that would take the poller long."""
        if isinstance(incoming, ChunkedBody):  # a record has more of them than are received at a time without TLS
            data, self._left = data[:CHUNKED_RECEIVE_BYTES], data[CHUNKED_RECEIVE_BYTES:]
        waits = super()._collect(incoming, data)
        if self._follows is not None:
            self._follows, self._left = self._follows + self._left, b""
        return waits and not self._left

    def _collect_left(self) -> bool:
        """Take the chunks that the poller left to this thread.  True: the poller is to wait for more."""
        waits = False
        while self._left and self._body_refusal is None and monotonic() < self._rest_until:
            assert self._incoming is not None
            left, self._left = self._left, b""
            waits = self._collect(self._incoming, left)
        return waits

    # The handshake, in a thread of its own or in the connection's

    def shake_hands(self) -> None:
        """Take a step of the handshake, and give the connection back to the poller, or end it."""
        if not self._take_step():
            self.finish()
        elif not self._has_shaken_hands or self._serve_what_followed():
            self.http_server.poll(self)

    def _serve_what_followed(self) -> bool:
        """Serve a request that came together with the handshake's end.  False: it is not to be polled."""
        following = self._decrypted_before()
        going_on = following is None or super().serve_now(_Received(following))
        if following is not None:
            self.http_server.finish_batch()
        if not going_on:
            self.http_server.give_thread(self)
        return going_on and not self.detached

    def _decrypted_before(self) -> bytes | None:
        try:
            return self._decrypt(b"")
        except ssl.SSLError:
            return b""

    def _take_step(self) -> bool:
        """Take a step of the handshake.  False: it has failed, and the client was told why."""
        collected, self._collected = self._collected, b""
        done = False
        try:
            if not self._has_begun:
                self._session = TlsSession(self.http_server.ssl_context)
                self._has_begun = True
            done = self._session.shake_hands(collected)
        except (OSError, ValueError):  # a ValueError is a name that no host can have
            failed = True
        else:
            failed = False
        has_sent = not self._has_begun or self._send_output()
        if done:
            self._template["raft_chat.peer_cert"] = self._session.peer_certificate()
            self.deadline = monotonic() + self.limits.head_deadline_s
            self._has_shaken_hands = True
        return has_sent and not failed

    def _send_output(self) -> bool:
        """Send what OpenSSL wants to send.  False: the client does not take it."""
        data = self._session.encrypt(b"")
        with self.socket_lock:
            return self.closed or not data or self._send_now(data) == len(data)

    # In a thread

    def serve(self) -> None:
        """Serve requests until the connection is quiet, and give it back to the poller, or until it ends."""
        if self._incoming is not None and self._left and self._collect_left():
            self.http_server.poll(self)
            return
        if self._has_shaken_hands or self._shake_hands_here():
            super().serve()
            return
        with suppress(ClientGone, OSError):
            if self._plain_answer:
                send_now(self.descriptor, self._plain_answer)
                self._has_ended = True
                super()._linger()
        self.finish()

    def _shake_hands_here(self) -> bool:
        """Shake hands in this thread, for a server without a poller.  False: there is no session."""
        while not self._plain_answer and not self._has_shaken_hands:
            try:
                received = self.socket.recv(RECORD_BYTES)
            except OSError:
                return False
            self._collected += received
            if not received:
                return False
            if not self._is_plain_http() and not self._take_step():
                return False
        if self._has_shaken_hands:
            self._buffer = self._decrypted_before() or b""
        return self._has_shaken_hands

    def _recv(self, size: int) -> bytes:
        if self._has_ended:
            return super()._recv(size)
        while not self._left:
            received = super()._recv(max(size, RECORD_BYTES))
            if not received:
                return b""
            try:
                decrypted = self._decrypt(received)
            except OSError as error:
                raise ClientGone from error
            if decrypted is not None and not decrypted:
                return b""
            self._left = decrypted or b""
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _read_body(self, request: Request, environ: dict[str, Any]) -> Any:
        body = super()._read_body(request, environ)
        if self._left:
            self._buffer, self._left = self._buffer + self._left, b""
        return body

    def _decrypt(self, received: bytes) -> bytes | None:
        """Return what these bytes complete; None for nothing, b"" at the session's end.  Raises OSError."""
        with self._tls_lock:
            try:
                return self._session.decrypt(received)
            except ssl.SSLError:
                self.client_has_closed = True  # to what follows nobody can listen
                raise
            finally:
                if self._session.output:
                    self._send_alerts_and_keys()

    def _send_alerts_and_keys(self) -> None:
        """Send what OpenSSL wants to send, unless an answer is under way: then it goes out with the next one."""
        if not self.in_send_queue:
            if not self._send_output():
                self.cut()
        elif self._session.output > OUTPUT_MAX:
            self.cut()

    # Sending

    def _send_all(self, data: bytes) -> None:
        with self._tls_lock:
            data = self._session.encrypt(data)
        super()._send_all(data)

    def _send_continue(self) -> bool:
        if not self.response_lock.acquire(blocking=False):
            return False
        try:
            with self._tls_lock:
                data = b"" if self.closing else self._session.encrypt(CONTINUE)
                with self.socket_lock:
                    has_sent = bool(data) and self._send_now(data) == len(data)
        except ssl.SSLError:
            has_sent = False
        finally:
            self.response_lock.release()
        if not has_sent:
            self.cut()
        return has_sent

    def deliver(self, payload: bytes, close: bool, answer: DeferredResponse | None = None) -> None:
        """Encrypt an answer and send it; the send queue gets the rest that does not fit in the socket's buffer."""
        with self._tls_lock:
            if self.closed or (answer is not None and answer.revoked):
                return
            try:
                encrypted = self._session.encrypt(payload)
            except ssl.SSLError:  # the client broke the session
                self.cut()
                encrypted, close = b"", True
            super().deliver(encrypted, close, answer)

    # The end

    def _linger(self) -> None:
        self._end_session()
        super()._linger()

    def finish(self) -> None:
        """Close, after the send queue has let go of the socket.  A detached socket stays open."""
        if self.client_has_closed and self._has_shaken_hands and not self.detached:
            self._end_session()
        super().finish()

    def _end_session(self) -> None:
        """Tell the client that nothing more comes, if it takes that now."""
        with self._tls_lock:
            if self._has_ended or self.in_send_queue:
                return
            self._has_ended = True
            data = self._session.end()
            with self.socket_lock:
                if not self.closed:
                    self._send_now(data)

    def detach(self) -> Any:
        """environ["raft_chat.detach"]: the connection is the caller's from here on; the application returns []."""
        with self._tls_lock:
            return DetachedTlsSocket(super().detach(), self._session)


class _Received:
    """A receiver of what was received and decrypted before."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def receive_now(self, descriptor: int, most: int = 0) -> bytes | None:
        """Return it once."""
        data, self._data = self._data, None
        return data


def _is_whole_record(data: bytes) -> bool:
    """Return whether the first record of these bytes is whole, or longer than a record may be."""
    length = int.from_bytes(data[3:_RECORD_HEADER])
    return len(data) >= _RECORD_HEADER and (len(data) >= _RECORD_HEADER + length or length > _RECORD_LENGTH_MAX)
