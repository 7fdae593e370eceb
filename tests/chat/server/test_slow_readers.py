"""Answers that wait for slow readers: what all of them hold, whose share it is, and how slow is too slow."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic, sleep
from typing import Any

import pytest

from chat.server import request_reader, slow_readers
from chat.server.limits import KIB, Limits
from chat.server.server import Server
from chat.server.slow_readers import NETWORK_SHARE, STREAM_BYTES, USER_SHARE, Progress, SlowReaders, UnsentResponse
from tests.chat.wire import DEADLINE_S, WAIT, Client, serving
from tests.support.waiting import wait_until

MAX = 80
PIECE = bytes(64 * KIB)


class Held:
    """The answers that wait in one test, and those that were cut."""

    def __init__(self) -> None:
        self.all = SlowReaders(MAX)
        self.cut: list[str] = []
        self.waiting: dict[str, UnsentResponse] = {}

    def reserve(self, name: str, network: str, size: int, user: str = "") -> bool:
        self.waiting[name] = UnsentResponse(network, user, lambda: self.cut.append(name))
        return self.all.reserve(self.waiting[name], size)


@pytest.fixture
def held() -> Held:
    return Held()


def test_while_there_is_room_one_address_may_have_all_of_it(held: Held) -> None:
    assert held.reserve("a", "crowd", MAX)
    assert held.cut == []


def test_when_it_is_full_the_longest_waiting_of_who_is_over_the_share_gives_way(held: Held) -> None:
    assert all(held.reserve(f"crowd {number}", "crowd", MAX // 8) for number in range(8))
    assert held.reserve("a", "other", MAX // 8 + 1)
    assert held.cut == ["crowd 0", "crowd 1"]
    for name in ("crowd 0", "crowd 1"):
        held.all.release(held.waiting[name])  # their threads see it later, and it counts once
    assert held.all._bytes == 6 * (MAX // 8) + MAX // 8 + 1


def test_when_it_is_full_a_newcomer_over_its_share_is_refused(held: Held) -> None:
    assert held.reserve("a", "crowd", MAX // NETWORK_SHARE)
    assert held.reserve("b", "other", MAX // 2)
    assert not held.reserve("c", "other", MAX // 2)
    assert held.cut == []


def test_when_it_is_full_and_nobody_is_over_a_share_the_newcomer_is_refused(held: Held) -> None:
    for network in "abcd":
        assert held.reserve(network, network, MAX // NETWORK_SHARE)
    assert not held.reserve("e", "e", 1)
    assert held.cut == []


def test_a_user_has_a_share_wherever_they_are(held: Held) -> None:
    for network in "abcd":
        assert held.reserve(network, network, MAX // USER_SHARE, user="mallory")
    assert held.reserve("e", "e", MAX // NETWORK_SHARE)
    assert held.reserve("f", "f", MAX // NETWORK_SHARE)
    assert held.reserve("g", "g", 1, user="ann")
    assert held.cut == ["a"]


def test_what_is_given_back_makes_room(held: Held) -> None:
    for _ in range(3):
        assert held.reserve("a", "crowd", MAX)
        held.all.release(held.waiting["a"])
    assert not held.all._by_network and not held.all._by_user and not held.all._waiting


@pytest.mark.parametrize(("bytes_s", "too_slow"), [(20_000, False), (4_000, True), (0, True)])
def test_a_line_of_20_kb_a_second_is_quick_enough(
    monkeypatch: pytest.MonkeyPatch, bytes_s: int, too_slow: bool
) -> None:
    now = [100.0]
    taken = [0]
    monkeypatch.setattr(slow_readers, "monotonic", lambda: now[0])
    monkeypatch.setattr(slow_readers, "unsent_bytes", lambda connected: 1_000_000 - taken[0])
    progress = Progress()
    with socket.socket() as connected:
        progress.begin()
        found = False
        for second in range(1, 62):
            now[0] += 1
            taken[0] = bytes_s * second // 65_536 * 65_536  # as a window of that size opens
            found = found or progress.is_too_slow(connected, 1_000_000)
            if second % 20 == 0:  # the server was slow meanwhile, not the client
                now[0] += 30
                progress.begin()
    assert found is too_slow


def streaming(pieces: int) -> Callable[..., Iterator[bytes]]:
    """An application that streams so many pieces."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from (PIECE for _ in range(pieces))

    return app


@pytest.fixture
def quick(served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow is seen after a fraction of a second."""
    monkeypatch.setattr(slow_readers, "RATE_WINDOW_S", 0.3)
    monkeypatch.setattr(request_reader, "LOOK_MS", 20)


def cut_off(server: Server) -> None:
    wait_until(lambda: server.slow_readers.cuts > 0, DEADLINE_S, "an answer is cut off")
    wait_until(lambda: not server._open, DEADLINE_S, "the connection has ended")
    assert server.slow_readers.cuts == 1
    assert not server.slow_readers._waiting


@pytest.mark.usefixtures("quick")
def test_a_client_that_reads_nothing_of_a_stream_is_cut_off() -> None:
    with serving(streaming(1_000)) as server, Client(server.port, receive_buffer=4096) as client:
        client.send(WAIT)
        cut_off(server)


@pytest.mark.usefixtures("quick")
def test_a_client_that_reads_nothing_of_a_whole_answer_is_cut_off() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(32 * 1024 * KIB)]

    limits = Limits(linger_s=0.2)  # and with it the time between two looks
    with serving(app, limits=limits) as server, Client(server.port, receive_buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        cut_off(server)


@pytest.mark.usefixtures("quick")
def test_a_client_that_reads_slowly_gets_all_of_a_stream() -> None:
    with serving(streaming(8)) as server, Client(server.port, receive_buffer=4096) as client:
        client.send(WAIT)
        received, began = 0, monotonic()
        while received < 8 * len(PIECE):
            received += len(client.socket.recv(16 * KIB))
            sleep(max(0.0, began + received / (500 * KIB) - monotonic()))  # the pace of its line
        assert server.slow_readers.cuts == 0


@pytest.mark.usefixtures("served_and_over_tls")
def test_readers_that_read_nothing_at_one_address_leave_room_to_another(caplog: pytest.LogCaptureFixture) -> None:
    room_for = 8
    limits = Limits(send_queue_bytes=room_for * (STREAM_BYTES + len(PIECE) + KIB), linger_s=0.2)
    with ExitStack() as stack, serving(streaming(100), limits=limits) as server:

        def reader(source: str) -> Client:
            client = stack.enter_context(Client(server.port, receive_buffer=4096, source=source))
            client.send(WAIT)
            return client

        for _ in range(room_for):
            reader("127.0.0.2")
        wait_until(lambda: len(server.slow_readers._waiting) == room_for, DEADLINE_S, "all of them wait")
        reader("127.0.0.3")
        wait_until(lambda: server.slow_readers._by_network["127.0.0.3"] > 0, DEADLINE_S, "the other one waits")
        reader("127.0.0.2")  # one more gets nothing
        wait_until(lambda: len(server._open) == room_for, DEADLINE_S, "two have ended")
        assert server.slow_readers._by_network["127.0.0.3"]
        wait_until(lambda: "answers were cut off" in caplog.text, DEADLINE_S, "it is logged")
        assert caplog.text.count("answers were cut off") == 1
