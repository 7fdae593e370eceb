"""Carrying out what becomes of one post: it is edited, deleted, reacted to.

The entry that a command says it has read lies in the log for ever, so what a command tells of it (who posted it, and
when) is taken as it is, if only it lies where the post does.
"""

from collections.abc import Callable
from typing import NamedTuple

from chat.commands import Actor
from chat.commands.posts import DeletePost, EditPost, React
from chat.history import render_post, with_reactions
from chat.state import access
from chat.state.events import PostChanged, Reacted, Tell
from chat.state.overlay import Change, Reactions
from chat.state.results import Done, Refusal, Result
from chat.state.tables import Tables
from raft.messages import Command, Entry

EDITS_MAX = 100  # of a post: all of them stay to be read
EMOJI_MAX = 20  # that a post has
# Of all users, to a post: with the longest names they are 26 KB, less than the longest text.  All of them stand in the
# post wherever it is shown.
REACTIONS_MAX = 100
_TIMES = range(253_402_300_800_000_000)  # microseconds since 1970 that can be shown: up to the year 9999

_NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")
_NO_SUCH_POST = Refusal("not_found", "Id: names no post of this room")
_GONE = Refusal("gone", "Id: this post is gone: its room was deleted or keeps newer ones only")
TAKEN_BACK = Refusal("gone", "Id: this post was deleted")
NOT_THE_AUTHOR = Refusal("not_the_author", "User: only who posted it may do that")
_TOO_MANY_EDITS = Refusal("too_many_edits", f"Id: this post was edited {EDITS_MAX} times")
_TOO_MANY_EMOJI = Refusal("too_many_reactions", f"Emoji: this post has {EMOJI_MAX} of them")
_TOO_MANY_REACTIONS = Refusal("too_many_reactions", f"Id: this post has {REACTIONS_MAX} reactions")


class Found(NamedTuple):
    """A post that is left, maybe as a tombstone."""

    at: int  # log index of what was posted
    change: Change


def find(tables: Tables, actor: Actor, room_name: str, id: int) -> Found | Refusal:
    """The post of this Id in the room that has or had this name, for who sees that."""
    who = access.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    room = tables.rooms.get(room_name)
    if room is None or not access.sees(tables, who, room):
        return _NO_SUCH_ROOM
    if id > room.newest_id:
        return _NO_SUCH_POST
    at = room.index_of(id)
    return Found(at, room.change_of(id)) if at else _GONE


def _find_to_change(tables: Tables, command: EditPost | DeletePost | React) -> Found | Refusal:
    found = find(tables, command.actor, command.room, command.id)
    room = tables.rooms.existing(command.room)
    is_archived = room is not None and room.details is not None and room.details.archived
    return access.ARCHIVED if is_archived and isinstance(found, Found) else found


def versions(tables: Tables, actor: Actor, room_name: str, id: int) -> list[int] | Refusal:
    """Log indexes of all that a post ever said, the first one first; of one that was deleted, its tombstone."""
    found = find(tables, actor, room_name, id)
    if isinstance(found, Refusal):
        return found
    at, change = found
    return [change.version_index] if change.deleted else [at, *change.edits]


def edit(tables: Tables, command: EditPost, entry: Entry, tell: Tell) -> PostChanged | Refusal:
    """A post says something else from now on, and what it said stays live."""
    change = _own(tables, command)
    if isinstance(change, Refusal):
        return change
    if change.deleted:
        return TAKEN_BACK
    if len(change.edits) >= EDITS_MAX:
        return _TOO_MANY_EDITS
    edits = (*change.edits, entry.index)
    changed = change._replace(version_index=entry.index, edits=edits, edited_index=entry.index)
    return _revise(tables, command, changed, len(entry.record), entry, tell)


def delete(tables: Tables, command: DeletePost, entry: Entry, tell: Tell) -> PostChanged | Done | Refusal:
    """A post is a tombstone from now on; where it is one, that is as good."""
    change = _own(tables, command)
    if isinstance(change, Refusal):
        return change
    if change.deleted:
        return Done(entry.index)
    tables.erased_index = entry.index
    room = tables.rooms.existing(command.room)
    assert room is not None
    share = room.text_bytes // room.texts  # as an average post has it, with its edits
    size = len(entry.record)
    tombstone = Change(version_index=entry.index, edited_index=entry.index, deleted=True, tombstone_bytes=size)
    return _revise(tables, command, tombstone, size - share, entry, tell)


def react(tables: Tables, command: React, entry: Entry, tell: Tell) -> Reacted | Refusal:
    """Somebody reacts to a post, or not any more; where that is so already, it is as good."""
    found = _find_to_change(tables, command)
    if isinstance(found, Refusal):
        return found
    change = found.change
    if change.deleted:
        return TAKEN_BACK
    reactions = _with(change.reactions, command) if command.on else _without(change.reactions, command)
    if isinstance(reactions, Refusal):
        return reactions
    room = tables.rooms.existing(command.room)
    assert room is not None
    count = len(dict(reactions).get(command.emoji, ()))
    who, on, reach = command.actor.user, command.on, access.reach(room)
    reacted = Reacted(entry.index, room.name, command.id, command.emoji, who, on, count, reach)
    if reactions != change.reactions:
        tables.rooms.touch(room, entry.time)
        room.change(command.id, change._replace(reacted_index=entry.index, reactions=reactions))
        tell(reacted)
    return reacted


def _own(tables: Tables, command: EditPost | DeletePost) -> Change | Refusal:
    """What became so far of a post that is to say something else, which its author alone may ask for."""
    found = _find_to_change(tables, command)
    if isinstance(found, Refusal):
        return found
    if found.at != command.at or command.posted_at not in _TIMES:
        return _NO_SUCH_POST
    return found.change if command.post.user == command.actor.user else NOT_THE_AUTHOR


def _revise(
    tables: Tables, command: EditPost | DeletePost, change: Change, more_bytes: int, entry: Entry, tell: Tell
) -> PostChanged:
    room = tables.rooms.existing(command.room)
    assert room is not None
    tables.rooms.touch(room, entry.time)
    room.change(command.id, change)
    room.record_bytes += more_bytes
    tables.live_bytes += more_bytes
    post = with_reactions(render_post(Command(entry.index, entry.time, entry.body), command.id), change.reactions)
    changed = PostChanged(entry.index, room.name, command.id, post, access.reach(room))
    tell(changed)
    return changed


def _with(reactions: Reactions, command: React) -> Reactions | Refusal:
    who = dict(reactions)
    users = who.get(command.emoji, ())
    if command.actor.user in users:
        return reactions
    if not users and len(who) >= EMOJI_MAX:
        return _TOO_MANY_EMOJI
    if sum(map(len, who.values())) >= REACTIONS_MAX:
        return _TOO_MANY_REACTIONS
    who[command.emoji] = (*users, command.actor.user)
    return tuple(who.items())


def _without(reactions: Reactions, command: React) -> Reactions:
    who = dict(reactions)
    users = tuple(user for user in who.get(command.emoji, ()) if user != command.actor.user)
    if users:
        who[command.emoji] = users  # in its place
    else:
        who.pop(command.emoji, None)
    return tuple(who.items())


APPLIERS: dict[type, Callable[..., Result]] = {EditPost: edit, DeletePost: delete, React: react}
