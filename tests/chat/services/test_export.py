"""A room as NDJSON: all of it in order, in pieces, as of the moment when the export began."""

import json
from collections.abc import Iterator

import pytest

from chat.commands import Post
from chat.errors import Problem
from chat.services.export import GROUP_POSTS, PIECE_BYTES, PIECE_POSTS, export
from raft.core.raft_messages import Command
from tests.chat.chat_client import GENERAL, ChatClient
from tests.chat.login_client import LoginClient

EXPORT = f"{GENERAL}/export"
POSTS = 2 * PIECE_POSTS + 7


def exported(pieces: Iterator[bytes]) -> list[int]:
    """The Ids of what is still to come of an export."""
    return [json.loads(line)["Id"] for line in b"".join(pieces).splitlines()]


def begun(chat: ChatClient) -> tuple[int, Iterator[bytes]]:
    """An export of `general` that has sent its first piece: the last Id of that, and the rest."""
    _, pieces = export(chat.state, chat.replica, "general")
    return exported(iter([next(pieces)]))[-1], pieces


def test_every_post_is_a_line_as_readers_see_it() -> None:
    chat = ChatClient()
    chat.fill(POSTS)
    answer = chat.get(EXPORT)
    assert answer.status_code == 200
    assert answer.content_type == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''general.ndjson"
    assert "Content-Length" not in answer.headers
    assert [json.loads(line) for line in answer.data.splitlines()] == [
        post for first in range(0, POSTS, 100) for post in chat.get(f"{GENERAL}?after={first}&limit=100").json or []
    ]
    assert answer.data.count(b"\n") == POSTS
    assert answer.data.endswith(b"\n")


def test_a_room_that_nobody_knows_is_empty() -> None:
    answer = ChatClient().get("/rooms/nobody/export")
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_room_of_any_name_gives_a_file_of_that_name() -> None:
    assert (
        ChatClient().get("/rooms/caf%C3%A9%22/export").headers["Content-Disposition"].endswith("''caf%C3%A9%22.ndjson")
    )


def test_whose_token_ends_gets_no_piece_more() -> None:
    chat = LoginClient()
    for number in range(PIECE_POSTS + 1):
        chat.do(Post("general", "ann", "hi", f"{number}", by=chat.number["ann"]))
    pieces = iter(chat.ask("bob", target=EXPORT).iter_encoded())
    assert next(pieces).count(b"\n") == PIECE_POSTS
    chat.revoke("bob")
    with pytest.raises(Problem):
        next(pieces)


def test_a_piece_of_the_longest_posts_is_bounded_in_bytes() -> None:
    chat = ChatClient()
    for number in range(30):
        chat.post(GENERAL, Message="\N{GRINNING FACE}" * 8000, ClientId=f"{number}")
    pieces = [*export(chat.state, chat.replica, "general")[1]]
    longest = max(map(len, b"".join(pieces).splitlines()))
    assert max(map(len, pieces)) <= PIECE_BYTES + GROUP_POSTS * (longest + 1)
    assert exported(iter(pieces)) == [*range(1, 31)]


def test_head_reads_no_posts() -> None:
    chat = ChatClient()
    chat.fill(1)
    answer = chat.open("HEAD", EXPORT)
    assert (answer.status_code, answer.data, answer.content_type) == (200, b"", "application/x-ndjson")


def test_an_export_asks_the_cluster_and_waits_for_an_index() -> None:
    chat = ChatClient()
    chat.get(EXPORT)
    assert chat.replica.reads == 1
    chat.get(f"{EXPORT}?consistency=stale")
    assert chat.replica.reads == 1
    beyond = chat.get(f"{EXPORT}?min_index=99")
    assert (beyond.status_code, beyond.get_json()["code"]) == (410, "start_over")


def test_what_comes_while_it_is_sent_is_not_in_it() -> None:
    chat = ChatClient()
    chat.fill(POSTS)
    last, rest = begun(chat)
    chat.fill(3)
    assert exported(rest) == [*range(last + 1, POSTS + 1)]


def test_what_goes_while_it_is_sent_is_left_out() -> None:
    chat = ChatClient()
    chat.fill(POSTS)
    _, rest = begun(chat)
    chat.configure({"MaxMessages": 5})
    assert exported(rest) == [*range(POSTS - 4, POSTS + 1)]


def test_it_ends_where_the_room_is_deleted_and_made_again_while_it_is_sent() -> None:
    chat = ChatClient()
    chat.fill(POSTS)
    _, rest = begun(chat)
    chat.delete()
    chat.fill(5)
    assert exported(rest) == []


def test_posts_that_leave_the_log_between_looking_and_reading_are_looked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat = ChatClient()
    chat.fill(10)
    read, times = chat.replica.commands, []

    def commands(indexes: list[int]) -> list[Command]:
        times.append(len(indexes))
        if len(times) == 1:
            chat.configure({"MaxMessages": 2})
            raise LookupError("compacted")
        return read(indexes)

    monkeypatch.setattr(chat.replica, "commands", commands)
    assert exported(export(chat.state, chat.replica, "general")[1]) == [9, 10]
    assert times == [4, 2]


def test_a_log_that_never_has_them_breaks_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    chat.fill(1)

    def commands(indexes: list[int]) -> list[Command]:
        raise LookupError("gone")

    monkeypatch.setattr(chat.replica, "commands", commands)
    with pytest.raises(Problem) as broken:
        exported(export(chat.state, chat.replica, "general")[1])
    assert broken.value.status == 503
