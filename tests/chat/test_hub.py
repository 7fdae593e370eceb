"""The hub and its links, over real sockets: what is fanned out, what a bad or slow peer gets, how it ends."""

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong

from chat.hub import Hub
from chat.link import HubLimits, Link
from chat.state import PostEvent
from tests.chat.peer import DEADLINE_S, Peer, tcp_pair


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Recorder:
    """A handler that keeps what it is told, and does what the test says with it."""

    link: Link
    texts: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    on_text: Callable[[Link, str], None] | None = None

    def received(self, text: str) -> None:
        self.texts.append(text)
        if self.on_text is not None:
            self.on_text(self.link, text)

    def closed(self) -> None:
        self.ended.set()


class House:
    """A running hub, its peers, and a log index that counts."""

    def __init__(self, limits: HubLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.hub = Hub(lambda: "c0ffee", limits=limits, clock=clock)
        self.hub.start()
        self.index = 0
        self.peers: list[Peer] = []
        self._publishing = threading.Lock()

    def settle(self) -> None:
        """Return once the hub has done all that it was asked so far."""
        for _ in range(2):  # what the first turn touches, the second has flushed
            turned = threading.Event()
            assert self.hub.call(turned.set)
            assert turned.wait(DEADLINE_S)

    def connect(
        self, on_text: Callable[[Link, str], None] | None = None, receive_buffer: int | None = None
    ) -> tuple[Peer, Recorder]:
        """A peer that listens, and its handler."""
        server, client = tcp_pair(receive_buffer)
        recorders: list[Recorder] = []

        def record(link: Link) -> Recorder:
            recorders.append(Recorder(link, on_text=on_text))
            return recorders[0]

        self.hub.attach(server, Connection(ConnectionType.SERVER), b"", record)
        self.peers.append(Peer(client))
        self.settle()
        return self.peers[-1], recorders[0]

    def listen(self, count: int) -> list[Peer]:
        """So many peers that only listen."""
        return [self.connect()[0] for _ in range(count)]

    def publish(self, room: str = "general", post: bytes = b"{}", posts: int = 1) -> None:
        """A batch, as the apply thread hands it over."""
        with self._publishing:
            events = [PostEvent(self.index + k, room, self.index + k, post) for k in range(1, posts + 1)]
            self.index += posts
            self.hub.publish(self.index, events)


def numbered(payload: bytes, size: int) -> bytes:
    """A post of `size` bytes that can be told apart."""
    return b'{"Message":"%b"}' % payload.ljust(size - 14, b"x")


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    end(house)


def end(house: House) -> None:
    for peer in house.peers:
        peer.close()
    house.hub.drain(1.0)


def echo(link: Link, text: str) -> None:
    link.send(text.encode())


def test_a_listener_gets_the_room_and_the_post(house: House) -> None:
    (peer,) = house.listen(1)
    house.publish("кот", b'{"Id":1}')
    assert peer.hear_text() == '{"RoomName":"кот","Post":{"Id":1}}'


def test_every_listener_gets_every_post_once_and_in_order_while_four_threads_publish(house: House) -> None:
    peers = house.listen(50)
    marks = [b'{"Id":%d}' % k for k in range(1, 201)]

    def publish(thread: int) -> None:
        for _ in range(50):
            with house._publishing:
                house.index += 1
                house.hub.publish(house.index, [PostEvent(house.index, "general", house.index, marks[house.index - 1])])

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [f'{{"RoomName":"general","Post":{mark.decode()}}}' for mark in marks]
    for peer in peers:
        assert [peer.hear_text() for _ in expected] == expected


def test_a_subscriber_gets_its_rooms_with_a_cursor(house: House) -> None:
    all_rooms, one_room = house.listen(2)
    links = list(house.hub._links)
    for link in links:
        house.hub.leave(link)
    by_peer = {link.socket.getpeername(): link for link in links}
    house.hub.join(by_peer[all_rooms.socket.getsockname()], None)
    house.hub.join(by_peer[one_room.socket.getsockname()], frozenset({"b"}))
    for room in ("a", "b"):
        house.publish(room, b"{}")
    frames = [f'{{"RoomName":"{room}","Post":{{}},"Cursor":"c0ffee-{index}"}}' for room, index in (("a", 1), ("b", 2))]
    assert [all_rooms.hear_text(), all_rooms.hear_text()] == frames
    assert one_room.hear_text() == frames[1]


def test_a_slow_reader_is_closed_with_1013_and_the_others_go_on(house: House) -> None:
    slow, handler = house.connect(receive_buffer=4096)
    (quick,) = house.listen(1)
    sent = 0
    while not handler.link.closing:
        assert sent < 200, "3 MB wait for a reader that reads nothing"
        house.publish(post=numbered(b"%d" % sent, 16_000))
        assert f'"{sent}x' in quick.hear_text()
        sent += 1
    assert slow.hear_close() == 1013
    house.publish()
    assert quick.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_burst_in_one_batch_reaches_a_reader_that_reads(house: House) -> None:
    (peer,) = house.listen(1)
    posts = 400
    house.publish(post=numbered(b"", 1000), posts=posts)
    for _ in range(posts):
        assert len(peer.hear_text()) > 1000
    assert house.hub.count == 1


def test_a_hub_that_falls_behind_closes_every_socket_rather_than_leave_a_hole() -> None:
    house = House(HubLimits(pending_bytes=10_000))
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
    end(house)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_go_both_ways(house: House, size: int) -> None:
    peer, _ = house.connect(echo)
    peer.say("x" * size)
    assert peer.hear_text() == "x" * size


def test_a_message_in_fragments_is_one_message_whatever_comes_between(house: House) -> None:
    peer, handler = house.connect(echo)
    smiley = "🙂".encode()
    peer.frame(0x01, b"a" + smiley[:2])
    peer.frame(0x89, b"are you there")
    peer.frame(0x00, b"")
    peer.frame(0x80, smiley[2:] + b"b")
    assert peer.hear() == Pong(b"are you there")
    assert peer.hear_text() == "a🙂b"
    assert handler.texts == ["a🙂b"]


def test_a_byte_at_a_time_makes_the_same_messages(house: House) -> None:
    peer, handler = house.connect(echo)
    ours, theirs = socket.socketpair()
    whole = Peer(ours)
    for text in ("one", "2" * 300):
        whole.say(text)
    ours.close()
    while byte := theirs.recv(1):
        peer.socket.sendall(byte)
    theirs.close()
    assert [peer.hear_text(), peer.hear_text()] == ["one", "2" * 300]
    assert len(handler.texts) == 2


def test_a_close_is_answered_with_its_own_code(house: House) -> None:
    peer, handler = house.connect()
    peer.send(CloseConnection(3001, "bye"))
    assert peer.hear_close() == 3001
    peer.close()
    assert handler.ended.wait(DEADLINE_S)


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
        (b"\xff" * 64, 1002),
        (b"\x81\x01x", 1002),  # not masked
        (b"\xc1\x80" + bytes(4), 1002),  # a reserved bit: deflate was not agreed on
        (b"\x80\x80" + bytes(4), 1002),  # a continuation of nothing
        (b"\x88\x81" + bytes(4) + b"x", 1002),  # half of a close code
        (b"\x89\xfe\x00\x7e" + bytes(4), 1002),  # a ping of 126 bytes
        (b"\x81\x82" + bytes(4) + b"\xc3\x28", 1007),
        (b"\x81\x82" + bytes(4) + b"\xed\xa0", 1007),  # begins a surrogate
        (b"\x82\x80" + bytes(4), 1003),
    ],
)
def test_what_is_no_text_message_ends_the_socket_with_its_code(house: House, bytes_sent: bytes, code: int) -> None:
    peer, handler = house.connect()
    peer.socket.sendall(bytes_sent)
    assert peer.hear_close() == code
    assert handler.texts == []


