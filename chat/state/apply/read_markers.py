"""How far each has read a room and where he is mentioned: carrying out what changes it, and counting what is left.

Only users have that, so all of it is of a login.  A user's first mark in a room, his first mention and his coming into
it make a reader of him there; of who is none nothing is counted.
"""

from collections.abc import Callable, Iterable, Iterator

from chat.commands import Actor, Post
from chat.commands.posts import WHOLE_ROOM, MarkRead
from chat.state import permissions
from chat.state.events import Emit, ReadMarkerMoved
from chat.state.permissions import Acting
from chat.state.results import Done, Refusal, Result
from chat.state.room import Room
from chat.state.room_details import MENTIONS_MAX, READERS_MAX, Counts, Reader
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

WHOLE_ROOM_MAX = 500  # members whom anybody may mention at once; in a larger room its owner and admins alone may


def counts(tables: Tables, user: str, room: Room) -> Counts | None:
    """What is left for this user to read there; None where he is no reader of the room."""
    reader = tables.readers.get(room.name, _NO_READERS).get(user)
    if reader is None:
        return None
    oldest = room.oldest_id
    mentions = sum(id >= oldest and not room.revision_of(id).deleted for id in reader.mentions)
    return Counts(reader.read_id, room.newest_id - max(reader.read_id, oldest - 1), mentions)


def mark(tables: Tables, command: MarkRead, entry: Entry, emit: Emit) -> Done:
    """Those who act by some tokens have read rooms up to some Ids; whatever of that cannot be is nothing."""
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
    """Whether it would change anything to mark this now; what does not is nothing to tell the log of."""
    return _marked(tables, by, name, id) is not None


def _marked(tables: Tables, by: int, name: str, id: int) -> tuple[str, Room] | None:
    """Who has read which room so far, by this token; None where that cannot be, or is known."""
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
    """The newest post of a room names these, for whoever of them the room is there."""
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
    """These users are members from now on: what was said before is not unread."""
    for name in users:
        if name not in _readers(tables, room):
            _put(tables, room, name, Reader(room.newest_id))


_NO_READERS: dict[str, Reader] = {}


def _readers(tables: Tables, room: Room) -> dict[str, Reader]:
    return tables.readers.get(room.name, _NO_READERS)


def _put(tables: Tables, room: Room, name: str, reader: Reader) -> bool:
    """Whether there is a place for it."""
    readers = _readers(tables, room)
    if name not in readers and len(readers) >= READERS_MAX:
        return False
    tables.change()
    tables.readers.setdefault(room.name, {})[tables.users[name].name] = (
        reader  # one object for a name, however many rooms it is in
    )
    return True


APPLIERS: dict[type, Callable[..., Result]] = {MarkRead: mark}
