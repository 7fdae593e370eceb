"""Frames that wait for websockets that do not read: a bound over all of them, nothing copied, memory given back."""

import threading
import time
import tracemalloc

import pytest

from chat.realtime.connection import HubLimits
from chat.server import freed_memory
from chat.server.freed_memory import Heap
from tests.chat.peer import DEADLINE_S
from tests.chat.running_hub import RunningHub, numbered
from tests.support.waiting import wait_until

KIB = 1024
LIMITS = HubLimits(
    send_buffer_bytes=4 * KIB,
    backlog_bytes=400 * KIB,
    crowded_backlog_bytes=100 * KIB,
    all_backlog_bytes=1_000 * KIB,
    close_s=0.2,
)


def test_when_too_much_waits_for_all_the_slowest_are_closed_and_the_others_go_on() -> None:
    with RunningHub(LIMITS) as house:
        (reader,) = house.listen(1)
        unread = [house.connect(receive_buffer=4096)[1] for _ in range(20)]
        number = 0
        while not any(handler.connection.closing for handler in unread):
            house.publish(post=numbered(b"%d" % number, 8 * KIB))
            reader.hear_text()
            house.settle()
            assert house.hub.backlog <= LIMITS.all_backlog_bytes
            number += 1
        wait_until(lambda: any(handler.ended.is_set() for handler in unread), DEADLINE_S, "they have ended")
        assert house.hub.count > 1
        for handler in unread:
            house.hub.call(handler.connection.abort)
        house.settle()
        assert house.hub.backlog == 0


def test_each_may_have_less_while_much_waits_for_all() -> None:
    with RunningHub(LIMITS) as house:
        unread = [house.connect(receive_buffer=4096)[1] for _ in range(4)]
        assert house.hub.backlog_max == LIMITS.backlog_bytes
        number = 0
        while house.hub.backlog_max == LIMITS.backlog_bytes:
            house.publish(post=numbered(b"%d" % number, 8 * KIB))
            house.settle()
            number += 1
        assert house.hub.backlog_max == LIMITS.crowded_backlog_bytes
        house.publish(post=numbered(b"one more", 8 * KIB))
        for handler in unread:
            assert handler.ended.wait(DEADLINE_S)
        house.settle()
        house.settle()
        assert house.hub.backlog_max == LIMITS.backlog_bytes


def test_what_waits_for_many_is_in_memory_once() -> None:
    sockets, text = 20, 8 * KIB
    with RunningHub(HubLimits(send_buffer_bytes=4 * KIB)) as house:
        for _ in range(sockets):
            house.connect(receive_buffer=4096)
        tracemalloc.start()
        for number in range(12):
            house.publish(post=numbered(b"%d" % number, text))
            house.settle()
        waiting = house.hub.backlog
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert waiting > sockets * 4 * text
        assert size < waiting / 4


def test_who_is_closed_for_being_slow_gets_the_end_of_the_frame_and_why() -> None:
    with RunningHub(LIMITS) as house:
        peer, handler = house.connect(receive_buffer=4096)
        number = 0
        while not handler.connection.closing:
            house.publish(post=numbered(b"%d" % number, 8 * KIB))
            house.settle()
            number += 1
        assert handler.connection.backlog < 9 * KIB  # the rest of one frame, and not all that waited
        assert peer.hear_close() == 1013


# The memory


def test_memory_is_given_back_once_much_was_freed_and_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "AFTER_S", 0.0)
    monkeypatch.setattr(freed_memory, "EVERY_S", 60.0)
    trimmed = threading.Semaphore(0)
    memory = Heap(lambda: trimmed.release())
    memory.note_freed(freed_memory.MUCH_BYTES - 1)
    assert memory._is_due is False
    for _ in range(100):
        memory.note_freed(freed_memory.MUCH_BYTES)
    assert trimmed.acquire(timeout=DEADLINE_S)
    wait_until(lambda: memory._not_before > time.monotonic() + 50, DEADLINE_S, "the next one is not before a while")
    memory.note_freed(freed_memory.MUCH_BYTES)
    assert not trimmed.acquire(blocking=False)


def test_where_the_library_cannot_give_memory_back_nothing_is_done() -> None:
    memory = Heap(None)
    memory.note_freed(freed_memory.MUCH_BYTES)
    assert memory._is_due is False
