"""Accounts over HTTP: who gets one, who may know of whom, and what becomes of them."""

import json

import pytest
from werkzeug.test import TestResponse

from chat.auth import secrets
from chat.commands import OPERATOR, Actor
from chat.commands.accounts import CreateInvite
from chat.commands.cluster import SetAuth
from chat.state.accounts import GUEST
from chat.state.room_details import RoomDetails
from chat.state.settings import LOGIN, OPEN
from chat.state.tables import Tables
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient, links, refused
from tests.chat.login_client import LoginClient, bearer, code

PASSWORD = "correct horse"
INVITE = secrets.new_secret(secrets.INVITE)


class Chat(LoginClient):
    """With an invite for guests."""

    def invite(self, *rooms: str, uses: int = 2, seconds: int = 60) -> None:
        ends = self.clock.now + seconds * 1_000_000
        self.do(CreateInvite(Actor(OPERATOR), secrets.digest(INVITE), GUEST, rooms, uses, ends, ""))

    def sign_up(self, name: str, **members: object) -> TestResponse:
        body = {"Name": name, "Password": PASSWORD} | members
        return self.open("POST", "/users", json.dumps(body).encode())

    def change(self, by: str, name: str, **members: object) -> TestResponse:
        return self.ask(by, "PATCH", f"/users/{name}", members)

    def operate(self, method: str, target: str, **members: object) -> TestResponse:
        return self.open(method, target, json.dumps(members).encode(), bearer(OPERATORS_SECRET))

    def password_index(self, name: str) -> int:
        return self.state.ask(lambda tables: tables.users[name].password_index)


def names(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200
    assert answer.json is not None
    return [user["Name"] for user in answer.json]


# Signing up


def test_an_invite_gives_an_account_with_its_role_and_rooms() -> None:
    chat = Chat()
    chat.say("ann")
    chat.invite("general")
    answer = chat.sign_up("zoe", Invite=INVITE, DisplayName="Zoë")
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/users/zoe"
    assert answer.json is not None
    assert answer.json == {
        "Name": "zoe", "DisplayName": "Zoë", "Role": "guest", "Active": True, "CreatedAt": answer.json["CreatedAt"],
    }  # fmt: skip
    members = chat.state.ask(lambda tables: tables.rooms.by_name["general"].details)
    assert members is not None
    assert members.members == {"ann", "zoe"}


def test_an_invite_is_good_for_so_many_and_so_long() -> None:
    chat = Chat()
    chat.invite(uses=1)
    assert chat.sign_up("zoe", Invite=INVITE).status_code == 201
    assert code(chat.sign_up("yan", Invite=INVITE)) == (403, "bad_invite")
    chat.invite()
    chat.clock.now += 60_000_000
    before = len(chat.replica.proposed)
    assert code(chat.sign_up("yan", Invite=INVITE)) == (403, "bad_invite")
    assert len(chat.replica.proposed) == before


def test_nobody_signs_up_without_an_invite_but_where_everybody_may() -> None:
    chat = Chat()
    assert code(chat.sign_up("zoe")) == (403, "signup_closed")
    assert chat.replica.proposed == []
    chat.do(SetAuth(Actor(OPERATOR), LOGIN, OPEN))
    answer = chat.sign_up("zoe")
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["Role"] == "member"


def test_in_the_open_mode_there_are_no_accounts() -> None:
    chat = Chat()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, OPEN))
    assert code(chat.sign_up("zoe")) == (409, "open_mode")
    assert code(chat.change("ann", "ann", DisplayName="A")) == (409, "open_mode")
    assert chat.get("/users").json == []
    assert chat.get("/users/ann").status_code == 404


