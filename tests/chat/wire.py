"""A server under test and a client that is as bare as a socket: what goes over the wire is written out.

Its requests may break every rule, and it sees where an answer ends.  `tests/support/http_client.py` keeps the rules.
"""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from chat.server.server import DeferredResponse, Limits, Server
from chat.server.sockets import Receiver
from chat.server.tls.detached_socket import DetachedTlsSocket
from tests.support.certificates import client_context, own_context

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DEADLINE_S = 10.0  # for anything that is expected to happen
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"  # of an application that waits, streams or takes the socket


def post(body: bytes, path: bytes = b"/") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection.  Every wait ends: with what is waited for, or with an error at DEADLINE_S."""

    def __init__(self, port: int, receive_buffer: int = 0, source: str = "") -> None:
        """`source`: the address that it comes from, where that is to be another one of the loopback range."""
        self.socket = socket.socket()
        if source:
            self.socket.bind((source, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))
        if mode.is_tls:
            self.socket = client_context().wrap_socket(
                self.socket, server_hostname="127.0.0.1", do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end_requests(self) -> None:
        """End this half of the connection."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def ask(self, data: bytes) -> Response:
        self.send(data)
        return self.response()

    def response(self, head_only: bool = False) -> Response:
        head, self._buffer = self._until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(status_line.split(" ")[1])
        if head_only or status in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self.rest()
        return Response(status, headers, body)

    def closed(self) -> bool:
        """Whether nothing more comes; waits for it."""
        return self.rest() == b""

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        while self._more():
            pass
        data, self._buffer = self._buffer, b""
        return data

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):  # the second: cut off, without an end of the session
            return False
        self._buffer += data
        return bool(data)

    def _until(self, mark: bytes) -> tuple[bytes, bytes]:
        while mark not in self._buffer:
            assert self._more(), f"closed after {self._buffer!r}"
        before, _, after = self._buffer.partition(mark)
        return before, after

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            assert self._more(), f"closed {length - len(self._buffer)} bytes too early"
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size, self._buffer = self._until(b"\r\n")
            body += self._exactly(int(size, 16))
            assert self._exactly(2) == b"\r\n"
            if size == b"0":
                return body


class Mode:
    """How servers under test take their applications: None, a thread for each connection; and whether over TLS."""

    never_waits: Callable[[str, str], bool] | None = None
    is_tls = False


mode = Mode()


def threads_of(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}-")]


@contextmanager
def serving(
    app: "WSGIApplication",
    cpu_slots: int | None = None,
    limits: Limits | None = None,
    ssl_context: ssl.SSLContext | None = None,
    is_shared: Callable[[str], bool] = lambda address: False,
) -> Iterator[Server]:
    """A server that is up; at the end it is drained, and has left no thread."""
    name = f"test{next(_numbers)}"
    if mode.is_tls and ssl_context is None:
        ssl_context = own_context()
    server = Server(
        app, "127.0.0.1", 0, name=name, cpu_slots=cpu_slots, limits=limits or Limits(), ssl_context=ssl_context,
        never_waits=mode.never_waits, is_shared=is_shared,
    )  # fmt: skip
    server.start()
    try:
        yield server
    finally:
        server.drain(0.0)
        for thread in threads_of(name):
            thread.join(DEADLINE_S)
        assert not threads_of(name)


class Owned:
    """A socket that an application took over, with or without TLS; it waits."""

    def __init__(self, taken: "socket.socket | DetachedTlsSocket") -> None:
        self.taken = taken

    def receive(self) -> bytes:
        if isinstance(self.taken, socket.socket):
            return self.taken.recv(100)
        data = None
        while data is None:
            assert select.select([self.taken], [], [], DEADLINE_S)[0]
            data = self.taken.receive_now(Receiver(65536))
        return data


def refused(port: int) -> bool:
    """Whether new connections are refused by now."""
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except ConnectionError:
        return True
    return False


_numbers = iter(range(1_000_000))


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Method, path and body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode("latin-1") + body]


class Deferring:
    """An application that promises every answer; the test sends them."""

    def __init__(self) -> None:
        self._promised: SimpleQueue[tuple[DeferredResponse, bytes]] = SimpleQueue()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        answer = environ["raft_chat.defer"]()
        self._promised.put((answer, environ["wsgi.input"].read()))
        return answer

    def next(self) -> tuple[DeferredResponse, bytes]:
        """The next promise and its request's body."""
        return self._promised.get(timeout=DEADLINE_S)

    def none_promised(self) -> bool:
        return self._promised.empty()
