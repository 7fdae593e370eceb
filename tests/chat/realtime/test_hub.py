"""The hub over real sockets: what is fanned out, who is dropped, how it ends."""

import logging
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from wsproto.events import Ping, Pong

from chat.realtime.connection import HubLimits
from chat.realtime.websocket_connection import WebSocketConnection
from chat.state.events import PostEvent, RoomDeleted
from tests.chat.peer import DEADLINE_S
from tests.chat.running_hub import Clock, RunningHub, numbered


@pytest.fixture
def house() -> Iterator[RunningHub]:
    with RunningHub() as house:
        yield house


def test_a_listener_gets_the_room_and_the_post(house: RunningHub) -> None:
    (peer,) = house.listen(1)
    house.publish("кот", b'{"Id":1}')
    assert peer.hear_text() == '{"RoomName":"кот","Post":{"Id":1}}'


def test_every_listener_gets_every_post_once_and_in_order_while_four_threads_publish(house: RunningHub) -> None:
    peers = house.listen(50)

    def publish() -> None:
        for _ in range(50):
            house.publish(post=b'{"Id":%d}')

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [f'{{"RoomName":"general","Post":{{"Id":{id}}}}}' for id in range(1, 201)]
    for peer in peers:
        assert [peer.hear_text() for _ in expected] == expected


def test_a_subscriber_gets_its_rooms_with_a_cursor(house: RunningHub) -> None:
    all_rooms, one = house.connect()
    one_room, other = house.connect()
    for handler, rooms in ((one, None), (other, frozenset({"b"}))):
        house.hub.call(partial(house.hub.unsubscribe, handler.connection))
        house.hub.call(partial(house.hub.subscribe, handler.connection, rooms))
    house.settle()
    for room in ("a", "b"):
        house.publish(room, b"{}")
    frames = [f'{{"RoomName":"{room}","Post":{{}},"Cursor":"c0ffee-{index}"}}' for room, index in (("a", 1), ("b", 2))]
    assert [all_rooms.hear_text(), all_rooms.hear_text()] == frames
    assert one_room.hear_text() == frames[1]


def test_a_burst_in_one_batch_reaches_a_reader_that_reads(house: RunningHub) -> None:
    (peer,) = house.listen(1)
    posts = 400
    house.publish(post=numbered(b"", 1000), posts=posts)
    for _ in range(posts):
        assert len(peer.hear_text()) > 1000
    assert house.hub.count == 1


def test_who_joins_is_behind_what_was_published_while_nobody_was_here(house: RunningHub) -> None:
    (peer,) = house.listen(1)
    house.publish()
    peer.hear_text()
    peer.close()
    until = time.monotonic() + DEADLINE_S
    while house.hub.count and time.monotonic() < until:
        house.settle()
    house.publish(posts=3)  # nobody hears them: whoever comes now has to read them
    seen: list[int] = []
    house.hub.call(lambda: seen.append(house.hub.published_index))
    house.settle()
    assert seen == [4]


def test_what_is_kept_for_those_that_come_back_is_bounded(house: RunningHub) -> None:
    (peer,) = house.listen(1)
    for _ in range(100):
        house.publish(post=numbered(b"", 60_000))
        peer.hear_text()
    kept = [index for index in range(1, 101) if house.hub.recent(index)]
    assert kept == list(range(kept[0], 101))
    assert 60 <= len(kept) <= 70  # 4 MiB


def test_a_hub_that_falls_behind_closes_every_socket_rather_than_leave_a_hole() -> None:
    with RunningHub(HubLimits(pending_bytes=10_000)) as house:
        peers = house.listen(3)
        go = threading.Event()

        def hang() -> None:
            go.wait(DEADLINE_S)

        house.hub.call(hang)
        for _ in range(20):
            house.publish(post=numbered(b"", 1000))
        go.set()
        for peer in peers:
            assert peer.hear_close() == 1013
        assert house.hub.published_index == house.index


def test_a_subscriber_is_told_of_a_deleted_room_in_its_place_and_a_listener_is_not(house: RunningHub) -> None:
    all_rooms, one = house.connect()
    one_room, other = house.connect()
    (listener,) = house.listen(1)
    for handler, rooms in ((one, None), (other, frozenset({"b"}))):
        house.hub.call(partial(house.hub.unsubscribe, handler.connection))
        house.hub.call(partial(house.hub.subscribe, handler.connection, rooms))
    house.settle()
    house.hub.publish(1, [RoomDeleted(1, 'a"')])
    house.hub.publish(3, [PostEvent(2, "b", 1, b"{}"), RoomDeleted(3, "b")])
    told = [
        '{"Event":{"Type":"RoomDeleted","RoomName":"a\\""},"Cursor":"c0ffee-1"}',
        '{"RoomName":"b","Post":{},"Cursor":"c0ffee-2"}',
        '{"Event":{"Type":"RoomDeleted","RoomName":"b"},"Cursor":"c0ffee-3"}',
    ]
    assert [all_rooms.hear_text() for _ in told] == told
    assert [one_room.hear_text() for _ in told[1:]] == told[1:]
    assert listener.hear_text() == '{"RoomName":"b","Post":{}}'
    house.settle()
    assert listener.hears_nothing()


