"""Connections that wait for their clients share threads, and a batch of requests is finished as one."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Any

import pytest

from chat.server.http import check_partial_head
from chat.server.limits import Limits
from chat.server.poller import EVENTS_MAX, RESTRAINED_MAX, Poller
from chat.server.server import Server
from chat.server.sockets import Receiver
from tests.chat.wire import DEADLINE_S, GET, WAIT, Client, mode, post, serving, threads_of
from tests.support.waiting import wait_until

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
def test_a_request_that_arrives_in_pieces_needs_no_thread(cut: int) -> None:
    with serving(name_of_thread) as server, Client(server.port) as client:
        assert b"reader" in client.ask(GET).body
        request = post(b"hello")
        client.send(request[:cut])
        with Client(server.port) as other:  # by the time that this one is served, the pieces have been seen
            assert b"reader" in other.ask(GET).body
        assert b"reader" in client.ask(request[cut:]).body
        assert b"reader" in client.ask(GET).body


HALVES = {
    "a byte": b"G",
    "a line's end": b"\r\n",
    "half a head": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le",
    "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    "half a body of what may wait": b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    "half a larger body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + b"x" * 20_000,
    "half a chunked body": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    "a larger body that waits for leave": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n"
    b"Expect: 100-continue\r\n\r\n",
    "a head that waits for leave": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_requests_of_which_half_has_arrived_hold_no_thread_each(half: bytes) -> None:
    with serving(name_of_thread) as server:
        clients = [Client(server.port) for _ in range(50)]
        for client in clients:
            client.send(half)
        with Client(server.port) as other:  # by the time that this one is served, the halves have been seen
            assert b"reader" in other.ask(GET).body
        assert len(threads_of(server.name)) == 3
        for client in clients:
            client.socket.close()


LATE = ("half a head", "half a body", "half a larger body", "half a chunked body")


@pytest.mark.parametrize("half", [HALVES[name] for name in LATE], ids=LATE)
def test_the_rest_of_a_request_is_waited_for_until_its_deadline(half: bytes) -> None:
    limits = Limits(head_deadline_s=0.3, body_deadline_s=0.3)
    with serving(name_of_thread, limits=limits) as server, Client(server.port) as client:
        client.send(half)
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def body_of(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    body = environ["wsgi.input"].read()
    assert environ["CONTENT_LENGTH"] == str(len(body))
    assert "HTTP_TRANSFER_ENCODING" not in environ
    return [b"%d " % len(body), body[-5:]]


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("cut", [10, 200, 15_000, 30_000])
@pytest.mark.parametrize(
    "request_",
    [post(b"x" * 50_000 + b"large"), CHUNKED + b"1\r\nx\r\n" * 6_000 + b"5\r\nlarge\r\n0\r\n\r\n"],
    ids=["of a length", "chunked"],
)
def test_a_larger_body_that_arrives_in_pieces_is_whole_and_the_connection_goes_on(request_: bytes, cut: int) -> None:
    with serving(body_of) as server, Client(server.port) as client:
        for _ in range(2):
            client.send(request_[:cut])
            with Client(server.port) as other:
                assert other.ask(post(b"hello")).body == b"5 hello"
            answer = client.ask(request_[cut:] + post(b"behind"))
            assert (answer.status, answer.body[-5:]) == (200, b"large")
            assert client.response().body == b"6 ehind"


def test_a_chunked_body_that_is_none_is_refused_wherever_that_is_seen() -> None:
    with serving(body_of) as server:
        for first, rest in ((b"xyz\r\n", b""), (b"2\r\nab", b"cd\r\n")):
            with Client(server.port) as client:
                client.send(CHUNKED + first)
                with Client(server.port) as other:
                    other.ask(post(b"hello"))
                client.send(rest)
                assert client.response().status == 400


def test_half_sent_bodies_of_one_address_do_not_use_up_what_all_bodies_may_take() -> None:
    half = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + b"x" * 20_000
    with ExitStack() as stack, serving(body_of, limits=Limits(large_bodies_bytes=100_000)) as server:
        strangers = [stack.enter_context(Client(server.port, source="127.0.0.2")) for _ in range(2)]
        for stranger in strangers:
            stranger.send(half)
        other = stack.enter_context(Client(server.port, source="127.0.0.3"))
        assert other.ask(post(b"x" * 40_000)).status == 200
        assert strangers[0].closed(), "the one that has been here longest gives way"


@pytest.mark.parametrize("half", [HALVES["half a larger body"], HALVES["half a chunked body"]])
def test_where_each_connection_has_a_thread_half_sent_bodies_give_way_too(
    half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mode, "never_waits", None)
    with ExitStack() as stack, serving(body_of, limits=Limits(connections=4)) as server:
        for _ in range(4):
            stack.enter_context(Client(server.port, source="127.0.0.2")).send(half)
        while stack.enter_context(Client(server.port, source="127.0.0.3")).ask(post(b"hello")).status != 200:
            pass  # the server has not come to receive one of the bodies yet


class Ready:
    """A connection whose request is there; serving it takes it in."""

    def __init__(self, network: str, served: list[str], *, asks_again: bool = False) -> None:
        self.network = network
        self._asks_again = asks_again
        self._served = served
        self._client, self._socket = socket.socketpair()
        self._client.send(b"x")
        self.descriptor = self._socket.fileno()

    def serve_now(self, receiver: Receiver) -> bool:
        assert receiver.receive_now(self.descriptor) == b"x"
        self._served.append(self.network)
        if self._asks_again:
            self._client.send(b"x")
        return True

    def close(self) -> None:
        self._client.close()
        self._socket.close()


def poller_of(stack: ExitStack, networks: list[str], *, ask_again: bool = False) -> tuple[Poller, list[str]]:
    """A poller that nobody runs, with a request of each network that is named; and whom it has served.

    `ask_again`: each asks again as soon as it is answered.
    """
    served: list[str] = []
    poller = Poller("test", lambda connection: None, lambda: None)
    stack.callback(poller.stop, DEADLINE_S)
    for network in networks:
        connection = Ready(network, served, asks_again=ask_again)
        stack.callback(connection.close)
        poller.add(connection)
    return poller, served


def test_of_more_requests_than_a_turn_has_each_network_gets_one_in_turn() -> None:
    with ExitStack() as stack:
        poller, served = poller_of(stack, ["crowd"] * 2 * EVENTS_MAX + ["a", "b"])
        poller._serve_what_came()
        assert sorted(served[:3]) == ["a", "b", "crowd"]
        assert served[3:] == ["crowd"] * (RESTRAINED_MAX - 3)
        poller._serve_what_came()
        assert len(served) == 2 * RESTRAINED_MAX
        while len(served) < 2 * EVENTS_MAX + 2:
            poller._serve_what_came()


def test_a_network_that_is_here_alone_and_many_networks_get_whole_turns() -> None:
    for networks in (["crowd"] * 2 * EVENTS_MAX, [f"network {number % 40}" for number in range(2 * EVENTS_MAX)]):
        with ExitStack() as stack:
            poller, served = poller_of(stack, networks)
            poller._serve_what_came()
            assert len(served) == EVENTS_MAX
            poller._serve_what_came()
            assert len(served) == 2 * EVENTS_MAX


@pytest.mark.parametrize("networks", [[f"network {n}" for n in range(3 * EVENTS_MAX)], ["crowd"] * 3 * EVENTS_MAX])
def test_clients_that_ask_again_at_once_do_not_go_before_those_that_wait(networks: list[str]) -> None:
    with ExitStack() as stack:
        poller, served = poller_of(stack, networks, ask_again=True)
        for turn in range(1, 7):
            poller._serve_what_came()
            assert len(served) == turn * EVENTS_MAX
        counts = [served.count(network) for network in set(networks)]
        assert max(counts) == min(counts)
        assert len(poller._served_in) <= 2 * len(networks)


def test_while_newcomers_wait_a_turn_of_a_crowd_is_one_request_of_each_network() -> None:
    with ExitStack() as stack:
        poller, served = poller_of(stack, ["crowd"] * EVENTS_MAX + ["", ""])
        poller.note_newcomers(wait=True)
        poller._serve_what_came()
        assert sorted(served) == ["", "", "crowd"], "many may share the address of a proxy"
        poller.note_newcomers(wait=False)
        poller._serve_what_came()
        assert len(served) == EVENTS_MAX + 2


def test_a_client_that_drips_is_cut_at_the_deadline_of_its_head() -> None:
    limits = Limits(head_deadline_s=0.3)
    with serving(name_of_thread, limits=limits) as server, Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        with suppress(ConnectionError):
            while not select.select([client.socket], [], [], 0.01)[0]:
                client.send(b"x")
        with server._ended:
            assert server._ended.wait_for(lambda: not server._open, DEADLINE_S)


def test_each_byte_of_a_head_that_drips_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole, a head of 28 KB took 1.4 ms for each byte that came."""
    checked: list[int] = []

    def check(data: bytes | bytearray, limits: Limits, seen: int = 0) -> None:
        checked.append(len(data) - seen)
        check_partial_head(data, limits, seen)

    monkeypatch.setattr("chat.server.http_connection.check_partial_head", check)
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 300
    with serving(name_of_thread) as server, Client(server.port) as client:
        for number in range(len(head)):
            client.send(head[number : number + 1])
            wait_until(lambda number=number: sum(checked) > number, DEADLINE_S, "the byte has come")  # type: ignore[misc]
        assert client.ask(b"\r\n\r\n").status == 200
    assert sum(checked) <= len(head) + len(b"\r\n\r\n")


