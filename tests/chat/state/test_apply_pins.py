"""Posts that are pinned in their rooms: what the state makes of it."""

import json
from typing import Any

import pytest

from chat.commands import NOBODY, Actor, Command, Post
from chat.commands.posts import DeletePost, Pin, Tombstone
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom
from chat.state.apply.posts import pins
from chat.state.events import Event, RoomEvent
from chat.state.machine import ChatState
from chat.state.results import Done, Refusal, Result, RoomMade
from chat.state.room_details import PINS_MAX, PRIVATE, PUBLIC
from tests.chat.people import People
from tests.chat.random_log import START, STEP, apply

NOW = Actor(NOBODY)


def pin(id: int = 1, *, on: bool = True, actor: Actor = NOW, room: str = "general") -> Pin:
    return Pin(actor, room, id, on)


def posts(count: int) -> list[Command]:
    return [Post("general", "ann", f"m{number}", f"c{number}") for number in range(count)]


def pinned(state: ChatState, actor: Actor = NOW) -> list[int]:
    found = state.ask(lambda tables: pins(tables, actor, "general"))
    assert not isinstance(found, Refusal), found
    return [each.id for each in found]


def code(result: Result) -> str:
    assert isinstance(result, Refusal)
    return result.code


def test_pins_stand_in_the_order_they_came() -> None:
    state = ChatState()
    apply(state, [*posts(3), pin(2), pin(1), pin(3), pin(1, on=False), pin(1)])
    assert pinned(state) == [2, 3, 1]


def test_who_follows_the_room_is_told_and_not_of_what_is_so_already() -> None:
    state, told = ChatState(), list[Event]()
    state.listen(lambda index, events: told.extend(events))
    results = apply(state, [*posts(1), pin(), pin(), pin(on=False), pin(on=False)])[1:]
    state.applied(7)
    assert results == [Done(index) for index in range(4, 8)]
    events = [event for event in told if isinstance(event, RoomEvent)]
    assert [(event.index, event.room) for event in events] == [(4, "general"), (6, "general")]
    rooms: list[Any] = [json.loads(event.details) for event in events]
    assert [room.get("Pins") for room in rooms] == [[1], None]


def test_who_was_away_is_told_of_the_room_as_it_is() -> None:
    state = ChatState()
    apply(state, [*posts(2), pin(1), pin(2)])
    located = state.located(4, 9, 9)
    assert [(each.log_index, each.room) for each in located] == [(6, "general")]


def test_what_is_gone_or_taken_back_is_not_pinned() -> None:
    state = ChatState()
    tombstone = DeletePost(Actor(NOBODY, "ann"), "general", 3, 5, START + 5 * STEP, Tombstone("ann", "c2"))
    *_, refused = apply(
        state, [*posts(4), pin(1), pin(3), pin(4), tombstone, ChangeRoom(Actor(), "general", max_messages=3), pin(3)]
    )
    assert code(refused) == "gone"
    assert pinned(state) == [4]
    details = state.ask(lambda tables: tables.rooms.by_name["general"].details)
    assert details is not None
    assert details.pins == (1, 3, 4)
    apply(state, [pin(2)], 20)
    details = state.ask(lambda tables: tables.rooms.by_name["general"].details)
    assert details is not None
    assert details.pins == (4, 2), "the others went with the next change"


def test_what_is_not_there_is_not_pinned() -> None:
    state = ChatState()
    assert [code(result) for result in apply(state, [pin()])] == ["no_such_room"]
    *_, other, gone = apply(state, [*posts(2), ChangeRoom(Actor(), "general", max_messages=1), pin(3), pin(1)], 4)
    assert (code(other), code(gone)) == ("not_found", "gone")


def test_a_room_has_so_many_pins_and_no_more() -> None:
    state = ChatState()
    apply(state, posts(PINS_MAX + 1))
    *_, last, refused = apply(state, [pin(id) for id in range(1, PINS_MAX + 2)], 300)
    assert isinstance(last, Done)
    assert code(refused) == "too_many_pins"
    unpinned, again = apply(state, [pin(5, on=False), pin(PINS_MAX + 1)], 500)
    assert isinstance(unpinned, Done)
    assert isinstance(again, Done)


def test_an_archived_room_keeps_its_pins() -> None:
    state = ChatState()
    archive = ChangeRoom(NOW, "general", archived=True)
    *_, refused, taken = apply(state, [*posts(2), pin(), archive, pin(2), pin(on=False)])
    assert (code(refused), code(taken)) == ("archived", "archived")
    assert pinned(state) == [1]


@pytest.mark.parametrize("visibility", [PUBLIC, PRIVATE])
def test_whoever_posts_there_pins_there_but_for_guests(visibility: str) -> None:
    people = People()
    name = "general" if visibility == PUBLIC else "general~aaaaaaaaaa"
    people.made(CreateRoom(people.by["bob"], name, visibility), RoomMade)
    people.do(ChangeMembers(people.by["bob"], name, ("gus",), True))
    people.do(Post(name, "bob", "hi", "c", 0, people.by["bob"].by))
    assert people.refusal(pin(room=name, actor=people.by["gus"])) == "forbidden"
    assert people.refusal(pin(room=name)) == "login_needed"
    if visibility == PRIVATE:
        assert people.refusal(pin(room=name, actor=people.by["eve"])) == "no_such_room"
        assert people.refusal(pin(room=name, actor=people.by["ann"])) == "forbidden", "an admin who is no member"
    else:
        people.made(pin(room=name, actor=people.by["eve"]), Done)
    people.made(pin(room=name, actor=people.by["bob"]), Done)
