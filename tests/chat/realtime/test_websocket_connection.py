"""One websocket, frame by frame: what a peer may send, what it gets for the rest, how slow it may be."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from wsproto.events import CloseConnection, Ping, Pong

from chat.realtime.connection import HubLimits, send_to_many
from chat.realtime.frames import text_frame
from chat.realtime.websocket_connection import FRAMES_A_TURN, WebSocketConnection
from chat.server.sockets import send_to_all
from tests.chat.peer import DEADLINE_S, Peer, tcp_pair
from tests.chat.running_hub import RunningHub, numbered


@pytest.fixture
def house() -> Iterator[RunningHub]:
    with RunningHub() as house:
        yield house


def echo(connection: WebSocketConnection, text: str) -> None:
    connection.send(text.encode())


def test_a_slow_reader_is_closed_with_1013_and_the_others_go_on(house: RunningHub) -> None:
    slow, handler = house.connect(receive_buffer=4096)
    (quick,) = house.listen(1)
    sent = 0
    while not handler.connection.closing:
        assert sent < 200, "3 MB wait for a reader that reads nothing"
        house.publish(post=numbered(b"%d" % sent, 16_000))
        assert f'"{sent}x' in quick.hear_text()
        sent += 1
    assert slow.hear_close() == 1013
    house.publish()
    assert quick.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_reader_that_stalls_gets_every_frame_once_and_in_order(house: RunningHub) -> None:
    slow, handler = house.connect(receive_buffer=4096)
    connection, sent, heard = handler.connection, 0, 0
    for _ in range(3):
        while not connection.backlog:
            house.publish(post=numbered(b"%d" % sent, 5_000))
            house.settle()
            sent += 1
        for _ in range(3):  # behind what waits, though the kernel may have room for it by now
            house.publish(post=numbered(b"%d" % sent, 100))
            sent += 1
            assert f'"{heard}x' in slow.hear_text()
            heard += 1
        while heard < sent:
            assert f'"{heard}x' in slow.hear_text()
            heard += 1
    assert not connection.closing


def test_nothing_waits_for_a_reader_that_has_gone(house: RunningHub) -> None:
    peer, handler = house.connect(receive_buffer=4096)
    while not handler.connection.backlog:
        house.publish(post=numbered(b"%d", 16_000))
        house.settle()
    peer.close()
    assert handler.ended.wait(DEADLINE_S)
    assert handler.connection.backlog == 0


def test_a_greeting_goes_out_before_all_else(house: RunningHub) -> None:
    peer, _ = house.connect(greeting=text_frame(b"hi"), then=text_frame(b"there"))
    assert [peer.hear_text(), peer.hear_text()] == ["hi", "there"]


def test_who_is_too_slow_for_what_comes_gets_the_greeting_and_1013(house: RunningHub) -> None:
    """The end of a handshake is no frame: a close frame in its place would be no websocket's."""
    server, client = tcp_pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, HubLimits().send_buffer_bytes)
    unread = fill(server)
    peer, _ = house.connect(pair=(server, client), greeting=text_frame(b"hi"), then=text_frame(b"x" * 300_000))
    while unread:
        unread -= len(client.recv(min(unread, 1 << 16)))
    assert peer.hear_text() == "hi"
    assert peer.hear_close() == 1013


def fill(sock: socket.socket) -> int:
    """Send until nothing more goes into it; how many bytes did."""
    sock.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(1 << 16))
    return sent


