"""Calls to a peer over a real socket, with everything that a peer or a network can do to them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raft.errors import InvalidMessage
from raft.rpc.peer_client import BODY_BYTES_MAX, HEAD_BYTES_MAX, Addresses, PeerConnection, parse_peer_url
from tests.raft.scripted_peer import DEADLINE_S, Script, ScriptedPeer, answer, answering, take_request, wait_for_end


@contextmanager
def connected(url: str) -> Iterator[PeerConnection]:
    connection = PeerConnection(url)
    try:
        yield connection
    finally:
        connection.close()


def call(connection: PeerConnection, body: bytes = b"ask") -> tuple[int, bytes]:
    return connection.call(body, DEADLINE_S)


# URLs


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:12379", ("127.0.0.1", 12379)),
        ("http://node-1.example.org:80/", ("node-1.example.org", 80)),
        ("http://[::1]:1", ("::1", 1)),
    ],
)
def test_a_peer_url_is_a_host_and_a_port(url: str, address: tuple[str, int]) -> None:
    assert parse_peer_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "http://:1",
        "http://a:0",
        "http://a:65536",
        "http://a:-1",
        "http://a:one",
        "http://a:1/rpc",
        "http://a:1?q",
        "http://a:1#f",
        "http://user@a:1",
        "http://[::1:1",
    ],
)
def test_any_other_peer_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_peer_url(url)


# Calls that go well


def test_calls_share_one_connection() -> None:
    with ScriptedPeer(answering(answer(b"one"), answer(b"two"))) as peer, connected(peer.url) as connection:
        assert [call(connection), call(connection)] == [(200, b"one"), (200, b"two")]
        assert peer.connections == 1


def test_a_request_is_a_post_that_names_the_host_and_the_length() -> None:
    requests = []

    def script(peer: socket.socket) -> None:
        requests.append(take_request(peer))
        peer.sendall(answer(b""))

    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        call(connection, b"a body\n")
    (head, body) = requests[0]
    host = peer.url.removeprefix("http://").encode()
    assert head.split(b"\r\n") == [b"POST /rpc HTTP/1.1", b"Host: " + host, b"Content-Length: 7"]
    assert body == b"a body\n"


def test_an_ipv6_host_is_named_in_brackets() -> None:
    assert b"Host: [::1]:7\r\n" in PeerConnection("http://[::1]:7")._head


def test_a_refusal_is_returned_with_its_body() -> None:
    with ScriptedPeer(answering(answer(b"who are you", 403))) as peer, connected(peer.url) as connection:
        assert call(connection) == (403, b"who are you")


def test_an_answer_that_comes_byte_by_byte_is_put_together() -> None:
    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in answer(b"slowly"):
            peer.send(bytes([byte]))
        wait_for_end(peer)

    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        assert call(connection) == (200, b"slowly")


def test_large_bodies_go_both_ways() -> None:
    large = bytes(range(256)) * (1 << 13)
    taken = []

    def script(peer: socket.socket) -> None:
        taken.append(take_request(peer)[1])
        peer.sendall(answer(large))

    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        assert call(connection, large) == (200, large)
    assert taken == [large]


def test_header_names_are_read_in_any_case() -> None:
    odd = b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:3\r\n\r\nodd"
    with ScriptedPeer(answering(odd)) as peer, connected(peer.url) as connection:
        assert call(connection) == (200, b"odd")


def test_opening_connects_and_sends_nothing() -> None:
    received: list[bytes] = []
    ended = threading.Event()

    def script(peer: socket.socket) -> None:
        received.append(peer.recv(1))
        ended.set()

    with ScriptedPeer(script) as peer:
        connection = PeerConnection(peer.url)
        connection.open(DEADLINE_S)
        connection.close()
        assert ended.wait(DEADLINE_S)
    assert (peer.connections, received) == (1, [b""])


# Connections that end


@pytest.mark.parametrize("value", [b"close", b"Close"])
def test_an_answer_that_says_close_is_the_last_on_its_connection(value: bytes) -> None:
    last = answer(b"one", 200, b"Connection: " + value)
    with ScriptedPeer(answering(last), answering(answer(b"two"))) as peer, connected(peer.url) as connection:
        assert [call(connection), call(connection)] == [(200, b"one"), (200, b"two")]
        assert peer.connections == 2


def test_bytes_behind_an_answer_are_never_taken_for_the_next_one() -> None:
    doubled = answer(b"one") + answer(b"a stranger")
    with ScriptedPeer(answering(doubled), answering(answer(b"two"))) as peer, connected(peer.url) as connection:
        assert [call(connection), call(connection)] == [(200, b"one"), (200, b"two")]


def test_bytes_that_arrive_while_it_was_idle_are_not_taken_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.rpc.peer_client.IDLE_S", 0.0)
    sent = threading.Event()

    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(answer(b"one"))
        peer.sendall(answer(b"a stranger"))
        sent.set()
        wait_for_end(peer)

    with ScriptedPeer(script, answering(answer(b"two"))) as peer, connected(peer.url) as connection:
        assert call(connection) == (200, b"one")
        assert sent.wait(DEADLINE_S)
        assert call(connection) == (200, b"two")


def test_a_connection_that_the_peer_closed_while_it_was_idle_is_replaced_and_no_call_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A candidate's request for votes is sent once in an election timeout: it must not find out by losing it."""

    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(answer(b"one"))

    monkeypatch.setattr("raft.rpc.peer_client.IDLE_S", 0.0)
    with ScriptedPeer(script, answering(answer(b"two"))) as peer, connected(peer.url) as connection:
        assert call(connection) == (200, b"one")
        for thread in peer._threads[1:]:
            thread.join(DEADLINE_S)  # the peer has closed
        assert call(connection) == (200, b"two")
        assert peer.connections == 2


