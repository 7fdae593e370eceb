"""Apply the commands on posts: a new post, an edit, a deletion, a reaction, a pin.

Rules.
- Nearly all that a cluster applies are new posts, so `post` is one function with few calls.
- An edit and a deletion name the entry of the post that they were made from.  That entry never changes, so its author
  and time are taken from the command, if the entry lies where the post does.
- Pins are part of a room's details, so followers of the room hear of them like of any other change of it.  Pins of
  posts that are gone or were deleted are not shown, and are dropped at the next change.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from chat.commands import Actor, Post
from chat.commands.posts import WHOLE_ROOM, DeletePost, EditPost, Pin, React
from chat.state import permissions
from chat.state.accounts import GUEST, Acting
from chat.state.events import EVERYBODY, Emit, PostChanged, PostEvent, Reacted
from chat.state.post_json import TIMES, render, render_post, with_reactions
from chat.state.post_revisions import Reactions, Revision
from chat.state.results import Done, Posted, Refusal, Repeated, Result
from chat.state.room import Room
from chat.state.room_details import MENTIONS_MAX, PINS_MAX, Reader, RoomDetails
from chat.state.room_views import pinned, reach_of, room_event
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Command, Entry

WHOLE_ROOM_MAX = 500  # members whom anybody may mention at once; in a larger room its owner and admins alone may

_TOO_MANY_ROOMS = Refusal(
    "too_many_rooms",
    "RoomName: there is no such room, and MaxRooms allows no more. An admin can delete some, or raise it.",
)
_SHARE_MADE = Refusal(
    "too_many_rooms", "RoomName: there is no such room, and you have made as many as one user may. Delete one."
)
_LOOKS_LIKE = Refusal("looks_like", "RoomName: looks like the name of another room")
_NO_SUCH_REPLY_TO = Refusal("no_such_post", "ReplyTo: there is no message with this Id in this room")
# Not for a retry of an earlier post, which is answered as it is.
_AFTER_REPEATS = (permissions.ARCHIVED, _NO_SUCH_REPLY_TO, _TOO_MANY_ROOMS, _SHARE_MADE, _LOOKS_LIKE)


def post(
    tables: Tables, command: Post, entry: Entry, emit: Callable[[PostEvent], None] | None
) -> Posted | Repeated | Refusal:
    """Post to a room, which is made if there is none.  `emit` None: nobody listens."""
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
        _note_mentions(tables, room, id, command)
    if emit is not None:
        reach = EVERYBODY if room.details is None else reach_of(room)
        emit(PostEvent(entry.index, room_name, id, posted.json, reach))
    return posted


def refused(tables: Tables, command: Post, room_name: str, room: Room | None) -> Refusal | None:
    """The Refusal for a post to the room of this name; None if it may be posted."""
    if tables.guarded or (tables.rooms.turned_private and room_name in tables.rooms.turned_private):
        refusal = permissions.refused_post(tables, Actor(command.by, command.user), room, room_name)
        if refusal is not None:
            return refusal
    if room is not None and room.details is not None and room.details.archived:
        return permissions.ARCHIVED
    if command.reply_to > (0 if room is None else room.newest_id):  # of this room; one that is gone was there
        return _NO_SUCH_REPLY_TO
    return None if room is not None and room.exists else _refused_making(tables, command)


def _refused_making(tables: Tables, command: Post) -> Refusal | None:
    """Return the Refusal for a post that would make its room; None if it may."""
    if tables.is_full:
        return _TOO_MANY_ROOMS
    if tables.has_made_its_share(command.user):
        return _SHARE_MADE
    return _LOOKS_LIKE if tables.rooms.looks_like(command.looks) else None


def dry_run(tables: Tables, command: Post) -> Refusal | None:
    """The Refusal that `post` would return; None if it would post, or repeats another post."""
    room = tables.rooms.get(command.room)
    refusal = refused(tables, command, command.room if room is None else room.name, room)
    if refusal is None or refusal not in _AFTER_REPEATS:
        return refusal
    is_known = tables.client_ids.find(tables.client_ids.hash_of(command.user, command.client_id))
    return None if is_known else refusal


def _made(tables: Tables, name: str, command: Post, time: int) -> Room:
    """Make the room of a user's post; with sign-in they own it."""
    if tables.settings.auth == OPEN:
        return tables.rooms.make(name, None, command.looks)
    user = command.user
    details = RoomDetails(owner=user, members=frozenset({user}), made_at=time, touched_at=time, maker=user)
    room = tables.rooms.make(name, details, command.looks)
    tables.add_readers(room, (user,))
    return room


