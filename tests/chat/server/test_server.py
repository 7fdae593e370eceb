"""The server around the connections: how many there may be, how it drains, what no client can do to it."""

import json
import resource
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.serving import ThreadedWSGIServer

from chat.server.limits import Limits
from chat.server.server import Server
from tests.chat.wire import DEADLINE_S, GET, Client, Deferring, echo, post, refused, serving, threads_of
from tests.support.slicing import examples

pytestmark = pytest.mark.usefixtures("served")

StartResponse = Callable[..., Any]

EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"


def test_it_is_werkzeugs_threaded_server() -> None:
    assert issubclass(Server, ThreadedWSGIServer)


def test_a_port_that_is_taken_is_an_oserror_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(echo) as server, pytest.raises(OSError, match="in use"):
        Server(echo, "127.0.0.1", server.port, name="second")
    assert capsys.readouterr() == ("", "")


def test_a_server_that_is_never_started_can_be_drained() -> None:
    server = Server(echo, "127.0.0.1", 0, name="unstarted")
    server.drain(0.0)
    assert refused(server.port)


def test_every_thread_has_a_name() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [threading.current_thread().name.encode()]

    with serving(app) as server, Client(server.port) as client:
        assert client.ask(GET).body.startswith(f"{server.name}-".encode())
        assert {thread.name for thread in threads_of(server.name)} >= {f"{server.name}-server"}


def test_sixty_four_connections_are_reused() -> None:
    served: set[int] = set()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        served.add(environ["REMOTE_PORT"])
        return echo(environ, start_response)

    def ask_ten_times(client: Client) -> list[bytes]:
        with client:
            return [client.ask(post(b"%d" % n)).body for n in range(10)]

    with serving(app) as server, ThreadPoolExecutor(64) as pool:
        clients = [Client(server.port) for _ in range(64)]
        expected = [b"POST / %d" % n for n in range(10)]
        assert list(pool.map(ask_ten_times, clients)) == [expected] * 64
    assert len(served) == 64


# Bounds


def test_one_connection_too_many_is_a_503_and_closed() -> None:
    with serving(echo, limits=Limits(connections=2)) as server:
        with Client(server.port) as first, Client(server.port) as second:
            assert {first.ask(GET).status, second.ask(GET).status} == {200}
            with Client(server.port) as third:
                answer = third.response()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert json.loads(answer.body)["code"] == "too_many_connections"
                assert third.closed()
            assert first.ask(GET).status == 200
        eventually_served(server)


def test_when_it_is_full_the_address_that_holds_most_gives_way_to_others() -> None:
    with ExitStack() as stack, serving(echo, limits=Limits(connections=8)) as server:
        crowd = [stack.enter_context(Client(server.port)) for _ in range(8)]
        for client in crowd:
            assert client.ask(GET).status == 200
        one_more = stack.enter_context(Client(server.port))
        assert one_more.response().status == 503  # of the crowd's own address
        other = stack.enter_context(Client(server.port, source="127.0.0.2"))
        assert other.ask(GET).status == 200
        assert other.ask(GET).status == 200
        assert crowd[0].closed()  # the longest idle


def test_when_it_is_full_some_room_is_kept_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.server.server.EVICTED_AT_ONCE", 0)
    limits = Limits(connections=2, operator_spare=1)
    with ExitStack() as stack, serving(echo, limits=limits) as server:

        def ask(source: str) -> int:
            return stack.enter_context(Client(server.port, source=source)).ask(GET).status

        assert [ask(source) for source in ("127.0.0.2", "127.0.0.3")] == [200, 200]
        assert ask("127.0.0.4") == 503
        assert [ask("127.0.0.1") for _ in range(2)] == [200, 503]


def test_a_proxys_connections_do_not_give_way() -> None:
    is_proxy = "127.0.0.1".__eq__
    with ExitStack() as stack, serving(echo, limits=Limits(connections=4), is_shared=is_proxy) as server:
        proxy = [stack.enter_context(Client(server.port)) for _ in range(4)]
        for client in proxy:
            assert client.ask(GET).status == 200
        other = stack.enter_context(Client(server.port, source="127.0.0.2"))
        assert other.response().status == 503
        assert [client.ask(GET).status for client in proxy] == [200] * 4


