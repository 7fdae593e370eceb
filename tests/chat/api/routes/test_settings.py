"""What is set for the whole cluster, over HTTP."""

import json

import pytest

from chat import commands
from chat.commands import LEVEL
from chat.commands.cluster import SetSettings
from chat.state.settings import LOGIN, Settings
from chat.state.tables import Tables
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, ChatClient, ids, refused
from tests.chat.login_client import LoginClient, bearer, code
from tests.support.fake_replica import FIRST_INDEX

NOTHING = {
    "Auth": "open",
    "Signup": "invite",
    "MaxRooms": None,
    "Retention": None,
    "UnusedRoomSeconds": None,
    "EmptyRoomSeconds": None,
}


def change(chat: ChatClient, **members: object) -> dict[str, object]:
    answer = chat.open("PATCH", "/settings", json.dumps(members).encode())
    assert answer.status_code == 200
    assert isinstance(answer.json, dict)
    return answer.json


def test_nothing_is_bounded_unless_it_is_said() -> None:
    assert ChatClient().get("/settings").json == NOTHING


def test_a_change_names_what_changes_and_is_answered_with_all() -> None:
    chat = ChatClient()
    assert change(chat, MaxRooms=9) == {**NOTHING, "MaxRooms": 9}
    assert change(chat, retention={"maxMessages": 5}) == {**NOTHING, "MaxRooms": 9, "Retention": {"MaxMessages": 5}}
    both = {**NOTHING, "MaxRooms": 9, "Retention": {"MaxMessages": 5, "MaxAgeSeconds": 60}}
    assert change(chat, Retention={"MaxAgeSeconds": 60}) == both
    assert chat.get("/settings").json == both
    assert change(chat, Retention={"MaxMessages": None}, MaxRooms=None) == {
        **NOTHING, "Retention": {"MaxAgeSeconds": 60},
    }  # fmt: skip
    assert change(chat, Retention=None, EmptyRoomSeconds=5) == {**NOTHING, "EmptyRoomSeconds": 5}
    times = {"UnusedRoomSeconds": 7, "EmptyRoomSeconds": 5}
    assert change(chat, unusedRoomSeconds=7) == {**NOTHING, **times}
    assert change(chat, UnusedRoomSeconds=None, EmptyRoomSeconds=None) == NOTHING


def test_a_room_keeps_no_more_than_that() -> None:
    chat = ChatClient()
    change(chat, Retention={"MaxMessages": 2})
    chat.fill(5)
    assert ids(chat.get(GENERAL)) == [4, 5]


def test_one_room_too_many_is_a_conflict() -> None:
    chat = ChatClient()
    change(chat, MaxRooms=1)
    chat.fill(1)
    answer = chat.post("/rooms/other")
    assert refused(answer, 409, "RoomName")
    assert answer.json is not None
    assert answer.json["code"] == "too_many_rooms"
    assert chat.get("/rooms").json == ["general"]
    chat.fill(1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "body"),
        (b'{"Auth":"login","MaxRooms":1}', "Auth"),
        (b'{"Auth":"closed"}', "Auth"),
        (b'{"Auth":null}', "Auth"),
        (b'{"Auth":"login","Signup":"never"}', "Signup"),
        (b'{"Signup":"login"}', "Signup"),
        (b'{"Signup":null}', "Signup"),
        (b'{"MaxRooms":1,"Topic":""}', "body"),
        (b'{"MaxRooms":0}', "MaxRooms"),
        (b'{"MaxRooms":1000000001}', "MaxRooms"),
        (b'{"MaxRooms":"9"}', "MaxRooms"),
        (b'{"MaxRooms":true}', "MaxRooms"),
        (b'{"Retention":{}}', "Retention"),
        (b'{"Retention":5}', "Retention"),
        (b'{"Retention":{"MaxBytes":5}}', "Retention"),
        (b'{"Retention":{"MaxMessages":0}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":1000000001}}', "MaxMessages"),
        (b'{"Retention":{"MaxAgeSeconds":0}}', "MaxAgeSeconds"),
        (b'{"Retention":{"MaxAgeSeconds":315360001}}', "MaxAgeSeconds"),
        (b'{"Retention":{"MaxAgeSeconds":1.5}}', "MaxAgeSeconds"),
        (b"[]", "body"),
        (b'{"UnusedRoomSeconds":0}', "UnusedRoomSeconds"),
        (b'{"EmptyRoomSeconds":315360001}', "EmptyRoomSeconds"),
        (b'{"EmptyRoomSeconds":1.5}', "EmptyRoomSeconds"),
    ],
)
def test_what_cannot_be_set_names_its_field_and_is_not_proposed(body: bytes, field: str) -> None:
    chat = ChatClient()
    assert refused(chat.open("PATCH", "/settings", body), 400, field)
    assert chat.replica.proposed == []


