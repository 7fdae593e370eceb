"""Invites over HTTP: who makes which, what is told of them, and how they end."""

import pytest

from chat.auth.secrets import INVITE, digest
from chat.commands import OPERATOR, Actor
from chat.commands.cluster import SetAuth
from chat.state.room_details import RoomDetails
from chat.state.settings import OPEN
from chat.state.tables import Tables
from tests.chat.chat_client import refused
from tests.chat.login_client import LoginClient, code


def test_an_invite_is_told_with_its_secret_once() -> None:
    chat = LoginClient()
    chat.say("ann")
    body = {"Role": "guest", "Rooms": ["general", "general"], "Uses": 5, "ExpiresIn": 60, "Label": "builders"}
    answer = chat.ask("ann", "POST", "/invites", body)
    assert answer.status_code == 201
    made = answer.json
    assert made is not None
    secret = made.pop("Invite")
    assert secret.startswith(INVITE)
    assert made == {
        "Id": digest(secret).hex()[:16], "Role": "guest", "Rooms": ["general"], "Uses": 5, "Label": "builders",
        "ExpiresAt": "2026-11-23T10:01:00.123456Z", "MadeBy": "ann",
    }  # fmt: skip
    assert chat.ask("ann", target="/invites").json == [made]
    assert secret.encode() not in b"".join(chat.replica.proposed)


def test_it_is_for_one_member_within_a_week_unless_it_says_otherwise() -> None:
    made = LoginClient().ask("ann", "POST", "/invites", {}).json
    assert made is not None
    assert (made["Role"], made["Uses"], made["ExpiresAt"][:10]) == ("member", 1, "2026-11-30")


def test_who_is_no_admin_invites_guests_into_his_own_rooms() -> None:
    chat = LoginClient()
    chat.say("ann")
    guest = {"Role": "guest", "Rooms": ["general"]}
    assert code(chat.ask("bob", "POST", "/invites", {"Role": "member"})) == (403, "forbidden")
    assert code(chat.ask("bob", "POST", "/invites", guest)) == (403, "forbidden")
    assert code(chat.ask("gus", "POST", "/invites", guest)) == (403, "forbidden")
    assert code(chat.ask("bob", "POST", "/invites", {**guest, "Rooms": ["nowhere"]})) == (404, "not_found")

    def join(tables: Tables) -> None:
        tables.rooms.by_name["general"].details = RoomDetails(members=frozenset({"bob"}))

    chat.state.ask(join)
    assert chat.ask("bob", "POST", "/invites", guest).status_code == 201


def test_invites_are_an_admins_and_their_makers_to_see_and_to_end() -> None:
    chat = LoginClient()
    made = chat.ask("ann", "POST", "/invites", {}).json
    own = chat.ask("bob", "POST", "/invites", {"Role": "guest"}).json
    assert made is not None and own is not None
    assert [invite["Id"] for invite in chat.ask("ann", target="/invites").json or ()] == [made["Id"], own["Id"]]
    assert [invite["Id"] for invite in chat.ask("bob", target="/invites").json or ()] == [own["Id"]]
    assert code(chat.ask("bob", "DELETE", f"/invites/{made['Id']}")) == (404, "no_such_invite")
    assert chat.ask("bob", "DELETE", f"/invites/{own['Id']}").status_code == 204
    assert chat.ask("ann", "DELETE", f"/invites/{made['Id']}").status_code == 204
    assert code(chat.ask("ann", "DELETE", f"/invites/{made['Id']}")) == (404, "no_such_invite")
    assert chat.ask("ann", target="/invites").json == []


def test_in_the_open_mode_and_for_strangers_there_are_none() -> None:
    chat = LoginClient()
    assert code(chat.get("/invites")) == (401, "login_needed")
    assert code(chat.open("POST", "/invites", b"{}")) == (401, "login_needed")
    chat.do(SetAuth(Actor(OPERATOR), OPEN, OPEN))
    for method, target in (("GET", "/invites"), ("POST", "/invites"), ("DELETE", "/invites/0123456789abcdef")):
        assert code(chat.open(method, target, b"{}")) == (409, "open_mode")
    assert chat.replica.proposed == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"Role": "king"}, "Role"),
        ({"Role": None}, "Role"),
        ({"Rooms": "general"}, "Rooms"),
        ({"Rooms": [f"r{number}" for number in range(21)]}, "Rooms"),
        ({"Rooms": [".."]}, "Rooms"),
        ({"Uses": 0}, "Uses"),
        ({"Uses": 10_001}, "Uses"),
        ({"ExpiresIn": 59}, "ExpiresIn"),
        ({"ExpiresIn": 315_360_001}, "ExpiresIn"),
        ({"ExpiresIn": None}, "ExpiresIn"),
        ({"Label": "x" * 65}, "Label"),
        ({"Name": "x"}, "body"),
    ],
)
def test_what_is_no_invite_names_its_field_and_is_not_proposed(body: dict[str, object], field: str) -> None:
    chat = LoginClient()
    assert refused(chat.ask("ann", "POST", "/invites", body), 400, field)
    assert chat.replica.proposed == []
