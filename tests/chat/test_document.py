"""The state as a document: what is restored from it is the same state, and nothing else is taken."""

import json
from base64 import b64encode
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Command, DeleteRoom, Post, SetRetention
from chat.document import LINE_BYTES_MAX, REMEMBERED, join_remembered
from chat.history import PageAsk, Room
from chat.state import ChatState, Event
from raft.errors import InvalidMessage
from tests.chat.random_log import LOGS, answers, apply, split

SMALL: list[Command] = [
    Post("general", "ann", "one", "c1"),
    Post("general", "ann", "two", "c2"),
    Post("old", "bob", "three", "c1"),
    Post("general", "ann", "four", "c4"),
    SetRetention("general", 2),
    DeleteRoom("old"),
]


def state_of(commands: list[Command]) -> ChatState:
    state = ChatState()
    apply(state, commands)
    return state


@given(LOGS, st.integers(0, 60))
def test_a_restored_state_gives_the_same_answers_and_goes_on_the_same(log: list[Command], at: int) -> None:
    before, after = split(log, at)
    index = 2 + len(before)
    first, second = ChatState(), ChatState()
    apply(first, before)
    second.restore(index, first.document())
    if before:  # a blank state has not heard of an index
        assert answers(first, index) == answers(second, index)
    assert apply(first, after, index + 1) == apply(second, after, index + 1)
    if log:
        assert answers(first, index + len(after)) == answers(second, index + len(after))


def test_a_document_is_readable() -> None:
    lines = [json.loads(line) for line in state_of(SMALL).document()]
    assert lines[0] == {"Chat": 1, "Rooms": 2, "Remembered": 4}
    assert lines[1]["Room"] == "general"
    assert (lines[1]["NewestId"], lines[1]["Posts"], lines[1]["MaxMessages"]) == (3, 2, 2)
    assert lines[2] == {"At": [4, 2]}
    assert (lines[3]["Room"], lines[3]["NewestId"], lines[3]["Posts"], lines[3]["DeletedAt"]) == ("old", 1, 0, 8)
    assert set(lines[4]) == {"Remembered"}


def test_what_is_remembered_is_taken_whatever_it_hashes() -> None:
    state = ChatState()
    state.restore(8, [*list(state_of(SMALL).document())[:4], remembered(1, 1)])
    assert list(state.document())[4] == remembered(1, 1)


def test_a_document_is_of_the_moment_it_was_asked_for() -> None:
    state = state_of(SMALL)
    expected = list(state.document())
    document = state.document()
    apply(state, [Post("general", "ann", "five", "c5"), Post("new", "ann", "six", "c6")], 9)
    assert list(document) == expected


def remembered(id: int, time: int) -> bytes:
    """Four ClientIds, the last of which made this post."""
    pairs = [bytes([k]) * 16 + REMEMBERED.pack(1, 1, b"") for k in range(3)]
    pairs.append(b"key".ljust(16) + REMEMBERED.pack(id, time, b""))
    return b'{"Remembered":"%b"}' % b64encode(b"".join(pairs))