def test_wrong_invites_are_bounded_and_right_ones_are_not() -> None:
    chat = Chat()
    chat.invite()
    for _ in range(40):
        assert code(chat.sign_up("bob", Invite=INVITE)) == (409, "name_taken")
    codes = [code(chat.sign_up("zoe", Invite="ri_wrong"))[1] for _ in range(40)]
    assert codes.count("bad_invite") == 30
    assert set(codes[30:]) == {"too_many_attempts"}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"Name": "room"}, "Name"),
        ({"Name": "@ann"}, "Name"),
        ({"Name": ""}, "Name"),
        ({"Name": "\u3164"}, "Name"),
        ({"Password": "1234567"}, "Password"),
        ({"Password": None}, "Password"),
        ({"DisplayName": ""}, "DisplayName"),
        ({"Invite": 5}, "Invite"),
        ({"Invite": "\u00e9"}, "Invite"),
        ({"Role": "admin"}, "Role"),
        ({"Rooms": ["general"]}, "Rooms"),
        ({"Mail": "a@b"}, "body"),
    ],
)
def test_what_is_no_account_names_its_field_and_is_not_proposed(members: dict[str, object], field: str) -> None:
    chat = Chat()
    chat.do(SetAuth(Actor(OPERATOR), LOGIN, OPEN))
    assert refused(chat.sign_up("zoe", **members), 400, field)
    assert chat.replica.proposed == []


def test_a_name_that_is_taken_or_looks_like_another_is_refused_before_its_password_is_hashed() -> None:
    chat = Chat()
    chat.invite()
    assert code(chat.sign_up("bob", Invite=INVITE)) == (409, "name_taken")
    assert code(chat.sign_up("b0b", Invite=INVITE)) == (409, "looks_like")
    assert chat.replica.proposed == []


# Made by others


def test_an_admin_and_the_operator_make_accounts_of_any_role_and_nobody_else_does() -> None:
    chat = Chat()
    chat.say("ann")
    new = {"Name": "zoe", "Password": PASSWORD, "Role": "guest", "Rooms": ["general"]}
    assert code(chat.ask("bob", "POST", "/users", new)) == (403, "forbidden")
    assert code(chat.ask("gus", "POST", "/users", new)) == (403, "forbidden")
    assert code(chat.ask("ann", "POST", "/users", {**new, "Rooms": ["nowhere"]})) == (404, "not_found")
    assert chat.ask("ann", "POST", "/users", new).status_code == 201
    answer = chat.operate("POST", "/users", Name="yan", Role="admin")
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["Role"] == "admin"
    assert chat.state.ask(lambda tables: tables.users["yan"].password_hash) == ""
    assert refused(chat.operate("POST", "/users", Name="x", Role="king"), 400, "Role")
    assert refused(chat.operate("POST", "/users", Name="x", Rooms=["r"] * 21), 400, "Rooms")


def test_the_operator_keeps_names_before_there_is_a_login() -> None:
    chat = ChatClient()
    body = json.dumps({"Name": "ann"}).encode()
    assert chat.open("POST", "/users", body, bearer(OPERATORS_SECRET)).status_code == 201
    assert names(chat.open("GET", "/users", environ=bearer(OPERATORS_SECRET))) == ["ann"]
    assert chat.get("/users").json == []


# Who there is


def test_users_are_listed_by_name_and_paged() -> None:
    chat = Chat()
    assert names(chat.ask("bob", target="/users")) == ["ann", "bob", "eve", "gus"]
    answer = chat.ask("bob", target="/users?limit=2&after=ann")
    assert names(answer) == ["bob", "eve"]
    assert links(answer)["next"] == "/users?after=eve&limit=2"
    assert names(chat.ask("bob", target="/users?around=bob&limit=1")) == ["bob"]
    chat.operate("POST", "/users", Name="Zoe")
    assert names(chat.ask("bob", target="/users")) == ["Zoe", "ann", "bob", "eve", "gus"]
    assert code(chat.get("/users")) == (401, "login_needed")


def test_a_guest_knows_of_those_with_whom_he_shares_a_room() -> None:
    chat = Chat()
    assert names(chat.ask("gus", target="/users")) == ["gus"]
    chat.say("ann")

    def join(tables: Tables) -> None:
        tables.rooms.describe(tables.rooms.by_name["general"], RoomDetails(members=frozenset({"gus", "eve"})))

    chat.state.ask(join)
    assert names(chat.ask("gus", target="/users")) == ["eve", "gus"]
    assert chat.ask("gus", target="/users/eve").status_code == 200
    assert code(chat.ask("gus", target="/users/bob")) == code(chat.ask("gus", target="/users/nobody"))
    assert code(chat.ask("bob", target="/users/nobody")) == (404, "no_such_user")


# What becomes of them