def hang_up(peer: socket.socket) -> None:
    take_request(peer)


def hang_up_in_the_head(peer: socket.socket) -> None:
    take_request(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def hang_up_in_the_body(peer: socket.socket) -> None:
    take_request(peer)
    peer.sendall(answer(b"a whole body")[:-3])


def reset(peer: socket.socket) -> None:
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize("script", [hang_up, hang_up_in_the_head, hang_up_in_the_body, reset])
def test_a_peer_that_goes_away_is_a_connection_error_and_the_next_call_connects_anew(script: Script) -> None:
    with ScriptedPeer(script, answering(answer(b"back"))) as peer, connected(peer.url) as connection:
        with pytest.raises(ConnectionError):
            call(connection)
        assert call(connection) == (200, b"back")


def test_nobody_there_is_a_connection_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with connected(f"http://127.0.0.1:{port}") as connection, pytest.raises(ConnectionRefusedError):
        call(connection)


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "xn--" + "y" * 70])
def test_a_host_that_cannot_be_a_name_is_an_os_error_like_one_that_is_not_there(host: str) -> None:
    with connected(f"http://{host}:1") as connection, pytest.raises(OSError, match=r"."):
        call(connection)


def test_a_mute_peer_is_given_up_after_the_timeout() -> None:
    with ScriptedPeer(wait_for_end, answering(answer(b"awake"))) as peer, connected(peer.url) as connection:
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.call(b"ask", 0.05)
        assert time.monotonic() - began_s < DEADLINE_S
        assert call(connection) == (200, b"awake")


def test_a_peer_that_takes_nothing_in_is_given_up_after_the_timeout() -> None:
    done = threading.Event()

    def script(peer: socket.socket) -> None:
        assert done.wait(DEADLINE_S)

    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        with pytest.raises(TimeoutError):
            connection.call(bytes(32 << 20), 0.05)
        done.set()


# What is no answer


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"SSH-2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 two OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nok" % (BODY_BYTES_MAX + 1),
        b"\xff\xfe\x00\x01\r\n\r\n",
    ],
)
def test_garbage_is_no_answer_and_the_next_call_connects_anew(said: bytes) -> None:
    with ScriptedPeer(answering(said), answering(answer(b"sober"))) as peer, connected(peer.url) as connection:
        with pytest.raises(InvalidMessage, match="an answer"):
            call(connection)
        assert call(connection) == (200, b"sober")


def test_a_head_that_never_ends_is_no_answer() -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: and so on\r\n" * (HEAD_BYTES_MAX // 20)
    with (
        ScriptedPeer(answering(endless)) as peer,
        connected(peer.url) as connection,
        pytest.raises(InvalidMessage, match="head that does not end"),
    ):
        call(connection)


# Closed by another thread


def test_closing_interrupts_a_call_under_way() -> None:
    asked = threading.Event()

    def script(peer: socket.socket) -> None:
        take_request(peer)
        asked.set()
        wait_for_end(peer)

    with ScriptedPeer(script) as peer:
        connection = PeerConnection(peer.url)

        def close_when_asked() -> None:
            asked.wait(DEADLINE_S)
            connection.close()

        closer = threading.Thread(target=close_when_asked, name="closer")
        closer.start()
        began_s = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            connection.call(b"ask", 2 * DEADLINE_S)
        assert time.monotonic() - began_s < DEADLINE_S
        closer.join(DEADLINE_S)


