"""Connections that wait for their clients share threads, and a batch of requests is finished as one."""

import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from chat.serving import Server
from tests.chat.wire import DEADLINE_S, GET, WAIT, Client, mode, post, serving, threads_of

StartResponse = Callable[..., Any]


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "never_waits", lambda method, target: not target.startswith("/wait"))


def name_of_thread(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [threading.current_thread().name.encode()]


def test_quiet_connections_have_no_threads_and_share_the_readers() -> None:
    with serving(name_of_thread) as server:
        clients = [Client(server.port) for _ in range(50)]
        for _ in range(3):
            served_by = {client.ask(GET).body for client in clients}
            assert served_by <= {f"{server.name}-reader-{n}".encode() for n in (1, 2)}
        assert len(threads_of(server.name)) == 3  # and the loop
        for client in clients:
            client.socket.close()


def test_what_may_wait_has_a_thread_and_the_connection_comes_back() -> None:
    with serving(name_of_thread) as server, Client(server.port) as client:
        for _ in range(3):
            assert b"reader" in client.ask(GET).body
            assert b"worker" in client.ask(WAIT).body
        assert b"reader" in client.ask(post(b"x")).body


@pytest.mark.parametrize("cut", [1, 20, len(post(b"hello")) - 1])
def test_a_request_that_arrives_in_pieces_has_a_thread_and_is_answered(cut: int) -> None:
    with serving(name_of_thread) as server, Client(server.port) as client:
        assert b"reader" in client.ask(GET).body
        request = post(b"hello")
        client.send(request[:cut])
        with Client(server.port) as other:  # by the time that this one is served, the pieces have been seen
            assert b"reader" in other.ask(GET).body
        assert b"worker" in client.ask(request[cut:]).body
        assert b"reader" in client.ask(GET).body


def test_a_connection_that_becomes_the_applications_has_left_the_watch_before() -> None:
    taken: SimpleQueue[tuple[str, socket.socket, bytes, bool]] = SimpleQueue()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        assert server._watch is not None
        owned = environ["raft_chat.detach"]()
        watched = owned.fileno() in server._watch._watched
        taken.put((threading.current_thread().name, owned, environ["raft_chat.read_ahead"], watched))
        return []

    with serving(app) as server, Client(server.port) as client:
        client.send(GET + b"read ahead")
        thread, owned, read_ahead, watched = taken.get(timeout=DEADLINE_S)
        assert (b"reader" in thread.encode(), read_ahead, watched) == (True, b"read ahead", False)
        with owned, server._ended:
            assert server._ended.wait_for(lambda: not server._open, DEADLINE_S)
        assert client.socket.recv(1) == b""


def test_while_an_application_waits_the_others_are_served() -> None:
    go = threading.Event()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            assert go.wait(DEADLINE_S)
        return name_of_thread(environ, start_response)

    with serving(app) as server, Client(server.port) as waiting, Client(server.port) as client:
        waiting.send(WAIT)
        assert client.ask(GET).status == 200
        go.set()
        assert waiting.response().status == 200


def test_a_batch_is_finished_while_another_reader_listens() -> None:
    """The first reader is kept by what it finishes; the other one serves, and finishes too."""
    finishing: SimpleQueue[str] = SimpleQueue()
    go = threading.Event()

    def finish() -> None:
        finishing.put(threading.current_thread().name)
        assert go.wait(DEADLINE_S)

    server = Server(
        name_of_thread, "127.0.0.1", 0, name="finishing", never_waits=lambda m, t: True, finish_batch=finish
    )
    server.start()
    try:
        with Client(server.port) as first, Client(server.port) as second:
            by_first, by_second = first.ask(GET).body, second.ask(GET).body
            assert by_first != by_second
            assert {finishing.get(timeout=DEADLINE_S), finishing.get(timeout=DEADLINE_S)} == {
                by_first.decode(), by_second.decode()
            }  # fmt: skip
            go.set()
    finally:
        go.set()
        server.drain(0.0)


def test_a_thousand_connections_that_close_leave_nothing_behind() -> None:
    with serving(name_of_thread) as server:
        for _ in range(20):
            clients = [Client(server.port) for _ in range(50)]
            assert all(client.ask(GET).status == 200 for client in clients)
            for client in clients:
                client.socket.close()
        with server._ended:
            assert server._ended.wait_for(lambda: not server._open, DEADLINE_S)
        assert server._watch is not None
        assert server._watch._watched == {}


def test_a_reader_that_fails_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """`finish` fails as nobody thought of: each request is answered all the same, by readers that live."""

    def finish() -> None:
        raise ValueError("what nobody thought of")

    server = Server(name_of_thread, "127.0.0.1", 0, name="failing", never_waits=lambda m, t: True, finish_batch=finish)
    server.start()
    try:
        with Client(server.port) as client:
            assert all(client.ask(GET).status == 200 for _ in range(10))
    finally:
        server.drain(0.0)
    assert caplog.text.count("a reader failed, and goes on") >= 9
