"""The loop that calls all peers in one thread: over real sockets, with peers that are slow, silent or gone."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from raft.core.raft_messages import Message, RequestVote, TimeoutNow
from raft.rpc.peer_client import Addresses, PeerQueue
from raft.rpc.peer_loop import Lane, PeerLoop
from tests.raft.scripted_peer import DEADLINE_S, Script, ScriptedPeer, answer, answering, take_request, wait_for_end

TIMEOUT_S = 0.2  # of a call


def message(number: int) -> TimeoutNow:
    return TimeoutNow(1, 2, number)


def body(number: int) -> bytes:
    return b"%d" % number


class Owner:
    """The owner of a loop, with what it was told; in a queue's thread it connects and sends the message."""

    def __init__(self) -> None:
        self.told: SimpleQueue[tuple[str, int, object]] = SimpleQueue()
        self.accepts = True
        self.loop: PeerLoop[Message] = PeerLoop("test-loop", self, TIMEOUT_S)

    @contextmanager
    def lane_to(self, peer: ScriptedPeer) -> Iterator[Lane[Message]]:
        lane = self.loop.lane(peer.url, "test-queue", Addresses(), 2)
        try:
            yield lane
        finally:
            lane.close()
            lane.queue._thread.join(DEADLINE_S)
            assert not lane.queue._thread.is_alive()

    def body(self, sent: Message) -> bytes:
        return body(sent.term)

    def answered(self, lane: Lane[Message], sent: Message, answer: bytes) -> bool:
        assert threading.current_thread().name == "test-loop"
        self.told.put(("answered", sent.term, answer))
        return self.accepts

    def failed(self, lane: Lane[Message], sent: Message, error: Exception) -> None:
        self.told.put(("failed", sent.term, type(error)))

    def deliver(self, queue: PeerQueue[Message], sent: Message) -> None:
        assert threading.current_thread().name == "test-queue"
        try:
            self.told.put(("delivered", sent.term, queue.connection.call(body(sent.term), DEADLINE_S)))
        except OSError as error:
            self.told.put(("not delivered", sent.term, type(error)))

    def next(self) -> tuple[str, int, object]:
        return self.told.get(timeout=DEADLINE_S)

    def send(self, lane: Lane[Message], *numbers: int) -> None:
        for number in numbers:
            lane.send(message(number))
        self.loop.ring()

    def open(self, lane: Lane[Message]) -> None:
        """Send the first message: the queue connects."""
        self.send(lane, 0)
        assert self.next() == ("delivered", 0, (200, b"hello"))


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner()
    yield owner
    owner.loop.close()
    if (thread := owner.loop._thread) is not None:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_the_queue_connects_and_the_loop_makes_the_calls_after_it(owner: Owner) -> None:
    with ScriptedPeer(answering(answer(b"hello"), answer(b"one"), answer(b"two"))) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        assert owner.next() == ("answered", 1, b"one")
        owner.send(lane, 2)
        assert owner.next() == ("answered", 2, b"two")
        assert peer.connections == 1


def test_an_answer_may_come_byte_by_byte(owner: Owner) -> None:
    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(answer(b"hello"))
        take_request(peer)
        for byte in answer(b"slowly"):
            peer.send(bytes([byte]))
        wait_for_end(peer)

    with ScriptedPeer(script) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        assert owner.next() == ("answered", 1, b"slowly")


def test_a_refused_call_is_made_again_by_the_queue(owner: Owner) -> None:
    scripts = answering(answer(b"hello"), answer(b"who are you", 403)), answering(answer(b"still no", 403))
    with ScriptedPeer(*scripts) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        assert owner.next() == ("delivered", 1, (403, b"still no"))


def test_a_call_whose_answer_is_not_accepted_is_made_again_by_the_queue(owner: Owner) -> None:
    owner.accepts = False
    with ScriptedPeer(answering(answer(b"hello"), answer(b"odd"), answer(b"odd"))) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        assert owner.next() == ("answered", 1, b"odd")
        assert owner.next() == ("delivered", 1, (200, b"odd"))


def ends_after_hello(peer: socket.socket) -> None:
    take_request(peer)
    peer.sendall(answer(b"hello"))
    take_request(peer)


def is_silent_after_hello(peer: socket.socket) -> None:
    ends_after_hello(peer)
    wait_for_end(peer)


@pytest.mark.parametrize(
    ("script", "error"), [(ends_after_hello, ConnectionResetError), (is_silent_after_hello, TimeoutError)]
)
def test_a_call_without_an_answer_fails_and_the_next_one_connects_anew(
    script: Script, error: type[Exception], owner: Owner
) -> None:
    with ScriptedPeer(script, answering(answer(b"again"))) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        assert owner.next() == ("failed", 1, error)
        owner.send(lane, 2)
        assert owner.next() == ("delivered", 2, (200, b"again"))


def test_a_silent_peer_does_not_delay_another(owner: Owner) -> None:
    calls = 20
    with (
        ScriptedPeer(is_silent_after_hello) as silent,
        ScriptedPeer(answering(*[answer(b"hello")] * (calls + 1))) as quick,
        owner.lane_to(silent) as to_silent,
        owner.lane_to(quick) as to_quick,
    ):
        owner.open(to_silent)
        owner.open(to_quick)
        owner.send(to_silent, 1)
        for number in range(calls):
            owner.send(to_quick, number)
            assert owner.next() == ("answered", number, b"hello")
        assert owner.next() == ("failed", 1, TimeoutError)


def held(release: threading.Event) -> Script:
    """Answer the second call once `release` is set, and the rest at once."""

    def script(peer: socket.socket) -> None:
        for number in range(3):
            take_request(peer)
            if number == 1:
                assert release.wait(DEADLINE_S)
            peer.sendall(answer(b"hello"))
        wait_for_end(peer)

    return script


def test_the_newest_of_the_messages_that_wait_is_sent(owner: Owner) -> None:
    release = threading.Event()
    owner.loop._timeout_s = DEADLINE_S
    with ScriptedPeer(held(release)) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        wait_until(lambda: lane.message is not None)
        owner.send(lane, 2, 3)
        release.set()
        assert [owner.next(), owner.next()] == [("answered", 1, b"hello"), ("answered", 3, b"hello")]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = threading.Event()
    timer = threading.Timer(DEADLINE_S, deadline.set)
    timer.start()
    while not holds():
        assert not deadline.is_set()
    timer.cancel()
    timer.join()


def test_messages_of_two_kinds_both_arrive(owner: Owner) -> None:
    with ScriptedPeer(answering(answer(b"hello"), answer(b"one"), answer(b"two"))) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        lane.send(RequestVote(1, 2, 7, 0, 0))
        lane.send(message(8))
        owner.loop.ring()
        assert {owner.next()[1], owner.next()[1]} == {7, 8}


def test_closing_a_lane_ends_its_call_and_tells_nobody(owner: Owner) -> None:
    owner.loop._timeout_s = DEADLINE_S
    with ScriptedPeer(is_silent_after_hello) as peer, owner.lane_to(peer) as lane:
        owner.open(lane)
        owner.send(lane, 1)
        wait_until(lambda: lane.message is not None)
        lane.close()  # the peer's script ends once the connection does
        lane.queue._thread.join(DEADLINE_S)
    assert owner.told.empty()


def test_a_loop_without_lanes_has_no_thread_and_can_be_closed() -> None:
    loop = Owner().loop
    loop.ring()
    loop.close()
    assert loop._thread is None
