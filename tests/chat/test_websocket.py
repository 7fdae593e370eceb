"""`/ws` as clients meet it: the handshake, cursors without a hole or a repeat, posts in order, errors that say what."""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import pytest
import websocket
import websockets.exceptions
import websockets.sync.client
from werkzeug.serving import make_server

from chat import subscription
from chat.commands import Post, encode
from chat.hub import Hub
from chat.link import HubLimits
from chat.serving import Server
from chat.state import ChatState
from chat.websocket import make_websocket_app
from raft.errors import Unavailable
from raft.messages import Entry
from tests.chat.fake_replica import FakeReplica

DEADLINE_S = 10
NODES = ["http://127.0.0.1:12380", "https://chat.example:443"]


class Client:
    """A client that speaks JSON."""

    def __init__(self, port: int, **options: Any) -> None:
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=DEADLINE_S, **options)

    def say(self, **frame: object) -> None:
        self._socket.send(json.dumps(frame))

    def say_raw(self, text: str) -> None:
        self._socket.send(text)

    def hear(self) -> dict[str, Any]:
        frame = json.loads(self._socket.recv())
        assert isinstance(frame, dict)
        return frame

    def subscribe(self, rooms: object = "*", cursor: str | None = None) -> str:
        """The cursor that it is greeted with."""
        self.say(Action="subscribe", Rooms=rooms, Cursor=cursor)
        while "Hello" not in (frame := self.hear()):  # what came while it only listened
            assert set(frame) == {"RoomName", "Post"}
        hello = frame["Hello"]
        assert hello["User"] is None
        assert hello["Nodes"] == NODES
        assert cursor is None or hello["Cursor"] == cursor
        return str(hello["Cursor"])

    def hear_close(self) -> int:
        while (frame := self._socket.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
        return int.from_bytes(frame[1][:2], "big")

    def close(self) -> None:
        self._socket.shutdown()  # type: ignore[no-untyped-call]


class Node:
    """A hub with its websocket application on a real server, over an engine of one."""

    def __init__(self, limits: HubLimits | None = None) -> None:
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.hub = Hub(lambda: self.replica.cluster_id, limits=limits)
        self.state.on_applied = self.hub.publish
        self.app = make_websocket_app(self.hub, self.replica, self.state, lambda: NODES)
        self.server = Server(self.app, "127.0.0.1", 0, name="test")
        self.port = self.server.port
        self.clients: list[Client] = []
        self.hub.start()
        self.server.start()
        self._posts = 0

    def connect(self, **options: Any) -> Client:
        """A client that only listens so far, and that the hub knows."""
        self.clients.append(Client(self.port, **options))
        self.clients[-1].say(Action="ping")
        while self.clients[-1].hear() != {"Pong": {}}:  # posts of a moment ago
            pass
        return self.clients[-1]

    def post(self, room: str = "general", message: str = "hi") -> None:
        """A post by somebody else."""
        self._posts += 1
        self.replica.commit(encode(Post(room, "bob", message, f"b-{self._posts}")))

    def settle(self) -> None:
        """Return once the hub has done what it was asked so far."""
        turned = threading.Event()
        assert self.hub.call(turned.set)
        assert turned.wait(DEADLINE_S)

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.hub.drain(1.0)
        self.server.drain(1.0)


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.end()


def post(message: str, client_id: str) -> dict[str, str]:
    return {"User": "ann", "Message": message, "ClientId": client_id}


# --- the handshake


def refusal(node: Node, **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Client(node.port, **options)
    assert refused.value.resp_body is not None
    return refused.value.status_code, json.loads(refused.value.resp_body)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://127.0.0.1", "http://[", ""]
)
def test_a_page_of_another_origin_gets_403(node: Node, origin: str) -> None:
    status, problem = refusal(node, header=[f"Origin: {origin}"], suppress_origin=True)
    assert (status, problem["code"]) == (403, "foreign_origin")


def test_a_page_of_this_host_or_of_a_member_is_let_in_and_so_is_what_is_no_page(node: Node) -> None:
    for header in (f"Origin: http://127.0.0.1:{node.port}", f"Origin: {NODES[0]}", "X-Other: 1"):
        node.connect(header=[header], suppress_origin=True)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Sec-WebSocket-Version: 12", 426),
        ("Sec-WebSocket-Key: c2hvcnQ=", 400),
        ("Sec-WebSocket-Key: ####################====", 400),
        ("Connection: keep-alive", 400),
        ("Upgrade: h2c", 426),
    ],
)
def test_a_handshake_that_breaks_the_rules_is_answered_in_http(node: Node, header: str, status: int) -> None:
    name, value = header.split(": ")
    headers = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    } | {name: value}
    environ = {"REQUEST_METHOD": "GET"} | {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()}
    started: list[str] = []
    body = b"".join(node.app(environ, lambda line, _headers: started.append(line)))  # type: ignore[arg-type]
    assert started[0].startswith(f"{status} ")
    assert json.loads(body)["status"] == status