def test_a_display_name_is_ones_own_to_say_and_an_admins() -> None:
    chat = Chat()
    answer = chat.change("bob", "bob", displayname="Robert")
    assert answer.json is not None
    assert answer.json["DisplayName"] == "Robert"
    assert chat.change("ann", "bob", DisplayName="Bob").status_code == 200
    assert code(chat.change("eve", "bob", DisplayName="x")) == (403, "forbidden")


def test_role_and_activity_are_an_admins_to_say() -> None:
    chat = Chat()
    assert code(chat.change("bob", "bob", Role="admin")) == (403, "forbidden")
    assert code(chat.change("bob", "eve", Active=False)) == (403, "forbidden")
    answer = chat.change("ann", "eve", Active=False)
    assert answer.json is not None
    assert answer.json["Active"] is False
    assert code(chat.ask("eve")) == (401, "bad_token")
    assert code(chat.change("ann", "ann", Role="member")) == (409, "last_admin")
    assert code(chat.change("ann", "nobody", Role="member")) == (404, "no_such_user")


def test_a_new_password_needs_the_old_one_and_ends_the_other_tokens() -> None:
    chat = Chat()
    assert chat.change("ann", "bob", Password=PASSWORD).status_code == 200  # which ended bob's token
    chat.log_in("bob", chat.secret["bob"])
    chat.log_in("bob", secrets.new_secret(secrets.TOKEN))
    before = chat.password_index("bob")
    new = "another password"
    assert refused(chat.change("bob", "bob", Password=new), 400, "OldPassword")
    assert code(chat.change("bob", "bob", Password=new, OldPassword="not the password")) == (401, "bad_login")
    assert chat.password_index("bob") == before
    assert chat.change("bob", "bob", Password=new, OldPassword=PASSWORD).status_code == 200
    assert chat.password_index("bob") > before
    assert chat.state.ask(lambda tables: len(tables.tokens_of["bob"])) == 1
    assert chat.ask("bob", target="/rooms").status_code == 200


def test_an_admin_needs_his_own_old_password_too() -> None:
    chat = Chat()
    assert refused(chat.change("ann", "ann", Password=PASSWORD), 400, "OldPassword")
    assert chat.operate("PATCH", "/users/ann", Password=PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "body"),
        ({"Name": "x"}, "body"),
        ({"DisplayName": ""}, "DisplayName"),
        ({"DisplayName": "x" * 65}, "DisplayName"),
        ({"Password": "short"}, "Password"),
        ({"OldPassword": PASSWORD}, "Password"),
        ({"Role": "king"}, "Role"),
        ({"Active": 1}, "Active"),
        ({"Active": None}, "Active"),
    ],
)
def test_what_cannot_become_of_a_user_names_its_field(members: dict[str, object], field: str) -> None:
    chat = Chat()
    assert refused(chat.change("ann", "bob", **members), 400, field)
    assert chat.replica.proposed == []


def test_no_password_and_no_hash_is_ever_told() -> None:
    chat = Chat()
    chat.invite()
    said = chat.sign_up("zoe", Invite=INVITE).data + chat.ask("ann", target="/users").data
    assert b"hash" not in said.lower()
    assert PASSWORD.encode() not in said


@pytest.mark.parametrize("shown", ["bob", "Bob", "BOB", "b0b", "Воb", "b-o-b"])  # noqa: RUF001  (a Cyrillic letter)
def test_nobody_is_shown_by_a_name_that_is_or_looks_like_another_users(shown: str) -> None:
    chat = Chat()
    chat.invite()
    assert code(chat.change("eve", "eve", DisplayName=shown)) == (409, "looks_like")
    assert code(chat.sign_up("zoe", Invite=INVITE, DisplayName=shown)) == (409, "looks_like")
    assert chat.change("bob", "bob", DisplayName=shown).status_code == 200
    assert not [command for command in chat.replica.proposed if b"eve" in command or b"zoe" in command]


@pytest.mark.parametrize("shown", [" Eve", "Eve ", "E\u200bve", "\ufeffEve", "\u2800"])
def test_a_display_name_is_what_is_seen_of_it(shown: str) -> None:
    assert refused(Chat().change("eve", "eve", DisplayName=shown), 400, "DisplayName")
