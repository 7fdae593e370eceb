"""The state as a document: what is restored from it is the same state, and nothing else is taken."""

import json
from base64 import b64encode
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Actor, Command, Post
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.state.client_ids import BUCKETS_MIN, ClientIds
from chat.state.events import Event
from chat.state.machine import ChatState
from chat.state.results import Missed, Repeated
from chat.state.room import SHORT, SHORT_MAX, PageRequest
from chat.state.snapshot.document import LINE_BYTES_MAX
from raft.core import packed_numbers
from raft.errors import InvalidMessage
from tests.chat.random_log import LOGS, ROOM_COMMANDS, answers, apply, split

SMALL: list[Command] = [
    Post("general", "ann", "one", "c1"),
    Post("general", "ann", "two", "c2"),
    Post("old", "bob", "three", "c1"),
    Post("general", "ann", "four", "c4"),
    ChangeRoom(Actor(), "general", max_messages=2),
    DeleteRoom(Actor(), "old"),
]


def state_of(commands: list[Command]) -> ChatState:
    state = ChatState()
    apply(state, commands)
    return state


@given(LOGS | st.lists(ROOM_COMMANDS, max_size=20), st.integers(0, 60))
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
    sections = {"LogTimes": 2, "Details": 1}
    assert lines[0] == {
        "Chat": 1, "Rooms": 2, "IndexBytes": 4, "Buckets": BUCKETS_MIN, "Filled": 4, "Sections": sections,
    }  # fmt: skip
    assert lines[1]["Room"] == "general"
    assert (lines[1]["NewestId"], lines[1]["Posts"], lines[1]["MaxMessages"]) == (3, 2, 2)
    assert (lines[2]["Room"], lines[2]["NewestId"], lines[2]["Posts"], lines[2]["DeletedAt"]) == ("old", 1, 0, 8)
    assert [list(line) for line in lines[3:5]] == [["LogTimes"], ["Details"]]
    assert lines[5] == {"At": at(4, 6)}
    assert lines[6]["Filled"][1::2] == [1, 1, 1, 1]
    assert list(lines[7]) == ["ClientIds"]
    assert len(lines) == 8


def test_what_is_remembered_is_taken_whatever_it_hashes() -> None:
    taken = [*list(state_of(SMALL).document())[:7], client_ids(2, 3, 4, 5)]
    state = ChatState()
    state.restore(8, taken)
    assert list(state.document()) == taken


def test_places_beyond_32_bits_are_told_and_restored() -> None:
    state, other = ChatState(), ChatState()
    apply(state, [Post("old", "ann", "one", "c1"), Post("general", "ann", "two", "c2")])
    first = SHORT_MAX - 1
    apply(state, [Post("general", "ann", f"m{k}", f"d{k}") for k in range(4)], first)
    other.restore(first + 3, state.document())
    assert json.loads(next(other.document()))["IndexBytes"] == 8
    for restored in (state, other):
        assert restored.live().tolist() == [3, 4, *range(first, first + 4)]
        assert restored.page("general", PageRequest()).positions == [4, *range(first, first + 4)]
        assert restored.missed(first + 1, first + 3) == [Missed("general", False, 2, 5, first + 3)]
        assert apply(restored, [Post("general", "ann", "m3", "d3")], first + 4) == [Repeated(5, first + 3, first + 3)]
        assert restored.ask(lambda tables: tables.rooms.by_name["old"]).indexes.typecode == SHORT
    with pytest.raises(InvalidMessage):
        other.restore(first + 2, state.document())


def test_a_document_is_of_the_moment_it_was_asked_for() -> None:
    state = state_of(SMALL)
    expected = list(state.document())
    document = state.document()
    apply(state, [Post("general", "ann", "five", "c5"), Post("new", "ann", "six", "c6")], 9)
    assert list(document) == expected


def at(*indexes: int) -> str:
    """Places of posts, as a document has them."""
    return b64encode(packed_numbers.pack(b"".join(index.to_bytes(4, "little") for index in indexes), 4)).decode()


def client_ids(*indexes: int) -> bytes:
    """ClientIds of the posts at these log indexes."""
    records = (bytes([k]) * 7 + index.to_bytes(5, "big") for k, index in enumerate(indexes))
    return b'{"ClientIds":"%b"}' % b64encode(packed_numbers.pack(b"".join(records), 12))


