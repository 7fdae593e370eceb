"""Carrying out what changes a room as a whole."""

from collections.abc import Callable

from chat.commands import DeleteRoom, SetRetention
from chat.history import Room
from chat.state.events import RoomDeleted, Tell
from chat.state.results import Refusal, Result, RoomChanged, RoomSummary
from chat.state.tables import Tables
from raft.messages import Entry

_NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")


def delete(tables: Tables, command: DeleteRoom, entry: Entry, tell: Tell) -> RoomDeleted | Refusal:
    """A room goes with all its posts."""
    room = tables.rooms.existing(command.room)
    if room is None:
        return _NO_SUCH_ROOM
    tables.live_bytes -= room.record_bytes
    tables.rooms.remove(room, entry.index)
    deleted = RoomDeleted(entry.index, room.name)
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


def summary(room: Room) -> RoomSummary:
    """What the list of rooms tells of this one."""
    return RoomSummary(room.name, room.posts, room.last_posted_at, room.max_messages or None)


APPLIERS: dict[type, Callable[..., Result]] = {DeleteRoom: delete, SetRetention: retain}