def test_random_bytes_never_harm_the_others(house: House) -> None:
    (bystander,) = house.listen(1)
    rng = random.Random(20261123)
    for _ in range(40):
        peer, _ = house.connect(echo)
        peer.socket.sendall(rng.randbytes(rng.randint(1, 2000)))
        peer.close()
    house.publish()
    assert bystander.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_message_over_64_kib_ends_the_socket_with_1009_however_it_comes(house: House) -> None:
    whole, handler = house.connect()
    whole.say("x" * (64 * 1024 + 1))
    assert whole.hear_close() == 1009
    pieces, _ = house.connect()
    pieces.frame(0x01, "é".encode() * 20_000)
    pieces.frame(0x00, "é".encode() * 20_000)
    assert pieces.hear_close() == 1009
    assert handler.texts == []


def test_too_many_unanswered_messages_stop_the_reading_until_there_is_room() -> None:
    house = House(HubLimits(held=4))
    peer, handler = house.connect(lambda link, _: link.hold())
    for number in range(10):
        peer.say(f"{number}")
    peer.send(Ping(b"later"))
    house.settle()
    while len(handler.texts) < 4:
        house.settle()
    assert peer.hears_nothing()
    assert handler.texts == ["0", "1", "2", "3"]

    for released in range(1, 11):
        house.hub.call(handler.link.release)
        house.settle()
        assert len(handler.texts) <= released + 4
    assert peer.hear() == Pong(b"later")
    assert handler.texts == [f"{number}" for number in range(10)]
    end(house)