def eventually_served(server: Server) -> None:
    """Closed connections make room; the server sees them closed when it does."""
    with server._ended:
        assert server._ended.wait_for(lambda: len(server._open) < 2, DEADLINE_S)
    with Client(server.port) as client:
        assert client.ask(GET).status == 200


def test_connections_stay_below_the_limit_of_descriptors() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(echo, limits=Limits(spare_descriptors=soft)) as server, Client(server.port) as client:
        assert client.response().status == 503


def test_a_server_that_is_out_of_descriptors_does_not_spin_says_so_once_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(echo) as server, socket.socket() as client:
        with no_descriptors():
            client.connect(("127.0.0.1", server.port))
            client.sendall(GET)
            client.settimeout(0.35)
            with pytest.raises(TimeoutError):
                client.recv(1)
        client.settimeout(DEADLINE_S)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert caplog.text.count("cannot accept") == 1


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        next_free = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def tls(protocol: int) -> ssl.SSLContext:
    anonymous = ssl.SSLContext(protocol)
    anonymous.check_hostname = False
    anonymous.verify_mode = ssl.CERT_NONE
    anonymous.maximum_version = ssl.TLSVersion.TLSv1_2
    anonymous.set_ciphers("aNULL:@SECLEVEL=0")  # no certificate needed
    return anonymous


