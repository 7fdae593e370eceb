"""Carrying out a post.

One function, and few calls: nearly all that a cluster applies are posts.
"""

from collections.abc import Callable

from chat.commands import Actor, Post
from chat.history import Room, render
from chat.state import access, marking
from chat.state.details import RoomDetails
from chat.state.events import EVERYBODY, PostEvent
from chat.state.results import Posted, Refusal, Repeated
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.messages import Entry

_TOO_MANY_ROOMS = Refusal("too_many_rooms", "RoomName: there is no such room, and as many as there may be")
_NO_SUCH_POST = Refusal("no_such_post", "ReplyTo: names no post of this room")


def post(
    tables: Tables, command: Post, entry: Entry, tell: Callable[[PostEvent], None] | None
) -> Posted | Repeated | Refusal:
    """Say something in a room, which is made where there is none; `tell` None: nobody listens."""
    room_name = command.room
    room = tables.rooms.by_name.get(room_name)
    if room is None and tables.rooms.aliases and (room := tables.rooms.get(room_name)) is not None:
        room_name = room.name
    if tables.guarded or (tables.rooms.turned_private and room_name in tables.rooms.turned_private):
        refused = access.refused_post(tables, Actor(command.by, command.user), room, room_name)
        if refused is not None and refused is not access.ARCHIVED:
            return refused
    remembered = tables.remembered
    hash = remembered.hash_of(command.user, command.client_id)
    is_new = room is None or not room.exists
    refusal = None
    if room is not None and room.details is not None and room.details.archived:
        refusal = access.ARCHIVED  # but to who asks again for what he has said before that
    elif command.reply_to > (0 if room is None else room.newest_id):  # of this room; one that is gone was there
        refusal = _NO_SUCH_POST
    elif is_new and tables.is_full:
        refusal = _TOO_MANY_ROOMS
    earlier = remembered.admit(hash, entry.index) if refusal is None else remembered.find(hash)
    if earlier:
        id = 0 if room is None else room.id_at(earlier)
        if room is None or not id:
            return Repeated(0, earlier, 0)
        return Repeated(id, earlier, room.version_index(id), room.change_of(id).reactions)
    if refusal is not None:
        return refusal
    if room is None or is_new:
        room = _made(tables, room_name, command.user, entry.time)
    before = room.record_bytes
    id = room.append(entry.index, entry.time, len(entry.record), tables.settings.max_messages)
    tables.live_bytes += room.record_bytes - before
    posted = Posted(room_name, id, entry.index, True, render(entry.body, id, entry.time))
    if command.mentions:
        marking.mention(tables, room, id, command)
    if tell is not None:
        reach = EVERYBODY if room.details is None else access.reach(room)
        tell(PostEvent(entry.index, room_name, id, posted.json, reach))
    return posted


def _made(tables: Tables, name: str, user: str, time: int) -> Room:
    """A room that this user's post makes: where there is a login it is his."""
    if tables.settings.auth == OPEN:
        return tables.rooms.make(name)
    details = RoomDetails(owner=user, members=frozenset({user}), made_at=time, touched_at=time)
    room = tables.rooms.make(name, details)
    marking.come_in(tables, room, (user,))
    return room
