"""Answers that another thread sends, and connections that the application takes over, over real sockets."""

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from queue import SimpleQueue
from typing import Any

import pytest

from chat.server.limits import Limits
from chat.server.responses import BrokenApplication
from tests.chat.wire import DEADLINE_S, GET, Client, Deferring, Owned, post, serving

pytestmark = pytest.mark.usefixtures("served_and_over_tls")

StartResponse = Callable[..., Any]

LARGE = b"0123456789abcdef" * 500_000  # more than the kernel buffers for a client that does not read
STOPPED = Limits(write_deadline_s=0.1, write_bytes_s=1_000_000_000)  # no time is granted for the length


def test_a_deferred_answer_is_sent_by_any_thread_and_the_connection_goes_on() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        for number in range(3):
            client.send(post(b"%d" % number))
            answer, body = app.next()
            answer.send(201, [("X", "y")], b"got " + body)
            response = client.response()
            assert (response.status, response.body) == (201, b"got %d" % number)
            assert response.headers.keys() == {"x", "content-length", "date"}


def test_a_pipelined_request_waits_for_the_deferred_answer_before_it() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(post(b"1") + post(b"2"))
        first, body = app.next()
        assert body == b"1" and app.none_promised()
        first.send(200, [], b"a")
        second, body = app.next()
        assert body == b"2"
        second.send(200, [], b"b")
        assert [client.response().body for _ in range(2)] == [b"a", b"b"]


def test_a_malformed_request_is_refused_only_after_the_deferred_answer_before_it() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(GET + b"nonsense\r\n\r\n")
        app.next()[0].send(204, [], b"")
        assert [client.response().status for _ in range(2)] == [204, 400]
        assert client.closed()


def test_head_and_http_1_0_hold_for_deferred_answers_too() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        app.next()[0].send(200, [], b"abc")
        assert client.response(head_only=True).headers["content-length"] == "3"
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        app.next()[0].send(200, [], b"abc")
        assert client.response().headers["connection"] == "close"
        assert client.closed()


def test_an_answer_that_closes_is_the_last() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(GET + GET)
        app.next()[0].send(200, [("Connection", "close")], b"")
        assert client.response().status == 200
        assert client.closed() and app.none_promised()


def test_a_client_that_has_ended_its_requests_still_gets_its_answer() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(GET)
        client.end_requests()
        app.next()[0].send(200, [], b"late")
        assert client.response().body == b"late"


def test_a_deferred_answer_to_a_closed_connection_goes_nowhere() -> None:
    app = Deferring()
    with serving(app) as server:
        with Client(server.port) as client:
            client.send(GET)
            answer, _ = app.next()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets
        answer.send(200, [], b"x")
        with Client(server.port) as other:
            other.send(GET)
            app.next()[0].send(200, [], b"y")
            assert other.response().body == b"y"


def test_an_answer_that_is_never_sent_costs_the_connection_and_then_goes_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Deferring()
    with serving(app, limits=Limits(answer_s=0.1)) as server, Client(server.port) as client:
        client.send(GET + GET)
        answer, _ = app.next()
        assert client.closed()
        answer.send(200, [], b"x")
    assert "was not sent in 0.1 s" in caplog.text


def test_a_slow_reader_of_a_large_deferred_answer_blocks_nobody() -> None:
    app = Deferring()
    with (
        serving(app) as server,
        Client(server.port, receive_buffer=65536) as slow,
        Client(server.port) as quick,
    ):
        slow.send(GET + GET)
        app.next()[0].send(200, [], LARGE)  # returns, though nothing is read
        quick.send(GET)
        app.next()[0].send(200, [], b"quick")
        assert quick.response().body == b"quick"
        assert app.none_promised()
        assert slow.response().body == LARGE
        app.next()[0].send(200, [], b"next")
        assert slow.response().body == b"next"


def test_a_rest_that_is_sent_before_it_is_noted_to_be_in_the_backlog_does_not_stay_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port, receive_buffer=65536) as client:
        put = server.send_queue.put

        def put_and_lose_the_race(connection: Any, data: memoryview, close: bool) -> bool:
            taken = put(connection, data, close)
            if connection.response_lock.acquire(timeout=0.2):  # the loop is through with it: that is the race
                connection.response_lock.release()
            return taken

        monkeypatch.setattr(server.send_queue, "put", put_and_lose_the_race)
        client.send(GET)
        answer, _ = app.next()
        sender = threading.Thread(target=answer.send, args=(200, [], LARGE), name="sender")
        sender.start()
        assert client.response().body == LARGE
        sender.join(DEADLINE_S)
        client.socket.close()
        server_let_go(server)


@pytest.mark.parametrize("limits", [STOPPED, Limits(send_queue_bytes=1000)])
def test_a_deferred_answer_that_is_not_read_has_a_deadline_and_a_limit(limits: Limits) -> None:
    app = Deferring()
    with serving(app, limits=limits) as server, Client(server.port, receive_buffer=4096) as client:
        client.send(GET)
        app.next()[0].send(200, [], LARGE)
        server_let_go(server)


def server_let_go(server: Any) -> None:
    """Wait until no connection is left."""
    with server._ended:
        assert server._ended.wait_for(lambda: not server._open, DEADLINE_S)


def test_a_promise_that_the_application_did_not_return_is_revoked() -> None:
    promised: SimpleQueue[Any] = SimpleQueue()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        promised.put(environ["raft_chat.defer"]())
        start_response("422 Unprocessable", [])
        return [b"at once"]

    with serving(app) as server, Client(server.port) as client:
        assert client.ask(GET).body == b"at once"
        promised.get().send(200, [], b"too late")
        assert client.ask(GET).status == 422


def test_an_answer_with_a_broken_head_is_a_500_and_its_senders_error() -> None:
    app = Deferring()
    with serving(app) as server, Client(server.port) as client:
        client.send(GET)
        answer, _ = app.next()
        with pytest.raises(BrokenApplication):
            answer.send(200, [("X", "a\r\nb")], b"")
        assert client.response().status == 500


# Detached connections


def test_a_detached_socket_is_the_applications_with_what_was_read_ahead() -> None:
    detached: SimpleQueue[tuple[Any, bytes]] = SimpleQueue()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        detached.put((environ["raft_chat.detach"](), environ["raft_chat.read_ahead"]))
        return []

    with serving(app) as server, Client(server.port) as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\nread ahead")
        owned, read_ahead = detached.get(timeout=DEADLINE_S)
        with closing(owned):
            server_let_go(server)
            assert read_ahead == b"read ahead"
            server.drain(0.0)
            client.send(b"ping")
            assert Owned(owned).receive() == b"ping"
            owned.send(b"pong")
            assert client.socket.recv(100) == b"pong"  # and nothing before it