def _note_mentions(tables: Tables, room: Room, id: int, post: Post) -> None:
    """Note the mentions of a room's newest post, for the users who see the room."""
    for name in dict.fromkeys(_mentioned(tables, room, post)):
        user = tables.users.get(name)
        if user is None or name == post.user or not permissions.sees(tables, Acting(name, user.role), room):
            continue
        reader = tables.readers_of(room).get(name) or Reader(id - 1)
        tables.put_reader(room, name, reader._replace(mentions=(*reader.mentions, id)[-MENTIONS_MAX:]))


def _mentioned(tables: Tables, room: Room, post: Post) -> Iterator[str]:
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


# --- one post that is there

EDITS_MAX = 100  # of a post: all of them stay to be read
EMOJI_MAX = 20  # that a post has
# Of all users, to a post: with the longest names they are 26 KB, less than the longest text.  All of them stand in the
# post wherever it is shown.
REACTIONS_MAX = 100

_NO_SUCH_POST = Refusal("not_found", "Id: there is no message with this Id in this room")
_GONE = Refusal("gone", "Id: this message is gone: its room was deleted, or keeps newer messages only")
TAKEN_BACK = Refusal("gone", "Id: this message was deleted")
_NOT_THE_AUTHOR = Refusal("not_the_author", "User: only its author may do that, or an admin who has signed in")
_TOO_MANY_EDITS = Refusal(
    "too_many_edits", f"Id: this message was edited {EDITS_MAX} times, and cannot be edited again"
)
_TOO_MANY_EMOJI = Refusal(
    "too_many_reactions", f"Emoji: this message has {EMOJI_MAX} different emoji, and cannot have more"
)
_TOO_MANY_REACTIONS = Refusal(
    "too_many_reactions", f"Id: this message has {REACTIONS_MAX} reactions, and cannot have more"
)


class FoundPost(NamedTuple):
    """A post that is left, maybe as a tombstone."""

    at: int  # log index of the post itself
    revision: Revision


class LocatedPost(NamedTuple):
    """A post that is left, with its room, for an applier."""

    who: Acting  # asks
    room: Room
    at: int  # as FoundPost has it
    revision: Revision


def find(tables: Tables, actor: Actor, room_name: str, id: int) -> FoundPost | Refusal:
    """The post of this Id in the room that has or had this name, if the user sees it."""
    place = look_up(tables, actor, room_name, id)
    return place if isinstance(place, Refusal) else FoundPost(place.at, place.revision)


def look_up(tables: Tables, actor: Actor, room_name: str, id: int) -> LocatedPost | Refusal:
    """`find`, with the room, which must not leave the state's lock."""
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    room = tables.rooms.get(room_name)
    if room is None or not permissions.sees(tables, who, room):
        return permissions.unseen(tables, who, room_name)
    if not room.exists and room_name in tables.rooms.turned_private:
        return permissions.ROOM_GONE
    if id > room.newest_id:
        return _NO_SUCH_POST
    at = room.index_of(id)
    return LocatedPost(who, room, at, room.revision_of(id)) if at else _GONE


def refused_change(
    tables: Tables, actor: Actor, room_name: str, id: int, author: str, *, deletes: bool
) -> Refusal | None:
    """The Refusal for an edit or a deletion of a message of `author`; None if the user may make it."""
    place = look_up(tables, actor, room_name, id)
    return place if isinstance(place, Refusal) else _refused(tables, place, author, deletes)


def _refused(tables: Tables, place: LocatedPost, author: str, deletes: bool) -> Refusal | None:
    if place.room.details is not None and place.room.details.archived:
        return permissions.ARCHIVED
    may = permissions.may_revise(tables, place.who, place.room, author, deletes=deletes)
    return None if may else _NOT_THE_AUTHOR


def versions(tables: Tables, actor: Actor, room_name: str, id: int) -> list[int] | Refusal:
    """Log indexes of all versions of a post, the first one first; of a deleted post, its tombstone's."""
    found = find(tables, actor, room_name, id)
    if isinstance(found, Refusal):
        return found
    at, revision = found
    return [revision.version_index] if revision.deleted else [at, *revision.edits]


def edit(tables: Tables, command: EditPost, entry: Entry, emit: Emit) -> PostChanged | Refusal:
    """Edit a post; its earlier versions stay live."""
    place = _place(tables, command)
    if isinstance(place, Refusal):
        return place
    revision = place.revision
    if revision.deleted:
        return TAKEN_BACK
    if len(revision.edits) >= EDITS_MAX:
        return _TOO_MANY_EDITS
    tables.change()
    edits = (*revision.edits, entry.index)
    changed = revision._replace(version_index=entry.index, edits=edits, edited_index=entry.index)
    return _revise(tables, place.room, command, changed, len(entry.record), entry, emit)


