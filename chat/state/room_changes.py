"""Carrying out what changes a room as a whole."""

from collections.abc import Callable

from chat.commands import DeleteRoom, SetRetention
from chat.commands.rooms import ChangeRoom
from chat.history import Room
from chat.state import access
from chat.state.details import RoomDetails
from chat.state.events import RoomDeleted, Tell
from chat.state.results import Refusal, Result, RoomChanged, RoomSummary
from chat.state.tables import Tables
from raft.messages import Entry

_FORBIDDEN = Refusal("forbidden", "RoomName: this room is for its owner and for admins to change")
_NOT_KNOWN = Refusal("unknown_command", "Type: only a room's retention can be changed")
_NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")


def delete(tables: Tables, command: DeleteRoom, entry: Entry, tell: Tell) -> RoomDeleted | Refusal:
    """A room goes with all its posts."""
    room = tables.rooms.existing(command.room)
    if room is None:
        return _NO_SUCH_ROOM
    deleted = RoomDeleted(entry.index, room.name, access.reach(room))
    tables.live_bytes -= room.record_bytes
    tables.readers.pop(room.name, None)
    tables.rooms.remove(room, entry.index)
    tell(deleted)
    return deleted


def retain(tables: Tables, command: SetRetention, entry: Entry, tell: Tell) -> RoomChanged | Refusal:
    """A room keeps so many posts from now on."""
    room = tables.rooms.existing(command.room)
    if room is None:
        return _NO_SUCH_ROOM
    before = room.record_bytes
    room.retain(command.max_messages or 0)
    tables.live_bytes += room.record_bytes - before
    return RoomChanged(entry.index, summary(room))


def change(tables: Tables, command: ChangeRoom, entry: Entry, tell: Tell) -> RoomChanged | Refusal:
    """A room keeps so many posts from now on, and for so long; those that are too old go by `expire`."""
    who = access.acting(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    room = access.visible_room(tables, who, command.room)
    if room is None:
        return _NO_SUCH_ROOM
    if not access.manages(tables, who, room):
        return _FORBIDDEN
    if command != ChangeRoom(
        command.actor, command.room, max_messages=command.max_messages, max_age_seconds=command.max_age_seconds
    ):
        return _NOT_KNOWN
    max_messages = room.max_messages if command.max_messages is None else max(command.max_messages, 0)
    details = room.details or RoomDetails()
    if command.max_age_seconds is not None:
        details = details._replace(max_age_s=max(command.max_age_seconds, 0))
    before = room.record_bytes
    room.details = details if details != RoomDetails() or not room.posts else None
    room.retain(max_messages)
    tables.live_bytes += room.record_bytes - before
    return RoomChanged(entry.index, summary(room))


def summary(room: Room) -> RoomSummary:
    """What the list of rooms tells of this one."""
    max_age_s = 0 if room.details is None else room.details.max_age_s
    return RoomSummary(room.name, room.posts, room.last_posted_at, room.max_messages or None, max_age_s or None)


APPLIERS: dict[type, Callable[..., Result]] = {DeleteRoom: delete, SetRetention: retain, ChangeRoom: change}
