"""Messages that are imported: what the state makes of them."""

import json
from dataclasses import replace

import pytest

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post, encode
from chat.commands.cluster import Expire
from chat.commands.imports import ImportedPost, ImportPost
from chat.commands.json_codec import to_json
from chat.commands.posts import React
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from chat.state.apply.imports import find_progress
from chat.state.apply.posts import pins
from chat.state.events import Event, PostEvent
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Posted, Refusal, Result
from chat.state.room import PageRequest
from chat.state.room_details import IMPORTS_MAX, RUNS_MAX, ImportProgress
from tests.chat.random_log import START, apply, entry

BY_OPERATOR = Actor(OPERATOR)
MADE = CreateRoom(BY_OPERATOR, "general", "public", "")
OLD = START - 86_400_000_000


def message(number: int, source: str = "s", *, reply_to: int = 0, room: str = "general") -> ImportPost:
    post = ImportedPost("ann", f"m{number}", f"c{number}", reply_to)
    return ImportPost(BY_OPERATOR, room, source, number, (), False, OLD + number, post)


def posted(number: int) -> Post:
    return Post("general", "bob", "hi", f"p{number}")


def code(result: Result) -> str:
    assert isinstance(result, Refusal), result
    return result.code


def ids(results: list[Result]) -> list[int]:
    return [result.id for result in results if isinstance(result, Posted)]


def progress(state: ChatState, source: str = "s", room: str = "general") -> ImportProgress:
    found = state.ask(lambda tables: find_progress(tables, BY_OPERATOR, room, source))
    assert isinstance(found, ImportProgress)
    return found


def test_the_bytes_of_an_import_are_those_that_the_codec_makes_of_it() -> None:
    full = ImportPost(
        Actor(3, "root"), 'a"b', "s\n", 1, (("é", ("ann", "b\\b")), ("+", ())), True, 5,
        ImportedPost("ann", "x", "c", 7, 9, True),
    )  # fmt: skip
    for command in (message(1), full, replace(full, actor=Actor(), post=ImportedPost("a", "m", "c"))):
        assert encode(command) == to_json("import", command)


def test_messages_get_the_next_ids_of_the_room_in_the_order_of_their_numbers() -> None:
    state = ChatState()
    results = apply(state, [MADE, posted(1), message(1), message(2), posted(2), message(3)])
    assert ids(results) == [1, 2, 3, 4, 5]
    assert progress(state) == ImportProgress(3, ((1, 2), (3, 5)))
    assert [progress(state).id_of(number) for number in range(5)] == [0, 2, 3, 5, 0]


def test_a_message_that_comes_again_changes_nothing_and_has_its_id() -> None:
    state = ChatState()
    apply(state, [MADE, posted(1), message(1), message(2)])
    before = list(state.document())
    (again,) = apply(state, [message(1)], 9)
    assert isinstance(again, Posted)
    assert (again.id, again.created) == (2, False)
    assert [line for line in state.document() if b"LogTimes" not in line] == [
        line for line in before if b"LogTimes" not in line
    ]


def test_a_message_after_one_that_was_lost_is_refused() -> None:
    state = ChatState()
    results = apply(state, [MADE, message(2), message(1), message(3), message(2)])
    assert [code(results[1]), code(results[3])] == ["import_gap", "import_gap"]
    assert progress(state).messages == 2


def test_a_reply_to_what_is_not_there_is_refused() -> None:
    state = ChatState()
    results = apply(state, [MADE, message(1, reply_to=1), message(1), message(2, reply_to=1)])
    assert code(results[1]) == "no_such_post"
    assert ids(results) == [1, 2]


@pytest.mark.parametrize("time", [-1, 253_402_300_800_000_000])
def test_a_time_that_cannot_be_shown_is_refused(time: int) -> None:
    bad = replace(message(1), posted_at=time)
    edited = replace(message(1), post=replace(message(1).post, edited_at=time))
    assert [code(result) for result in apply(ChatState(), [MADE, bad, edited])[1:]] == ["invalid_field"] * 2


def test_only_the_operator_imports_in_the_open_mode() -> None:
    state = ChatState()
    results = apply(state, [MADE, replace(message(1), actor=Actor(NOBODY, "ann")), replace(message(1), actor=Actor(1))])
    assert [code(result) for result in results[1:]] == ["forbidden", "forbidden"]


def test_an_import_makes_no_room_and_leaves_an_archived_one_alone() -> None:
    state = ChatState()
    archive = ChangeRoom(BY_OPERATOR, "general", archived=True)
    results = apply(state, [message(1), MADE, archive, message(1)])
    assert [code(results[0]), code(results[3])] == ["no_such_room", "archived"]


