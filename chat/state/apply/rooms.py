"""Apply the commands on rooms as a whole.

Rules.
- The actor is checked first, then whether they see the room; both before anything changes.
- A room keeps its earlier names as aliases; a private room only those that nobody can guess.
- A name is free if no room has it, has it as an alias, or was deleted under it: no Id is given twice under a name.
"""

import re
from collections.abc import Callable, Iterable

from chat.commands import Actor
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom
from chat.state import permissions
from chat.state.accounts import GUEST, Acting
from chat.state.events import Emit, RoomDeleted
from chat.state.results import Refusal, Result, RoomChanged, RoomMade
from chat.state.room import Room
from chat.state.room_details import ALIASES_MAX, DIRECT, DIRECTS_MAX, MEMBERS_MAX, PRIVATE, PUBLIC, RoomDetails
from chat.state.room_directory import is_private_name, is_public
from chat.state.room_views import reach_of, room_event, summary_for
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

DIRECT_USERS = range(2, 21)
PLAIN_POINTS_MAX = 53  # of a private room's name without its random end: with it, 64
_DRAWN = re.compile("[a-z2-7]{10}")
_DRAWN_POINTS = 11  # with its ~

_FORBIDDEN = Refusal("forbidden", "RoomName: only the owner of this room and admins may change it")
_NOT_FOR_GUESTS = Refusal("forbidden", "RoomName: guests cannot make rooms. Ask a member.")
_NO_SUCH_USER = Refusal("no_such_user", "User: there is no active user of this name")
_NOT_YOURS_TO_SAY = Refusal("forbidden", "User: you may not change the members of this room")
_NAME_TAKEN = Refusal("name_taken", "Name: another room has or had this name. Choose another one.")
_TOO_MANY_ROOMS = Refusal(
    "too_many_rooms",
    "RoomName: this cluster has as many rooms as MaxRooms allows. An admin can delete some, or raise MaxRooms.",
)
_SHARE_MADE = Refusal("too_many_rooms", "RoomName: you have made as many rooms as one user may. Delete one.")
_LOOKS_LIKE = Refusal("looks_like", "Name: looks like the name of another room")
_TOO_MANY_DIRECTS = Refusal(
    "too_many_rooms", f"Users: you have made {DIRECTS_MAX} direct rooms; delete one that nobody has posted to"
)
_TOO_MANY_MEMBERS = Refusal("too_many_members", f"Members: a room has at most {MEMBERS_MAX:,} members")
_NAME = Refusal("invalid_field", 'Name: must not end with "~" and ten letters, as those of private rooms do')
_NAME_POINTS = Refusal("invalid_field", f"Name: a private room's must have 1 to {PLAIN_POINTS_MAX} code points")
_VISIBILITY = Refusal("invalid_field", "Visibility: must be public or private")
_DIRECT = Refusal("invalid_field", f"Users: must be {DIRECT_USERS[0]} to {DIRECT_USERS[-1]} with you among them")
_GUEST_OWNER = Refusal("invalid_field", "Owner: must not be a guest")
_NOBODY: frozenset[str] = frozenset()