def test_members_that_do_not_know_it_yet_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands._LEVELS, SetSettings, LEVEL + 1)
    chat = ChatClient()
    answer = chat.open("PATCH", "/settings", b'{"MaxRooms":9}')
    assert answer.status_code == 409
    assert answer.json is not None
    assert answer.json["code"] == "level_too_low"
    assert chat.replica.proposed == []


def test_an_unknown_outcome_says_that_asking_again_does_no_harm() -> None:
    chat = ChatClient()
    chat.replica.loses_answers = True
    answer = chat.open("PATCH", "/settings", b'{"MaxRooms":9}')
    assert answer.status_code == 504
    assert answer.json is not None
    assert "again" in answer.json["detail"]


def test_without_a_majority_nothing_is_set() -> None:
    chat = ChatClient()
    chat.replica.unavailable = True
    assert chat.open("PATCH", "/settings", b'{"MaxRooms":9}').status_code == 503
    chat.replica.unavailable = False
    assert chat.get("/settings").json == NOTHING


def test_an_answer_tells_the_index_from_which_on_it_is_so() -> None:
    chat = ChatClient()
    chat.fill(2)
    answer = chat.open("PATCH", "/settings", b'{"MaxRooms":9}')
    assert int(answer.headers["X-Raft-Index"]) == FIRST_INDEX + 2
    assert chat.get(f"/settings?min_index={FIRST_INDEX + 2}").status_code == 200


def test_where_there_is_a_login_nobody_is_told_or_changes_it_without() -> None:
    chat = ChatClient()

    def close(tables: Tables) -> None:
        tables.settings = Settings(LOGIN)
        tables.derive()

    chat.state.ask(close)
    assert chat.get("/settings").status_code == 401
    assert chat.open("PATCH", "/settings", b'{"MaxRooms":9}').status_code == 401


def test_the_path_knows_two_methods() -> None:
    answer = ChatClient().open("DELETE", "/settings")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, PATCH, HEAD, OPTIONS"


def test_the_mode_is_the_operators_to_say_and_how_one_signs_up_an_admins() -> None:
    chat = LoginClient()
    operator = bearer(OPERATORS_SECRET)
    for name in ("ann", "bob", "gus"):
        assert code(chat.ask(name, "PATCH", "/settings", {"Auth": "open"})) == (403, "forbidden")
    assert code(chat.ask("bob", "PATCH", "/settings", {"Signup": "open"})) == (403, "forbidden")
    answer = chat.ask("ann", "PATCH", "/settings", {"Signup": "open"})
    assert answer.json == {**NOTHING, "Auth": "login", "Signup": "open"}
    assert chat.open("PATCH", "/settings", b'{"Auth":"open"}', operator).json == {**NOTHING, "Signup": "open"}
    assert code(chat.open("PATCH", "/settings", b'{"Auth":"login"}')) == (401, "login_needed")
    assert code(chat.open("PATCH", "/settings", b'{"Signup":"open"}')) == (401, "login_needed")
    both = b'{"auth":"login","signup":"invite"}'
    assert chat.open("PATCH", "/settings", both, operator).json == {**NOTHING, "Auth": "login"}
