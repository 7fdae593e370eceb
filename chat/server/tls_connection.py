"""A connection over TLS, for a server that was given an `ssl_context`.

OpenSSL cannot read in one thread and write in another.  So this connection has a thread of its own, which waits for a
deferred answer and sends it before it reads on.  The application knows nothing of it.
"""

from chat.server.http import Request
from chat.server.http_connection import DeferredResponse, HttpConnection


class TlsConnection(HttpConnection):
    """The handler of one connection over TLS."""

    __slots__ = ("_handed_over",)

    def _serve_while_busy(self) -> bool:
        context = self.http_server.ssl_context
        assert context is not None
        with self.socket_lock:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.socket.do_handshake()
        return super()._serve_while_busy()

    def _send_all(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _defer_to(self, answer: DeferredResponse, request: Request) -> bool:
        super()._defer_to(answer, request)
        self.http_server.finish_batch()  # or the answer may never come
        self._acquire_response_lock()
        payload, close = self._handed_over
        self._write(payload)
        self._has_response_lock = False
        self.response_lock.release()
        return not close

    def deliver(self, payload: bytes, close: bool, answer: DeferredResponse | None = None) -> None:
        """Hand the answer to the connection's own thread, which waits for it."""
        with self.socket_lock:
            if self.closed or (answer is not None and answer.revoked):
                return
        self._handed_over = payload, close
        self.response_lock.release()