def test_a_state_that_was_restored_closes_every_socket_to_resume_by_its_cursor(house: RunningHub) -> None:
    peers = house.listen(3)
    house.publish()
    house.hub.skip_to(50)
    for peer in peers:
        assert peer.hear_close() == 1013
    house.settle()
    assert house.hub.published_index == 50


def test_who_comes_after_a_state_was_restored_is_not_sent_away(house: RunningHub) -> None:
    house.hub.skip_to(50)
    (peer,) = house.listen(1)
    house.hub.publish(51, [PostEvent(51, "general", 1, b"{}")])
    assert peer.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_failure_in_one_conversation_ends_that_one_only(house: RunningHub, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_connection: WebSocketConnection, _text: str) -> None:
        raise ZeroDivisionError("a bug of ours")

    (bystander,) = house.listen(1)
    peer, handler = house.connect(fail)
    with caplog.at_level(logging.ERROR, "chat.realtime.hub"):
        peer.say("x")
        assert handler.ended.wait(DEADLINE_S)
    assert "a bug of ours" in caplog.text
    house.publish()
    assert bystander.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_peer_is_pinged_every_25_seconds_and_a_silent_one_is_dropped_after_35() -> None:
    clock = Clock()
    with RunningHub(clock=clock) as house:
        alive, alive_handler = house.connect()
        _silent, silent_handler = house.connect()
        pings = 0
        for _ in range(100):
            clock.seconds += 1
            house.settle()
            while not alive.hears_nothing():
                assert alive.hear() == Ping(b"")
                pings += 1
                alive.send(Pong())
                until = time.monotonic() + DEADLINE_S
                while alive_handler.connection.heard_at < clock.seconds and time.monotonic() < until:
                    house.settle()
            if clock.seconds <= 1034:
                assert not silent_handler.ended.is_set()
        assert pings == 4
        assert not alive_handler.ended.is_set()
        assert silent_handler.ended.is_set()


def test_a_machine_that_slept_takes_nobody_for_dead() -> None:
    clock = Clock()
    with RunningHub(clock=clock) as house:
        _, handler = house.connect()
        clock.seconds += 3600
        house.settle()
        assert not handler.ended.is_set()


def test_three_hundred_sockets_that_go_at_once_cost_little(house: RunningHub) -> None:
    peers = house.listen(300)
    cpu: list[float] = []
    house.hub.call(lambda: cpu.append(time.thread_time()))
    for peer in peers:
        peer.close()
    until = time.monotonic() + DEADLINE_S
    while house.hub.count and time.monotonic() < until:
        house.settle()
    house.hub.call(lambda: cpu.append(time.thread_time()))
    house.settle()
    assert house.hub.count == 0
    assert cpu[1] - cpu[0] < 0.3


def test_a_drain_closes_every_socket_with_1012(house: RunningHub) -> None:
    peers = house.listen(5)
    codes: list[int] = []

    def leave() -> None:
        for peer in peers:
            codes.append(peer.hear_close())
            peer.close()

    leaving = threading.Thread(target=leave)
    leaving.start()
    house.hub.drain(DEADLINE_S)
    leaving.join()
    assert codes == [1012] * 5
    assert house.hub.count == 0


def test_a_drain_answers_what_is_under_way_first(house: RunningHub) -> None:
    peer, handler = house.connect(lambda connection, _: connection.hold())
    peer.say("a post")
    while not handler.texts:
        house.settle()

    def answer() -> None:
        handler.connection.send(b"done")
        handler.connection.release()

    draining = threading.Thread(target=house.hub.drain, args=(DEADLINE_S,))
    draining.start()
    until = time.monotonic() + DEADLINE_S
    while not house.hub.ending and time.monotonic() < until:
        house.settle()
    house.hub.call(answer)
    assert peer.hear_text() == "done"
    assert peer.hear_close() == 1012
    peer.close()
    draining.join(DEADLINE_S)
    assert not draining.is_alive()


def test_a_drain_waits_no_longer_than_its_deadline() -> None:
    with RunningHub() as house:
        _, handler = house.connect(lambda connection, _: connection.hold(), receive_buffer=4096)
        house.publish(post=numbered(b"", 200_000))
        house.hub.drain(0.2)
        assert handler.ended.is_set()
        assert house.hub.count == 0
        house.publish()  # the apply thread may go on for a moment
        assert not house.hub.call(lambda: None)
