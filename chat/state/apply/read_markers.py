"""Apply the commands on read markers.

Only users have them, so they need sign-in.  A user becomes a reader of a room by the first marker, the first mention or
by joining it (`Tables.put_reader`).  Nothing is counted for a user who is no reader.
"""

from collections.abc import Callable

from chat.commands import Actor
from chat.commands.posts import MarkRead, MarkUnread
from chat.state import permissions
from chat.state.events import Emit, ReadMarkerMoved
from chat.state.results import Done, Refusal, Result
from chat.state.room import Room
from chat.state.room_details import Reader
from chat.state.tables import Tables
from raft.core.raft_messages import Entry


def mark(tables: Tables, command: MarkRead, entry: Entry, emit: Emit) -> Done:
    """Move read markers: (token, room, Id).  Markers that cannot be are ignored."""
    for by, name, id in command.marks:
        marked = _marked(tables, by, name, id)
        if marked is None:
            continue
        user, room = marked
        reader = tables.readers_of(room).get(user)
        left = () if reader is None else tuple(mention for mention in reader.mentions if mention > id)
        if tables.put_reader(room, user, Reader(id, left)):
            emit(ReadMarkerMoved(entry.index, user, room.name, id))
    return Done(entry.index)


def mark_unread(tables: Tables, command: MarkUnread, entry: Entry, emit: Emit) -> Done:
    """Move read markers back to before this Id: (token, room, Id).  Markers that are not after it are ignored.

    Mentions that were read before are not unread again: the state has dropped them.
    """
    for by, name, id in command.marks:
        if (found := _going_back(tables, by, name, id)) is None:
            continue
        user, room, reader = found
        if tables.put_reader(room, user, Reader(id - 1, reader.mentions)):
            emit(ReadMarkerMoved(entry.index, user, room.name, id - 1))
    return Done(entry.index)


def is_news(tables: Tables, by: int, name: str, id: int) -> bool:
    """Return whether this marker would change anything; others are not proposed."""
    return _marked(tables, by, name, id) is not None


def goes_back(tables: Tables, by: int, name: str, id: int) -> bool:
    """Return whether marking as unread from here on would change anything."""
    return _going_back(tables, by, name, id) is not None


def _going_back(tables: Tables, by: int, name: str, id: int) -> tuple[str, Room, Reader] | None:
    """The user, the room and the present marker of a marker that goes back; None if it does not."""
    found = _found(tables, by, name, id)
    if found is None:
        return None
    user, room, reader = found
    return (user, room, reader) if reader is not None and id <= reader.read_id else None


def _marked(tables: Tables, by: int, name: str, id: int) -> tuple[str, Room] | None:
    """The user and the room of a new marker; None if it cannot be, or changes nothing."""
    found = _found(tables, by, name, id)
    if found is None:
        return None
    user, room, reader = found
    changes = tables.has_place_for(room, user) if reader is None else id > reader.read_id
    return (user, room) if changes else None


def _found(tables: Tables, by: int, name: str, id: int) -> tuple[str, Room, Reader | None] | None:
    """The user of this token, a room that they see and that has had this Id, and them as its reader; None if not so."""
    who = permissions.acting(tables, Actor(by))
    if isinstance(who, Refusal) or not who.name:
        return None
    room = permissions.visible_room(tables, who, name)
    if room is None or not 0 < id <= room.newest_id:
        return None
    return who.name, room, tables.readers_of(room).get(who.name)


APPLIERS: dict[type, Callable[..., Result]] = {MarkRead: mark, MarkUnread: mark_unread}
