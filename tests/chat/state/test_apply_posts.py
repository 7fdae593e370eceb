"""Posts that are edited, deleted and reacted to: what the state makes of it, and what it keeps."""

import json
from dataclasses import replace
from typing import Any

import pytest

from chat.commands import NOBODY, Actor, Command, Post
from chat.commands.posts import DeletePost, EditedPost, EditPost, React, Tombstone
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.realtime.channels import event_payload
from chat.services.validation import MESSAGE_POINTS_MAX
from chat.state.apply.posts import EDITS_MAX, EMOJI_MAX, REACTIONS_MAX
from chat.state.events import Event, PostChanged, PostEvent, Reacted
from chat.state.machine import ChatState
from chat.state.post_json import with_reactions
from chat.state.post_revisions import Revision, Revisions
from chat.state.results import Done, Refusal, Repeated, Result
from chat.state.room import PageRequest
from tests.chat.random_log import START, STEP, apply, entry

POSTED_AT = START + 3 * STEP


def post(number: int = 1) -> Post:
    return Post("general", "ann", f"m{number}", f"c{number}")


def edit(message: str = "new", user: str = "ann", id: int = 1, at: int = 3) -> EditPost:
    said = EditedPost("ann", message, f"c{id}")
    return EditPost(Actor(NOBODY, user), "general", id, at, START + at * STEP, said)


def delete(user: str = "ann", id: int = 1, at: int = 3) -> DeletePost:
    return DeletePost(Actor(NOBODY, user), "general", id, at, START + at * STEP, Tombstone("ann", f"c{id}"))


def react(emoji: str = "+", user: str = "ann", *, on: bool = True, id: int = 1) -> React:
    return React(Actor(NOBODY, user), "general", id, emoji, on)


def code(result: Result) -> str:
    assert isinstance(result, Refusal)
    return result.code


def shown(changed: Result) -> Any:
    assert isinstance(changed, PostChanged)
    return json.loads(changed.post)


def test_an_edit_is_shown_and_what_was_said_before_stays_live() -> None:
    state = ChatState()
    _, first, second = apply(state, [post(), edit("one"), edit("two")])
    assert shown(first)["Message"] == "one"
    assert shown(second) == {
        "Id": 1, "User": "ann", "Message": "two", "PostedAt": "2026-11-23T10:00:01.200000Z", "ClientId": "c1",
        "EditedAt": "2026-11-23T10:00:02.000000Z",
    }  # fmt: skip
    assert state.page("general", PageRequest()).positions == [5]
    assert state.live().tolist() == [3, 4, 5]
    assert state.erased_index == 0


def test_a_deletion_leaves_a_tombstone_and_nothing_else_live() -> None:
    state = ChatState()
    *_, deleted, again = apply(state, [post(), post(2), edit("one"), react(), delete(), delete()])
    assert shown(deleted)["Deleted"] is True
    assert shown(deleted)["Message"] == ""
    assert "Reactions" not in shown(deleted)
    assert again == Done(8)
    assert state.live().tolist() == [4, 7]
    assert state.erased_index == 7
    page = state.page("general", PageRequest())
    assert (page.positions, page.extras) == ([7, 4], {})
    assert apply(state, [post()], 9) == [Repeated(1, 3, 0)]


def test_the_live_bytes_follow_what_is_live() -> None:
    state = ChatState()
    apply(state, [post(1), post(2)])
    two = state.live_bytes
    apply(state, [edit("x" * 1000)], 5)
    assert state.live_bytes == two + len(entry(5, edit("x" * 1000)).record)
    apply(state, [delete()], 6)
    assert 0 < state.live_bytes < two + 1000
    apply(state, [DeleteRoom(Actor(), "general")], 7)
    assert state.live_bytes == 0


def test_the_live_bytes_are_those_of_what_is_live_however_many_were_deleted() -> None:
    state = ChatState()
    posts: list[Command] = [Post("general", "ann", "x" * 500, f"c{k:03}") for k in range(100)]
    apply(state, posts, 100)
    deletions = [delete(id=id, at=id + 99) for id in range(1, 101)]
    tombstones = [len(entry(index, deletion).record) for index, deletion in enumerate(deletions, 200)]
    apply(state, deletions[:50], 200)
    assert state.live_bytes == sum(tombstones[:50]) + sum(len(entry(150, post).record) for post in posts[50:])
    apply(state, [ChangeRoom(Actor(), "general", max_messages=75)], 250)
    assert state.live_bytes == sum(tombstones[25:50]) + sum(len(entry(150, post).record) for post in posts[50:])
    apply(state, deletions[50:], 250)
    apply(state, [ChangeRoom(Actor(), "general", max_messages=10)], 400)
    assert state.live_bytes == sum(tombstones[90:])


