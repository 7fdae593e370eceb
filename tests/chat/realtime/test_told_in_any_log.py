"""Whom the events of any log concern, against what each one sees when they come."""

from dataclasses import replace
from itertools import count
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from chat.commands import OPERATOR, Actor, Command, Post
from chat.commands.accounts import ChangeUser
from chat.commands.cluster import Expire, SetAuth, SetSettings
from chat.commands.posts import DeletePost, React, Tombstone
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom
from chat.state import permissions
from chat.state.accounts import MEMBER, ROLES, Acting
from chat.state.apply.posts import FoundPost, find
from chat.state.events import Event
from chat.state.events import is_told as reaches
from chat.state.machine import ChatState
from chat.state.room import Room
from chat.state.settings import LOGIN, OPEN
from chat.state.tables import Tables
from tests.chat.people import People

ANYONE = Acting("", MEMBER)  # where nobody logs in
NAMES = ("ann", "bob", "eve", "gus")  # by the tokens 1 to 4
PRIVATE, OTHER, DIRECT = "club~aaaaaaaaaa", "club~bbbbbbbbbb", "direct~aaaaaaaaaa"

_actors = st.sampled_from([Actor(number, name) for number, name in enumerate(NAMES, 1)])
_rooms = st.sampled_from(["general", "club", PRIVATE, PRIVATE, OTHER, DIRECT])
_users = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(tuple)
_ids = st.integers(1, 3)
_visibilities = st.sampled_from(["public", "private"])
_client_ids = count(1)
_posts = st.builds(
    lambda actor, room: Post(room, actor.user, "hi", f"c-{next(_client_ids)}", by=actor.by), _actors, _rooms
)
_deletions = st.builds(
    lambda actor, room, id: DeletePost(actor, room, id, 0, 0, Tombstone(actor.user, "c")), _actors, _rooms, _ids
)
_drawn: st.SearchStrategy[Command] = st.one_of(
    _posts,
    _posts,
    _deletions,
    st.builds(React, _actors, _rooms, _ids, st.just("+"), st.booleans()),
    st.builds(ChangeMembers, _actors, _rooms, _users, st.booleans()),
    st.builds(
        lambda actor, room, visibility, letters: ChangeRoom(actor, room, visibility=visibility, drawn=letters * 10),
        _actors, _rooms, _visibilities, st.sampled_from("ab"),
    ),
    st.builds(lambda actor, room, users: ChangeRoom(actor, room, members=users), _actors, _rooms, _users),
    st.builds(DeleteRoom, _actors, _rooms),
    st.builds(CreateRoom, _actors, st.just(PRIVATE), st.just("private"), st.just(""), _users),
    st.builds(
        lambda name, role: ChangeUser(Actor(OPERATOR), name, role=role),
        st.sampled_from(NAMES[1:]), st.sampled_from(ROLES),
    ),
    st.builds(lambda mode: SetAuth(Actor(OPERATOR), mode, "invite"), st.sampled_from([LOGIN, LOGIN, OPEN])),
    st.builds(lambda room: Expire(1 << 52, (), room), _rooms),
)  # fmt: skip
OPENING: list[Command] = [
    CreateRoom(Actor(2, "bob"), PRIVATE, "private", "", ("gus",)),
    CreateRoom(Actor(2, "bob"), DIRECT, "direct", "", ("eve",)),
    SetSettings(Actor(1, "ann"), unused_room_seconds=1),
    *(Post(room, "bob", "hi", room, by=2) for room in (PRIVATE, DIRECT, "general")),
]


def who_is_there(tables: Tables) -> list[Acting]:
    """Everybody who could have a websocket."""
    if tables.settings.auth == OPEN:
        return [ANYONE]
    found = [permissions.acting(tables, Actor(number)) for number in tables.tokens]
    return [who for who in found if isinstance(who, Acting)]


class Seen(NamedTuple):
    """Who sees which room that exists; rooms by their objects, for their names change."""

    rooms: dict[str, Room]
    places: set[tuple[str, int]]

    @staticmethod
    def of(state: ChatState) -> "Seen":
        def look(tables: Tables) -> Seen:
            rooms = {name: room for name, room in tables.rooms.by_name.items() if room.exists}
            people = who_is_there(tables)
            places = {
                (who.name, id(room)) for who in people for room in rooms.values() if permissions.sees(tables, who, room)
            }
            return Seen(rooms, places)

        return state.ask(look)


def placed(state: ChatState, command: Command) -> Command:
    """A deletion that tells where the post lies, if there is one."""
    if not isinstance(command, DeletePost):
        return command
    found = state.ask(lambda tables: find(tables, command.actor, command.room, command.id))
    return replace(command, at=found.at) if isinstance(found, FoundPost) else command


@given(st.lists(_drawn, max_size=25))
def test_an_event_is_told_to_who_sees_its_room_and_to_nobody_who_neither_did_nor_does(log: list[Command]) -> None:
    people, told = People(), list[Event]()
    state = people.state
    state.listen(lambda index, events: told.extend(events))
    for command in (*OPENING, *log):
        before = Seen.of(state)
        people.do(placed(state, command))
        after = Seen.of(state)
        assert len(told) <= 1, "two frames with one Cursor"
        for event in told:
            check(state, event, before, after)
        told.clear()


def check(state: ChatState, event: Event, before: Seen, after: Seen) -> None:
    """Whether it is told to whom it is to be."""
    room = id(after.rooms.get(event.room) or before.rooms[event.room])
    is_left = event.room in after.rooms

    def look(tables: Tables) -> None:
        for who in who_is_there(tables):
            is_open = tables.settings.auth == OPEN
            is_told = event.reach.public if is_open else reaches(who, event.reach)
            did, does = (who.name, room) in before.places, (who.name, room) in after.places
            assert not is_told or did or does, (who, event)
            assert is_told or not did or (is_left and not does), (who, event)

    state.ask(look)
