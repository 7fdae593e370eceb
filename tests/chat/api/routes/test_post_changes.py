"""Editing, deleting and reacting to a post over HTTP."""

import json
from typing import Any

import pytest

from chat import commands
from chat.commands import LEVEL
from chat.commands.posts import DeletePost, EditPost, React
from chat.errors import Problem
from chat.services.export import GROUP_POSTS, PIECE_BYTES
from raft.core.raft_messages import Command
from tests.chat.chat_client import GENERAL, ChatClient, refused

POST = f"{GENERAL}/messages/1"
HEART = f"{POST}/reactions/%E2%9D%A4"


def edited(chat: ChatClient, target: str = POST, /, **members: object) -> Any:
    return chat.open("PATCH", target, json.dumps({"User": "ann", "Message": "new"} | members).encode())


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


@pytest.fixture
def chat() -> ChatClient:
    chat = ChatClient()
    chat.post(ClientId="c1")
    return chat


def test_an_edit_is_answered_with_the_post_as_it_is_everywhere_from_then_on(chat: ChatClient) -> None:
    answer = edited(chat, Message="hello")
    assert answer.status_code == 200
    assert answer.headers["X-Raft-Index"] == "4"
    assert answer.json == {
        "Id": 1, "User": "ann", "Message": "hello", "PostedAt": "2026-11-23T10:00:00.123456Z", "ClientId": "c1",
        "EditedAt": "2026-11-23T10:00:01.623456Z",
    }  # fmt: skip
    assert chat.get(POST).json == answer.json
    assert chat.get(GENERAL).json == [answer.json]
    assert json.loads(chat.get(f"{GENERAL}/export").data) == answer.json
    repeat = chat.post(ClientId="c1")
    assert (repeat.status_code, repeat.json) == (200, answer.json)


def test_a_deleted_post_keeps_its_id_and_nothing_of_what_it_said(chat: ChatClient) -> None:
    chat.post(ClientId="c2", ReplyTo=1)
    edited(chat)
    answer = chat.delete(f"{POST}?user=ann")
    assert (answer.status_code, answer.data) == (204, b"")
    tombstone = chat.get(POST).json
    assert tombstone == {
        "Id": 1, "User": "ann", "Message": "", "PostedAt": "2026-11-23T10:00:00.123456Z", "ClientId": "c1",
        "Deleted": True,
    }  # fmt: skip
    assert chat.get(f"{POST}/history").json == [tombstone]
    page = chat.get(GENERAL).json
    assert page is not None
    assert [post["Id"] for post in page] == [1, 2]
    assert chat.delete(f"{POST}?user=ann").status_code == 204
    assert problem(edited(chat)) == (410, "gone")
    assert problem(chat.open("PUT", f"{HEART}?user=ann")) == (410, "gone")
    assert problem(chat.post(ClientId="c1")) == (410, "gone")


def test_a_long_history_is_sent_in_pieces(chat: ChatClient) -> None:
    texts = [f"{number}{'x' * 7_990}" for number in range(30)]
    for text in texts:
        assert edited(chat, Message=text).status_code == 200
    answer = chat.get(f"{POST}/history")
    assert "Content-Length" not in answer.headers
    assert answer.json is not None
    assert [version["Message"] for version in answer.json][1:] == texts
    pieces = [*chat.get(f"{POST}/history").iter_encoded()]
    assert len(pieces) > 2
    assert max(map(len, pieces)) < PIECE_BYTES + GROUP_POSTS * 10_000


def test_of_a_post_that_is_deleted_while_its_history_is_sent_no_piece_more_comes(chat: ChatClient) -> None:
    for number in range(30):
        edited(chat, Message=f"{number}{'x' * 7_990}")
    pieces = chat.get(f"{POST}/history").iter_encoded()
    next(pieces)
    chat.delete(f"{POST}?user=ann")
    with pytest.raises(Problem):
        next(pieces)


def test_the_history_has_all_that_a_post_said_oldest_first(chat: ChatClient) -> None:
    first, second, third = chat.get(POST).json, edited(chat, Message="two").json, edited(chat, Message="three").json
    assert chat.get(f"{POST}/history").json == [first, second, third]
    assert chat.get(f"{POST}/history?consistency=stale").json == [first, second, third]
    assert problem(chat.get(f"{GENERAL}/messages/2/history")) == (404, "not_found")
    assert problem(chat.get("/rooms/other/messages/1/history")) == (404, "not_found")
    assert refused(chat.get(f"{GENERAL}/messages/x/history"), 400, "Id")