@pytest.mark.parametrize("change", [edit(), delete(), react()])
def test_what_is_not_there_is_not_changed(change: Command) -> None:
    assert [code(result) for result in apply(ChatState(), [change])] == ["no_such_room"]
    state = ChatState()
    apply(state, [Post("general", "bob", "other", "c")], 2)
    *_, gone, made = apply(
        state, [post(2), ChangeRoom(Actor(), "general", max_messages=1), change, DeleteRoom(Actor(), "general")]
    )
    assert code(gone) == "gone"
    assert code(apply(state, [change], 7)[0]) == "gone"
    assert not isinstance(made, Refusal)


def test_an_id_that_was_not_given_yet_names_no_post() -> None:
    state = ChatState()
    results = apply(state, [post(), edit(id=2, at=4), delete(id=2, at=4), react(id=2), edit(at=4), delete(at=2)])[1:]
    assert [code(result) for result in results] == ["not_found"] * 5


@pytest.mark.parametrize("posted_at", [-(1 << 63), -1, 253_402_300_800_000_000, (1 << 63) - 1])
def test_a_change_that_tells_of_no_time_there_is_changes_nothing(posted_at: int) -> None:
    state = ChatState()
    changes: list[Command] = [replace(edit(), posted_at=posted_at), replace(delete(), posted_at=posted_at)]
    assert [code(result) for result in apply(state, [post(), *changes])[1:]] == ["not_found"] * 2
    assert state.live().tolist() == [3]
    assert state.erased_index == 0


def test_only_the_author_edits_and_deletes_and_everybody_reacts() -> None:
    state = ChatState()
    results = apply(state, [post(), edit(user="bob"), delete(user="bob"), react(user="bob")])
    assert [code(result) for result in results[1:3]] == ["not_the_author"] * 2
    assert isinstance(results[3], Reacted)


def test_what_was_deleted_is_neither_edited_nor_reacted_to() -> None:
    results = apply(ChatState(), [post(), delete(), edit(), react(), react(on=False)])
    assert [code(result) for result in results[2:]] == ["gone"] * 3


def test_reactions_stand_in_the_order_they_came() -> None:
    state = ChatState()
    reactions = [
        react("+", "bob"), react("-"), react("+"), react("+"), react("+", "bob", on=False), react("+", on=False),
        react("+", on=False),
    ]  # fmt: skip
    apply(state, [post()])
    shown = []
    for index, reaction in enumerate(reactions, 4):
        apply(state, [reaction], index)
        shown.append({emoji: [*users] for emoji, users in state.reactions("general", 1)})
    assert shown == [
        {"+": ["bob"]}, {"+": ["bob"], "-": ["ann"]}, {"+": ["bob", "ann"], "-": ["ann"]},
        {"+": ["bob", "ann"], "-": ["ann"]}, {"+": ["ann"], "-": ["ann"]}, {"-": ["ann"]}, {"-": ["ann"]},
    ]  # fmt: skip
    assert state.page("general", PageRequest()).extras == {3: (("-", ("ann",)),)}
    assert state.live().tolist() == [3]


def test_an_edit_keeps_the_reactions() -> None:
    *_, edited = apply(ChatState(), [post(), react(), edit()])
    assert shown(edited)["Reactions"] == {"+": ["ann"]}


def test_a_post_has_so_many_edits_emoji_and_reactions_and_no_more() -> None:
    state = ChatState()
    edited = apply(state, [post(), *[edit(f"{k}") for k in range(EDITS_MAX + 1)]])
    assert isinstance(edited[-2], PostChanged)
    assert code(edited[-1]) == "too_many_edits"
    emoji = apply(state, [react(f"{k}") for k in range(EMOJI_MAX + 1)], 200)
    assert isinstance(emoji[-2], Reacted)
    assert code(emoji[-1]) == "too_many_reactions"
    users = apply(state, [react("0", f"u{k}") for k in range(REACTIONS_MAX + 1 - EMOJI_MAX)], 300)
    assert isinstance(users[-2], Reacted)
    assert code(users[-1]) == "too_many_reactions"


