"""A peer queue's thread: the newest message of a kind gets there, none is waited for, and it can always be stopped."""

import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from raft.core.raft_messages import Message, RequestVote, TimeoutNow
from raft.rpc.peer_client import PeerQueue
from tests.raft.scripted_peer import DEADLINE_S, ScriptedPeer, take_request, wait_for_end

NOWHERE = "http://127.0.0.1:1"  # these queues do not connect


def message(number: int) -> TimeoutNow:
    return TimeoutNow(1, 2, number)


def vote(number: int) -> RequestVote:
    return RequestVote(1, 2, number, 0, 0)


@contextmanager
def queue_to(
    deliver: Callable[[PeerQueue[Message], Message], None], url: str = NOWHERE
) -> Iterator[PeerQueue[Message]]:
    queue = PeerQueue(url, "test-queue", deliver)
    try:
        yield queue
    finally:
        queue.close()
        queue._thread.join(DEADLINE_S)
        assert not queue._thread.is_alive()


class Delivered:
    """What has been delivered, and a barrier at which the next delivery can be held."""

    def __init__(self) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self._go_on = threading.Semaphore(0)
        self.held = threading.Event()

    def at_once(self, queue: PeerQueue[Message], message: Message) -> None:
        self.messages.put(message)

    def when_let(self, queue: PeerQueue[Message], message: Message) -> None:
        self.held.set()
        assert self._go_on.acquire(timeout=DEADLINE_S)
        self.messages.put(message)

    def let(self, count: int) -> None:
        self._go_on.release(count)

    def next(self) -> Message:
        return self.messages.get(timeout=DEADLINE_S)


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_messages_are_delivered_in_a_thread_of_the_queues_name() -> None:
    names: SimpleQueue[str] = SimpleQueue()
    with queue_to(lambda queue, message: names.put(threading.current_thread().name)) as queue:
        queue.send(message(1))
        assert names.get(timeout=DEADLINE_S) == "test-queue"


def test_a_newer_message_takes_the_place_of_one_of_its_kind_that_waits() -> None:
    delivered = Delivered()
    with queue_to(delivered.when_let) as queue:
        queue.send(message(1))
        assert delivered.held.wait(DEADLINE_S)
        for number in range(2, 6):
            queue.send(message(number))
        delivered.let(2)
        assert [delivered.next(), delivered.next()] == [message(1), message(5)]
        assert delivered.messages.empty()


def test_messages_of_different_kinds_do_not_take_each_others_place() -> None:
    delivered = Delivered()
    with queue_to(delivered.when_let) as queue:
        queue.send(message(1))
        assert delivered.held.wait(DEADLINE_S)
        queue.send(message(2))
        queue.send(vote(3))
        delivered.let(3)
        assert delivered.next() == message(1)
        assert {delivered.next(), delivered.next()} == {message(2), vote(3)}


def test_sending_does_not_wait_for_a_delivery() -> None:
    delivered = Delivered()
    with queue_to(delivered.when_let) as queue:
        for number in range(1_000):  # would stand still at the second, if it waited
            queue.send(message(number))
        delivered.let(2)


def test_the_last_message_is_delivered_however_sending_and_delivering_interleave(eager_switching: None) -> None:
    """Looks for a wake-up that gets lost: the queue would sleep on the last message of a burst."""

    def send_bursts(seed: int) -> None:
        rng = random.Random(seed)
        delivered = Delivered()
        with queue_to(delivered.at_once) as queue:
            number = 0
            for _ in range(1_000):
                for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
                    number += 1
                    queue.send(message(number))
                while delivered.next() != message(number):
                    pass
        finished.append(seed)

    finished: list[int] = []
    threads = [threading.Thread(target=send_bursts, args=(seed,), name=f"sender-{seed}") for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(finished) == [0, 1, 2, 3]


def test_messages_arrive_in_the_order_they_were_sent_in(eager_switching: None) -> None:
    delivered = Delivered()
    with queue_to(delivered.at_once) as queue:
        for number in range(1, 5_001):
            queue.send(message(number))
        terms = [0]
        while terms[-1] != 5_000:
            terms.append(delivered.next().term)
    assert terms == sorted(set(terms))


def test_a_delivery_that_fails_is_logged_and_the_next_message_is_delivered(caplog: pytest.LogCaptureFixture) -> None:
    delivered = Delivered()

    def fail_first(queue: PeerQueue[Message], sent: Message) -> None:
        delivered.at_once(queue, sent)
        if sent == message(1):
            raise ValueError("what nobody thought of")

    with queue_to(fail_first) as queue:
        queue.send(message(1))
        delivered.next()
        queue.send(message(2))
        assert delivered.next() == message(2)
    assert "delivering a TimeoutNow failed" in caplog.text and "what nobody thought of" in caplog.text


def test_closing_interrupts_a_call_under_way() -> None:
    asked = threading.Event()
    failed: SimpleQueue[OSError] = SimpleQueue()

    def script(peer: socket.socket) -> None:
        take_request(peer)
        asked.set()
        wait_for_end(peer)

    def deliver(queue: PeerQueue[Message], message: Message) -> None:
        try:
            queue.connection.call(b"ask", 3 * DEADLINE_S)
        except OSError as error:
            failed.put(error)

    with ScriptedPeer(script) as peer, queue_to(deliver, peer.url) as queue:
        queue.send(message(1))
        assert asked.wait(DEADLINE_S)
        queue.close()
        failed.get(timeout=DEADLINE_S)


def test_nothing_is_delivered_after_closing() -> None:
    delivered = Delivered()
    with queue_to(delivered.when_let) as queue:
        queue.send(message(1))
        assert delivered.held.wait(DEADLINE_S)
        queue.send(message(2))
        queue.close()
        queue.send(message(3))
        delivered.let(3)
    assert delivered.next() == message(1)
    assert delivered.messages.empty()


class ReleasedMeanwhile:
    """A lock that another thread releases between the question and the deed."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def acquire(self) -> bool:
        return self._lock.acquire()

    def locked(self) -> bool:
        before = self._lock.locked()
        if before:
            self._lock.release()
        return before

    def release(self) -> None:
        self._lock.release()


def test_two_that_wake_the_thread_at_once_do_not_fail_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender and who closes the queue: the second release raised, inside the engine's lock."""
    delivered = Delivered()
    with queue_to(delivered.at_once) as queue:
        with monkeypatch.context() as patch:
            patch.setattr(queue, "_signal", ReleasedMeanwhile(queue._signal))
            queue.send(message(1))
        assert delivered.next() == message(1)
