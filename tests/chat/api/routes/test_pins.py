"""PUT and DELETE /rooms/{room}/messages/{id}/pin, and GET /rooms/{room}/pins; and who changes whose posts."""

import json

import pytest

from tests.chat.chat_client import GENERAL, ChatClient, ids, refused
from tests.chat.login_client import LoginClient, code

PINS = f"{GENERAL}/pins"


@pytest.fixture
def chat() -> ChatClient:
    return ChatClient()


def pin(chat: ChatClient, id: object, method: str = "PUT") -> int:
    return chat.open(method, f"{GENERAL}/messages/{id}/pin").status_code


def test_pinned_posts_are_shown_as_they_are_now_in_the_order_of_pinning(chat: ChatClient) -> None:
    chat.fill(3)
    assert chat.get(PINS).json == []
    assert [pin(chat, id) for id in (3, 1, 3)] == [204] * 3
    edit = json.dumps({"User": "ann", "Message": "new"}).encode()
    assert chat.open("PATCH", f"{GENERAL}/messages/1", edit).status_code == 200
    assert chat.open("PUT", f"{GENERAL}/messages/3/reactions/+?user=bob").status_code == 204
    answer = chat.get(PINS)
    assert ids(answer) == [3, 1]
    assert answer.json is not None
    assert (answer.json[0]["Reactions"], answer.json[1]["Message"]) == ({"+": ["bob"]}, "new")
    assert answer.json == [chat.get(f"{GENERAL}/messages/{id}").json for id in (3, 1)]
    (room,) = chat.get("/rooms?details=true").json or []
    assert room["Pins"] == [3, 1]
    assert pin(chat, 3, "DELETE") == 204
    assert pin(chat, 3, "DELETE") == 204
    assert ids(chat.get(PINS)) == [1]


def test_what_cannot_be_pinned_is_a_problem(chat: ChatClient) -> None:
    assert pin(chat, 1) == 404
    assert chat.get(PINS).status_code == 404
    chat.fill(1)
    assert pin(chat, 2) == 404
    assert refused(chat.open("PUT", f"{GENERAL}/messages/x/pin"), 400, "Id")
    assert chat.delete(f"{GENERAL}/messages/1?user=ann").status_code == 204
    assert pin(chat, 1) == 410
    assert chat.open("POST", f"{GENERAL}/messages/1/pin").status_code == 405


def test_a_pinned_post_that_a_compaction_takes_meanwhile_is_looked_for_again(chat: ChatClient) -> None:
    chat.fill(1)
    pin(chat, 1)
    chat.replica.gone = {3}
    assert chat.get(PINS).status_code == 503


def test_under_a_login_who_looks_after_a_room_takes_back_what_others_say() -> None:
    chat = LoginClient()
    assert chat.say("bob").status_code == 201
    assert chat.say("eve").status_code == 201
    post = f"{GENERAL}/messages/2"
    assert code(chat.ask("bob", "PATCH", post, {"Message": "ho"})) == (403, "not_the_author")
    assert code(chat.ask("eve", "DELETE", f"{GENERAL}/messages/1")) == (403, "not_the_author")
    edited = chat.ask("ann", "PATCH", post, {"Message": "ho"})
    assert edited.json is not None
    assert (edited.json["User"], edited.json["Message"]) == ("eve", "ho")
    assert chat.ask("bob", "DELETE", post).status_code == 204
    assert code(chat.ask("gus", "PUT", f"{GENERAL}/messages/1/pin")) == (404, "not_found")
    assert chat.ask("eve", "PUT", f"{GENERAL}/messages/1/pin").status_code == 204
    assert [post["Id"] for post in chat.ask("bob", target=PINS).json or []] == [1]
