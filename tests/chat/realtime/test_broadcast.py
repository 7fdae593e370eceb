"""The same bytes reach many sockets, whatever the kernel offers for it, and one that fails costs the others nothing."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from chat.realtime import broadcast
from chat.realtime.broadcast import FEW, FOR_TWO, LIST_MAX, Broadcaster
from tests.chat.realtime.test_websocket_connection import fill

MANY = LIST_MAX + 44  # two lists in one of the threads, and fewer sockets than a process may have

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture(params=["lists", "no lists"])
def broadcaster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broadcaster]:
    if request.param == "no lists":
        monkeypatch.setattr(broadcast, "_CALLS", {})
    broadcaster = Broadcaster()
    yield broadcaster
    broadcaster.stop()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    with ExitStack() as opened:
        pairs = [socket.socketpair() for _ in range(MANY)]
        for here, there in pairs:
            opened.enter_context(here).setblocking(False)
            opened.enter_context(there).setblocking(False)
        yield pairs


def descriptors(pairs: Pairs) -> list[int]:
    return [here.fileno() for here, _ in pairs]


@pytest.mark.parametrize("count", [0, 1, FEW - 1, FEW, FOR_TWO - 1, FOR_TWO, MANY])
def test_each_socket_gets_all_of_it_once(broadcaster: Broadcaster, pairs: Pairs, count: int) -> None:
    for text in (b"one", b"two, and longer"):
        assert broadcaster.send(descriptors(pairs[:count]), text) == [len(text)] * count
        assert {there.recv(100) for _, there in pairs[:count]} <= {text}
    with pytest.raises(BlockingIOError):
        pairs[-1][1].recv(1)


@pytest.mark.parametrize("count", [FEW - 1, FOR_TWO - 1, MANY])
def test_a_full_one_and_one_that_has_gone_take_nothing(broadcaster: Broadcaster, pairs: Pairs, count: int) -> None:
    full, gone = 1, count - 2
    fill(pairs[full][0])
    pairs[gone][1].close()
    taken = broadcaster.send(descriptors(pairs[:count]), b"hello")
    assert taken.pop(gone) <= 0
    assert taken.pop(full) <= 0
    assert taken == [5] * (count - 2)


def test_what_a_socket_takes_a_part_of_is_told(broadcaster: Broadcaster, pairs: Pairs) -> None:
    large = bytes(1 << 20)
    taken = broadcaster.send(descriptors(pairs[:FEW]), large)
    assert all(0 < size < len(large) for size in taken)


def test_what_fails_in_the_second_thread_is_raised_in_the_first(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    broadcaster = Broadcaster()
    broadcaster.send(descriptors(pairs), b"x")
    try:
        assert broadcaster._lists
        monkeypatch.setattr(broadcaster, "_lists", [broadcaster._lists[0], None])
        with pytest.raises(AttributeError):
            broadcaster.send(descriptors(pairs), b"x")
    finally:
        monkeypatch.undo()
        assert broadcaster.send(descriptors(pairs), b"x") == [1] * MANY
        broadcaster.stop()


def test_the_kernel_gets_its_lists_back(pairs: Pairs) -> None:
    broadcaster = Broadcaster()
    broadcaster.send(descriptors(pairs), b"x")
    lists = list(broadcaster._lists or ())
    assert len(lists) == 2
    broadcaster.stop()
    for one in lists:
        with pytest.raises(AssertionError, match="submitted"):  # it is no list any more
            one.send(descriptors(pairs), b"x")
