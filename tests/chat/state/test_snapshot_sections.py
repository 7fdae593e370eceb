"""The sections of the state's document: on every member alike, and read strictly."""

import json
from collections.abc import Callable, Iterator

import pytest

from chat.commands import NOBODY, Actor, Command, Post
from chat.commands.posts import React
from chat.confusable_names import room_looks
from chat.state.machine import ChatState
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.settings import LOGIN, Settings
from chat.state.snapshot.rows import lines
from chat.state.tables import Tables
from raft.errors import InvalidMessage
from tests.chat.random_log import apply

POSTS: list[Command] = [Post("general", "ann", "hi", str(k)) for k in range(20)]


def filled() -> ChatState:
    state = ChatState()
    apply(state, POSTS)

    def change(tables: Tables) -> None:
        tables.settings = Settings(LOGIN, max_rooms=9)
        tables.erased_index = 17
        tables.derive()

    state.ask(change)
    return state


def document() -> list[bytes]:
    return list(filled().document())


def test_an_empty_state_has_no_sections() -> None:
    (header,) = map(json.loads, ChatState().document())
    assert (header["Chat"], header["Sections"]) == (1, {})


def test_it_says_what_is_set_and_when_entries_came() -> None:
    values = [json.loads(line) for line in document()]
    assert (values[0]["Chat"], values[0]["Sections"]) == (1, {"Settings": 1, "LogTimes": 7, "Erased": 1})
    assert values[2] == {"Settings": [["login", "invite", 9, 0, 0, 0, 0]]}
    assert [len(row) for row in values[3]["LogTimes"]] == [1, 2, 2, 2, 2, 2, 2]
    assert values[4] == {"Erased": [[17]]}


def test_a_restored_state_is_the_same_and_goes_on_the_same() -> None:
    state, restored = filled(), ChatState()
    restored.restore(22, state.document())
    assert restored.digest() == state.digest()
    assert restored.erased_index == 17
    assert restored.ask(lambda tables: (tables.guarded, tables.settings.max_rooms)) == (True, 9)
    for each in (state, restored):
        apply(each, [Post("general", "ann", "more", "m", by=3)], 40)
    assert restored.digest() == state.digest()


def test_a_room_that_a_post_made_in_an_open_cluster_is_restored_with_what_its_look_alikes_have_in_common() -> None:
    state, restored = ChatState(), ChatState()
    apply(state, [Post("plans", "ann", "hi", "1", looks=room_looks("plans"))])
    restored.restore(3, state.document())
    assert restored.digest() == state.digest()
    assert restored.ask(lambda tables: tables.rooms.looks) == {"plans": room_looks("plans")}


def swapped(at: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def spoil(lines: list[bytes]) -> list[bytes]:
        assert lines[at].count(old) == 1
        return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        swapped(0, b'"Chat":1', b'"Chat":2'),
        swapped(0, b'"Settings":1', b'"Settings":2'),
        swapped(0, b'"Settings":1,', b""),
        swapped(0, b'"LogTimes":7', b'"LogTimes":5'),
        swapped(0, b'"Erased":1', b'"Erased":1,"More":1'),
        swapped(2, b'"login"', b'"login",1'),
        swapped(2, b"9", b"true"),
        swapped(2, b"[[", b"[ ["),
        swapped(3, b"LogTimes", b"Rages"),
        swapped(4, b"17", b"-1"),
        swapped(4, b"17", b"24"),
        lambda lines: [*lines[:3], *lines[4:]],
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    ],
)
def test_what_no_state_gives_is_not_taken(spoil: Callable[[list[bytes]], list[bytes]]) -> None:
    state = ChatState()
    with pytest.raises(InvalidMessage):
        state.restore(22, spoil(document()))
    assert state.live_bytes == 0


def test_a_room_without_posts_is_one_only_by_its_details() -> None:
    state = filled()
    state.ask(lambda tables: tables.rooms.make("empty"))
    with pytest.raises(InvalidMessage):
        ChatState().restore(22, state.document())


def test_a_room_that_changed_after_its_posts_did_is_restored() -> None:
    state, restored = ChatState(), ChatState()
    apply(state, [*POSTS, React(Actor(NOBODY, "ann"), "general", 1, "+", on=True)])

    def change(tables: Tables) -> None:
        room = tables.rooms.by_name["general"]
        room.details, room.last_index = RoomDetails(topic="posts", changed_index=27), 27

    state.ask(change)
    restored.restore(27, state.document())
    assert restored.digest() == state.digest()
    assert restored.ask(lambda tables: tables.rooms.by_name["general"].last_index) == 27


def test_rows_go_into_lines_of_a_bounded_number_and_length() -> None:
    def told(rows: list[tuple[object, ...]]) -> Iterator[tuple[int, int]]:
        for line in lines({"Some": list(rows)}):
            yield len(json.loads(line)["Some"]), len(line)

    assert [count for count, _ in told([(k,) for k in range(2500)])] == [1000, 1000, 500]
    assert all(length < 257 * 1024 for _, length in told([("x" * 100_000,)] * 9))


def test_what_json_has_no_form_for_is_hex_and_sorted() -> None:
    details = RoomDetails(PRIVATE, members=frozenset("cab"))
    assert b'["a","b","c"]' in next(lines({"Details": [details]}))
    assert next(lines({"Tickets": [(b"\x00\xff", 1)]})) == b'{"Tickets":[["00ff",1]]}'
