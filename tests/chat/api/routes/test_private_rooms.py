"""To who does not see it a private room is as one that does not exist: on every route the whole answer is the same."""

from collections.abc import Mapping

import pytest
from werkzeug.test import TestResponse

from chat.api.router import Route
from chat.app import ROUTES
from tests.chat.login_client import LoginClient, code

UNKNOWN = "plans~abcdefgh22"
OF_A_ROOM = [route for route in ROUTES if "{room}" in route.path]
BODIES: Mapping[tuple[str, str], object] = {
    ("POST", "/rooms/{room}"): {"Message": "hi", "ClientId": "c"},
    ("PUT", "/rooms/{room}"): {"Topic": "t"},
    ("PATCH", "/rooms/{room}"): {"Topic": "t", "Name": "x", "Members": ["eve"], "Retention": None},
    ("PATCH", "/rooms/{room}/messages/{id}"): {"Message": "other"},
    ("PUT", "/rooms/{room}/read"): {"Id": 1},
    ("PATCH", "/rooms/{room}/preferences"): {"Favourite": True},
    ("POST", "/rooms/{room}/import"): {"Id": 1, "User": "ann", "Message": "hi", "PostedAt": "2020-01-01T00:00:00Z"},
}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


class Secrets(LoginClient):
    """Ann and bob have a private room, which bob has posted to, and which had another name; and one with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.private = self.made("POST", "/rooms", {"Name": "plans", "Visibility": "private", "Members": ["bob"]})
        self.direct = self.made("POST", "/directs", {"Users": ["bob"]})
        self.deleted = self.made("POST", "/rooms", {"Name": "over", "Visibility": "private"})
        for room in (self.private, self.direct, self.deleted):
            said = self.say("ann", f"/rooms/{room}", ClientId=f"in {room}")
            assert said.status_code == 201
            assert self.ask("ann", "PUT", f"/rooms/{room}/messages/1/reactions/+").status_code == 204
        assert self.ask("ann", "DELETE", f"/rooms/{self.deleted}").status_code == 204
        self.former = self.private
        self.private = self.made("PATCH", f"/rooms/{self.private}", {"Name": "designs"}, 200)
        assert self.ask("bob", target=f"/rooms/{self.former}/messages/1").status_code == 200

    def made(self, method: str, target: str, body: object, status: int = 201) -> str:
        answer = self.ask("ann", method, target, body)
        assert answer.status_code == status, answer.json
        assert answer.json is not None
        return str(answer.json["Name"])

    def answer(self, name: str, route: Route, room: str) -> object:
        """All of an answer but the time and the place in the log, which are others a moment later."""
        target = route.path.format(room=room, id="1", emoji="+", user="eve")
        target += "?source=s" if route.path.endswith("/import") else ""
        body = BODIES[route.method, route.path] if route.body else None
        response = self.ask(name, route.method, target, body, HTTP_X_REQUEST_ID="same")
        assert response.status_code < 500
        return told(response, room)


def told(response: TestResponse, room: str) -> object:
    headers = {
        (name, value.replace(room, "ROOM").replace(room.replace("~", "%7E"), "ROOM"))
        for name, value in response.headers
        if name not in {"Date", "X-Raft-Index"}
    }
    return response.status_code, headers, response.data.replace(room.encode(), b"ROOM")


@pytest.fixture(scope="module")
def chat() -> Secrets:
    return Secrets()


@pytest.mark.parametrize("route", OF_A_ROOM, ids=named)
@pytest.mark.parametrize("name", ["eve", "gus"])
def test_a_private_room_is_answered_as_one_that_does_not_exist(chat: Secrets, route: Route, name: str) -> None:
    unknown = chat.answer(name, route, UNKNOWN)
    for room in (chat.private, chat.former, chat.direct, chat.deleted):
        assert chat.answer(name, route, room) == unknown
    assert UNKNOWN not in chat.state.ask(lambda tables: tables.rooms.by_name), "nor is it made"


@pytest.mark.parametrize("route", OF_A_ROOM, ids=named)
def test_whom_a_direct_room_is_not_for_does_not_see_it_though_he_is_an_admin(route: Route) -> None:
    chat = Secrets()
    both = chat.ask("bob", "POST", "/directs", {"Users": ["eve"]})
    assert both.json is not None
    assert chat.say("bob", f"/rooms/{both.json['Name']}").status_code == 201
    assert chat.answer("ann", route, both.json["Name"]) == chat.answer("ann", route, UNKNOWN)


def test_what_is_not_seen_is_not_listed_and_its_name_not_to_be_had(chat: Secrets) -> None:
    names = {"eve": [], "gus": [], "bob": sorted([chat.private, chat.direct])}
    for name, rooms in names.items():
        assert chat.ask(name, target="/rooms").json == rooms
        assert chat.ask(name, target=f"/rooms?around={chat.private}&limit=1").json == rooms[:1]
    for room in (chat.private, UNKNOWN):
        assert code(chat.ask("eve", "POST", "/rooms", {"Name": room})) == (400, "invalid_field")


def test_an_admin_sees_private_rooms_that_he_is_no_member_of_and_does_not_post_there() -> None:
    chat = LoginClient()
    room = chat.ask("bob", "POST", "/rooms", {"Name": "plans", "Visibility": "private"})
    assert room.json is not None
    target = room.headers["Location"]
    assert chat.say("bob", target).status_code == 201
    assert chat.ask("ann", target="/rooms").json == [room.json["Name"]]
    assert len(chat.ask("ann", target=target).json or []) == 1
    assert code(chat.say("ann", target)) == (403, "forbidden")
    assert chat.ask("ann", "PUT", f"{target}/members/ann").status_code == 204
    assert chat.say("ann", target).status_code == 201
