"""Apply imports: messages of an export, in their order, each once.

Rules.
- Only the operator and signed-in admins import, since an import speaks in the names of others.
- A message counts from its import on wherever ages matter (retention, unused rooms): its own `PostedAt` is shown, and
  nothing is reckoned by it.  So an import of old messages is not removed at once, and no clock is moved by it.
- It is unread like any other message, and mentions nobody.  Its ClientId is shown, and not remembered.
"""

from collections.abc import Callable

from chat.commands import Actor
from chat.commands.imports import ImportPost
from chat.state import permissions
from chat.state.accounts import ADMIN
from chat.state.events import Emit, PostEvent
from chat.state.post_json import TIMES, render_post, with_reactions
from chat.state.post_revisions import Revision
from chat.state.results import Posted, Refusal, Result
from chat.state.room import Room
from chat.state.room_details import PINS_MAX, ImportProgress, RoomDetails
from chat.state.room_views import pinned, reach_of
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Command, Entry

_ONLY_OPERATOR = Refusal(
    "forbidden", "Authorization: there are no accounts in the open mode, so only the operator may import messages"
)
_GAP = Refusal("import_gap", "Id: an earlier message of this import is not there. Ask how far it has come.")
_NO_SUCH_REPLY_TO = Refusal("no_such_post", "ReplyTo: there is no message with this Id in this room")
_NO_SUCH_TIME = Refusal("invalid_field", "PostedAt: is not a time that can be shown")


def import_post(tables: Tables, command: ImportPost, entry: Entry, emit: Emit) -> Posted | Refusal:
    """Import the next message of an import; nothing if this one was imported already."""
    room = _room(tables, command.actor, command.room)
    if isinstance(room, Refusal):
        return room
    progress = tables.import_progress(room, command.source)
    if command.number <= progress.messages:
        return Posted(room.name, progress.id_of(command.number), entry.index, False, b"")
    refused = _refused(room, command, progress)
    if refused is not None:
        return refused
    tables.change()
    before, size = room.record_bytes, len(entry.record)
    posted_at = max(room.last_posted_at, command.posted_at)
    id = room.append(entry.index, posted_at, size, tables.settings.max_messages)
    tables.live_bytes += room.record_bytes - before
    if command.post.deleted:
        room.revise(id, Revision(entry.index, edited_index=entry.index, deleted=True, tombstone_bytes=size))
    elif command.reactions:
        room.revise(id, Revision(reacted_index=entry.index, reactions=command.reactions))
    if command.pinned:
        _pin(tables, room, id)
    tables.put_import_progress(room, command.source, progress.with_next(id))
    json = with_reactions(render_post(Command(entry.index, entry.time, entry.body), id), command.reactions)
    emit(PostEvent(entry.index, room.name, id, json, reach_of(room)))
    return Posted(room.name, id, entry.index, True, json)


def find_progress(tables: Tables, actor: Actor, room_name: str, source: str) -> ImportProgress | Refusal:
    """The progress of the import of this name into the room; a refusal if the user may not import there."""
    room = _room(tables, actor, room_name)
    return room if isinstance(room, Refusal) else tables.import_progress(room, source)


def _room(tables: Tables, actor: Actor, name: str) -> Room | Refusal:
    """The room that has or had this name, if the user may import there."""
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    if tables.settings.auth == OPEN and not who.operator:
        return _ONLY_OPERATOR
    if who.role != ADMIN:
        return permissions.NOT_AN_ADMIN
    room = permissions.visible_room(tables, who, name)
    if room is None:
        return permissions.unseen(tables, who, name)
    return permissions.ARCHIVED if room.details is not None and room.details.archived else room


def _refused(room: Room, command: ImportPost, progress: ImportProgress) -> Refusal | None:
    if command.number != progress.messages + 1:
        return _GAP
    if command.posted_at not in TIMES or command.post.edited_at not in TIMES:
        return _NO_SUCH_TIME
    return _NO_SUCH_REPLY_TO if not 0 <= command.post.reply_to <= room.newest_id else None


def _pin(tables: Tables, room: Room, id: int) -> None:
    """Pin the message where the room has a place for it.  The room's followers are told of the message alone."""
    pins = pinned(room)
    if len(pins) < PINS_MAX:
        tables.rooms.describe(room, (room.details or RoomDetails())._replace(pins=(*pins, id)))


APPLIERS: dict[type, Callable[..., Result]] = {ImportPost: import_post}
