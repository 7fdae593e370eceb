"""`/ws` as clients meet it: the handshake, errors that say what is wrong, posts in order."""

import json
from time import monotonic
from typing import Any, Unpack

import pytest
import websockets.exceptions
import websockets.sync.client

from chat.realtime.connection import HubLimits
from raft.errors import Unavailable
from tests.support.node import DEADLINE_S, NODES, Node, NodeClient, Options
from tests.support.waiting import wait_until
from tests.support.websocket_client import HandshakeRefused


def post(message: str, client_id: str) -> dict[str, str]:
    return {"User": "ann", "Message": message, "ClientId": client_id}


def refusal(node: Node, **options: Unpack[Options]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HandshakeRefused) as refused:
        NodeClient(node.port, **options)
    return refused.value.answer.status, refused.value.answer.json()


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://127.0.0.1", "http://[", ""]
)
def test_a_page_of_another_origin_gets_403(node: Node, origin: str) -> None:
    status, problem = refusal(node, headers=(f"Origin: {origin}",))
    assert (status, problem["code"]) == (403, "foreign_origin")


def test_a_page_of_this_host_or_of_a_member_is_let_in_and_so_is_what_is_no_page(node: Node) -> None:
    for header in (f"Origin: http://127.0.0.1:{node.port}", f"Origin: {NODES[0]}", "X-Other: 1"):
        node.connect(headers=(header,))


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
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/ws"} | {
        f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()
    }
    started: list[str] = []
    body = b"".join(node.app(environ, lambda line, _headers: started.append(line)))
    assert started[0].startswith(f"{status} ")
    assert json.loads(body)["status"] == status


def test_a_full_hub_answers_503() -> None:
    with Node(HubLimits(connections=1)) as node:
        node.connect()
        assert refusal(node)[0] == 503


def test_deflate_is_not_agreed_on_however_it_is_offered(node: Node) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{node.port}/ws", compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        client.send('{"action": "ping"}')
        assert client.recv(DEADLINE_S) == '{"Pong":{}}'
        client.close(1000)
        assert client.close_code == 1000


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("", "invalid_field", "body"),
        ("[]", "invalid_field", "body"),
        ("{", "invalid_field", "body"),
        ("[" * 60_000, "invalid_field", "body"),
        ('{"Action":NaN}', "invalid_field", "body"),
        ("{}", "unknown_action", "Action"),
        ('{"Action":"dance"}', "unknown_action", "Action"),
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


def test_a_post_that_the_state_refuses_is_answered_in_its_turn_and_not_proposed(node: Node) -> None:
    client = node.connect()
    client.subscribe(["none"])
    for text, more in (("1", {}), ("2", {"ReplyTo": 9}), ("3", {})):
        client.say(Action="post", RoomName="a", Post=post(text, f"c-{text}") | more)
    told = [client.hear() for _ in range(3)]
    assert [next(iter(frame.values()))["ClientId"] for frame in told] == ["c-1", "c-2", "c-3"]
    assert told[1]["Error"]["code"] == "no_such_post"
    assert wait_for_proposals(node, 2) == ["1", "3"]


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
    assert {client.hear()["Ack"]["ClientId"] for _ in range(200)} == {f"c-{number}" for number in range(200)}


def test_when_all_websockets_are_taken_the_address_that_has_most_gives_way() -> None:
    limits = HubLimits(connections=3, operator_spare=1)
    with Node(limits) as node:

        def arrive(source: str) -> NodeClient:
            return node.connect(address=source)

        crowd = [arrive("127.0.0.2") for _ in range(3)]
        status, problem = refusal(node, address="127.0.0.2")
        assert (status, problem["code"]) == (503, "too_many_websockets")
        arrive("127.0.0.3")
        assert crowd[0].hear_close() == 1013
        crowd[0].close()
        wait_until(lambda: node.hub.count == 3, DEADLINE_S, "the websocket that gave way has ended")
        arrive("127.0.0.1")  # one is kept for the operator
        node.post()
        assert crowd[1].hear()["Post"]["Id"] == 1
