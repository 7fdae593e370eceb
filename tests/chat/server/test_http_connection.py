"""One connection over a real socket: keep-alive, limits, deadlines, failing applications, CPU slots."""

import itertools
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chat.server.limits import Limits
from tests.chat.wire import DEADLINE_S, GET, WAIT, Client, echo, post, serving

pytestmark = pytest.mark.usefixtures("served_and_over_tls")

StartResponse = Callable[..., Any]

LARGE = b"0123456789abcdef" * 500_000  # more than the kernel buffers for a client that does not read
STOPPED = Limits(write_deadline_s=0.1, write_bytes_s=1_000_000_000)  # no time is granted for the length

PROBLEM = ("type", "title", "status", "detail", "code")


def test_a_connection_is_kept_alive_without_delay() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        nodelay = environ["werkzeug.socket"].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return [f"{nodelay} {environ['REMOTE_PORT']}".encode()]

    with serving(app) as server, Client(server.port) as client:
        port = client.socket.getsockname()[1]
        assert [client.ask(GET).body for _ in range(3)] == [f"1 {port}".encode()] * 3


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving(echo) as server, Client(server.port) as client:
        client.send(post(b"a") + GET + post(b"b", b"/x%20y") + b"\r\n" + GET)
        assert [client.response().body for _ in range(4)] == [b"POST / a", b"GET / ", b"POST /x y b", b"GET / "]


def test_a_request_may_arrive_byte_by_byte() -> None:
    with serving(echo) as server, Client(server.port) as client:
        for byte in post(b"abc"):
            client.send(bytes([byte]))
        assert client.response().body == b"POST / abc"


def test_http_1_0_and_connection_close_end_the_connection() -> None:
    with serving(echo) as server:
        for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
            with Client(server.port) as client:
                assert client.ask(request).headers["connection"] == "close"
                assert client.closed()


def test_what_wsgi_names_is_in_environ() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]

    with serving(app) as server, Client(server.port) as client:
        answer = client.ask(b"GET http://h:1/a%2Fb?c=%20 HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n\r\n")
        assert json.loads(answer.body).items() >= {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/a/b",
            "QUERY_STRING": "c=%20",
            "RAW_URI": "/a%2Fb?c=%20",
            "HTTP_HOST": "h:1",
            "HTTP_USER_AGENT": "me",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_PORT": str(server.port),
            "REMOTE_ADDR": "127.0.0.1",
        }.items()  # fmt: skip


# Limits


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nGET", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 9000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: money\r\n\r\n", 417),
    ],
)
def test_a_refused_request_gets_a_problem_and_the_connection_is_closed(request_bytes: bytes, status: int) -> None:
    with serving(echo) as server, Client(server.port) as client:
        client.send(request_bytes + GET)
        answer = client.response()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.headers["content-type"] == "application/problem+json"
        problem = json.loads(answer.body)
        assert problem["status"] == status and problem.keys() == {*PROBLEM, "request_id"}
        assert client.closed()


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nb\r\n"]
)
def test_a_body_over_the_limit_is_refused_before_it_is_sent(framing: bytes) -> None:
    with serving(echo, limits=Limits(body_bytes=10)) as server, Client(server.port) as client:
        assert client.ask(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing).status == 413
        assert client.closed()


def test_what_follows_a_refusal_is_drained_so_that_the_refusal_is_not_lost() -> None:
    with serving(echo, limits=Limits(body_bytes=10)) as server, Client(server.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50000)
        assert client.response().status == 413


def test_a_body_of_a_mebibyte_is_drained_so_that_a_proxy_sees_the_413() -> None:
    body = b"x" * 1024 * 1024
    with serving(echo) as server, Client(server.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 32 * 1024):  # a server that stops to read resets, and the next send fails
            client.send(body[start : start + 32 * 1024])
        assert client.response().status == 413


def test_large_bodies_have_a_limit_together_and_give_it_back() -> None:
    limits = Limits(body_bytes=200_000, large_bodies_bytes=250_000)
    with serving(echo, limits=limits) as server, Client(server.port) as first, Client(server.port) as second:
        body = b"x" * 150_000
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\nExpect: 100-continue\r\n\r\n"
        assert first.ask(head).status == 100
        refused = second.ask(head)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert first.ask(body).body == b"POST / " + body
        assert first.ask(head).status == 100


def test_continue_is_said_to_who_waits_for_it() -> None:
    with serving(echo) as server, Client(server.port) as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        assert client.ask(head).status == 100
        assert client.ask(b"abc").body == b"POST / abc"
        assert client.ask(head + b"abc").body == b"POST / abc"  # it did not wait


def test_a_chunked_body_is_taken_off_its_coding() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        assert "HTTP_TRANSFER_ENCODING" not in environ
        return [environ["CONTENT_LENGTH"].encode(), b" ", environ["wsgi.input"].read()]

    with serving(app) as server, Client(server.port) as client:
        request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        client.send(request[:-9])
        client.send(request[-9:] + request)  # the same head twice
        assert [client.response().body for _ in range(2)] == [b"5 abcde"] * 2