def spoilt(lines: list[bytes]) -> list[tuple[str, list[bytes]]]:
    """Documents that no state gives."""

    def without(at: int) -> list[bytes]:
        return lines[:at] + lines[at + 1 :]

    def swapped(at: int, old: bytes, new: bytes) -> list[bytes]:
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    return [
        ("nothing", []),
        *((f"without line {at}", without(at)) for at in range(len(lines))),
        ("a line twice", lines + lines[-1:]),
        ("rooms in another order", [lines[0], lines[3], *lines[1:3], *lines[4:]]),
        ("another format", swapped(0, b'"Chat":1', b'"Chat":2')),
        ("white space", swapped(0, b",", b", ")),
        ("not JSON", swapped(0, b"}", b"")),
        ("not an object", [b"[]", *lines[1:]]),
        ("not UTF-8", swapped(1, b"general", b"\xff")),
        ("a lone surrogate", swapped(1, b"general", b"\\ud800")),
        ("a name that is none", swapped(1, b'"general"', b"7")),
        ("a room twice", swapped(3, b'"old"', b'"general"')),
        ("a truth for a number", swapped(3, b'"NewestId":1', b'"NewestId":true')),
        ("less than nothing", swapped(1, b'"NewestId":3', b'"NewestId":-3')),
        ("fewer posts given than left", swapped(1, b'"NewestId":3', b'"NewestId":1')),
        ("more posts than are kept", swapped(1, b'"MaxMessages":2', b'"MaxMessages":1')),
        ("more posts than there are", swapped(1, b'"Posts":2', b'"Posts":3')),
        ("fewer posts than there are", swapped(1, b'"Posts":2', b'"Posts":1')),
        ("a post where there is one", swapped(2, b"[4,2]", b"[4,0]")),
        ("posts out of order", swapped(2, b"[4,2]", b"[4,-2]")),
        ("a post beyond the index", swapped(2, b"[4,2]", b"[4,5]")),
        ("no posts in a line", swapped(2, b"[4,2]", b"[]")),
        ("a place beyond 64 bits", swapped(2, b"[4,2]", b"[4,99999999999999999999999]")),
        ("a number of thousands of digits", swapped(2, b"[4,2]", b"[%b]" % (b"9" * 9_999))),
        ("a deletion to come", swapped(3, b'"DeletedAt":8', b'"DeletedAt":9')),
        ("an empty room that nobody deleted", swapped(3, b'"DeletedAt":8', b'"DeletedAt":0')),
        ("settings of a deleted room", swapped(3, b'"MaxMessages":0', b'"MaxMessages":1')),
        ("a year that no calendar has", swapped(1, b'"LastPostedAt":', b'"LastPostedAt":9999')),
        ("no base64", swapped(4, b'":"', b'":"!')),
        ("a ClientId cut off", [*lines[:4], b'{"Remembered":"QUJD"}']),
        ("a ClientId of no post", [*lines[:4], remembered(0, 1)]),
        ("a ClientId of a year that no calendar has", [*lines[:4], remembered(1, 1 << 62)]),
        ("one line too long", [b" " * LINE_BYTES_MAX + lines[0], *lines[1:]]),
    ]


@pytest.mark.parametrize(("what", "lines"), spoilt(list(state_of(SMALL).document())))
def test_what_no_state_gives_is_refused_and_changes_nothing(what: str, lines: list[bytes]) -> None:
    state = state_of([Post("mine", "ann", "hi", "c1")])
    restored: list[int] = []
    state.on_restored = restored.append
    before = answers(state, 8)
    with pytest.raises(InvalidMessage):
        state.restore(8, lines)
    assert answers(state, 8) == before
    assert restored == []


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_garbage_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(InvalidMessage):
        ChatState().restore(9, lines)


def test_a_document_with_a_fault_of_its_own_is_not_ours_to_judge() -> None:
    def torn() -> object:
        yield next(iter(ChatState().document()))
        raise OSError("the disk is gone")

    state = state_of(SMALL)
    before = state.digest()
    with pytest.raises(OSError, match="the disk is gone"):
        state.restore(8, torn())  # type: ignore[arg-type]
    assert state.digest() == before


def test_who_listens_is_told_of_a_restored_state_and_not_of_what_came_before() -> None:
    state, restored, published = ChatState(), list[int](), list[tuple[int, list[Event]]]()
    state.on_restored = restored.append
    state.on_applied = lambda index, events: published.append((index, events))
    apply(state, [Post("general", "ann", "lost to listeners", "c1")])
    state.restore(8, state_of(SMALL).document())
    state.applied(8)
    assert restored == [8]
    assert published == [(8, [])]
    assert state.page("general", PageAsk()).log_index == 8


def test_a_million_posts_are_written_and_restored_in_seconds_and_in_short_lines() -> None:
    state = ChatState()
    rooms = [state._rooms.setdefault(name, Room(name)) for name in ("a", "b")]
    for k in range(1_000_000):
        rooms[k % 2].append(3 * k + 1, k, 150)
        state._remembered[k.to_bytes(16)] = REMEMBERED.pack(k // 2 + 1, k, b"fingerprint")
    began = process_time()
    lines = list(state.document())
    written = process_time()
    assert max(map(len, lines)) <= LINE_BYTES_MAX
    other = ChatState()
    other.restore(3_000_000, lines)
    restored = process_time()
    assert (written - began, restored - written) < (10, 20)  # of this process's own time; each takes a second or two
    assert other.page("b", PageAsk(limit=1)).positions == [2_999_998]
    assert len(other.live()) == 1_000_000


def test_what_is_remembered_is_joined_whole_in_however_many_steps() -> None:
    remembered = {b"%016d" % n: b"%032d" % -n for n in range(5 * LINE_BYTES_MAX // 128)}
    assert join_remembered(remembered) == b"".join(key + value for key, value in remembered.items())
