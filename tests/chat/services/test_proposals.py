"""What would change nothing does not reach the log: it is answered by a state that is known to be new enough."""

import json

import pytest

from chat.commands import Actor, encode
from chat.commands.posts import React
from chat.commands.rooms import ChangeRoom, DeleteRoom
from tests.chat.chat_client import GENERAL, ChatClient
from tests.chat.login_client import LoginClient, code

POST = f"{GENERAL}/messages/1"
REACTION = f"{POST}/reactions/%2B?user=ann"


@pytest.fixture
def chat() -> ChatClient:
    chat = ChatClient()
    chat.fill(2)
    for method, target, body in DONE:
        assert chat.open(method, target, body).status_code < 300
    chat.replica.proposed.clear()
    return chat


DONE = [
    ("PUT", REACTION, b""),
    ("PUT", f"{POST}/pin", b""),
    ("PATCH", GENERAL, b'{"Topic": "plans", "Retention": {"MaxMessages": 5}}'),
    ("PUT", "/rooms/empty", b"{}"),
    ("PATCH", "/settings", b'{"MaxRooms": 10}'),
    ("PATCH", "/rooms/empty", b'{"Archived": true}'),
]


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("PUT", REACTION, "", 204),
        ("DELETE", REACTION.replace("ann", "bob"), "", 204),
        ("PUT", f"{POST}/pin", "", 204),
        ("DELETE", f"{GENERAL}/messages/2/pin", "", 204),
        ("PATCH", GENERAL, '{"Topic": "plans"}', 200),
        ("PATCH", GENERAL, '{"Name": "general"}', 200),
        ("PATCH", GENERAL, '{"Retention": {"MaxMessages": 5}}', 200),
        ("PATCH", GENERAL, '{"Name": "empty"}', 409),
        ("PATCH", "/rooms/none", '{"Topic": "plans"}', 404),
        ("PATCH", "/rooms/empty", '{"Topic": "plans"}', 409),
        ("PUT", "/rooms/empty", '{"Topic": "other"}', 200),
        ("DELETE", "/rooms/none", "", 404),
        ("PUT", f"{GENERAL}/messages/9/reactions/%2B?user=ann", "", 404),
        ("PUT", "/rooms/none/messages/1/pin", "", 404),
        ("PATCH", "/settings", '{"MaxRooms": 10}', 200),
        ("POST", "/rooms", '{"Name": "plans", "Visibility": "private"}', 409),
        ("POST", GENERAL, '{"Message": "hi", "User": "ann", "ReplyTo": 9}', 422),
        ("POST", "/rooms/empty", '{"Message": "hi", "User": "ann"}', 409),
    ],
)
def test_what_would_change_nothing_is_answered_after_a_read_and_not_proposed(
    chat: ChatClient, method: str, target: str, body: str, status: int
) -> None:
    reads = chat.replica.reads
    answer = chat.open(method, target, body.encode())
    assert (answer.status_code, chat.replica.proposed) == (status, [])
    assert chat.replica.reads > reads
    assert answer.headers["X-Raft-Index"] == str(chat.replica.last_applied)


def test_what_another_node_was_told_meanwhile_counts_before_the_answer(chat: ChatClient) -> None:
    elsewhere = encode(React(Actor(user="ann"), "general", 1, "+", False))

    def catch_up() -> None:
        chat.replica.commit(elsewhere)
        chat.replica.release_reads()

    chat.replica.holds_reads, chat.replica.on_read_held = True, catch_up
    assert chat.open("PUT", REACTION).status_code == 204
    assert len(chat.replica.proposed) == 1
    assert chat.state.reactions("general", 1) == (("+", ("ann",)),)


def test_a_post_that_is_not_refused_any_more_after_the_read_is_made(chat: ChatClient) -> None:
    elsewhere = encode(ChangeRoom(Actor(), "empty", archived=False))

    def catch_up() -> None:
        chat.replica.commit(elsewhere)
        chat.replica.release_reads()

    chat.replica.holds_reads, chat.replica.on_read_held = True, catch_up
    assert chat.post("/rooms/empty").status_code == 201


def test_what_changes_something_waits_for_no_read(chat: ChatClient) -> None:
    reads = chat.replica.reads
    assert chat.delete(REACTION).status_code == 204
    assert chat.post().status_code == 201
    assert (chat.replica.reads, len(chat.replica.proposed)) == (reads, 2)


def test_without_a_quorum_nothing_is_called_refused(chat: ChatClient) -> None:
    chat.replica.commit(encode(DeleteRoom(Actor(), "empty")))
    chat.replica.unavailable = True
    for method, target in (("PUT", REACTION), ("DELETE", "/rooms/empty"), ("PUT", f"{GENERAL}/messages/9/pin")):
        assert code(chat.open(method, target)) == (503, "unavailable")


def test_a_refused_account_token_invite_or_post_is_not_proposed() -> None:
    chat = LoginClient()
    chat.say("ann")
    assert chat.ask("ann", "PATCH", GENERAL, {"Visibility": "private"}).status_code == 200
    (room,) = chat.ask("ann", target="/rooms").get_json()
    chat.replica.proposed.clear()
    for name, method, target, body in (
        ("ann", "POST", "/users", {"Name": "bob", "Password": "battery staple"}),
        ("ann", "PATCH", "/users/bob", {"DisplayName": "Bob"}),
        ("eve", "PATCH", "/users/bob", {"DisplayName": "Eve"}),
        ("ann", "PATCH", "/users/ann", {"Role": "member"}),
        ("eve", "POST", "/invites", {"Role": "admin"}),
        ("gus", "POST", "/directs", {"Users": ["bob"]}),
        ("eve", "DELETE", "/tokens/999", None),
        ("eve", "DELETE", f"/invites/{'0' * 64}", None),
        ("eve", "PUT", f"/rooms/{room}/members/eve", None),
        ("eve", "POST", f"/rooms/{room}", {"Message": "let me in"}),
        ("eve", "POST", GENERAL, {"Message": "anybody?"}),
        ("ann", "PUT", f"/rooms/{room}/members/ann", None),
    ):
        answer = chat.ask(name, method, target, body)
        assert not chat.replica.proposed, (method, target, json.dumps(body), answer.status)