def create(tables: Tables, command: CreateRoom, entry: Entry, emit: Emit) -> RoomMade | Refusal:
    """Make a room without posts.  A public room that exists stays as it is; so does a direct room of these users."""
    who = permissions.acting(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    own = {who.name} if who.name and tables.settings.auth != OPEN else _NOBODY
    members = _users(tables, own.union(command.members))
    refused = _refused_creation(tables, who, command, members)
    if refused is not None:
        return refused
    rooms = tables.rooms
    there = rooms.directs.get(members) if command.visibility == DIRECT else rooms.by_name.get(command.room)
    if there is not None and there.exists:
        if command.visibility == PRIVATE:
            return _NAME_TAKEN
        return RoomMade(entry.index, summary_for(tables, there, who), False)
    refused = _refused_by_bounds(tables, command, who.name, has_login=bool(own))
    if refused is not None:
        return refused
    if rooms.looks_like(command.looks):
        return _LOOKS_LIKE
    tables.change()
    maker = who.name if own else ""
    details = RoomDetails(
        command.visibility, command.topic, owner=maker, members=members, made_at=entry.time, touched_at=entry.time,
        changed_index=entry.index, maker=maker,
    )  # fmt: skip
    room = rooms.make(command.room, details, command.looks)
    room.last_index = entry.index
    tables.add_readers(room, sorted(members))
    tables.guard()
    emit(room_event(room, entry.index))
    return RoomMade(entry.index, summary_for(tables, room, who), True)


def _refused_by_bounds(tables: Tables, command: CreateRoom, maker: str, *, has_login: bool) -> Refusal | None:
    """The Refusal for one more room, by the bounds of all rooms and of this maker's; None if it may be made."""
    if command.visibility == DIRECT:
        return _TOO_MANY_DIRECTS if _directs_made(tables, maker) >= DIRECTS_MAX else None
    if tables.is_full:
        return _TOO_MANY_ROOMS
    return _SHARE_MADE if has_login and tables.has_made_its_share(maker) else None


def _directs_made(tables: Tables, user: str) -> int:
    """The number of direct rooms that this user has made, which are theirs by `owner`."""
    rooms = (tables.rooms.by_name[name].details for name in tables.rooms.of_user.get(user, ()))
    return sum(details is not None and details.visibility == DIRECT and details.owner == user for details in rooms)


def _refused_creation(tables: Tables, who: Acting, command: CreateRoom, members: frozenset[str]) -> Refusal | None:
    visibility = command.visibility
    if visibility not in {PUBLIC, PRIVATE, DIRECT}:
        return _VISIBILITY
    if tables.settings.auth == OPEN and (visibility != PUBLIC or members):
        return permissions.OPEN_MODE
    if who.role == GUEST or (visibility == DIRECT and not who.name):
        return _NOT_FOR_GUESTS
    if is_private_name(command.room) != (visibility != PUBLIC):
        return _NAME
    if visibility == DIRECT and len(members) not in DIRECT_USERS:
        return _DIRECT
    return _refused_members(tables, members)


def _users(tables: Tables, names: Iterable[str]) -> frozenset[str]:
    """The names as a set, each the one text that the user's name has, however many rooms they are in."""
    users = tables.users
    return frozenset(users[name].name if name in users else name for name in names)


def _refused_members(tables: Tables, members: Iterable[str], before: frozenset[str] = _NOBODY) -> Refusal | None:
    """The Refusal for these members; None if they may be.  A present member may be deactivated."""
    whole = frozenset(members)
    if len(whole) > MEMBERS_MAX:
        return _TOO_MANY_MEMBERS
    users = tables.users
    return None if all(name in users and users[name].active for name in whole - before) else _NO_SUCH_USER


def _managed(tables: Tables, command: ChangeRoom | DeleteRoom) -> tuple[Acting, Room] | Refusal:
    """The acting user, and the room if they may change it."""
    who = permissions.acting(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    room = permissions.visible_room(tables, who, command.room)
    if room is None:
        return permissions.unseen(tables, who, command.room)
    may = permissions.may_delete if isinstance(command, DeleteRoom) else permissions.manages
    if not may(tables, who, room):
        return _FORBIDDEN
    return who, room


def change(tables: Tables, command: ChangeRoom, entry: Entry, emit: Emit) -> RoomChanged | Refusal:
    """Change the fields of a room that are given.  Posts that are too old for a new bound are removed by `expire`."""
    found = _managed(tables, command)
    if isinstance(found, Refusal):
        return found
    who, room = found
    before = room.details or RoomDetails()
    if before.archived and command.archived is None:
        return permissions.ARCHIVED
    details = _changed(tables, who, command, before)
    if isinstance(details, Refusal):
        return details
    name = _next_name(tables, room, command, details)
    if isinstance(name, Refusal):
        return name
    if name != room.name and tables.rooms.looks_like(command.looks, room):
        return _LOOKS_LIKE
    max_messages = room.max_messages if command.max_messages is None else max(command.max_messages, 0)
    if (details, name, max_messages) != (before, room.name, room.max_messages):
        tables.change()
        _retain(tables, room, max_messages)
        _describe(tables, room, details, entry, emit, name, command.looks)
    return RoomChanged(entry.index, summary_for(tables, room, who))


def _changed(tables: Tables, who: Acting, command: ChangeRoom, details: RoomDetails) -> RoomDetails | Refusal:
    """The new details of a room, without its aliases."""
    if command.topic is not None:
        details = details._replace(topic=command.topic)
    if command.archived is not None:
        details = details._replace(archived=command.archived)
    if command.max_age_seconds is not None:
        details = details._replace(max_age_s=max(command.max_age_seconds, 0))
    if command.visibility is None and command.members is None and command.owner is None:
        return details
    return permissions.OPEN_MODE if tables.settings.auth == OPEN else _with_people(tables, who, command, details)


def _with_people(tables: Tables, who: Acting, command: ChangeRoom, details: RoomDetails) -> RoomDetails | Refusal:
    """The new visibility, members and owner.  An owner is a member; one who leaves owns the room no more."""
    visibility = details.visibility if command.visibility is None else command.visibility
    if visibility not in {PUBLIC, PRIVATE}:
        return _VISIBILITY
    owner = details.owner if command.owner is None else command.owner
    members = details.members if command.members is None else _users(tables, command.members)
    if command.owner:
        members = members.union(_users(tables, [owner]))
    if visibility == PRIVATE and details.visibility == PUBLIC and who.name:
        owner, members = owner or who.name, members.union({who.name})
    refused = _refused_members(tables, members, details.members)
    if refused is not None:
        return refused
    if command.owner and tables.users[owner].role == GUEST:
        return _GUEST_OWNER
    return details._replace(visibility=visibility, owner=owner if owner in members else "", members=members)


def _next_name(tables: Tables, room: Room, command: ChangeRoom, details: RoomDetails) -> str | Refusal:
    """The new name of the room, which is free or its own."""
    plain = room.name[:-_DRAWN_POINTS] if not is_public(room) else room.name
    is_private = details.visibility == PRIVATE
    wanted = plain if command.name is None else command.name
    if wanted == plain and is_private != is_public(room):
        return room.name
    if is_private:
        if command.name is None:
            wanted = wanted[:PLAIN_POINTS_MAX]
        if not 1 <= len(wanted) <= PLAIN_POINTS_MAX or _DRAWN.fullmatch(command.drawn) is None:
            return _NAME_POINTS
        name = f"{wanted}~{command.drawn}"
    else:
        name = wanted
    if not name or is_private_name(name) != is_private:
        return _NAME
    rooms = tables.rooms
    is_free = name not in rooms.by_name and not rooms.forgotten.knows(name) and rooms.aliases.get(name) in (None, room)
    return name if is_free else _NAME_TAKEN


def _retain(tables: Tables, room: Room, max_messages: int) -> None:
    if max_messages != room.max_messages:
        before = room.record_bytes
        room.retain(max_messages)
        tables.live_bytes += room.record_bytes - before


def _describe(
    tables: Tables,
    room: Room,
    details: RoomDetails,
    entry: Entry,
    emit: Emit,
    name: str | None = None,
    looks: str = "",
) -> None:
    """Give the room new details and a name, and emit an event for those whom it concerned before or concerns now."""
    before, was_called, reached = room.details or RoomDetails(), room.name, reach_of(room)
    if name is not None and name != was_called:
        had = [each for each in (*details.aliases, was_called) if each != name]
        if details.visibility == PRIVATE:
            had = [each for each in had if is_private_name(each)]
        details = details._replace(aliases=tuple(had[-ALIASES_MAX:]))
        if was_called in tables.readers:
            tables.readers[name] = tables.readers.pop(was_called)
        if was_called in tables.preferences:
            tables.preferences[name] = tables.preferences.pop(was_called)
        if was_called in tables.imports:
            tables.imports[name] = tables.imports.pop(was_called)
    touched_at = max(before.touched_at, entry.time)
    tables.rooms.describe(room, details._replace(touched_at=touched_at, changed_index=entry.index), name, looks)
    room.last_index = entry.index
    tables.add_readers(room, sorted(details.members - before.members))
    tables.guard()
    emit(room_event(room, entry.index, reached, was_called))


def members(tables: Tables, actor: Actor, room_name: str) -> list[str] | Refusal:
    """The members of the room that has or had this name, if the user sees it; by code point."""
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    if tables.settings.auth == OPEN:
        return permissions.OPEN_MODE
    room = permissions.visible_room(tables, who, room_name)
    if room is None:
        return permissions.unseen(tables, who, room_name)
    return sorted(room.details.members) if room.details is not None else []


def change_members(tables: Tables, command: ChangeMembers, entry: Entry, emit: Emit) -> RoomChanged | Refusal:
    """Add or remove members; nothing for those who are in the room, or not, already."""
    who = permissions.acting(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if tables.settings.auth == OPEN:
        return permissions.OPEN_MODE
    room = permissions.visible_room(tables, who, command.room)
    if room is None:
        return permissions.unseen(tables, who, command.room)
    may = permissions.may_add if command.on else permissions.may_remove
    if not all(may(tables, who, room, name) for name in command.users):
        return _NOT_YOURS_TO_SAY
    details = room.details or RoomDetails()
    if not all(name in tables.users for name in command.users):
        return _NO_SUCH_USER
    members = (
        details.members.union(_users(tables, command.users))
        if command.on
        else details.members.difference(command.users)
    )
    refused = _refused_members(tables, members, details.members)
    if refused is not None:
        return refused
    if members != details.members:
        tables.change()
        owner = details.owner if details.owner in members else ""
        _describe(tables, room, details._replace(owner=owner, members=members), entry, emit)
    return RoomChanged(entry.index, summary_for(tables, room, who))


def delete(tables: Tables, command: DeleteRoom, entry: Entry, emit: Emit) -> RoomDeleted | Refusal:
    """Delete a room with all its posts; a direct one without posts if a member asks."""
    found = _managed(tables, command)
    if isinstance(found, Refusal):
        return found
    tables.change()
    _, room = found
    deleted = RoomDeleted(entry.index, room.name, reach_of(room))
    tables.remove_room(room, entry.index)
    emit(deleted)
    return deleted


APPLIERS: dict[type, Callable[..., Result]] = {
    CreateRoom: create, ChangeRoom: change, ChangeMembers: change_members, DeleteRoom: delete,
}  # fmt: skip