def test_a_connection_that_is_closed_by_another_thread_at_any_moment_fails_with_an_os_error_or_works() -> None:
    """A call that met a socket gone between two of its lines raised AttributeError, which ended the process."""
    rounds = 60

    def script(peer: socket.socket) -> None:
        try:
            while True:
                take_request(peer)
                peer.sendall(answer(b"ok"))
        except OSError:
            return

    with ScriptedPeer(*[script] * (rounds + 1)) as peer:
        connection = PeerConnection(peer.url)
        ended = threading.Event()

        def close_all_the_time() -> None:
            while not ended.is_set():
                connection.close()

        closer = threading.Thread(target=close_all_the_time, name="closer")
        closer.start()
        outcomes = set()
        try:
            for _ in range(rounds):
                try:
                    outcomes.add(call(connection))
                except OSError:
                    outcomes.add((0, b"closed"))
        finally:
            ended.set()
            closer.join(DEADLINE_S)
            connection.close()
    assert outcomes <= {(200, b"ok"), (0, b"closed")}


# Members that move


def test_a_member_that_does_not_answer_at_its_new_url_is_called_where_it_answered_last() -> None:
    addresses = Addresses()
    with ScriptedPeer(answering(answer(b"one")), answering(answer(b"two"))) as peer:
        before = PeerConnection(peer.url, addresses, 2)
        assert call(before) == (200, b"one")
        before.close()
        moved = PeerConnection(f"http://127.0.0.1:{_nobodys_port()}", addresses, 2)
        assert call(moved) == (200, b"two")
        moved.close()


def test_a_connection_goes_over_to_the_new_url_once_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.rpc.peer_client.MOVE_AFTER_S", 0.0)
    monkeypatch.setattr("raft.rpc.peer_client.MOVE_AFTER_MAX_S", 0.0)
    addresses = Addresses()
    with ScriptedPeer(answering(answer(b"old"))) as old, ScriptedPeer(answering(answer(b"new"))) as new:
        addresses.answered(2, old.url)
        connection = PeerConnection(f"http://127.0.0.1:{_nobodys_port()}", addresses, 2)
        assert call(connection) == (200, b"old")
        connection._address = parse_peer_url(new.url)
        assert call(connection) == (200, b"new")
        connection.close()


def test_a_stranger_at_the_earlier_url_is_not_called_again() -> None:
    addresses = Addresses()
    with ScriptedPeer(answering(answer(b"not member 2", 403)), answering(answer(b"nor now", 403))) as stranger:
        addresses.answered(2, stranger.url)
        connection = PeerConnection(f"http://127.0.0.1:{_nobodys_port()}", addresses, 2)
        assert call(connection)[0] == 403
        assert connection._socket is None, "the next call tries the newest URL first"
        connection.close()


def _nobodys_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


# Slow lines


def slowly(body: bytes, seconds: float) -> Script:
    """Take a request over so much time, a little after the other, and answer."""

    def script(peer: socket.socket) -> None:
        pause, taken = threading.Event(), 0
        while taken < len(body):
            taken += len(peer.recv(1 << 15))
            pause.wait(seconds * (1 << 15) / len(body))
        peer.sendall(answer(b"at last"))
        wait_for_end(peer)

    return script


def test_a_large_body_may_take_longer_than_the_time_out_while_it_still_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    body, looks = bytes(1 << 20), list[float]()
    with ScriptedPeer(slowly(body, 0.6)) as peer, connected(peer.url) as connection:
        peer._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        before_s = time.monotonic()
        taken = connection.call(body, 0.3, poll_s=0.05, on_wait=lambda: looks.append(time.monotonic()))
        assert taken == (200, b"at last")
        assert time.monotonic() - before_s > 0.3
        assert connection.line_is_slow and looks


def test_a_large_body_that_arrives_no_further_times_out_and_ends_with_a_reset() -> None:
    reset = threading.Event()

    def script(peer: socket.socket) -> None:
        assert ended.wait(DEADLINE_S)
        try:
            while peer.recv(1 << 18):
                pass
        except ConnectionResetError:
            reset.set()

    ended = threading.Event()
    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        peer._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        with pytest.raises(TimeoutError):
            connection.call(bytes(8 << 20), 0.2, poll_s=0.05)
        ended.set()
        assert reset.wait(DEADLINE_S), "what was given up does not go on over the line"


def test_an_answer_that_takes_long_does_not_make_the_line_slow() -> None:
    def script(peer: socket.socket) -> None:
        take_request(peer)
        threading.Event().wait(0.1)
        peer.sendall(answer(b"from a slow disk"))
        wait_for_end(peer)

    with ScriptedPeer(script) as peer, connected(peer.url) as connection:
        connection.call(bytes(1 << 16), 1.0, poll_s=0.02)
        assert not connection.line_is_slow