def test_the_same_text_again_is_no_edit(chat: ChatClient) -> None:
    chat.open("PUT", f"{HEART}?user=bob")
    proposed = len(chat.replica.proposed)
    assert edited(chat, Message="hi").json == chat.get(POST).json
    assert len(chat.replica.proposed) == proposed


def test_reactions_stand_in_the_post_and_go_again(chat: ChatClient) -> None:
    for user in ("ann", "bob", "bob"):
        assert chat.open("PUT", f"{HEART}?user={user}").status_code == 204
    post = chat.get(POST).json
    assert post is not None
    assert post["Reactions"] == {"\u2764": ["ann", "bob"]}
    assert chat.get(GENERAL).json == [post]
    assert json.loads(chat.get(f"{GENERAL}/export").data) == post
    for user in ("ann", "ann", "bob"):
        assert chat.delete(f"{HEART}?user={user}").status_code == 204
    assert "Reactions" not in (chat.get(POST).json or {})


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("PATCH", POST, {"Message": "new"}, "User"),
        ("PATCH", POST, {"User": "ann"}, "Message"),
        ("PATCH", POST, {"User": "ann", "Message": ""}, "Message"),
        ("PATCH", POST, {"User": "ann", "Message": "x" * 8001}, "Message"),
        ("PATCH", POST, {"User": "", "Message": "new"}, "User"),
        ("PATCH", POST, {"User": "ann", "Message": "new", "ReplyTo": 1}, "body"),
        ("PATCH", f"{GENERAL}/messages/0", {"User": "ann", "Message": "new"}, "Id"),
        ("PATCH", "/rooms/../messages/1", {"User": "ann", "Message": "new"}, "RoomName"),
        ("DELETE", POST, None, "user"),
        ("DELETE", f"{POST}?user=", None, "user"),
        ("DELETE", f"{GENERAL}/messages/x?user=ann", None, "Id"),
        ("PUT", HEART, None, "user"),
        ("PUT", f"{POST}/reactions/?user=ann", None, "Emoji"),
        ("PUT", f"{POST}/reactions/a%20b?user=ann", None, "Emoji"),
        ("PUT", f"{POST}/reactions/%E2%80%AE?user=ann", None, "Emoji"),
        ("PUT", f"{POST}/reactions/{'x' * 33}?user=ann", None, "Emoji"),
    ],
)
def test_what_breaks_a_rule_is_a_400_and_nothing_is_proposed(
    chat: ChatClient, method: str, target: str, body: object, field: str
) -> None:
    answer = chat.open(method, target, b"" if body is None else json.dumps(body).encode())
    assert refused(answer, 400, field)
    assert len(chat.replica.proposed) == 1


def test_whose_post_it_is_and_whether_it_is_there_is_told_without_proposing(chat: ChatClient) -> None:
    assert problem(edited(chat, User="bob")) == (403, "not_the_author")
    assert problem(chat.delete(f"{POST}?user=bob")) == (403, "not_the_author")
    assert problem(edited(chat, f"{GENERAL}/messages/2")) == (404, "not_found")
    assert problem(edited(chat, "/rooms/other/messages/1")) == (404, "not_found")
    assert len(chat.replica.proposed) == 1
    chat.delete()
    assert problem(chat.delete(f"{POST}?user=ann")) == (410, "gone")


def test_a_cluster_with_an_older_member_refuses_and_proposes_nothing(
    chat: ChatClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (EditPost, DeletePost, React):
        monkeypatch.setitem(commands._LEVELS, kind, LEVEL + 1)
    for answer in (edited(chat), chat.delete(f"{POST}?user=ann"), chat.open("PUT", f"{HEART}?user=ann")):
        assert problem(answer) == (409, "level_too_low")
    assert len(chat.replica.proposed) == 1


def test_an_edit_sees_what_was_acknowledged_before_it_began(chat: ChatClient) -> None:
    chat.replica.unavailable = True
    assert problem(edited(chat)) == (503, "unavailable")
    chat.replica.unavailable = False
    chat.replica.loses_answers = True
    assert problem(edited(chat)) == (504, "outcome_unknown")
    chat.replica.loses_answers = False
    proposed = len(chat.replica.proposed)
    assert edited(chat).json == chat.get(POST).json
    assert len(chat.replica.proposed) == proposed


def test_an_edit_reads_again_what_a_compaction_took_meanwhile(
    chat: ChatClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(chat)
    commands, asked = chat.replica.commands, list[list[int]]()

    def taken_once(indexes: list[int]) -> list[Command]:
        asked.append(indexes)
        if len(asked) == 1:
            raise LookupError("not in the log")
        return commands(indexes)

    monkeypatch.setattr(chat.replica, "commands", taken_once)
    assert edited(chat, Message="newer").status_code == 200
    assert asked[:2] == [[4], [4]]
