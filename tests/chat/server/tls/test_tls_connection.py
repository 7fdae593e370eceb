"""Connections over TLS: handshakes, plain text, records that break off, and the end of a session."""

import _ssl
import ctypes
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from chat.server.http import ChunkedBody
from chat.server.http_connection import CHUNKED_RECEIVE_BYTES, HttpConnection
from chat.server.limits import Limits
from chat.server.server import Server
from chat.server.tls import openssl
from chat.server.tls.session import WIRE_BYTES_MAX
from tests.chat.wire import DEADLINE_S, GET, WAIT, Client, echo, mode, post, serving, threads_of
from tests.support.certificates import certificates, client_context, own_context
from tests.support.tools import require
from tests.support.waiting import wait_until

# Where the ssl module is a part of the interpreter, OpenSSL cannot be called beside it.
needs_openssl = pytest.mark.usefixtures("openssl_library")

HELLO = b"GET /hello HTTP/1.1\r\nHost: chat.example:1\r\n\r\n"


@pytest.fixture
def openssl_library() -> None:
    require([] if hasattr(_ssl, "__file__") else ["an ssl module that is a library of its own"])


@pytest.fixture(params=["threads", "watched"], autouse=True)
def manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with a thread for each connection, and from the watch."""
    if request.param == "watched":
        monkeypatch.setattr(mode, "never_waits", lambda method, target: not target.startswith("/wait"))
    return str(request.param)


@contextmanager
def tls_server(app: Any = echo, limits: Limits | None = None) -> Iterator[Server]:
    with serving(app, limits=limits, ssl_context=own_context()) as server:
        yield server


def secure(client: Client, context: ssl.SSLContext | None = None) -> Client:
    """The client, with its hands shaken; it is told of a connection that breaks off."""
    client.socket = (context or client_context()).wrap_socket(
        client.socket, server_hostname="127.0.0.1", suppress_ragged_eofs=False
    )
    return client


class Bare:
    """A client whose encrypted bytes are in the test's hands."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self.wire = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (context or client_context()).wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wire.close()

    @property
    def address(self) -> int:
        return openssl.address_of(self._tls)

    def step(self) -> bytes:
        """What the next step of the handshake sends."""
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def take(self) -> None:
        data = self.wire.recv(65536)
        assert data, "closed"
        self._incoming.write(data)

    def shake_hands(self) -> bytes:
        """Do all but send the last flight, and return that."""
        self.wire.sendall(self.step())
        flight = b""
        while not flight:
            self.take()
            flight = self.step()
        return flight

    def encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            try:
                data += self._tls.read(65536)
            except ssl.SSLWantReadError:
                self.take()
        return data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_1_1_is_spoken_over_tls_1_2_and_1_3(version: ssl.TLSVersion) -> None:
    context = client_context(minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with tls_server() as server, Client(server.port) as client:
        secure(client, context)
        assert isinstance(client.socket, ssl.SSLSocket)
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.ask(post(b"a")).body == b"POST / a"
        assert client.ask(HELLO).body == b"GET /hello "


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_older_tls_is_refused_with_an_alert() -> None:
    old = client_context(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with tls_server() as server, Client(server.port) as client, pytest.raises(ssl.SSLError, match="ALERT"):
        secure(client, old)


def test_the_application_sees_https() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['wsgi.url_scheme']} {environ['raft_chat.peer_cert']}".encode()]

    with tls_server(app) as server, Client(server.port) as client:
        assert secure(client).ask(GET).body == b"https {}"


def test_a_server_that_asks_for_certificates_names_the_clients_to_the_application() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [repr(environ["raft_chat.peer_cert"]["subjectAltName"]).encode()]

    asking = own_context()
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificates() / "ca.crt")
    known = client_context()
    known.load_cert_chain(certificates() / "127.0.0.1.crt", certificates() / "127.0.0.1.key")
    with (
        serving(app, ssl_context=asking) as server,
        Client(server.port) as client,
        Client(server.port) as stranger,
    ):
        assert b"('URI', 'urn:raft-chat:member:1')" in secure(client, known).ask(GET).body
        with pytest.raises(ssl.SSLError, match="ALERT"):  # in TLS 1.3 the client has shaken hands before it is refused
            secure(stranger).ask(GET)


# Handshakes


def test_a_handshake_that_comes_byte_by_byte_is_taken() -> None:
    with tls_server() as server, Bare(server) as client:
        client.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.step():
            client.wire.sendall(bytes((byte,)))
        flight = b""
        while not flight:
            client.take()
            flight = client.step()
        for byte in flight + client.encrypt(HELLO):
            client.wire.sendall(bytes((byte,)))
        assert client.until(b"GET /hello ").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_", "end"),
    [(HELLO, b"GET /hello "), (HELLO + post(b"x" * 9000, b"/hello"), b"xx"), (WAIT, b"GET /wait ")],
    ids=["one", "two", "thread"],
)
def test_a_request_that_comes_with_the_handshakes_end_is_answered(request_: bytes, end: bytes) -> None:
    with tls_server() as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands() + client.encrypt(request_))
        assert client.until(end).startswith(b"HTTP/1.1 200")