def test_a_full_hub_answers_503() -> None:
    node = Node(HubLimits(connections=1))
    node.connect()
    assert refusal(node)[0] == 503
    node.end()


def test_deflate_is_not_agreed_on_however_it_is_offered(node: Node) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{node.port}/ws", compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        client.send('{"action": "ping"}')
        assert client.recv(DEADLINE_S) == '{"Pong":{}}'
        client.close(1000)
        assert client.close_code == 1000


def test_a_server_that_cannot_let_go_of_its_sockets_serves_websockets_too(node: Node) -> None:
    server = make_server("127.0.0.1", 0, node.app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    client = Client(server.server_port)
    client.subscribe()
    node.post()
    assert client.hear()["Post"]["Message"] == "hi"
    node.hub.drain(0.1)
    assert client.hear_close() == 1012
    client.close()
    server.shutdown()
    serving.join()
    server.server_close()


# --- listening and subscribing


def test_who_only_listens_gets_room_and_post_of_every_room(node: Node) -> None:
    client = node.connect()
    node.post("general", "héllo")
    node.post("other")
    frame = client.hear()
    assert set(frame) == {"RoomName", "Post"}
    assert frame["RoomName"] == "general"
    assert frame["Post"]["Id"] == 1
    assert frame["Post"]["Message"] == "héllo"
    assert client.hear()["RoomName"] == "other"


def test_a_subscriber_gets_its_rooms_only_each_frame_with_its_cursor(node: Node) -> None:
    client = node.connect()
    assert client.subscribe(["general", "cafe\u0301"]) == "c0ffee-2"
    for room in ("other", "general", "caf\u00e9", "other", "general"):
        node.post(room)
    frames = [client.hear() for _ in range(3)]
    assert [(frame["RoomName"], frame["Cursor"]) for frame in frames] == [
        ("general", "c0ffee-4"),
        ("caf\u00e9", "c0ffee-5"),
        ("general", "c0ffee-7"),
    ]


def test_what_was_missed_comes_before_what_is_live(node: Node) -> None:
    for number in range(5):
        node.post(message=f"{number}")
    client = node.connect()
    client.subscribe(cursor="c0ffee-5")
    node.post(message="live")
    frames = [client.hear() for _ in range(3)]
    assert [frame["Post"]["Message"] for frame in frames] == ["3", "4", "live"]
    assert frames[0]["Post"]["Id"] == 4
    assert [frame["Cursor"] for frame in frames] == ["c0ffee-6", "c0ffee-7", "c0ffee-8"]


def test_subscribing_again_replaces_the_subscription(node: Node) -> None:
    client = node.connect()
    client.subscribe(["a"])
    client.subscribe(["b"])
    node.post("a")
    node.post("b")
    assert client.hear()["RoomName"] == "b"
    for _ in range(50):  # none of them is waited for
        client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-2")
    client.say(Action="ping")
    node.post("c")
    frames = [client.hear()]
    while frames[-1].get("Cursor") != "c0ffee-5":
        frames.append(client.hear())
    last_hello = max(k for k, frame in enumerate(frames) if "Hello" in frame)
    assert [frame["RoomName"] for frame in frames[last_hello + 1 :] if "Pong" not in frame] == ["a", "b", "c"]


@pytest.mark.parametrize("seed", range(3))
def test_resuming_by_cursor_has_no_hole_and_no_repeat_while_posts_keep_coming(node: Node, seed: int) -> None:
    rng = random.Random(seed)
    rooms = ["a", "b", "c"]
    total = 600
    placed = [rng.choice(rooms) for _ in range(total)]
    wanted: Sequence[str] = rng.choice([["a"], ["a", "c"], rooms])
    expected = [index for index, room in enumerate(placed, 3) if room in wanted]
    for room in placed[: total // 3]:
        node.post(room)

    def go_on() -> None:
        for room in placed[total // 3 :]:
            node.post(room, "x" * 500)
            node.settle()

    posting = threading.Thread(target=go_on)
    posting.start()
    cursor, seen = "c0ffee-2", list[int]()
    while len(seen) < len(expected):
        client = Client(node.port)
        client.say(Action="subscribe", Rooms="*" if len(wanted) == 3 else wanted, Cursor=cursor)
        while "Hello" not in client.hear():  # what came while it only listened
            pass
        for _ in range(min(rng.randint(1, 60), len(expected) - len(seen))):
            frame = client.hear()
            cursor = frame["Cursor"]
            seen.append(int(cursor.split("-")[1]))
        client.close()
    posting.join()
    assert seen == expected


def test_a_long_backfill_waits_for_a_slow_reader_and_does_not_end_it(node: Node) -> None:
    texts = [f"{number}".ljust(8000, "é") for number in range(200)]
    for text in texts:
        node.post(message=text)
    client = node.connect(sockopt=[(1, 8, 4096)])  # SOL_SOCKET, SO_RCVBUF
    client.subscribe(cursor="c0ffee-2")
    for _ in range(5):
        node.settle()
    (link,) = node.hub._links
    assert link.backlog <= 256 * 1024
    assert [client.hear()["Post"]["Message"] for _ in texts] == texts
    node.post(message="live")
    assert client.hear()["Post"]["Message"] == "live"


def test_too_much_missed_is_told_by_room_and_then_it_goes_on_live(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MISSED_POSTS_MAX", 10)
    for _ in range(6):
        node.post("a")
        node.post("b")
    client = node.connect()
    client.subscribe(cursor="c0ffee-3")
    limited = [client.hear(), client.hear()]
    assert {frame["Limited"]["RoomName"]: frame["Limited"]["NewestId"] for frame in limited} == {"a": 6, "b": 6}
    assert [frame.get("Cursor") for frame in limited] == [None, "c0ffee-14"]
    node.post("a")
    assert client.hear()["Cursor"] == "c0ffee-15"

    one_room = node.connect()
    one_room.subscribe(["b"], cursor="c0ffee-3")
    assert [one_room.hear()["Post"]["Id"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_a_cursor_ahead_of_this_node_waits_for_it(node: Node) -> None:
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-4")
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    for _ in range(3):
        node.post()
    assert client.hear()["Hello"]["Cursor"] == "c0ffee-4"
    assert client.hear()["Cursor"] == "c0ffee-5"


def test_a_cursor_that_this_node_does_not_reach_ends_the_socket_with_1013(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "CURSOR_WAIT_S", 0.1)
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-99")
    assert client.hear_close() == 1013


def test_a_read_that_fails_ends_the_socket_with_1011(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_indexes: Sequence[int]) -> list[Entry]:
        raise OSError("the disk is gone")

    node.post()
    monkeypatch.setattr(node.replica, "entries", fail)
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-2")
    assert client.hear_close() == 1011


# --- what is wrong


@pytest.mark.parametrize(
    "cursor", ["", "c0ffee", "c0ffee-", "c0ffee--1", "beef-3", "c0ffee-3 ", "c0ffee-99999999999999999", 3]
)
def test_a_cursor_that_is_none_of_this_cluster_is_a_bad_cursor(node: Node, cursor: object) -> None:
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor=cursor)
    assert client.hear()["Error"]["code"] == "bad_cursor"


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("", "invalid_field", "body"),
        ("[]", "invalid_field", "body"),
        ("{", "invalid_field", "body"),
        ("[" * 60_000, "invalid_field", "body"),
        ('{"Action":NaN}', "invalid_field", "body"),
        ("{}", "unknown_action", "Action"),
        ('{"Action":"typing"}', "unknown_action", "Action"),
        ('{"Action":["post"]}', "unknown_action", "Action"),
        ('{"Action":"subscribe"}', "invalid_field", "Rooms"),
        ('{"Action":"subscribe","Rooms":{"a":1}}', "invalid_field", "Rooms"),
        ('{"Action":"subscribe","Rooms":["a",7]}', "invalid_field", "Rooms"),
        ('{"Action":"subscribe","Rooms":["\\ud800"]}', "invalid_field", "Rooms"),
        ('{"Action":"post","RoomName":"a","Post":[]}', "invalid_field", "Post"),
        ('{"Action":"post","Post":{}}', "invalid_field", "RoomName"),
        ('{"Action":"post","RoomName":"..","Post":{"User":"a","Message":"b"}}', "invalid_field", "RoomName"),
        ('{"Action":"post","RoomName":"a","Post":{"User":"a"}}', "invalid_field", "Message"),
        ('{"Action":"post","RoomName":"a","Post":{"User":"a","Message":"b","ReplyTo":0}}', "invalid_field", "ReplyTo"),
    ],
)  # fmt: skip
def test_a_message_that_makes_no_sense_gets_an_error_and_the_socket_stays(
    node: Node, text: str, code: str, field: str
) -> None:
    client = node.connect()
    client.say_raw(text)
    error = client.hear()["Error"]
    assert error["code"] == code
    assert error["detail"].startswith(f"{field}:")
    assert error["Temporary"] is False
    client.say(action="ping")
    assert client.hear() == {"Pong": {}}
    assert node.replica.proposed == []


def test_a_node_without_a_cluster_says_so_for_now(node: Node) -> None:
    node.replica.cluster_id = ""
    client = node.connect()
    client.say(Action="subscribe", Rooms="*")
    error = client.hear()["Error"]
    assert (error["code"], error["Temporary"]) == ("unavailable", True)


# --- posting


def test_a_post_is_acknowledged_with_the_post_that_readers_get(node: Node) -> None:
    client = node.connect()
    client.subscribe()
    client.say(Action="post", RoomName="general", Post=post("hi", "c-1"))
    frames = [client.hear(), client.hear()]
    (ack,) = (frame["Ack"] for frame in frames if "Ack" in frame)
    (seen,) = (frame for frame in frames if "Ack" not in frame)
    assert (ack["ClientId"], ack["RoomName"]) == ("c-1", "general")
    assert ack["Post"] == seen["Post"]

    client.say(Action="post", RoomName="general", Post=post("hi", "c-1"))
    assert client.hear()["Ack"]["Post"] == seen["Post"]


def test_a_post_without_a_client_id_is_told_the_one_it_got(node: Node) -> None:
    client = node.connect()
    client.subscribe(["none"])
    client.say(Action="post", RoomName="general", Post={"user": "ann", "message": "hi"})
    ack = client.hear()["Ack"]
    assert ack["ClientId"] == ack["Post"]["ClientId"]


def test_a_refused_post_names_its_client_id(node: Node) -> None:
    client = node.connect()
    client.subscribe(["none"])
    client.say(Action="post", RoomName="a", Post=post("one", "c-1"))
    assert "Ack" in client.hear()
    client.say(Action="post", RoomName="a", Post=post("two", "c-1"))
    error = client.hear()["Error"]
    assert (error["ClientId"], error["code"], error["Temporary"]) == ("c-1", "client_id_reused", False)


def wait_for_proposals(node: Node, count: int) -> list[str]:
    """The texts proposed so far, once there are `count` of them."""
    until = monotonic() + DEADLINE_S
    while len(node.replica.proposed) < count and monotonic() < until:
        node.settle()
    return [json.loads(command)["Post"]["Message"] for command in node.replica.proposed]


def test_posts_of_one_socket_to_one_room_are_proposed_one_after_the_other(node: Node) -> None:
    node.replica.delayed = True
    client = node.connect()
    client.subscribe(["none"])
    for text, room in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")):
        client.say(Action="post", RoomName=room, Post=post(text, f"c-{text}"))
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    assert wait_for_proposals(node, 2) == ["1", "3"]
    node.replica.release()
    assert wait_for_proposals(node, 3) == ["1", "3", "2"]
    node.replica.release()
    assert wait_for_proposals(node, 4) == ["1", "3", "2", "4"]
    node.replica.release()
    assert [client.hear()["Ack"]["ClientId"] for _ in range(4)] == ["c-1", "c-3", "c-2", "c-4"]


def test_a_post_that_may_not_have_been_made_takes_those_behind_it_along(node: Node) -> None:
    node.replica.delayed = True
    node.replica.loses_answers = True
    client = node.connect()
    client.subscribe(["none"])
    for text in ("1", "2", "3"):
        client.say(Action="post", RoomName="a", Post=post(text, f"c-{text}"))
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    node.replica.release()
    errors = [client.hear()["Error"] for _ in range(3)]
    assert [error["ClientId"] for error in errors] == ["c-1", "c-2", "c-3"]
    assert [error["code"] for error in errors] == ["outcome_unknown", "unavailable", "unavailable"]
    assert all(error["Temporary"] for error in errors)
    assert wait_for_proposals(node, 1) == ["1"]


def test_without_a_quorum_a_post_gets_a_temporary_error(node: Node) -> None:
    node.replica.unavailable = True
    client = node.connect()
    client.say(Action="post", RoomName="a", Post=post("hi", "c-1"))
    error = client.hear()["Error"]
    assert (error["code"], error["detail"]) == ("unavailable", str(Unavailable("no quorum")))
    assert error["Temporary"] is True


def test_a_flood_of_posts_is_read_no_faster_than_it_is_answered(node: Node) -> None:
    node.replica.delayed = True
    client = node.connect()
    client.subscribe(["none"])
    for number in range(200):
        client.say(Action="post", RoomName=f"room {number}", Post=post("hi", f"c-{number}"))
    wait_for_proposals(node, 64)
    node.settle()
    assert len(node.replica.proposed) == 64
    node.replica.delayed = False
    node.replica.release()
    assert [client.hear()["Ack"]["ClientId"] for _ in range(200)] == [f"c-{number}" for number in range(200)]
