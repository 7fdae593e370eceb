"""What holds for every log there can be."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Command, Post
from chat.state.machine import ChatState
from chat.state.results import Refusal, Result
from chat.state.room_details import DIRECT, RoomDetails
from chat.state.room_directory import is_private_name, is_public
from chat.state.tables import Tables
from tests.chat.random_accounts import ACCOUNT_LOGS, ROOM_LOGS
from tests.chat.random_log import answers, apply, split


def told(state: ChatState) -> list[bytes]:
    """The document without the header and the times of entries."""
    return [line for line in state.document() if not line.startswith((b'{"Chat"', b'{"LogTimes"'))]


@given(ACCOUNT_LOGS | ROOM_LOGS)
def test_a_refusal_changes_nothing(log: list[Command]) -> None:
    state = ChatState()
    before = told(state)
    for index, command in enumerate(log, 3):
        (result,) = apply(state, [command], index)
        after = told(state)
        assert after == before or not isinstance(result, Refusal)
        before = after


@given(ACCOUNT_LOGS | ROOM_LOGS)
def test_a_trial_changes_nothing_and_foresees_what_is_refused_or_changes_nothing(log: list[Command]) -> None:
    state = ChatState()
    before = told(state)
    for index, command in enumerate(log, 3):
        dry_run = state.dry_run(command, index - 1)
        assert dry_run is None or not isinstance(command, Post) or not state.takes(command)
        assert told(state) == before
        (result,) = apply(state, [command], index)
        after = told(state)
        if dry_run is not None:
            assert dry_run == placed_at(result, index - 1)
            assert after == before
        else:
            assert not isinstance(result, Refusal)
        before = after


def placed_at(result: Result, index: int) -> Result:
    return result if isinstance(result, Refusal) else replace(result, index=index)


@given(ACCOUNT_LOGS | ROOM_LOGS)
def test_what_is_derived_is_what_follows_from_the_rest(log: list[Command]) -> None:
    state = ChatState()
    apply(state, log)
    tables = state.ask(lambda tables: tables)
    kept = derived(tables)
    tables.derive()
    assert kept == derived(tables)


def derived(tables: Tables) -> list[object]:
    rooms = tables.rooms
    return [
        tables.skeletons, tables.numbers, tables.tokens_of, tables.tickets_of, tables.guarded,
        rooms.names, rooms.privates, rooms.directs, rooms.of_user, rooms.aliases, rooms.alike, rooms.looks, rooms.made,
        rooms.retired, rooms.retired_count,
    ]  # fmt: skip


@given(ACCOUNT_LOGS | ROOM_LOGS)
def test_no_two_public_rooms_were_given_names_that_look_alike(log: list[Command]) -> None:
    state = ChatState()
    apply(state, log)
    rooms = state.ask(lambda tables: tables.rooms)
    assert len({*rooms.looks.values()}) == len(rooms.looks)
    assert all(name in rooms.names for name in rooms.looks)


@given(ACCOUNT_LOGS | ROOM_LOGS)
def test_a_room_has_the_form_of_name_that_its_kind_has_and_an_owner_who_is_a_member(log: list[Command]) -> None:
    state = ChatState()
    apply(state, log)
    tables = state.ask(lambda tables: tables)
    for name, room in tables.rooms.by_name.items():
        details = room.details or RoomDetails()
        assert name == room.name not in tables.rooms.aliases
        assert is_public(room) or is_private_name(name)
        assert not details.owner or details.owner in details.members
        assert not room.exists or is_public(room) or all(is_private_name(alias) for alias in details.aliases)
        if details.visibility == DIRECT:
            assert len(details.members) > 1


@given(ACCOUNT_LOGS)
def test_a_credential_belongs_to_somebody_who_may_use_it(log: list[Command]) -> None:
    state = ChatState()
    apply(state, log)
    tables = state.ask(lambda tables: tables)
    assert all(tables.users[token.user].active for token in tables.tokens.values())
    assert all(ticket.number in tables.tokens for ticket in tables.tickets.values())
    assert all(invite.uses_left > 0 for invite in tables.invites.values())
    assert all(number < tables.next_token for number in tables.tokens)


@given(ACCOUNT_LOGS | ROOM_LOGS, st.integers(0, 60))
def test_a_restored_state_gives_the_same_answers_and_goes_on_the_same(log: list[Command], at: int) -> None:
    before, after = split(log, at)
    index = 2 + len(before)
    first, second = ChatState(), ChatState()
    apply(first, before)
    second.restore(index, first.document())
    assert apply(first, after, index + 1) == apply(second, after, index + 1)
    if log:
        assert answers(first, index + len(after)) == answers(second, index + len(after))