def together(lines: list[bytes], *indexes: int) -> list[bytes]:
    """The document, with these ClientIds in one bucket."""
    filled = lines[0].replace(b'"Filled":4', b'"Filled":1')
    return [filled, *lines[1:6], b'{"Filled":[7,%d]}' % len(indexes), client_ids(*indexes)]


def spoilt(lines: list[bytes]) -> list[tuple[str, list[bytes]]]:
    """Documents that no state gives."""

    def without(at: int) -> list[bytes]:
        return lines[:at] + lines[at + 1 :]

    def swapped(at: int, old: bytes, new: bytes) -> list[bytes]:
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    def places(*indexes: int) -> list[bytes]:
        return [*lines[:5], b'{"At":"%b"}' % at(*indexes).encode(), *lines[6:]]

    def never_was() -> list[bytes]:
        blank = lines[2].replace(b'"DeletedAt":8', b'"DeletedAt":0').replace(b'"NewestId":1', b'"NewestId":0')
        return [*lines[:2], blank, *lines[3:]]

    return [
        ("nothing", []),
        *((f"without line {at}", without(at)) for at in range(len(lines))),
        ("a line twice", lines + lines[-1:]),
        ("rooms in another order", [lines[0], lines[2], lines[1], *lines[3:]]),
        ("another format", swapped(0, b'"Chat":1', b'"Chat":2')),
        ("white space", swapped(0, b",", b", ")),
        ("not JSON", swapped(0, b"}", b"")),
        ("not an object", [b"[]", *lines[1:]]),
        ("not UTF-8", swapped(1, b"general", b"\xff")),
        ("a lone surrogate", swapped(1, b"general", b"\\ud800")),
        ("a name that is none", swapped(1, b'"general"', b"7")),
        ("a room twice", swapped(2, b'"old"', b'"general"')),
        ("more rooms than there are", swapped(0, b'"Rooms":2', b'"Rooms":3')),
        ("more rooms than could be", swapped(0, b'"Rooms":2', b'"Rooms":9999999999')),
        ("a truth for a number", swapped(2, b'"NewestId":1', b'"NewestId":true')),
        ("less than nothing", swapped(1, b'"NewestId":3', b'"NewestId":-3')),
        ("fewer posts given than left", swapped(1, b'"NewestId":3', b'"NewestId":1')),
        ("more posts than are kept", swapped(1, b'"MaxMessages":2', b'"MaxMessages":1')),
        ("more posts than there are", swapped(1, b'"Posts":2', b'"Posts":3')),
        ("fewer posts than there are", swapped(1, b'"Posts":2', b'"Posts":1')),
        ("places of another size", swapped(0, b'"IndexBytes":4', b'"IndexBytes":8')),
        ("places of no size", swapped(0, b'"IndexBytes":4', b'"IndexBytes":0')),
        ("a post where there is one", places(4, 4)),
        ("posts out of order", places(6, 4)),
        ("a post beyond the index", places(4, 9)),
        ("a post before the log", places(0, 4)),
        ("no posts in a line", places()),
        ("a place cut off", [*lines[:5], b'{"At":"QUJD"}', *lines[6:]]),
        ("a place too many", places(4, 6, 7)),
        ("places in lines that are not full", [*lines[:5], *places(4)[5:6], *places(6)[5:6], *lines[6:]]),
        ("a number of thousands of digits", swapped(2, b'"DeletedAt":8', b'"DeletedAt":' + b"9" * 9_999)),
        ("a deletion to come", swapped(2, b'"DeletedAt":8', b'"DeletedAt":9')),
        ("an empty room that never was", never_was()),
        ("settings of a deleted room", swapped(2, b'"MaxMessages":0', b'"MaxMessages":1')),
        ("a year that no calendar has", swapped(1, b'"LastPostedAt":', b'"LastPostedAt":9999')),
        ("no base64", swapped(7, b'":"', b'":"!')),
        ("no planes", [*lines[:7], b'{"ClientIds":"%b"}' % b64encode(bytes(48 + 48))]),
        ("places under another name", swapped(5, b'"At"', b'"Lies"')),
        ("white space after places", swapped(5, b'"}', b'" }')),
        ("fewer buckets than a blank state has", swapped(0, b'"Buckets":256', b'"Buckets":255')),
        ("more buckets than it can have by now", swapped(0, b'"Buckets":256', b'"Buckets":257')),
        ("fewer buckets filled than are told", swapped(0, b'"Filled":4', b'"Filled":3')),
        ("more buckets filled than are told", swapped(0, b'"Filled":4', b'"Filled":5')),
        ("half a bucket", swapped(6, b",1]", b"]")),
        ("a bucket that is filled with nothing", swapped(6, b",1]", b",0]")),
        ("a bucket beyond the last", swapped(6, b'"Filled":[', b'"Filled":[500,1,')),
        ("no numbers of buckets", swapped(6, b",1]", b",true]")),
        ("a bucket twice", [*lines[:6], b'{"Filled":[7,1,8,1,8,1,9,1]}', lines[7]]),
        ("a ClientId cut off", [*lines[:7], b'{"ClientIds":"QUJD"}']),
        ("a ClientId too many", [*lines[:7], client_ids(1, 2, 3, 4, 5)]),
        ("a ClientId of no post", [*lines[:7], client_ids(1, 2, 3, 0)]),
        ("a ClientId of a post to come", [*lines[:7], client_ids(1, 2, 3, 9)]),
        ("ClientIds in another order than their posts", together(lines, 1, 3, 2, 4)),
        ("two ClientIds of one post", together(lines, 1, 2, 2, 4)),
        ("one line too long", [b" " * LINE_BYTES_MAX + lines[0], *lines[1:]]),
    ]


