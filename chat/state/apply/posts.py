"""Carrying out what becomes of one post: it is edited, deleted, reacted to.

The entry that a command says it has read lies in the log for ever, so what a command tells of it (who posted it, and
when) is taken as it is, if only it lies where the post does.
"""

from collections.abc import Callable
from typing import NamedTuple

from chat.commands import Actor
from chat.commands.posts import DeletePost, EditPost, React
from chat.state import permissions
from chat.state.events import Emit, PostChanged, Reacted
from chat.state.permissions import Acting
from chat.state.post_revisions import Reactions, Revision
from chat.state.results import Done, Refusal, Result
from chat.state.room import Room, render_post, with_reactions
from chat.state.tables import Tables
from raft.core.raft_messages import Command, Entry

EDITS_MAX = 100  # of a post: all of them stay to be read
EMOJI_MAX = 20  # that a post has
# Of all users, to a post: with the longest names they are 26 KB, less than the longest text.  All of them stand in the
# post wherever it is shown.
REACTIONS_MAX = 100
_TIMES = range(253_402_300_800_000_000)  # microseconds since 1970 that can be shown: up to the year 9999

_NO_SUCH_POST = Refusal("not_found", "Id: names no post of this room")
_GONE = Refusal("gone", "Id: this post is gone: its room was deleted or keeps newer ones only")
TAKEN_BACK = Refusal("gone", "Id: this post was deleted")
_NOT_THE_AUTHOR = Refusal("not_the_author", "User: only who posted it may do that, or under a login an admin")
_TOO_MANY_EDITS = Refusal("too_many_edits", f"Id: this post was edited {EDITS_MAX} times")
_TOO_MANY_EMOJI = Refusal("too_many_reactions", f"Emoji: this post has {EMOJI_MAX} of them")
_TOO_MANY_REACTIONS = Refusal("too_many_reactions", f"Id: this post has {REACTIONS_MAX} reactions")


class FoundPost(NamedTuple):
    """A post that is left, maybe as a tombstone."""

    at: int  # log index of what was posted
    revision: Revision


class LocatedPost(NamedTuple):
    """Where a post that is left stands, for who carries out a command."""

    who: Acting  # asks
    room: Room
    at: int  # as Found has it
    revision: Revision


def find(tables: Tables, actor: Actor, room_name: str, id: int) -> FoundPost | Refusal:
    """The post of this Id in the room that has or had this name, for who sees that."""
    place = look_up(tables, actor, room_name, id)
    return place if isinstance(place, Refusal) else FoundPost(place.at, place.revision)


def look_up(tables: Tables, actor: Actor, room_name: str, id: int) -> LocatedPost | Refusal:
    """The same with its room, which is not to leave the state's lock."""
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
    """Why this one may not change what its author said there, or take it back."""
    place = look_up(tables, actor, room_name, id)
    return place if isinstance(place, Refusal) else _refused(tables, place, author, deletes)


def _refused(tables: Tables, place: LocatedPost, author: str, deletes: bool) -> Refusal | None:
    if place.room.details is not None and place.room.details.archived:
        return permissions.ARCHIVED
    may = permissions.may_revise(tables, place.who, place.room, author, deletes=deletes)
    return None if may else _NOT_THE_AUTHOR


def versions(tables: Tables, actor: Actor, room_name: str, id: int) -> list[int] | Refusal:
    """Log indexes of all that a post ever said, the first one first; of one that was deleted, its tombstone."""
    found = find(tables, actor, room_name, id)
    if isinstance(found, Refusal):
        return found
    at, revision = found
    return [revision.version_index] if revision.deleted else [at, *revision.edits]


def edit(tables: Tables, command: EditPost, entry: Entry, emit: Emit) -> PostChanged | Refusal:
    """A post says something else from now on, and what it said stays live."""
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
    """A post is a tombstone from now on; where it is one, that is as good."""
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
    """Somebody reacts to a post, or not any more; where that is so already, it is as good."""
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
    reach = permissions.reach(room)
    reacted = Reacted(entry.index, room.name, command.id, command.emoji, who.name, command.on, count, reach)
    if reactions != revision.reactions:
        tables.change()
        tables.rooms.touch(room, entry.time)
        room.revise(command.id, revision._replace(reacted_index=entry.index, reactions=reactions))
        emit(reacted)
    return reacted


def _place(tables: Tables, command: EditPost | DeletePost) -> LocatedPost | Refusal:
    """Of a post that is to say something else, for who may ask for that."""
    place = look_up(tables, command.actor, command.room, command.id)
    if isinstance(place, Refusal):
        return place
    if place.at != command.at or command.posted_at not in _TIMES:
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
    changed = PostChanged(entry.index, room.name, command.id, post, permissions.reach(room))
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


APPLIERS: dict[type, Callable[..., Result]] = {EditPost: edit, DeletePost: delete, React: react}
