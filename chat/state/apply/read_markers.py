"""Read markers and mentions of users in rooms: apply the changes, and count what is unread.

Only users have them, so they need a login.  A user becomes a reader of a room by the first marker, the first mention or
by joining it.  Nothing is counted for a user who is no reader.
"""

from collections.abc import Callable, Iterable, Iterator

from chat.commands import Actor, Post
from chat.commands.posts import WHOLE_ROOM, MarkRead
from chat.state import permissions
from chat.state.accounts import Acting
from chat.state.events import Emit, ReadMarkerMoved
from chat.state.results import Done, Refusal, Result
from chat.state.room import Room
from chat.state.room_details import MENTIONS_MAX, READERS_MAX, Counts, Reader
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

WHOLE_ROOM_MAX = 500  # members whom anybody may mention at once; in a larger room its owner and admins alone may


def counts(tables: Tables, user: str, room: Room) -> Counts | None:
    """The unread messages and mentions of this user in the room; None if they are no reader of it."""
    reader = tables.readers.get(room.name, _NO_READERS).get(user)
    if reader is None:
        return None
    oldest = room.oldest_id
    mentions = sum(id >= oldest and not room.revision_of(id).deleted for id in reader.mentions)
    return Counts(reader.read_id, room.newest_id - max(reader.read_id, oldest - 1), mentions)


def mark(tables: Tables, command: MarkRead, entry: Entry, emit: Emit) -> Done:
    """Move read markers: (token, room, Id).  Markers that cannot be are ignored."""
    for by, name, id in command.marks:
        marked = _marked(tables, by, name, id)
        if marked is None:
            continue
        user, room = marked
        reader = _readers(tables, room).get(user)
        left = () if reader is None else tuple(mention for mention in reader.mentions if mention > id)
        if _put(tables, room, user, Reader(id, left)):
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
    reader = _readers(tables, room).get(who.name)
    if reader is None:
        return (who.name, room) if len(_readers(tables, room)) < READERS_MAX else None
    return (who.name, room) if id > reader.read_id else None


def mention(tables: Tables, room: Room, id: int, post: Post) -> None:
    """Note the mentions of a room's newest post, for the users who see the room."""
    for name in dict.fromkeys(_named(tables, room, post)):
        user = tables.users.get(name)
        if user is None or name == post.user or not permissions.sees(tables, Acting(name, user.role), room):
            continue
        reader = _readers(tables, room).get(name) or Reader(id - 1)
        _put(tables, room, name, reader._replace(mentions=(*reader.mentions, id)[-MENTIONS_MAX:]))


def _named(tables: Tables, room: Room, post: Post) -> Iterator[str]:
    for name in post.mentions:
        if name != WHOLE_ROOM:
            yield name
        elif room.details is not None and _may_name_all(tables, room, post, len(room.details.members)):
            yield from sorted(room.details.members)


def _may_name_all(tables: Tables, room: Room, post: Post, members: int) -> bool:
    author = tables.users.get(post.user)
    if members <= WHOLE_ROOM_MAX or author is None:
        return members <= WHOLE_ROOM_MAX
    return permissions.manages(tables, Acting(post.user, author.role), room)


def add_readers(tables: Tables, room: Room, users: Iterable[str]) -> None:
    """Make these new members readers of the room; earlier posts are not unread for them."""
    for name in users:
        if name not in _readers(tables, room):
            _put(tables, room, name, Reader(room.newest_id))


_NO_READERS: dict[str, Reader] = {}


def _readers(tables: Tables, room: Room) -> dict[str, Reader]:
    return tables.readers.get(room.name, _NO_READERS)


def _put(tables: Tables, room: Room, name: str, reader: Reader) -> bool:
    """Store the reader.  Return False if the room has READERS_MAX."""
    readers = _readers(tables, room)
    if name not in readers and len(readers) >= READERS_MAX:
        return False
    tables.change()
    tables.readers.setdefault(room.name, {})[tables.users[name].name] = (
        reader  # one object for a name, however many rooms it is in
    )
    return True


APPLIERS: dict[type, Callable[..., Result]] = {MarkRead: mark}
