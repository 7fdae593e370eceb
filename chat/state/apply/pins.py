"""Pinning posts in their rooms: carrying it out, and telling which are pinned.

Pins are a part of a room's details, so who follows the room is told of them as of any other change of it.  Those of
posts that are gone or were taken back are not shown, and are let go of with the next change.
"""

from collections.abc import Callable
from typing import NamedTuple

from chat.commands import Actor
from chat.commands.posts import Pin
from chat.state import permissions
from chat.state.accounts import GUEST
from chat.state.apply.posts import TAKEN_BACK, look_up
from chat.state.events import Emit
from chat.state.post_revisions import Reactions
from chat.state.results import Done, Refusal, Result
from chat.state.room_details import PINS_MAX, RoomDetails
from chat.state.room_views import pinned, room_event
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

_NOT_FOR_GUESTS = Refusal("forbidden", "Authorization: guests do not pin posts")
_TOO_MANY_PINS = Refusal("too_many_pins", f"Id: this room has {PINS_MAX} pinned posts")


class Pinned(NamedTuple):
    """A pinned post: what shows it now, and what that does not say."""

    id: int
    version_index: int
    reactions: Reactions


def pin(tables: Tables, command: Pin, entry: Entry, emit: Emit) -> Done | Refusal:
    """A post is pinned, or not any more; where that is so already, it is as good.

    Whoever posts there pins there, but for guests.
    """
    place = look_up(tables, command.actor, command.room, command.id)
    if isinstance(place, Refusal):
        return place
    who, room, _, revision = place
    refused = _NOT_FOR_GUESTS if who.role == GUEST else permissions.refused_part(tables, who, room)
    if refused is not None:
        return refused
    if revision.deleted:
        return TAKEN_BACK
    details = room.details or RoomDetails()
    pins = pinned(room)
    if (command.id in pins) is command.on:
        return Done(entry.index)
    if command.on and len(pins) >= PINS_MAX:
        return _TOO_MANY_PINS
    tables.change()
    pins = (*pins, command.id) if command.on else tuple(id for id in pins if id != command.id)
    touched_at = max(details.touched_at, entry.time)
    tables.rooms.describe(room, details._replace(pins=pins, touched_at=touched_at, changed_index=entry.index))
    room.last_index = entry.index
    emit(room_event(room, entry.index))
    return Done(entry.index)


def pins(tables: Tables, actor: Actor, room_name: str) -> list[Pinned] | Refusal:
    """The pinned posts of the room that has or had this name, for who sees that; in the order of pinning."""
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    room = permissions.visible_room(tables, who, room_name)
    if room is None:
        return permissions.unseen(tables, who, room_name)
    return [Pinned(id, room.version_index(id), room.revision_of(id).reactions) for id in pinned(room)]


APPLIERS: dict[type, Callable[..., Result]] = {Pin: pin}
