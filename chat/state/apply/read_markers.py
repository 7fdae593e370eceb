"""Apply the commands on read markers.

Only users have them, so they need sign-in.  A user becomes a reader of a room by the first marker, the first mention or
by joining it (`Tables.put_reader`).  Nothing is counted for a user who is no reader.
"""

from collections.abc import Callable

from chat.commands import Actor
from chat.commands.posts import MarkRead
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


def is_news(tables: Tables, by: int, name: str, id: int) -> bool:
    """Return whether this marker would change anything; others are not proposed."""
    return _marked(tables, by, name, id) is not None


def _marked(tables: Tables, by: int, name: str, id: int) -> tuple[str, Room] | None:
    """The user and the room of a new marker; None if it cannot be, or changes nothing."""
    who = permissions.acting(tables, Actor(by))
    if isinstance(who, Refusal) or not who.name:
        return None
    room = permissions.visible_room(tables, who, name)
    if room is None or not 0 < id <= room.newest_id:
        return None
    reader = tables.readers_of(room).get(who.name)
    changes = tables.has_place_for(room, who.name) if reader is None else id > reader.read_id
    return (who.name, room) if changes else None


APPLIERS: dict[type, Callable[..., Result]] = {MarkRead: mark}