def test_what_was_imported_can_be_told_from_posts_and_is_told_once_with_its_reactions() -> None:
    state, told = ChatState(), list[Event]()
    state.listen(lambda index, events: told.extend(events))
    reacted = replace(message(1), reactions=(("+", ("ann", "bob")),))
    apply(state, [MADE, reacted])
    state.applied(4)
    (event,) = [event for event in told if isinstance(event, PostEvent)]
    post = json.loads(event.post)
    assert (post["Reactions"], list(post["Imported"])) == ({"+": ["ann", "bob"]}, ["At"])
    assert [located.log_index for located in state.located(3, 4, 9)] == [4]


def test_a_reaction_that_comes_later_is_told_beside_the_message() -> None:
    state = ChatState()
    react = React(Actor(NOBODY, "eve"), "general", 1, "+", on=True)
    apply(state, [MADE, replace(message(1), reactions=(("+", ("ann",)),)), react])
    assert [located.log_index for located in state.located(3, 5, 9)] == [4, 5]
    assert state.reactions("general", 1) == (("+", ("ann", "eve")),)


def test_an_imported_tombstone_is_deleted_and_stays_in_the_log() -> None:
    state = ChatState()
    gone = replace(message(1), post=ImportedPost("ann", "", "c", deleted=True))
    apply(state, [MADE, gone, message(2)])
    assert state.live().tolist() == [4, 5]
    refused = state.apply(entry(6, React(Actor(NOBODY, "eve"), "general", 1, "+", on=True)))
    assert code(refused) == "gone"


def test_a_pin_is_kept() -> None:
    state = ChatState()
    apply(state, [MADE, message(1), replace(message(2), pinned=True)])
    pinned = state.ask(lambda tables: pins(tables, Actor(), "general"))
    assert not isinstance(pinned, Refusal)
    assert [each.id for each in pinned] == [2]


def test_the_rooms_last_time_does_not_go_back() -> None:
    state = ChatState()
    apply(state, [MADE, posted(1), message(1)])
    (room,) = state.rooms(NamePageRequest(1)).rooms
    assert room.last_posted_at == START + 4 * 400_000


def test_retention_counts_an_imported_message_from_its_import() -> None:
    state = ChatState()
    bound = ChangeRoom(BY_OPERATOR, "general", max_age_seconds=60)
    apply(state, [MADE, bound, message(1), posted(1), Expire(START + 6 * 400_000, ("general",))])
    assert state.page("general", PageRequest()).positions == [5, 6]


def test_retention_by_number_keeps_the_last_ones_of_an_import_and_its_progress() -> None:
    state = ChatState()
    bound = ChangeRoom(BY_OPERATOR, "general", max_messages=2)
    apply(state, [MADE, bound, *map(message, range(1, 6))])
    assert state.page("general", PageRequest()).positions == [8, 9]
    assert progress(state).messages == 5


def test_each_import_of_a_room_has_its_own_numbers_until_there_are_too_many() -> None:
    state = ChatState()
    apply(state, [MADE, *(message(1, f"s{number}") for number in range(IMPORTS_MAX + 1))])
    assert [progress(state, f"s{number}").messages for number in (0, 1, IMPORTS_MAX)] == [0, 1, 1]


def test_the_places_of_the_newest_messages_are_known_however_many_others_come_between() -> None:
    found = ImportProgress()
    for number in range(1, RUNS_MAX + 2):
        found = found.with_next(2 * number)
    assert (len(found.runs), found.messages) == (RUNS_MAX, RUNS_MAX + 1)
    assert [found.id_of(number) for number in (1, 2, RUNS_MAX + 1)] == [0, 4, 2 * RUNS_MAX + 2]


def test_a_room_that_is_renamed_keeps_its_imports_and_one_that_is_made_anew_has_none() -> None:
    state = ChatState()
    apply(state, [MADE, message(1), ChangeRoom(BY_OPERATOR, "general", name="new")])
    assert progress(state, room="new").messages == 1
    apply(state, [DeleteRoom(BY_OPERATOR, "new"), CreateRoom(BY_OPERATOR, "new", "public", "")], 9)
    assert progress(state, room="new").messages == 0


def test_imports_are_in_a_snapshot() -> None:
    state, restored = ChatState(), ChatState()
    commands: list[Command] = [MADE, message(1), posted(1), message(2), message(1, "t"), posted(2), message(3)]
    apply(state, commands)
    restored.restore(9, state.document())
    assert restored.digest() == state.digest()
    assert progress(restored) == progress(state)
    assert isinstance(restored.apply(entry(10, message(4, reply_to=1))), Posted)
