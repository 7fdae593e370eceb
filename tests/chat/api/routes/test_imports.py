"""`/rooms/{room}/import`: who may, what is checked, and what an export gives again."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from chat import commands
from chat.commands import LEVEL, OPERATOR, Actor, encode
from chat.commands.imports import ImportedPost, ImportPost
from chat.state.post_json import timestamp
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, ChatClient, refused
from tests.chat.login_client import LoginClient, bearer
from tests.support.slicing import examples
from tests.support.waiting import wait_until

BY_OPERATOR = bearer(OPERATORS_SECRET)
LINE: dict[str, object] = {"Id": 1, "User": "ann", "Message": "hi", "PostedAt": "2020-01-01T00:00:00Z"}


def ndjson(*lines: dict[str, object]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def room(chat: ChatClient, name: str = "general") -> ChatClient:
    assert chat.open("PUT", f"/rooms/{name}", b"{}", BY_OPERATOR).status_code == 201
    return chat


def bring(
    chat: ChatClient, *lines: dict[str, object], source: str = "s", to: str = "general", environ: Any = BY_OPERATOR
) -> TestResponse:
    return chat.open("POST", f"/rooms/{to}/import?source={source}", ndjson(*lines), environ)


def shown(chat: ChatClient, target: str = GENERAL) -> list[dict[str, Any]]:
    found = chat.open("GET", target, environ=BY_OPERATOR).json
    assert isinstance(found, list)
    return found


def test_messages_keep_their_author_their_time_and_what_became_of_them() -> None:
    chat = room(ChatClient())
    full = {
        **LINE, "Id": 2, "PostedAt": "2020-01-01T02:00:00.5+02:00", "EditedAt": "2020-01-02T00:00:00Z", "ReplyTo": 1,
        "ClientId": "c", "Reactions": {"👍️": ["bob", "bob", "eve"]}, "Pinned": True,
    }  # fmt: skip
    gone = {**LINE, "Id": 3, "Message": "", "Deleted": True, "Imported": {"At": "anything"}}
    answer = bring(chat, LINE, full, gone)
    assert (answer.status_code, answer.json) == (200, {"Source": "s", "Messages": 3})
    first, second, third = shown(chat)
    at = first.pop("Imported")
    assert set(at) == {"At"}
    assert at["At"].startswith("2026-11-23T10:00:0")
    assert first == {**LINE, "ClientId": "import:s:1", "PostedAt": "2020-01-01T00:00:00.000000Z"}
    assert second.pop("Imported")
    del full["Pinned"]
    assert second == {
        **full, "PostedAt": "2020-01-01T00:00:00.500000Z", "EditedAt": "2020-01-02T00:00:00.000000Z",
        "Reactions": {"👍": ["bob", "eve"]},
    }  # fmt: skip
    assert (third["Deleted"], third["Message"]) == (True, "")
    assert [post["Id"] for post in shown(chat, "/rooms/general/pins")] == [2]
    assert [post.get("Pinned") for post in exported(chat, "general")] == [None, True, None]


def test_ids_go_on_in_a_room_that_has_messages_and_replies_follow_them() -> None:
    chat = room(ChatClient())
    chat.fill(2)
    assert bring(chat, LINE, {**LINE, "Id": 2, "ReplyTo": 1}).status_code == 200
    chat.fill(1)
    assert bring(chat, {**LINE, "Id": 3, "ReplyTo": 2}).status_code == 200
    assert [(post["Id"], post.get("ReplyTo")) for post in shown(chat)[2:]] == [(3, None), (4, 3), (5, None), (6, 4)]


def test_the_same_lines_again_are_not_imported_again_and_a_later_body_may_overlap() -> None:
    chat = room(ChatClient())
    for _ in range(2):
        assert bring(chat, LINE, {**LINE, "Id": 2}).status_code == 200
    assert bring(chat, {**LINE, "Id": 2}, {**LINE, "Id": 3}).json == {"Source": "s", "Messages": 3}
    assert len(shown(chat)) == 3
    progress = chat.open("GET", "/rooms/general/import?source=s", environ=BY_OPERATOR)
    assert progress.json == {"Source": "s", "Messages": 3}


def test_a_body_that_does_not_follow_the_last_one_is_refused() -> None:
    chat = room(ChatClient())
    answer = bring(chat, {**LINE, "Id": 2})
    assert refused(answer, 409, "Id")
    assert answer.json is not None
    assert answer.json["code"] == "import_gap"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"Id": 0}, "Id"), ({"Id": None}, "Id"), ({"Id": True}, "Id"), ({"User": ""}, "User"),
        ({"User": "a\n"}, "User"),
        ({"Message": ""}, "Message"), ({"Message": "x" * 8001}, "Message"), ({"Message": "\ud800"}, "Message"),
        ({"PostedAt": None}, "PostedAt"), ({"PostedAt": "2020-01-01T00:00:00"}, "PostedAt"),
        ({"PostedAt": "20200101T000000Z"}, "PostedAt"), ({"PostedAt": "2020-02-30T00:00:00Z"}, "PostedAt"),
        ({"PostedAt": "1969-12-31T23:59:59Z"}, "PostedAt"), ({"PostedAt": "2026-11-23T10:06:00Z"}, "PostedAt"),
        ({"PostedAt": "9999-12-31T23:59:59-23:59"}, "PostedAt"),
        ({"PostedAt": "0001-01-01T00:00:00+23:59"}, "PostedAt"),
        ({"EditedAt": 5}, "EditedAt"), ({"ReplyTo": 2}, "ReplyTo"), ({"ReplyTo": 0}, "ReplyTo"),
        ({"Deleted": 1}, "Deleted"), ({"Pinned": "yes"}, "Pinned"), ({"Reactions": []}, "Reactions"),
        ({"Reactions": {"+": "ann"}}, "Reactions"), ({"Reactions": {" ": ["ann"]}}, "Reactions"),
        ({"Reactions": {"+": [""]}}, "Reactions"), ({"ClientId": ""}, "ClientId"), ({"Files": []}, "body"),
        ({"Reactions": {"+": [f"u{number}" for number in range(101)]}}, "Reactions"),
        ({"Reactions": {chr(0x1F600 + number): ["ann"] for number in range(21)}}, "Reactions"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_refused_by_its_number_and_nothing_is_written(wrong: dict[str, object], field: str) -> None:
    chat = room(ChatClient())
    proposed = len(chat.replica.proposed)
    answer = bring(chat, LINE, {**LINE, "Id": 2, **wrong}, {**LINE, "Id": 3})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["detail"].startswith(f"line 2: {field}:")
    assert len(chat.replica.proposed) == proposed


@pytest.mark.parametrize("body", [b"", b"\n\n", b"{", b"[]\n", b"\xff\n", ndjson(LINE, {**LINE, "Id": 3})])
def test_a_body_that_is_no_ndjson_of_consecutive_messages_is_refused(body: bytes) -> None:
    chat = room(ChatClient())
    assert chat.open("POST", "/rooms/general/import?source=s", body, BY_OPERATOR).status_code == 400


def test_an_import_needs_a_name_and_a_room() -> None:
    chat = room(ChatClient())
    assert refused(chat.open("POST", "/rooms/general/import", ndjson(LINE), BY_OPERATOR), 400, "source")
    assert refused(chat.open("POST", "/rooms/general/import?source=", ndjson(LINE), BY_OPERATOR), 400, "source")
    assert bring(chat, LINE, to="other").status_code == 404


def test_in_the_open_mode_the_operator_alone_imports() -> None:
    chat = room(ChatClient())
    assert refused(bring(chat, LINE, environ={}), 403, "Authorization")
    assert chat.open("GET", "/rooms/general/import?source=s").status_code == 403
    assert shown(chat) == []


def test_with_sign_in_an_admin_imports_and_nobody_else() -> None:
    chat = LoginClient()
    assert chat.ask("ann", "PUT", GENERAL, {}).status_code == 201
    for name in ("bob", "gus"):
        assert bring(chat, LINE, environ=bearer(chat.secret[name])).status_code == 403
        assert refused(chat.open("POST", f"{GENERAL}/import", b"{", bearer(chat.secret[name])), 403, "Authorization")
    assert bring(chat, LINE, environ={}).status_code == 401
    assert chat.open("POST", f"{GENERAL}/import", b"{").status_code == 401  # nothing is said of what they sent
    assert bring(chat, {**LINE, "User": "bob"}, environ=bearer(chat.secret["ann"])).status_code == 200
    assert bring(chat, {**LINE, "User": "never was"}, source="t").status_code == 200
    assert [post["User"] for post in chat.ask("bob").json or []] == ["bob", "never was"]


def test_no_post_edit_or_websocket_makes_a_message_look_imported() -> None:
    chat = ChatClient()
    forged = {"Imported": {"At": "2020-01-01T00:00:00Z"}, "PostedAt": "2020-01-01T00:00:00Z", "ImportedAt": 5}
    assert chat.post(**forged).status_code == 201
    chat.post(Message='","ImportedAt":5', ClientId='","ImportedAt":5,"EditedAt":7')
    edit = {"User": "ann", "Message": ',"ImportedAt":5'}
    assert chat.open("PATCH", f"{GENERAL}/messages/2", json.dumps(edit).encode()).status_code == 200
    assert chat.open("DELETE", f"{GENERAL}/messages/1?user=ann").status_code == 204
    assert all("Imported" not in post and post["PostedAt"].startswith("2026") for post in shown(chat))


def test_an_imported_message_stays_marked_when_it_is_edited_or_deleted() -> None:
    chat = room(ChatClient())
    bring(chat, LINE, {**LINE, "Id": 2, "ReplyTo": 1}, {**LINE, "Id": 3, "Deleted": True, "Message": ""})
    marks = [post["Imported"] for post in shown(chat)]
    edit = json.dumps({"User": "ann", "Message": "new"}).encode()
    for _ in range(2):
        assert chat.open("PATCH", f"{GENERAL}/messages/2", edit).status_code == 200
        edit = edit.replace(b"new", b"newer")
    assert chat.open("DELETE", f"{GENERAL}/messages/1?user=ann").status_code == 204
    assert chat.open("PATCH", f"{GENERAL}/messages/3", edit).status_code == 410
    assert [post["Imported"] for post in shown(chat)] == marks
    assert (shown(chat)[1]["Message"], shown(chat)[1]["ReplyTo"]) == ("newer", 1)
    history = chat.get(f"{GENERAL}/messages/2/history").json
    assert history is not None
    assert [post["Imported"] for post in history] == [marks[1]] * 3


def test_a_post_with_the_client_id_of_an_imported_message_is_a_post_of_its_own() -> None:
    chat = room(ChatClient())
    bring(chat, {**LINE, "ClientId": "mine"})
    assert chat.post(ClientId="mine").status_code == 201


def test_nothing_is_proposed_while_a_member_runs_an_older_version(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = room(ChatClient())
    monkeypatch.setitem(commands._LEVELS, ImportPost, LEVEL + 1)
    answer = bring(chat, LINE)
    assert (answer.status_code, answer.json and answer.json["code"]) == (409, "level_too_low")


def test_a_lost_answer_is_asked_for_again_without_a_double() -> None:
    chat = room(ChatClient())
    chat.replica.loses_answers = True
    assert bring(chat, LINE, {**LINE, "Id": 2}).status_code == 504
    chat.replica.loses_answers = False
    assert bring(chat, LINE, {**LINE, "Id": 2}, {**LINE, "Id": 3}).status_code == 200
    assert len(shown(chat)) == 3


def test_two_who_import_the_same_at_two_nodes_import_it_once() -> None:
    chat = room(ChatClient())
    post = ImportedPost("ann", "hi", "c")
    other = encode(ImportPost(Actor(OPERATOR), "general", "s", 1, (), False, 1, post))
    proposing = chat.replica.propose

    def late(command: bytes, done: Any, *, flushes: bool = False) -> None:
        chat.replica.commit(other)
        proposing(command, done, flushes=flushes)

    chat.replica.propose = late  # type: ignore[method-assign]
    assert bring(chat, LINE, {**LINE, "Id": 2}).json == {"Source": "s", "Messages": 2}
    assert [post["Id"] for post in shown(chat)] == [1, 2]


def test_a_second_import_at_a_node_waits_for_the_first() -> None:
    chat = room(room(ChatClient()), "other")
    before = len(chat.replica.proposed)
    chat.replica.delayed = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bring, chat, LINE)
        wait_until(lambda: len(chat.replica.proposed) > before, 10, "the first one proposes")
        second = pool.submit(bring, chat, LINE, to="other")
        wait_until(lambda: second.running(), 10, "the second one runs")
        assert len(chat.replica.proposed) == before + 1
        chat.replica.delayed = False
        chat.replica.release()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert [len(shown(chat, target)) for target in (GENERAL, "/rooms/other")] == [1, 1]


def test_a_node_that_lags_behind_asks_for_what_was_imported_elsewhere() -> None:
    chat = room(ChatClient())
    reads = chat.replica.reads
    bring(chat, LINE)
    assert chat.replica.reads == reads + 1


names = st.sampled_from(["ann", "bob", 'a "\\', "é"])
moments = st.integers(1, 1_700_000_000_000_000).map(timestamp)
texts = st.text('ab "\\\n,:{}é', max_size=8)
lines = st.fixed_dictionaries(
    {"User": names, "Message": texts.map(lambda text: f"x{text}"), "PostedAt": moments, "ClientId": names},
    optional={
        "EditedAt": moments, "ReplyTo": st.integers(1, 8), "Deleted": st.just(True), "Pinned": st.just(True),
        "Reactions": st.dictionaries(st.sampled_from("ab+"), st.lists(names, min_size=1, unique=True), min_size=1),
    },
)  # fmt: skip


@settings(max_examples=examples(30))
@given(st.lists(lines, min_size=1, max_size=8), st.integers(0, 3))
def test_what_is_exported_imported_and_exported_again_is_the_same_but_for_the_ids(
    drawn: list[dict[str, object]], others: int
) -> None:
    chat = room(room(ChatClient()), "copy")
    chat.fill(others, "/rooms/copy")
    for id, line in enumerate(drawn, 1):
        line["Id"] = id
        if line.get("ReplyTo") not in range(1, id):
            line.pop("ReplyTo", None)
    assert bring(chat, *drawn).status_code == 200
    first = exported(chat, "general")
    assert bring(chat, *first, to="copy").status_code == 200
    second = exported(chat, "copy")[others:]
    for post in second:
        post["Id"] -= others
        if "ReplyTo" in post:
            post["ReplyTo"] -= others
    assert len(first) == len(drawn)
    assert [without_mark(post) for post in second] == [without_mark(post) for post in first]


def exported(chat: ChatClient, name: str) -> list[dict[str, Any]]:
    body = chat.get(f"/rooms/{name}/export").data
    return [json.loads(line) for line in body.splitlines()]


def without_mark(post: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in post.items() if name != "Imported"}
