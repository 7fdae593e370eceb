"""Websockets and event streams over TLS: all that is sent arrives, slow readers are bounded, and the end is told."""

import http.client
import json
from collections.abc import Iterator

import pytest

from chat.realtime.connection import HubLimits
from tests.support.node import DEADLINE_S, Node
from tests.support.waiting import wait_until

LONG = "x" * 7000


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(is_tls=True) as node:
        yield node


def test_a_post_by_websocket_is_acknowledged_and_told_to_all(node: Node) -> None:
    ann, bob = node.connect(), node.connect()
    ann.subscribe()
    bob.subscribe()
    ann.say(Action="post", RoomName="general", Post={"Message": LONG, "User": "ann", "ClientId": "a-1"})
    assert {"Ack", "RoomName"} & {*ann.hear(), *ann.hear()} == {"Ack", "RoomName"}
    assert bob.next_texts(1) == [LONG]


def test_who_comes_back_with_a_cursor_gets_what_was_missed_and_what_comes_in_order(node: Node) -> None:
    cursor = node.connect().subscribe()
    for number in range(300):
        node.post(message=f"{number} {LONG if number % 10 == 0 else ''}")
    returning = node.connect()
    returning.subscribe(cursor=cursor)
    for number in range(300, 330):
        node.post(message=f"{number} {LONG}")
    numbers = [int(text.partition(" ")[0]) for text in returning.next_texts(330)]
    assert numbers == [*range(330)]


def test_a_slow_reader_is_closed_with_1013_behind_a_whole_frame_and_the_others_go_on() -> None:
    with Node(HubLimits(backlog_bytes=100_000, send_buffer_bytes=16 * 1024), is_tls=True) as node:
        slow, quick = node.connect(receive_buffer=4096), node.connect()
        quick.subscribe()
        slow.subscribe()
        for number in range(60):
            node.post(message=f"{number} {LONG}")
            assert quick.next_texts(1) == [f"{number} {LONG}"]
            assert node.hub.backlog <= 100_000 + 64 * 1024
        assert slow.hear_close() == 1013  # wsproto would not read half a frame
        assert node.hub.backlog == 0


def test_a_reader_that_waits_for_a_moment_loses_nothing(node: Node) -> None:
    reader = node.connect(receive_buffer=4096)
    reader.subscribe()
    for number in range(40):  # more than the kernel keeps, and less than 1013
        node.post(message=f"{number} {LONG}")
    wait_until(lambda: node.hub.backlog > 0, DEADLINE_S, "the reader's queue fills")
    assert [text.partition(" ")[0] for text in reader.next_texts(40)] == [str(number) for number in range(40)]
    wait_until(lambda: node.hub.backlog == 0, DEADLINE_S, "the queue is taken")


def test_a_stream_of_events_comes_and_its_end_is_told(node: Node) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", node.port, timeout=DEADLINE_S, context=node.tls)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.status == 200
    lines: list[bytes] = []
    while not (lines and lines[-1].startswith(b"data: ")):
        lines.append(answer.readline())
    assert "Hello" in json.loads(lines[-1][6:])
    node.settle()
    node.post(message=LONG)
    while not (line := answer.readline()).startswith(b"data: "):
        pass
    assert json.loads(line[6:])["Post"]["Message"] == LONG
    node.hub.drain(0.2)
    while answer.readline():
        pass  # an error would be a stream that broke off: its last chunk comes, and the end of the session
    connection.close()


def test_a_node_that_shuts_down_closes_with_1012_and_ends_the_session(node: Node) -> None:
    client = node.connect()
    node.hub.drain(0.2)
    assert client.hear_close() == 1012
    assert client.socket.recv(1) == b""  # not SSLEOFError, which is a line that was cut


def test_a_client_that_vanishes_is_forgotten(node: Node) -> None:
    client = node.connect()
    assert node.hub.count == 1
    client.close()
    wait_until(lambda: node.hub.count == 0, DEADLINE_S, "the hub forgets the client")


def test_a_hundred_listeners_hear_a_post(node: Node) -> None:
    listeners = [node.connect() for _ in range(100)]
    node.post(message="hello")
    assert [listener.next_texts(1) for listener in listeners] == [["hello"]] * 100