@pytest.mark.parametrize(("what", "lines"), spoilt(list(state_of(SMALL).document())))
def test_what_no_state_gives_is_refused_and_changes_nothing(what: str, lines: list[bytes]) -> None:
    state = state_of([Post("mine", "ann", "hi", "c1")])
    restored: list[int] = []
    state.listen(lambda index, events: None, on_restored=restored.append)
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
    state.listen(lambda index, events: published.append((index, events)), on_restored=restored.append)
    apply(state, [Post("general", "ann", "lost to listeners", "c1")])
    state.restore(8, state_of(SMALL).document())
    state.applied(8)
    assert restored == [8]
    assert published == [(8, [])]
    assert state.page("general", PageRequest()).log_index == 8


@pytest.mark.parametrize("format", [2, 3, 4])
def test_a_format_that_is_not_read_is_named(format: int) -> None:
    with pytest.raises(InvalidMessage, match=f"it has format {format}, and this program reads format 1 only"):
        ChatState().restore(8, [b'{"Chat":%d,"Rooms":0,"IndexBytes":4,"Buckets":256,"Filled":0}' % format])


def test_clientids_that_share_a_bucket_are_taken_in_the_order_of_their_posts() -> None:
    taken = together(list(state_of(SMALL).document()), 1, 2, 3, 8)
    state = ChatState()
    state.restore(8, taken)
    assert list(state.document()) == taken


@pytest.fixture(scope="module")
def million_client_ids() -> ClientIds:
    """A table of the ClientIds of a million posts, whatever rooms these are in: it takes longer than the rest."""
    client_ids = ClientIds()
    for k in range(1_000_000):
        client_ids.find_or_add((0x9E3779B97F4A7C15 * k % (1 << 64)).to_bytes(8), 3 * k + 1)
    return client_ids


@pytest.mark.repeated
@pytest.mark.parametrize("rooms", [1, 10_000])
def test_a_million_posts_are_written_and_restored_in_a_moment_and_in_short_lines(
    rooms: int, million_client_ids: ClientIds
) -> None:
    state = ChatState()
    names = [f"room-{number:05}" for number in range(rooms)]
    tables = state.ask(lambda tables: tables)
    made = [tables.rooms.make(name) for name in names]
    for k in range(1_000_000):
        made[k % rooms].append(3 * k + 1, k, 150)
    tables.client_ids.restore(million_client_ids.buckets())
    began = process_time()
    lines = list(state.document())
    written = process_time()
    assert max(map(len, lines)) <= LINE_BYTES_MAX
    other = ChatState()
    other.restore(3_000_000, lines)
    restored = process_time()
    assert (written - began, restored - written) < (2, 4)  # of this process's own time; they take 0.1 and 0.4 s
    assert other.page(names[-1], PageRequest(limit=1)).positions == [2_999_998]
    assert len(other.live()) == 1_000_000
    assert other.digest() == state.digest()