def test_what_changes_is_told_and_what_does_not_is_not() -> None:
    state = ChatState()
    told: list[Event] = []
    state.listen(lambda index, events: told.extend(events))
    log: list[Command] = [
        post(),
        react(),
        react(),
        edit(user="bob"),
        edit(),
        react(on=False),
        react(on=False),
        delete(),
        delete(),
    ]
    apply(state, log)
    state.applied(11)
    assert [(type(event), event.index) for event in told] == [
        (PostEvent, 3), (Reacted, 4), (PostChanged, 7), (Reacted, 8), (PostChanged, 10),
    ]  # fmt: skip


def test_a_change_goes_with_its_post() -> None:
    state = ChatState()
    apply(state, [post(1), post(2), edit(), react(id=2), ChangeRoom(Actor(), "general", max_messages=1)])
    assert state.live().tolist() == [4]
    assert len(state.page("general", PageRequest()).extras or {}) == 1
    apply(state, [post(3)], 8)
    assert state.page("general", PageRequest()).extras is None


def test_who_missed_changes_finds_the_last_of_each_post() -> None:
    state = ChatState()
    apply(state, [post(1), post(2), edit(), edit("two"), react(id=2), delete(id=2, at=4)])
    assert [(each.log_index, each.id, each.source) for each in state.located(4, 99, 99)] == [(6, 1, 6), (8, 2, 8)]
    (missed,) = state.missed(4, 99)
    assert (missed.posts, missed.changes, missed.newest_id) == (0, 2, 2)
    assert state.missed(8, 99) == []


def test_who_missed_an_edit_is_told_of_it_though_somebody_has_reacted_since() -> None:
    state = ChatState()
    apply(state, [post(), edit(), react(), react("-")])
    assert [each.log_index for each in state.located(3, 4, 99)] == [4]
    assert [missed.changes for missed in state.missed(3, 4)] == [1]
    assert state.missed(4, 5) == [], "the last reaction is another one"
    assert [missed.changes for missed in state.missed(3, 99)] == [2]


def test_quiet_is_where_nothing_came_since() -> None:
    state = ChatState()
    apply(state, [post(1), post(2), edit(), edit("two"), react(id=2), delete(id=2, at=4)])
    assert not state.is_quiet(7, ["general"])
    assert state.is_quiet(8, ["general"])


def test_a_reaction_tells_of_itself_however_many_there_are() -> None:
    state = ChatState()
    users = ["u" * 60 + f"{k}" for k in range(50)]
    *_, taken = apply(state, [post(), *[react("+", user) for user in users], react("+", users[7], on=False)])
    assert isinstance(taken, Reacted)
    assert (taken.emoji, taken.user, taken.on, taken.count) == ("+", users[7], False, 49)
    assert len(event_payload(b"c-1", taken)) < 250


def test_a_post_with_the_longest_names_is_no_longer_than_the_longest_text() -> None:
    state = ChatState()
    apply(state, [post(), *[react("+", chr(0x1F600 + k) * 64) for k in range(REACTIONS_MAX)]])
    (reactions,) = (state.page("general", PageRequest()).extras or {}).values()
    assert len(with_reactions(b"{}", reactions)) <= 4 * MESSAGE_POINTS_MAX


def test_who_was_away_is_told_of_the_first_changes_and_no_more_than_asked_for() -> None:
    state = ChatState()
    apply(state, [post(k) for k in range(100)], 1)
    apply(state, [react(id=id) for id in range(1, 101)], 101)
    apply(state, [edit(id=id, at=id) for id in range(1, 51)], 201)
    assert [each.log_index for each in state.located(120, 999, 5)] == [121, 122, 123, 124, 125]
    assert [each.log_index for each in state.located(198, 999, 5)] == [199, 200, 201, 202, 203]
    apply(state, [react(id=40, on=False)], 300)
    assert [each.log_index for each in state.located(138, 999, 3)] == [139, 141, 142]
    assert [missed.changes for missed in state.missed(100, 999)] == [150]


def test_what_many_reactions_to_one_post_leave_behind_is_bounded() -> None:
    changes = Revisions()
    for index in range(1, 10_001):
        changes.put(1, Revision(reacted_index=index, reactions=(("+", ("ann",)),)))
    assert len(changes._indexes) < 100
    assert [(index, id) for index, id, _ in changes.between(0, 99_999)] == [(10_000, 1)]


def test_a_retry_is_answered_with_the_reactions_there_are() -> None:
    state = ChatState()
    *_, repeated = apply(state, [post(), react(), post()])
    assert repeated == Repeated(1, 3, 3, (("+", ("ann",)),))