def test_a_failure_in_one_conversation_ends_that_one_only(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_link: Link, _text: str) -> None:
        raise ZeroDivisionError("a bug of ours")

    (bystander,) = house.listen(1)
    peer, handler = house.connect(fail)
    with caplog.at_level(logging.ERROR, "chat.hub"):
        peer.say("x")
        assert handler.ended.wait(DEADLINE_S)
    assert "a bug of ours" in caplog.text
    house.publish()
    assert bystander.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_peer_is_pinged_every_25_seconds_and_a_silent_one_is_dropped_after_35() -> None:
    clock = Clock()
    house = House(clock=clock)
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
            while alive_handler.link.heard_at < clock.seconds and time.monotonic() < until:
                house.settle()
        if clock.seconds <= 1034:
            assert not silent_handler.ended.is_set()
    assert pings == 4
    assert not alive_handler.ended.is_set()
    assert silent_handler.ended.is_set()
    end(house)


def test_a_machine_that_slept_takes_nobody_for_dead() -> None:
    clock = Clock()
    house = House(clock=clock)
    _, handler = house.connect()
    clock.seconds += 3600
    house.settle()
    assert not handler.ended.is_set()
    end(house)


def test_three_hundred_sockets_that_go_at_once_cost_little(house: House) -> None:
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


def test_a_drain_closes_every_socket_with_1012(house: House) -> None:
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


def test_a_drain_answers_what_is_under_way_first(house: House) -> None:
    peer, handler = house.connect(lambda link, _: link.hold())
    peer.say("a post")
    while not handler.texts:
        house.settle()

    def answer() -> None:
        handler.link.send(b"done")
        handler.link.release()

    draining = threading.Thread(target=house.hub.drain, args=(DEADLINE_S,))
    draining.start()
    until = time.monotonic() + DEADLINE_S
    while not house.hub.full and time.monotonic() < until:
        house.settle()
    house.hub.call(answer)
    assert peer.hear_text() == "done"
    assert peer.hear_close() == 1012
    peer.close()
    draining.join(DEADLINE_S)
    assert not draining.is_alive()


def test_a_drain_waits_no_longer_than_its_deadline() -> None:
    house = House()
    _, handler = house.connect(lambda link, _: link.hold(), receive_buffer=4096)
    house.publish(post=numbered(b"", 200_000))
    house.hub.drain(0.2)
    assert handler.ended.is_set()
    assert house.hub.count == 0
    house.publish()  # the apply thread may go on for a moment
    assert not house.hub.call(lambda: None)
    end(house)