def test_what_all_get_comes_behind_what_one_was_queued(house: RunningHub) -> None:
    peer, handler = house.connect()

    def send_both() -> None:
        handler.connection.send(b"its own")
        send_to_many([handler.connection], text_frame(b"everybody's"), send_to_all)

    house.hub.call(send_both)
    assert [peer.hear_text(), peer.hear_text()] == ["its own", "everybody's"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_go_both_ways(house: RunningHub, size: int) -> None:
    peer, _ = house.connect(echo)
    peer.say("x" * size)
    assert peer.hear_text() == "x" * size


def test_a_message_in_fragments_is_one_message_whatever_comes_between(house: RunningHub) -> None:
    peer, handler = house.connect(echo)
    smiley = "🙂".encode()
    peer.frame(0x01, b"a" + smiley[:2])
    peer.frame(0x89, b"are you there")
    peer.frame(0x00, b"")
    peer.frame(0x80, smiley[2:] + b"b")
    assert peer.hear() == Pong(b"are you there")
    assert peer.hear_text() == "a🙂b"
    assert handler.texts == ["a🙂b"]


def test_a_byte_at_a_time_makes_the_same_messages(house: RunningHub) -> None:
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


def test_a_close_is_answered_with_its_own_code(house: RunningHub) -> None:
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
def test_what_is_no_text_message_ends_the_socket_with_its_code(house: RunningHub, bytes_sent: bytes, code: int) -> None:
    peer, handler = house.connect()
    peer.socket.sendall(bytes_sent)
    assert peer.hear_close() == code
    assert handler.texts == []


def test_random_bytes_never_harm_the_others(house: RunningHub) -> None:
    (bystander,) = house.listen(1)
    rng = random.Random(20261123)
    for _ in range(40):
        peer, _ = house.connect(echo)
        peer.socket.sendall(rng.randbytes(rng.randint(1, 2000)))
        peer.close()
    house.publish()
    assert bystander.hear_text() == '{"RoomName":"general","Post":{}}'


def test_a_message_over_64_kib_ends_the_socket_with_1009_however_it_comes(house: RunningHub) -> None:
    whole, handler = house.connect()
    whole.say("x" * (64 * 1024 + 1))
    assert whole.hear_close() == 1009
    pieces, _ = house.connect()
    pieces.frame(0x01, "é".encode() * 20_000)
    pieces.frame(0x00, "é".encode() * 20_000)
    assert pieces.hear_close() == 1009
    assert handler.texts == []


@pytest.mark.parametrize("tiny", [b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0\x80\x80\0\0\0\0"])
def test_the_other_sockets_get_their_turn_between_the_frames_of_one_read(house: RunningHub, tiny: bytes) -> None:
    """Fragments count as frames."""
    texts: list[str] = []
    busy, _ = house.connect(lambda _, text: texts.append(text))
    other, _ = house.connect(lambda _, text: texts.append(text))
    count = 5 * FRAMES_A_TURN
    with house.hung():
        busy.socket.sendall(tiny * count)
        other.say("other")
    while len(texts) <= count:
        house.settle()
    assert texts.index("other") <= FRAMES_A_TURN
    busy.say("more")  # and it is read again
    while texts[-1] != "more":
        house.settle()


def test_a_link_may_be_told_less_and_counts_bytes(house: RunningHub) -> None:
    peer, handler = house.connect()
    house.hub.call(partial(handler.connection.limit, 100, "for now"))
    house.settle()
    peer.say("x" * 100)
    peer.socket.sendall(b"\x81\xfe\x00\x80")  # the header of 128 bytes, and none of them
    assert peer.hear_close() == 1009
    fragments, handler = house.connect()
    house.hub.call(partial(handler.connection.limit, 100))
    house.settle()
    fragments.frame(0x01, "é".encode() * 30)
    fragments.frame(0x80, "é".encode() * 30)
    assert fragments.hear_close() == 1009
    assert handler.texts == []


def test_too_many_unanswered_messages_stop_the_reading_until_there_is_room() -> None:
    with RunningHub(HubLimits(held=4)) as house:
        peer, handler = house.connect(lambda connection, _: connection.hold())
        for number in range(10):
            peer.say(f"{number}")
        peer.send(Ping(b"later"))
        house.settle()
        while len(handler.texts) < 4:
            house.settle()
        assert peer.hears_nothing()
        assert handler.texts == ["0", "1", "2", "3"]

        for released in range(1, 11):
            house.hub.call(handler.connection.release)
            house.settle()
            assert len(handler.texts) <= released + 4
        assert peer.hear() == Pong(b"later")
        assert handler.texts == [f"{number}" for number in range(10)]