def test_answers_are_deferred_over_tls() -> None:
    app = Deferring()
    with (
        serving(app, ssl_context=tls(ssl.PROTOCOL_TLS_SERVER)) as server,
        Client(server.port) as client,
        Client(server.port) as other,
    ):
        client.socket = tls(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(client.socket)
        other.socket = tls(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(other.socket)
        client.send(post(b"1") + post(b"2"))
        answer, body = app.next()
        assert (body, app.none_promised()) == (b"1", True)
        other.send(post(b"3"))
        app.next()[0].send(200, [], b"x" * 100_000)
        assert other.response().body == b"x" * 100_000
        answer.send(200, [], body)
        assert client.response().body == b"1"
        app.next()[0].send(500, [("Connection", "close")], b"failed")
        response = client.response()
        assert (response.status, response.body) == (500, b"failed")
        assert client.rest() == b""


def test_over_tls_an_overdue_answer_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    app = Deferring()
    with (
        serving(app, limits=Limits(answer_s=0.1), ssl_context=tls(ssl.PROTOCOL_TLS_SERVER)) as server,
        Client(server.port) as client,
    ):
        client.socket = tls(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(client.socket)
        client.send(GET + GET)
        answer, body = app.next()
        assert client.rest() == b""
        answer.send(200, [], body)  # nobody is there
    assert "was not sent in 0.1 s" in caplog.text


def test_a_client_that_is_mute_in_the_tls_handshake_holds_nobody_up_and_is_cut() -> None:
    limits = Limits(head_deadline_s=0.5)
    with (
        serving(echo, limits=limits, ssl_context=tls(ssl.PROTOCOL_TLS_SERVER)) as server,
        Client(server.port) as mute,
        Client(server.port) as client,
    ):
        client.socket = tls(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(client.socket)
        assert client.ask(post(b"a")).body == b"POST / a"
        assert client.ask(GET).status == 200
        mute.rest()  # an alert, perhaps, and the end


@pytest.mark.parametrize("linger", [(0, 0), (1, 0)])  # a clean end, and a reset
def test_the_end_of_a_connection_is_told_once(linger: tuple[int, int]) -> None:
    ended: SimpleQueue[str] = SimpleQueue()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        environ["raft_chat.connection"]["on_end"] = lambda: ended.put(environ["RAW_URI"])
        start_response("200 OK", [])
        return [b""]

    with serving(app) as server:
        with Client(server.port) as client:
            client.ask(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
            client.ask(b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
            assert ended.empty()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", *linger))
        assert ended.get(timeout=DEADLINE_S) == "/second"
    assert ended.empty()


# Draining


def test_draining_closes_idle_connections_and_refuses_new_ones() -> None:
    with serving(echo) as server, Client(server.port) as idle, Client(server.port) as fresh:
        idle.ask(GET)
        began_s = monotonic()
        server.drain(DEADLINE_S)
        assert monotonic() - began_s < DEADLINE_S, "a connection without a request was waited for"
        assert idle.closed() and fresh.closed()
        assert refused(server.port)


def test_of_clients_that_wait_in_a_row_none_is_taken_in_once_it_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(echo, "127.0.0.1", 0, name="draining")
    taken: list[socket.socket] = []

    def take(request: socket.socket, client_address: object) -> None:
        taken.append(request)
        server.draining = len(taken) == 3

    monkeypatch.setattr(server, "process_request", take)
    clients = [Client(server.port) for _ in range(5)]
    server._accept()
    assert len(taken) == 3
    for opened in (*taken, *(client.socket for client in clients)):
        opened.close()
    server.drain(0.0)


def test_draining_finishes_requests_and_deferred_answers_that_are_in_flight() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as deferred, Client(server.port) as half:
        assert half.ask(EXPECTING).status == 100
        deferred.send(GET)
        answer, _ = app.next()
        drained = threading.Thread(target=server.drain, args=(DEADLINE_S,), name="drain")
        drained.start()
        while not refused(server.port):
            pass
        answer.send(200, [], b"in time")
        response = deferred.response()
        assert (response.headers["connection"], response.body) == ("close", b"in time")
        assert deferred.closed()
        half.send(b"abc")
        answer, body = app.next()
        answer.send(200, [], body)
        assert half.response().body == b"abc"
        drained.join(DEADLINE_S)
        assert not drained.is_alive()


def test_draining_cuts_at_its_deadline_what_is_not_finished() -> None:
    app = Deferring()
    with serving(app, limits=Limits(answer_s=0.5)) as server, Client(server.port) as client:
        client.send(GET)
        answer, _ = app.next()
        server.drain(0.0)
        assert client.closed()
        answer.send(200, [], b"too late")


# Real clients, and none at all


def test_curl_posts_and_gets_on_one_connection() -> None:
    with serving(echo) as server:
        url = f"http://127.0.0.1:{server.port}/rooms/general"
        show = ["-s", "-S", "-w", " %{http_code} %{num_connects}\n"]
        large = "x" * 100_000
        command = ["curl", *show, url, "-d", "{}", "--next", *show, url, "--next", *show, url, "-d", large]
        command += ["-H", "Expect: 100-continue", "--next", *show, url, "-d", "ab", "-H", "Transfer-Encoding: chunked"]
        command += ["--next", *show, "-I", url]
        run = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=True, text=True)
        posted, got, large_posted, chunked, *_, head = run.stdout.splitlines()
        assert posted == "POST /rooms/general {} 200 1"
        assert got == "GET /rooms/general  200 0"
        assert large_posted == f"POST /rooms/general {large} 200 0"
        assert chunked == "POST /rooms/general ab 200 0"
        assert head == " 200 0"


# A good request among them, so that mutations reach deep; the rest of the alphabet is what heads are made of.
GOOD = post(b"abc") + b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"0", b"Host: b\r\n", b"Content-Length: 1\r\n", b"\x00"])
MUTATION = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 6), PIECES | st.binary(max_size=4))


def mutated(mutations: list[tuple[int, int, bytes]]) -> bytes:
    data = GOOD
    for at, length, piece in mutations:
        data = data[:at] + piece + data[at + length :]
    return data


@pytest.fixture(scope="module")
def victim() -> Iterator[Server]:
    """It outlives thousands of clients; at its end no thread of its may be left."""
    with serving(echo) as server:
        yield server


@settings(max_examples=examples(300), deadline=DEADLINE_S * 1000)
@given(data=st.binary(max_size=300) | st.lists(MUTATION, min_size=1, max_size=4).map(mutated))
def test_no_bytes_hang_the_server_or_make_it_fail(victim: Server, data: bytes) -> None:
    with Client(victim.port) as client:
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.rest()
    assert b"HTTP/1.1 5" not in answer
    assert not answer or answer.startswith(b"HTTP/1.1 ")


def test_after_all_that_the_server_still_answers(victim: Server) -> None:
    with Client(victim.port) as client:
        assert client.ask(GET).status == 200