# Deadlines


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"]
)
@pytest.mark.parametrize("drip", [True, False])
def test_a_head_and_a_body_have_a_total_deadline_that_dripping_does_not_move(start: bytes, drip: bool) -> None:
    limits = Limits(head_deadline_s=0.2, body_deadline_s=0.2)
    with serving(echo, limits=limits) as server, Client(server.port) as client:
        client.send(start)
        client.socket.settimeout(0.01)
        answer = b""
        for _ in range(1000):
            if drip:
                client.send(b"a")
            try:
                answer = client.socket.recv(100)
            except TimeoutError:
                continue
            break
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("requests", [0, 1])
def test_a_silent_connection_is_closed(requests: int) -> None:
    with (
        serving(echo, limits=Limits(head_deadline_s=0.1, idle_s=0.1)) as server,
        Client(server.port) as client,
    ):
        for _ in range(requests):
            client.ask(GET)
        assert client.closed()


def test_a_client_that_does_not_read_its_answer_is_cut() -> None:
    cut = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            return itertools.repeat(b"x" * 100_000)

        def close(self) -> None:
            cut.set()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Endless:
        start_response("200 OK", [])
        return Endless()

    with serving(app, limits=STOPPED) as server, Client(server.port) as client:
        client.send(WAIT)
        assert cut.wait(DEADLINE_S)


# The same head, but for its length


def lengths(*values: bytes) -> list[bytes]:
    return [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %b" % value for value in values]


def test_requests_that_differ_in_their_length_only_have_their_own_bodies() -> None:
    with serving(echo) as server, Client(server.port) as client:
        for body in (b"abc", b"", b"abcdefgh" * 50, b"x", b"abc"):
            answer = client.ask(lengths(b"%d" % len(body))[0] + b"\r\n\r\n" + body)
            assert (answer.status, answer.body) == (200, b"POST / " + body)


@pytest.mark.parametrize(
    "head",
    [
        *lengths(b"+5", b"5 ", b" 5", b"5_0", b"\xb2", b"9" * 16, b"5\r\nContent-Length: 5", b"5\r\n5", b"0x5", b"-1"),
        b"POST / HTTP/1.1\r\nHost: a\r\n5",
    ],
)
def test_a_length_that_is_none_is_refused_after_good_ones_too(head: bytes) -> None:
    for before in (b"", post(b"hello"), GET):
        with serving(echo) as server, Client(server.port) as client:
            if before:
                assert client.ask(before).status == 200
            client.send(head + b"\r\n\r\nhello")
            assert client.response().status in ((200,) if head.strip() in lengths(b"5", b" 5") else (400, 413))


# Failing applications


def test_an_application_that_fails_is_a_500_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        raise LookupError("the secret")

    with serving(app) as server, Client(server.port) as client:
        answer = client.ask(GET)
        assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
        assert b"secret" not in answer.body
        assert client.closed()
    assert "LookupError: the secret" in caplog.text


@pytest.mark.parametrize("protocol", [b"HTTP/1.1", b"HTTP/1.0"])
def test_an_answer_that_had_begun_is_visibly_cut(protocol: bytes, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"abc"
        raise LookupError

    with serving(app) as server, Client(server.port) as client:
        client.send(b"GET /wait " + protocol + b"\r\nHost: a\r\n\r\n")
        if protocol == b"HTTP/1.1":
            assert client.rest().endswith(b"\r\n\r\n3\r\nabc\r\n")  # no last chunk
        else:
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                list(iter(lambda: client.socket.recv(100), b""))


# CPU slots


def test_the_gate_is_open_while_a_body_is_read_and_while_an_application_waits() -> None:
    go = threading.Event()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            with environ["raft_chat.off_cpu"]():
                assert go.wait(DEADLINE_S)
        return echo(environ, start_response)

    with (
        serving(app, cpu_slots=1) as server,
        Client(server.port) as waiting,
        Client(server.port) as sending,
        Client(server.port) as client,
    ):
        waiting.send(post(b"", b"/wait"))
        sending.send(post(b"ab")[:-1])
        assert client.ask(GET).status == 200
        go.set()
        assert waiting.response().status == 200


def test_the_gate_bounds_how_many_applications_run_at_once() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        answer = echo(environ, start_response)
        with lock:
            inside -= 1
        return answer

    with serving(app, cpu_slots=2) as server:
        clients = [Client(server.port) for _ in range(8)]
        for client in clients:
            client.send(GET * 20)
        for client in clients:
            with client:
                assert {client.response().status for _ in range(20)} == {200}
    assert 1 <= most <= 2


def test_nothing_is_logged_for_clients_that_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with serving(echo) as server:
        for data in (b"", b"GET", GET[:-2], post(b"abc")[:-1], GET):
            with Client(server.port) as client:
                client.send(data)
    assert caplog.text == ""
