"""Private and direct rooms and who is a member, over REST, where there is a login."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.chat.chat_client import GENERAL, links
from tests.chat.login_client import LoginClient, code


class Rooms(LoginClient):
    """Bob's private room is at `plans`."""

    def __init__(self) -> None:
        super().__init__()
        self.made = self.ask("bob", "POST", "/rooms", {"Name": "plans", "Topic": "t", "Visibility": "private"})
        self.plans = self.made.headers["Location"]

    def change(self, name: str, target: str, **members: object) -> dict[str, Any]:
        answer = self.ask(name, "PATCH", target, members)
        assert answer.status_code == 200, answer.json
        assert answer.json is not None
        return dict(answer.json)

    def member(self, name: str, method: str, user: str, room: str = "") -> TestResponse:
        return self.ask(name, method, f"{room or self.plans}/members/{user}")

    def listed(self, name: str) -> dict[str, dict[str, Any]]:
        """What the list of rooms tells somebody, by name."""
        return {room["Name"]: room for room in self.ask(name, target="/rooms?details=true").json or []}


@pytest.fixture
def chat() -> Rooms:
    return Rooms()


def test_the_answer_tells_a_private_rooms_name_which_nobody_can_guess(chat: Rooms) -> None:
    assert chat.made.status_code == 201
    assert chat.made.json is not None
    name = chat.made.json["Name"]
    assert name.startswith("plans~")
    assert (len(name), chat.plans) == (16, f"/rooms/{name}")
    assert chat.made.json == {
        "Name": name, "Topic": "t", "Visibility": "private", "Owner": "bob", "Archived": False, "Messages": 0,
        "NewestId": 0, "LastPostedAt": None, "Retention": None, "Joined": True, "ReadId": 0, "Unread": 0, "Mentions": 0,
    }  # fmt: skip
    other = chat.ask("bob", "POST", "/rooms", {"Name": "plans", "Visibility": "private"})
    assert other.json is not None
    assert other.json["Name"] != name
    assert chat.listed("bob").keys() == {name, other.json["Name"]}


def test_members_are_listed_by_name_and_paged_through(chat: Rooms) -> None:
    assert chat.member("bob", "PUT", "gus").status_code == 204
    assert chat.member("bob", "PUT", "eve").status_code == 204
    assert chat.ask("gus", target=f"{chat.plans}/members").json == ["bob", "eve", "gus"]
    page = chat.ask("gus", target=f"{chat.plans}/members?limit=2")
    assert page.json == ["bob", "eve"]
    assert chat.ask("gus", target=links(page)["next"].replace("%7E", "~")).json == ["gus"]


def test_a_public_room_is_joined_and_left_and_the_list_tells_it(chat: Rooms) -> None:
    assert chat.say("bob").status_code == 201
    assert chat.listed("eve")["general"]["Joined"] is False
    assert chat.member("eve", "PUT", "eve", GENERAL).status_code == 204
    listed = chat.listed("eve")["general"]
    assert (listed["Joined"], listed["ReadId"], listed["Unread"]) == (True, 1, 0)
    assert chat.member("eve", "PUT", "eve", GENERAL).status_code == 204
    assert chat.member("eve", "DELETE", "eve", GENERAL).status_code == 204
    assert chat.listed("eve")["general"]["Joined"] is False


def test_who_may_not_say_who_is_a_member_is_told_so(chat: Rooms) -> None:
    assert chat.say("bob").status_code == 201
    assert code(chat.member("eve", "PUT", "gus", GENERAL)) == (403, "forbidden")
    assert code(chat.member("gus", "PUT", "gus", GENERAL)) == (404, "not_found")
    assert code(chat.member("eve", "PUT", "eve")) == (404, "not_found")
    assert code(chat.member("bob", "PUT", "zoe")) == (404, "no_such_user")
    assert chat.member("bob", "PUT", "eve").status_code == 204
    assert code(chat.member("eve", "DELETE", "bob")) == (403, "forbidden")
    assert chat.member("eve", "DELETE", "eve").status_code == 204
    assert code(chat.ask("eve", target=f"{chat.plans}/members")) == (404, "not_found")