def test_half_done_handshakes_hold_no_thread_and_end_at_their_deadline(manner: str) -> None:
    with tls_server(limits=Limits(head_deadline_s=0.5)) as server:
        before = len(threads_of(server.name))
        clients = [Bare(server) for _ in range(30)]
        for number, client in enumerate(clients):
            first = client.step()
            client.wire.sendall((b"", first[:1], first[:-1], first)[number % 4])
        with Client(server.port) as other:
            assert secure(other).ask(HELLO).status == 200
            if manner == "watched":
                assert len(threads_of(server.name)) <= before + 1
        for client in clients:
            while client.wire.recv(65536):
                pass
            client.wire.close()


def test_what_is_no_handshake_is_refused_with_an_alert(caplog: pytest.LogCaptureFixture) -> None:
    with tls_server() as server, Client(server.port) as client, Client(server.port) as other:
        client.send(b"\x16\x03\x01\x00\x05hello")
        assert client.rest()[:1] == b"\x15"  # an alert
        assert secure(other).ask(HELLO).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Plain text


@pytest.mark.parametrize("request_", [HELLO, post(b"x" * 100, b"/hello").replace(b"Host: a", b"Host: chat.example")])
def test_plain_http_is_sent_on_to_https(request_: bytes) -> None:
    with tls_server() as server, Client(server.port) as client:
        client.send(request_[:5])
        client.send(request_[5:])
        answer = client.response()
        assert answer.status == 308
        url = f"https://chat.example:{server.port}/hello"
        assert answer.headers["location"] == url
        assert url in answer.body.decode()
        assert answer.headers["cache-control"] == "no-store"
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),  # it names no host
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000, 414),
    ],
)
def test_what_is_neither_tls_nor_a_request_with_a_host_is_refused_in_words(data: bytes, status: int) -> None:
    with tls_server() as server, Client(server.port) as client:
        client.send(data)
        answer = client.response()
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"


# Records


@pytest.mark.parametrize("is_fast", [True, False])
def test_it_works_with_the_ssl_modules_own_calls_too(is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_fast:
        monkeypatch.setattr(openssl, "_functions", None)
    with tls_server() as server, Client(server.port) as client:
        secure(client)
        for size in (1, 1000, 16_000, 16_384, 16_385, 100_000):
            assert client.ask(post(b"x" * size)).body == b"POST / " + b"x" * size


@needs_openssl
def test_openssls_session_is_found_in_this_interpreter() -> None:
    session = own_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert openssl.address_of(session) > 0


def test_a_session_whose_context_was_changed_is_not_trusted_to_be_found() -> None:
    session = own_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)

    class Other:
        _sslobj = session._sslobj  # type: ignore[attr-defined]
        context = own_context()

    assert openssl.address_of(Other) == 0  # type: ignore[arg-type]


def test_a_record_that_was_changed_on_its_way_ends_the_connection_with_an_alert() -> None:
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        calls.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    with tls_server(app) as server, Bare(server) as client, Client(server.port) as other:
        client.wire.sendall(client.shake_hands() + client.encrypt(HELLO))
        client.until(b"GET /hello ")
        record = bytearray(client.encrypt(GET))
        record[-1] ^= 1
        client.wire.sendall(record)
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            client.until(b"never")
        assert secure(other).ask(HELLO).status == 200
    assert calls == ["/hello", "/hello"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_request_that_breaks_off_is_not_acted_on(whole: bool) -> None:
    done = threading.Event()
    bodies: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        bodies.append(environ["wsgi.input"].read())
        done.set()
        return echo(environ, start_response)

    request = post(b"transfer 1000")
    with tls_server(app) as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands() + client.encrypt(request if whole else request[:-1]))
        client.wire.shutdown(socket.SHUT_WR)  # as who cuts the line would
        while client.wire.recv(65536):
            pass
    assert bodies == ([b"transfer 1000"] if whole else [])


def test_the_end_of_a_session_is_told_behind_the_last_answer() -> None:
    closing = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with tls_server(limits=Limits(linger_s=0.2)) as server, Client(server.port) as client, Client(server.port) as idle:
        secure(client).send(closing)
        assert client.response().body == b"GET /hello "
        assert client.socket.recv(1) == b""  # and no error: it is the end, not a cut line
        assert secure(idle).ask(HELLO).status == 200
        idle.socket.settimeout(DEADLINE_S)
        server.drain(DEADLINE_S)
        assert idle.socket.recv(1) == b""


