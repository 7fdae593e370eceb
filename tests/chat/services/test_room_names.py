"""Nobody makes a room whose name looks like that of another room that they see."""

from urllib.parse import quote

import pytest

from chat.commands import Post, decode
from chat.commands.rooms import ChangeRoom, CreateRoom
from chat.confusable_names import room_looks, room_skeleton
from tests.chat.chat_client import ChatClient
from tests.chat.login_client import LoginClient, code
from tests.support.node import Node

ALIKE = ["General", "GENERAL", "gener\u0430l", "g\u0435neral", "genera1", "g\u00e9neral", "genera\u200dl"]


@pytest.mark.parametrize("name", ALIKE)
def test_no_way_to_make_or_name_a_room_gives_it_a_name_that_looks_like_another(name: str) -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.fill(1, "/rooms/other")
    chat.replica.proposed.clear()
    answers = [
        chat.post(f"/rooms/{quote(name)}"),
        chat.open("PUT", f"/rooms/{quote(name)}", b"{}"),
        chat.open("POST", "/rooms", f'{{"Name": "{name}"}}'.encode()),
        chat.open("PATCH", "/rooms/other", f'{{"Name": "{name}"}}'.encode()),
    ]
    assert {code(answer) for answer in answers} == {(409, "looks_like")}
    assert chat.replica.proposed == []


def test_of_two_names_that_look_alike_said_in_one_moment_the_second_is_refused() -> None:
    with Node() as node:
        node.replica.delayed = True
        first, second = node.connect(), node.connect()
        for client, room in ((first, "Plans"), (second, "plans")):
            client.say(Action="post", RoomName=room, Post={"User": "ann", "Message": "hi", "ClientId": f"c-{room}"})
            client.say(Action="ping")
            assert client.hear() == {"Pong": {}}
        assert len(node.replica.proposed) == 2
        node.replica.release()
        while "Ack" not in first.hear():  # the post itself
            pass
        while "Error" not in (told := second.hear()):  # the other one's post
            pass
        assert told["Error"]["code"] == "looks_like"


def looks_of(body: bytes) -> str:
    command = decode(body)
    assert isinstance(command, Post | CreateRoom | ChangeRoom)
    return command.looks


def test_what_makes_or_names_a_room_carries_what_look_alikes_have_in_common_and_other_posts_do_not() -> None:
    chat = ChatClient()
    chat.post("/rooms/plans")
    chat.post("/rooms/plans")
    chat.open("PUT", "/rooms/office", b"{}")
    chat.open("POST", "/rooms", b'{"Name": "team"}')
    chat.open("PATCH", "/rooms/team", b'{"Name": "Our team"}')
    chat.open("PATCH", "/rooms/team", b'{"Topic": "t"}')
    names = ["plans", "", "office", "team", "Our team", ""]
    assert [*map(looks_of, chat.replica.proposed)] == [name and room_looks(name) for name in names]


def test_a_private_room_that_becomes_public_carries_what_its_look_alikes_have_in_common() -> None:
    chat = LoginClient()
    made = chat.ask("bob", "POST", "/rooms", {"Name": "Plans", "Visibility": "private"})
    chat.ask("bob", "PATCH", f"/rooms/{made.get_json()['Name']}", {"Visibility": "public"})
    assert [*map(looks_of, chat.replica.proposed)] == [room_looks("Plans")] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.10", "11.0"),
        ("team 5", "team s"),
        ("team 2", "team 3"),
        ("dev", "dev2"),
        ("general", "genera"),
        ("plans", "plan s"),
    ],
)
def test_what_tells_two_rooms_apart_for_people_does_so_here(one: str, other: str) -> None:
    assert room_skeleton(one) != room_skeleton(other)
    chat = ChatClient()
    for name in (one, other):
        assert chat.post(f"/rooms/{quote(name)}").status_code == 201


@pytest.mark.parametrize("other", ["plans-2025", "Plans  2025", "plans_2025"])
def test_separators_do_not_tell_rooms_apart(other: str) -> None:
    assert room_skeleton(other) == room_skeleton("plans 2025")


def test_a_room_may_be_named_like_itself() -> None:
    chat = ChatClient()
    chat.fill(1)
    assert chat.open("PATCH", "/rooms/general", b'{"Name": "General"}').status_code == 200
    assert chat.post("/rooms/general").status_code == 201  # the name that it had
    assert chat.post("/rooms/General").status_code == 201


def test_a_private_room_that_one_does_not_see_is_not_told_of_by_a_refusal() -> None:
    chat = LoginClient()
    assert chat.ask("bob", "POST", "/rooms", {"Name": "Plans", "Visibility": "private"}).status_code == 201
    assert chat.ask("eve", "POST", "/rooms", {"Name": "plans", "Visibility": "private"}).status_code == 201
    assert code(chat.ask("bob", "PUT", "/rooms/plans", {})) == (409, "looks_like")
    assert chat.ask("gus", "POST", "/rooms/plans", {"Message": "hi"}).status_code == 404
    assert chat.ask("ann", "PUT", "/rooms/plans", {}).status_code == 201


def test_a_private_room_does_not_become_public_under_a_name_that_looks_like_another() -> None:
    chat = LoginClient()
    made = chat.ask("bob", "POST", "/rooms", {"Name": "Plans", "Visibility": "private"})
    assert chat.ask("eve", "PUT", "/rooms/plans", {}).status_code == 201
    room = made.get_json()["Name"]
    assert code(chat.ask("bob", "PATCH", f"/rooms/{room}", {"Visibility": "public"})) == (409, "looks_like")


def test_a_post_over_the_websocket_makes_no_room_that_looks_like_another() -> None:
    with Node() as node:
        node.post()
        client = node.connect()
        client.subscribe(["none"])
        client.say(Action="post", RoomName="General", Post={"User": "ann", "Message": "hi", "ClientId": "c-1"})
        assert client.hear()["Error"]["code"] == "looks_like"
        assert node.replica.proposed == []