def test_a_guest_sees_the_rooms_he_is_a_member_of_and_no_others(chat: Rooms) -> None:
    assert chat.say("bob").status_code == 201
    assert chat.ask("gus", target="/rooms").json == []
    assert code(chat.say("gus")) == (404, "not_found")
    assert chat.member("bob", "PUT", "gus", GENERAL).status_code == 204
    assert chat.ask("gus", target="/rooms").json == ["general"]
    assert chat.say("gus").status_code == 201
    assert code(chat.ask("gus", "PUT", "/rooms/new")) == (403, "forbidden")
    assert code(chat.ask("gus", "POST", "/directs", {"Users": ["bob"]})) == (403, "forbidden")


def test_users_have_one_room_with_each_other(chat: Rooms) -> None:
    first = chat.ask("bob", "POST", "/directs", {"Users": ["gus", "eve"]})
    again = chat.ask("eve", "POST", "/directs", {"Users": ["eve", "bob", "gus"]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json is not None
    assert again.json is not None
    assert first.json["Name"] == again.json["Name"]
    assert (first.json["Visibility"], first.json["Members"], first.json["Owner"]) == (
        "direct",
        ["bob", "eve", "gus"],
        None,
    )
    assert chat.say("gus", first.headers["Location"]).status_code == 201
    assert code(chat.ask("ann", target=f"{first.headers['Location']}/messages/1")) == (404, "not_found")
    assert code(chat.ask("bob", "POST", "/directs", {"Users": ["zoe"]})) == (404, "no_such_user")
    assert code(chat.ask("bob", "POST", "/directs", {"Users": []})) == (400, "invalid_field")
    assert code(chat.ask("bob", "PATCH", first.headers["Location"], {"Topic": "t"})) == (403, "forbidden")
    assert code(chat.ask("bob", "DELETE", first.headers["Location"])) == (403, "forbidden")


def test_what_becomes_of_a_room_is_its_owners_to_say(chat: Rooms) -> None:
    assert chat.member("bob", "PUT", "eve").status_code == 204
    assert code(chat.ask("eve", "PATCH", chat.plans, {"Topic": "x"})) == (403, "forbidden")
    assert code(chat.ask("eve", "DELETE", chat.plans)) == (403, "forbidden")
    assert chat.change("bob", chat.plans, Owner="eve")["Owner"] == "eve"
    changed = chat.change("eve", chat.plans, Name="ideas", Members=["eve", "ann"], Archived=True, Topic=None)
    assert changed["Name"].startswith("ideas~")
    assert (changed["Topic"], changed["Archived"], changed["Aliases"]) == (
        "",
        True,
        [chat.plans.removeprefix("/rooms/")],
    )
    assert chat.ask("ann", target=f"{chat.plans}/members").json == ["ann", "eve"]
    assert code(chat.say("eve", chat.plans)) == (409, "archived")
    assert chat.ask("eve", "DELETE", chat.plans).status_code == 204
    assert chat.listed("ann") == {}


def test_a_public_room_becomes_private_and_to_others_is_as_one_that_was_deleted(chat: Rooms) -> None:
    assert chat.say("bob").status_code == 201
    private = chat.change("bob", GENERAL, Visibility="private")
    assert private["Name"].startswith("general~")
    assert "Aliases" not in private
    assert chat.ask("eve", target=GENERAL).json == []
    assert code(chat.ask("eve", target=f"{GENERAL}/messages/1")) == (410, "gone")
    assert code(chat.say("eve")) == (410, "room_gone")
    assert code(chat.ask("eve", "PATCH", f"{GENERAL}/messages/1", {"Message": "x"})) == (410, "room_gone")
    assert chat.ask("eve", "PUT", GENERAL).status_code == 201
    again = chat.say("eve")
    assert again.json is not None
    assert again.json["Id"] == 2
    assert chat.ask("bob", target=f"/rooms/{private['Name']}/messages/1").status_code == 200
    public = chat.change("bob", f"/rooms/{private['Name']}", Visibility="public", Name="lobby")
    assert (public["Name"], public["Aliases"]) == ("lobby", [private["Name"]])
    assert len(chat.ask("eve", target="/rooms/lobby").json or []) == 1