@needs_openssl
def test_a_client_cannot_renegotiate() -> None:
    renegotiate = ctypes.PyDLL(_ssl.__file__).SSL_renegotiate
    renegotiate.argtypes = (ctypes.c_void_p,)
    context = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    with tls_server() as server, Bare(server, context) as client, Client(server.port) as other:
        client.wire.sendall(client.shake_hands())
        client.take()
        client.step()
        assert renegotiate(client.address) == 1
        client.wire.sendall(client.step())
        with pytest.raises(ssl.SSLError, match="NO_RENEGOTIATION"):
            client.until(b"never")
        assert secure(other).ask(HELLO).status == 200


@needs_openssl
@pytest.mark.parametrize("asks", [False, True])
def test_a_client_may_change_its_key_and_ask_for_another(asks: bool) -> None:
    update = ctypes.PyDLL(_ssl.__file__).SSL_key_update
    update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    with tls_server() as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands() + client.encrypt(HELLO))
        client.until(b"GET /hello ")
        for _ in range(3):
            assert update(client.address, int(asks)) == 1
            client.wire.sendall(client.encrypt(HELLO))
            assert client.until(b"GET /hello ").startswith(b"HTTP/1.1 200")


def ends(client: Bare, data: bytes) -> bool:
    """Whether the server closes the connection, or resets it, after these bytes; waits for it."""
    try:
        client.wire.sendall(data)
        while client.wire.recv(65536):
            pass
    except ConnectionError:
        pass
    return True  # a time-out is raised


@needs_openssl
@pytest.mark.parametrize("asks", [False, True])
def test_a_client_that_only_changes_its_key_is_cut(asks: bool) -> None:
    update = ctypes.PyDLL(_ssl.__file__).SSL_key_update
    update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    with tls_server() as server, Bare(server) as client, Client(server.port) as other:
        client.wire.sendall(client.shake_hands() + client.encrypt(HELLO))
        client.until(b"GET /hello ")
        sent = b""
        while len(sent) < 4 * WIRE_BYTES_MAX:
            assert update(client.address, int(asks)) == 1
            sent += client.step()
        assert ends(client, sent)
        assert secure(other).ask(HELLO).status == 200


def test_a_client_whose_records_have_a_byte_each_is_served() -> None:
    with tls_server() as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands())
        request = post(b"x" * 2_000, b"/hello")
        client.wire.sendall(b"".join([client.encrypt(request[at : at + 1]) for at in range(len(request))]))
        assert client.until(b"x" * 2_000).startswith(b"HTTP/1.1 200")


# Bodies


def test_a_record_of_many_chunks_holds_the_poller_up_no_longer_than_without_tls(
    manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[int] = []
    feed = ChunkedBody.feed

    def noted(body: ChunkedBody, data: bytes) -> bytes | None:
        fed.append(len(data))
        return feed(body, data)

    monkeypatch.setattr(ChunkedBody, "feed", noted)
    head = b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"1\r\nx\r\n" * 2500  # nearly a record
    with tls_server() as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands() + client.encrypt(head))
        client.wire.sendall(client.encrypt(chunks))
        client.wire.sendall(client.encrypt(chunks + b"0\r\n\r\n" + HELLO))
        answers = client.until(b"GET /hello ")
    assert answers.count(b"HTTP/1.1 200") == 2
    assert b"POST /hello " + b"x" * 5000 + b"HTTP" in answers
    if manner == "watched":
        assert max(fed) <= CHUNKED_RECEIVE_BYTES


def test_a_client_that_stalls_within_its_chunks_holds_no_thread(manner: str) -> None:
    head = b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with tls_server() as server, Bare(server) as client:
        client.wire.sendall(client.shake_hands() + client.encrypt(head + b"1\r\nx\r\n" * 2000))
        if manner == "watched":
            (connection,) = server._open
            wait_until(lambda: has_collected(connection, 2000), DEADLINE_S, "all chunks are collected")
            wait_until(lambda: server._workers._idle == len(workers_of(server)), DEADLINE_S, "no thread is busy")
        client.wire.sendall(client.encrypt(b"0\r\n\r\n"))
        assert client.until(b"x").count(b"x") >= 1


def has_collected(connection: HttpConnection, size: int) -> bool:
    incoming = connection._incoming
    return incoming is not None and len(incoming.body.getvalue()) == size


def workers_of(server: Server) -> list[threading.Thread]:
    return [thread for thread in threads_of(server.name) if thread.name.endswith("worker")]


# Another certificate


def test_a_certificate_that_is_replaced_is_for_the_connections_that_come_later() -> None:
    with tls_server() as server, Client(server.port) as before, Client(server.port) as after:
        secure(before).ask(HELLO)
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        anonymous.maximum_version = ssl.TLSVersion.TLSv1_2
        anonymous.set_ciphers("aNULL:@SECLEVEL=0")
        server.ssl_context = anonymous
        with pytest.raises(ssl.SSLError):
            secure(after)
        assert before.ask(HELLO).status == 200
