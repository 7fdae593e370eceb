"""Carrying out a post.

One function, and few calls: nearly all that a cluster applies are posts.
"""

from collections.abc import Callable

from chat.commands import Actor, Post
from chat.state import permissions
from chat.state.apply import read_markers
from chat.state.events import EVERYBODY, PostEvent
from chat.state.results import Posted, Refusal, Repeated
from chat.state.room import Room, render
from chat.state.room_details import RoomDetails
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

_TOO_MANY_ROOMS = Refusal("too_many_rooms", "RoomName: there is no such room, and as many as there may be")
_SHARE_MADE = Refusal("too_many_rooms", "RoomName: there is no such room, and you have made as many as one user may")
_LOOKS_LIKE = Refusal("looks_like", "RoomName: looks like the name of another room")
_NO_SUCH_POST = Refusal("no_such_post", "ReplyTo: names no post of this room")
# What is not for who asks again for what they have posted before: that is told as it is.
_AFTER_REPEATS = (permissions.ARCHIVED, _NO_SUCH_POST, _TOO_MANY_ROOMS, _SHARE_MADE, _LOOKS_LIKE)


def post(
    tables: Tables, command: Post, entry: Entry, emit: Callable[[PostEvent], None] | None
) -> Posted | Repeated | Refusal:
    """Say something in a room, which is made where there is none; `emit` None: nobody listens."""
    room_name, room = command.room, tables.rooms.by_name.get(command.room)
    if room is None and tables.rooms.aliases and (room := tables.rooms.get(room_name)) is not None:
        room_name = room.name
    refusal = refused(tables, command, room_name, room)
    if refusal is not None and refusal not in _AFTER_REPEATS:
        return refusal
    client_ids = tables.client_ids
    hash = client_ids.hash_of(command.user, command.client_id)
    earlier = client_ids.find_or_add(hash, entry.index) if refusal is None else client_ids.find(hash)
    if earlier:
        id = 0 if room is None else room.id_at(earlier)
        if room is None or not id:
            return Repeated(0, earlier, 0)
        return Repeated(id, earlier, room.version_index(id), room.revision_of(id).reactions)
    if refusal is not None:
        return refusal
    if room is None or not room.exists:
        room = _made(tables, room_name, command, entry.time)
    before = room.record_bytes
    id = room.append(entry.index, entry.time, len(entry.record), tables.settings.max_messages)
    tables.live_bytes += room.record_bytes - before
    posted = Posted(room_name, id, entry.index, True, render(entry.body, id, entry.time))
    if command.mentions:
        read_markers.mention(tables, room, id, command)
    if emit is not None:
        reach = EVERYBODY if room.details is None else permissions.reach(room)
        emit(PostEvent(entry.index, room_name, id, posted.json, reach))
    return posted


def refused(tables: Tables, command: Post, room_name: str, room: Room | None) -> Refusal | None:
    """Why nothing is posted to the room of this name."""
    if tables.guarded or (tables.rooms.turned_private and room_name in tables.rooms.turned_private):
        refusal = permissions.refused_post(tables, Actor(command.by, command.user), room, room_name)
        if refusal is not None:
            return refusal
    if room is not None and room.details is not None and room.details.archived:
        return permissions.ARCHIVED
    if command.reply_to > (0 if room is None else room.newest_id):  # of this room; one that is gone was there
        return _NO_SUCH_POST
    return None if room is not None and room.exists else _refused_making(tables, command)


def _refused_making(tables: Tables, command: Post) -> Refusal | None:
    """Why the post does not make the room."""
    if tables.is_full:
        return _TOO_MANY_ROOMS
    if tables.has_made_its_share(command.user):
        return _SHARE_MADE
    return _LOOKS_LIKE if tables.rooms.looks_like(command.looks) else None


def dry_run(tables: Tables, command: Post) -> Refusal | None:
    """What `post` would return where it would change nothing; None where it would, or where it repeats another."""
    room = tables.rooms.get(command.room)
    refusal = refused(tables, command, command.room if room is None else room.name, room)
    if refusal is None or refusal not in _AFTER_REPEATS:
        return refusal
    is_known = tables.client_ids.find(tables.client_ids.hash_of(command.user, command.client_id))
    return None if is_known else refusal


def _made(tables: Tables, name: str, command: Post, time: int) -> Room:
    """Make the room of a user's post; under a login it is theirs."""
    if tables.settings.auth == OPEN:
        return tables.rooms.make(name, None, command.looks)
    user = command.user
    details = RoomDetails(owner=user, members=frozenset({user}), made_at=time, touched_at=time, maker=user)
    room = tables.rooms.make(name, details, command.looks)
    read_markers.add_readers(tables, room, (user,))
    return room