def delete(tables: Tables, command: DeletePost, entry: Entry, emit: Emit) -> PostChanged | Done | Refusal:
    """Delete a post, which leaves a tombstone; nothing if it is deleted already."""
    place = _place(tables, command)
    if isinstance(place, Refusal):
        return place
    if place.revision.deleted:
        return Done(entry.index)
    tables.change()
    tables.erased_index = entry.index
    room = place.room
    share = room.text_bytes // room.texts  # as an average post has it, with its edits
    size = len(entry.record)
    tombstone = Revision(version_index=entry.index, edited_index=entry.index, deleted=True, tombstone_bytes=size)
    return _revise(tables, room, command, tombstone, size - share, entry, emit)


def react(tables: Tables, command: React, entry: Entry, emit: Emit) -> Reacted | Refusal:
    """Put or remove a reaction; nothing if that is so already."""
    place = look_up(tables, command.actor, command.room, command.id)
    if isinstance(place, Refusal):
        return place
    who, room, _, revision = place
    refused = permissions.refused_part(tables, who, room)
    if refused is not None:
        return refused
    if revision.deleted:
        return TAKEN_BACK
    put = _with if command.on else _without
    reactions = put(revision.reactions, command.emoji, who.name)
    if isinstance(reactions, Refusal):
        return reactions
    count = len(dict(reactions).get(command.emoji, ()))
    reach = reach_of(room)
    reacted = Reacted(entry.index, room.name, command.id, command.emoji, who.name, command.on, count, reach)
    if reactions != revision.reactions:
        tables.change()
        tables.rooms.touch(room, entry.time)
        room.revise(command.id, revision._replace(reacted_index=entry.index, reactions=reactions))
        emit(reacted)
    return reacted


def _place(tables: Tables, command: EditPost | DeletePost) -> LocatedPost | Refusal:
    """The post of an edit or a deletion, if the user may make it."""
    place = look_up(tables, command.actor, command.room, command.id)
    if isinstance(place, Refusal):
        return place
    if place.at != command.at or command.posted_at not in TIMES:
        return _NO_SUCH_POST
    return _refused(tables, place, command.post.user, isinstance(command, DeletePost)) or place


def _revise(
    tables: Tables,
    room: Room,
    command: EditPost | DeletePost,
    revision: Revision,
    more_bytes: int,
    entry: Entry,
    emit: Emit,
) -> PostChanged:
    tables.rooms.touch(room, entry.time)
    room.revise(command.id, revision)
    room.record_bytes += more_bytes
    tables.live_bytes += more_bytes
    post = with_reactions(render_post(Command(entry.index, entry.time, entry.body), command.id), revision.reactions)
    changed = PostChanged(entry.index, room.name, command.id, post, reach_of(room))
    emit(changed)
    return changed


def _with(reactions: Reactions, emoji: str, user: str) -> Reactions | Refusal:
    who = dict(reactions)
    users = who.get(emoji, ())
    if user in users:
        return reactions
    if not users and len(who) >= EMOJI_MAX:
        return _TOO_MANY_EMOJI
    if sum(map(len, who.values())) >= REACTIONS_MAX:
        return _TOO_MANY_REACTIONS
    who[emoji] = (*users, user)
    return tuple(who.items())


def _without(reactions: Reactions, emoji: str, user: str) -> Reactions:
    who = dict(reactions)
    users = tuple(each for each in who.get(emoji, ()) if each != user)
    if users:
        who[emoji] = users  # in its place
    else:
        who.pop(emoji, None)
    return tuple(who.items())


# --- pins

_NOT_FOR_GUESTS = Refusal("forbidden", "Authorization: guests cannot pin messages")
_TOO_MANY_PINS = Refusal("too_many_pins", f"Id: this room has {PINS_MAX} pinned messages. Unpin one first.")


class Pinned(NamedTuple):
    """A pinned post: the entry that shows it now, and its reactions."""

    id: int
    version_index: int
    reactions: Reactions


def pin(tables: Tables, command: Pin, entry: Entry, emit: Emit) -> Done | Refusal:
    """Pin or unpin a post; nothing if that is so already.

    Everybody who may post in a room may pin there, except guests.
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
    """The pinned posts of the room that has or had this name, if the user sees it; in the order of pinning."""
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    room = permissions.visible_room(tables, who, room_name)
    if room is None:
        return permissions.unseen(tables, who, room_name)
    return [Pinned(id, room.version_index(id), room.revision_of(id).reactions) for id in pinned(room)]


APPLIERS: dict[type, Callable[..., Result]] = {EditPost: edit, DeletePost: delete, React: react, Pin: pin}