def test_leave_to_send_a_body_is_not_given_within_the_answer_before() -> None:
    """A client that does not read its answer, and announces a body behind its request."""
    page = b"x" * (8 << 20)

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page]

    for read_first in range(1, 400_000, 40_000):
        with serving(app) as server, Client(server.port, receive_buffer=65_536) as client:
            client.send(GET)
            received = bytearray()
            while len(received) < read_first:
                received += client.socket.recv(4096)
            client.send(HALVES["a head that waits for leave"])
            wait_until(lambda server=server: expects_leave(server), DEADLINE_S, "the head has come")  # type: ignore[misc]
            while len(received) < len(page):
                received += client.socket.recv(1 << 20)
            assert received.startswith(b"HTTP/1.1 200")
            assert b"100 Continue" not in received[: len(page)]


def expects_leave(server: Server) -> bool:
    requests = [connection._request for connection in [*server._open]]
    return any(request is not None and request.expects_continue for request in requests)


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it_once() -> None:
    with serving(name_of_thread) as server, Client(server.port) as client:
        for _ in range(2):
            assert client.ask(HALVES["a head that waits for leave"]).status == 100
            assert b"reader" in client.ask(b"hello").body


def test_when_it_is_full_half_sent_requests_give_way_too() -> None:
    with ExitStack() as stack, serving(name_of_thread, limits=Limits(connections=4)) as server:
        for _ in range(4):
            stack.enter_context(Client(server.port, source="127.0.0.2")).send(HALVES["half a head"])
        other = stack.enter_context(Client(server.port, source="127.0.0.3"))
        assert other.ask(GET).status == 200


def test_a_connection_that_becomes_the_applications_has_left_the_watch_before() -> None:
    taken: SimpleQueue[tuple[str, socket.socket, bytes, bool]] = SimpleQueue()

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        assert server._poller is not None
        owned = environ["raft_chat.detach"]()
        watched = owned.fileno() in server._poller._polled
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
        assert server._poller is not None
        assert server._poller._polled == {}


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
