"""The sections of the state's document: how each table is copied into rows, and restored from them.

Equal states give equal rows, and only rows that a state gives are taken.  `SECTIONS`, at the end, is the order of the
document: a section is restored after those that it refers to.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from chat.commands.json_codec import row_reader
from chat.state.accounts import (
    INVITES_MAX,
    KINDS,
    ROLES,
    TICKETS_MAX,
    TOKENS_MAX,
    USERS_MAX,
    Invite,
    Ticket,
    Token,
    User,
)  # fmt: skip
from chat.state.forgotten_rooms import NAMES_MAX
from chat.state.log_times import CLAIMS_MAX
from chat.state.post_revisions import Revision
from chat.state.room_details import (
    ALL,
    DIRECT,
    IMPORTS_MAX,
    MEMBERS_MAX,
    MENTIONS,
    MENTIONS_MAX,
    NONE,
    PREFERENCES_MAX,
    PRIVATE,
    PUBLIC,
    READERS_MAX,
    RUNS_MAX,
    ImportProgress,
    Preferences,
    Reader,
    RoomDetails,
)  # fmt: skip
from chat.state.room_directory import is_public
from chat.state.settings import Settings
from chat.state.snapshot.rows import Copied, Part, Row, read
from chat.state.tables import Tables

MEMBERS_A_ROW = 500  # of 64 code points each: half of what a row may have
_FORGOTTEN_HEAD = 3  # numbers in the first row of forgotten rooms
_NO_MEMBERS: frozenset[str] = frozenset()


class _Import(NamedTuple):
    """A row of an import."""

    room: str
    source: str
    messages: int
    runs: tuple[tuple[int, int], ...]


_settings, _reader, _import = row_reader(Settings), row_reader(Reader), row_reader(_Import)
_preferences = row_reader(Preferences)
_details, _revision = row_reader(RoomDetails), row_reader(Revision)
_user, _token, _invite, _ticket = row_reader(User), row_reader(Token), row_reader(Invite), row_reader(Ticket)


class Section(NamedTuple):
    """A table of the document.

    `copy`, called under the state's lock, returns its rows in an order that follows from the state; [] for none.  It
    copies references only: texts, numbers, bytes, tuples, frozensets (written sorted) and Parts.  A row has up to
    ROW_BYTES_MAX of JSON.
    `restore` puts one row, a list, into the tables, in which all sections before this one are.  The document is one of
    log index `index`.  Raises KeyError, TypeError or ValueError for a row that no state gives.
    """

    name: str
    copy: Callable[[Tables], list[Row]]
    restore: Callable[[Tables, object, int], None]


def _require(could_be: bool) -> None:
    if not could_be:
        raise ValueError("not what a state has")


# --- settings: one row; and the newest command that deleted a text


def _copy_settings(tables: Tables) -> list[Row]:
    return [tables.settings] if tables.settings != Settings() else []


def _restore_settings(tables: Tables, row: object, index: int) -> None:
    tables.settings = _settings(row)


def _copy_erased(tables: Tables) -> list[Row]:
    return [(tables.erased_index,)] if tables.erased_index else []


def _restore_erased(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int or not 0 < row[0] <= index:
        raise ValueError("Erased")
    tables.erased_index = row[0]


# --- times of log entries: the first row is the end of the second that is open, the others are claims


def _copy_log_times(tables: Tables) -> list[Row]:
    log_times = tables.log_times
    if not log_times.open_until:
        return []
    return [(log_times.open_until,), *zip(log_times.moments, log_times.indexes, strict=True)]


def _restore_log_time(tables: Tables, row: object, index: int) -> None:
    log_times = tables.log_times
    if not isinstance(row, list) or not all(type(number) is int and number > 0 for number in row):
        raise TypeError("LogTimes")
    if not log_times.open_until:
        (log_times.open_until,) = row
        return
    moment, at = row
    ascends = not log_times.moments or (log_times.moments[-1] < moment and log_times.indexes[-1] < at)
    if not ascends or moment >= log_times.open_until or at > index or len(log_times.moments) >= CLAIMS_MAX:
        raise ValueError("LogTimes")
    log_times.moments.append(moment)
    log_times.indexes.append(at)


def _copy_leaps(tables: Tables) -> list[Row]:
    return [(tables.log_times.added,)] if tables.log_times.added else []


def _restore_leaps(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int or row[0] <= 0:
        raise ValueError("Leaps")
    tables.log_times.added = row[0]


# --- users, tokens (the first row is the number of the next one), invites and tickets


def _copy_users(tables: Tables) -> list[Row]:
    return [tables.users[name] for name in sorted(tables.users)]


def _restore_user(tables: Tables, row: object, index: int) -> None:
    user = _user(row)
    _require(user.role in ROLES and 0 < user.password_index <= index and user.created_at > 0)
    _require(user.skeleton not in tables.skeletons and len(tables.users) < USERS_MAX)
    tables.users[user.name] = user
    tables.skeletons[user.skeleton] = user.name


def _copy_tokens(tables: Tables) -> list[Row]:
    return [(tables.next_token,), *tables.tokens.values()] if tables.next_token > 1 else []


def _restore_token(tables: Tables, row: object, index: int) -> None:
    if tables.next_token == 1:
        (tables.next_token,) = _next_token(row)
        _require(tables.next_token > 1)
        return
    token = _token(row)
    last = next(reversed(tables.tokens), 0)
    _require(last < token.number < tables.next_token and token.digest not in tables.numbers)
    _require(tables.users[token.user].active and token.kind in KINDS)
    _require(min(token.created_at, token.expires_at, token.used_hour) >= 0)
    numbers = tables.tokens_of.get(token.user, ())
    _require(len(numbers) < TOKENS_MAX)
    tables.tokens[token.number] = token
    tables.numbers[token.digest] = token.number
    tables.tokens_of[token.user] = (*numbers, token.number)


def _next_token(row: object) -> tuple[int]:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int:
        raise TypeError("Tokens")
    return (row[0],)


def _copy_invites(tables: Tables) -> list[Row]:
    return [*tables.invites.values()]


def _restore_invite(tables: Tables, row: object, index: int) -> None:
    invite = _invite(row)
    _require(invite.role in ROLES and invite.uses_left > 0 and invite.expires_at >= 0)
    _require(invite.digest not in tables.invites and len(tables.invites) < INVITES_MAX)
    tables.invites[invite.digest] = invite


def _copy_tickets(tables: Tables) -> list[Row]:
    return [*tables.tickets.values()]


def _restore_ticket(tables: Tables, row: object, index: int) -> None:
    ticket = _ticket(row)
    tickets = tables.tickets_of.get(ticket.number, ())
    _require(ticket.number in tables.tokens and ticket.digest not in tables.tickets and ticket.expires_at >= 0)
    _require(len(tickets) < TICKETS_MAX)
    tables.tickets[ticket.digest] = ticket
    tables.tickets_of[ticket.number] = (*tickets, ticket.digest)


# --- revisions of posts: rooms by name, and in each its posts in the order of the last revision
# A row has up to 100 users (`chat.state.apply.posts.REACTIONS_MAX`).


def _copy_revisions(tables: Tables) -> list[Row]:
    rooms = tables.rooms.by_name
    changed = sorted(name for name, room in rooms.items() if room.revisions is not None)
    return [(name, id, *revision) for name in changed for id, revision in (rooms[name].revisions or {}).items()]


def _restore_revision(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Revisions")
    name, id, *fields = row
    room, revision = tables.rooms.by_name[name], _revision(fields)
    # Its Id is looked at when the room's posts are known (`Room.restore`).
    ascends = room.last_index < revision.last_index <= index
    has_record = (revision.tombstone_bytes > 0) is revision.deleted
    if type(id) is not int or not ascends or not has_record or not all(0 < at <= index for at in revision.entries):
        raise ValueError("Revisions")
    room.revise(id, revision)


# --- rooms beside their posts, by name; members several in a row


def _copy_details(tables: Tables) -> list[Row]:
    return [(room, *details._replace(members=_NO_MEMBERS)) for room, details in _described(tables)]


def _described(tables: Tables) -> list[tuple[str, RoomDetails]]:
    rooms = tables.rooms.by_name
    return sorted((name, room.details) for name, room in rooms.items() if room.details is not None)


def _restore_details(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not row:
        raise TypeError("Details")
    room, details = tables.rooms.by_name[row[0]], _details(row[1:])
    if details.visibility not in {PUBLIC, PRIVATE, DIRECT} or details.members:
        raise ValueError("Details")
    if not 0 <= details.changed_index <= index or min(details.made_at, details.touched_at, details.max_age_s) < 0:
        raise ValueError("Details")
    room.details = details
    room.last_index = max(room.last_index, details.changed_index)


def _copy_members(tables: Tables) -> list[Row]:
    return [
        (room, Part(details.members, start, MEMBERS_A_ROW))
        for room, details in _described(tables)
        for start in range(0, len(details.members), MEMBERS_A_ROW)
    ]


def _restore_members(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], list):
        raise TypeError("Members")
    room, names = tables.rooms.by_name[row[0]], row[1]
    if room.details is None or not all(isinstance(name, str) for name in names):
        raise TypeError("Members")
    users = tables.users  # whose names are one text each, however many rooms they are in
    members = room.details.members.union(users[name].name if name in users else name for name in names)
    if len(members) > MEMBERS_MAX:
        raise ValueError("Members")
    room.details = room.details._replace(members=members)


def _copy_turned_private(tables: Tables) -> list[Row]:
    return [*sorted(tables.rooms.turned_private.items())]


def _restore_turned_private(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(isinstance(name, str) for name in row):
        raise TypeError("TurnedPrivate")
    former, name = row
    if tables.rooms.by_name[former].details is not None:
        raise ValueError("TurnedPrivate")
    tables.rooms.turned_private[former] = name


def _copy_looks(tables: Tables) -> list[Row]:
    return [*sorted(tables.rooms.looks.items())]


def _restore_looks(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(isinstance(text, str) and text for text in row):
        raise TypeError("Looks")
    room, looks = row
    # That the room exists is looked at once its posts are read: it may have no details.
    if not is_public(tables.rooms.by_name[room]) or room in tables.rooms.looks:
        raise ValueError("Looks")
    tables.rooms.looks[room] = looks


# --- read markers: the rooms and their readers in the order in which these were made


def _copy_readers(tables: Tables) -> list[Row]:
    return [(room, user, *reader) for room, readers in tables.readers.items() for user, reader in readers.items()]


def _restore_reader(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Readers")
    name, user, *fields = row
    room, reader = tables.rooms.by_name[name], _reader(fields)
    readers = tables.readers.setdefault(name, {})
    ids = (reader.read_id, *reader.mentions)
    ascends = ids[0] >= 0 and ids[-1] <= room.newest_id and all(id < next for id, next in pairwise(ids))
    if not ascends or len(reader.mentions) > MENTIONS_MAX or user in readers or len(readers) >= READERS_MAX:
        raise ValueError("Readers")
    readers[tables.users[user].name] = reader


# --- preferences of users about rooms, in the order in which these were made


def _copy_preferences(tables: Tables) -> list[Row]:
    return [(room, user, *chosen) for room, users in tables.preferences.items() for user, chosen in users.items()]


def _restore_preferences(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Preferences")
    name, user, *fields = row
    preferences = _preferences(fields)
    # Whether the room exists is looked at once its posts are read: it may have no details.
    users = tables.preferences.setdefault(tables.rooms.by_name[name].name, {})
    _require(preferences != Preferences() and preferences.notify in ("", ALL, MENTIONS, NONE))
    _require(user not in users and len(users) < PREFERENCES_MAX)
    users[tables.users[user].name] = preferences


# --- imports: the rooms, and in each its imports, in the order in which they began


def _copy_imports(tables: Tables) -> list[Row]:
    return [
        (room, source, progress.messages, progress.runs)
        for room, imports in tables.imports.items()
        for source, progress in imports.items()
    ]


def _restore_import(tables: Tables, row: object, index: int) -> None:
    name, source, messages, runs = _import(row)
    progress = ImportProgress(messages, runs)
    # Whether the room exists is looked at once its posts are read: it may have no details.
    imports = tables.imports.setdefault(tables.rooms.by_name[name].name, {})
    numbers, ids = [number for number, _ in progress.runs], [id for _, id in progress.runs]
    _require(source not in imports and len(imports) < IMPORTS_MAX and 0 < len(progress.runs) <= RUNS_MAX)
    _require(all(a < b and id + b - a < next_id for (a, id), (b, next_id) in pairwise(progress.runs)))
    _require(0 < numbers[0] <= numbers[-1] <= progress.messages and (numbers[0] == 1 or len(progress.runs) == RUNS_MAX))
    _require(ids[0] > 0 and progress.id_of(progress.messages) <= tables.rooms.by_name[name].newest_id)
    imports[source] = progress


# --- forgotten rooms: two numbers for all of them, then a hash and an Id for each that had messages


def _copy_forgotten(tables: Tables) -> list[Row]:
    forgotten = tables.rooms.forgotten
    if not forgotten:
        return []
    return [(forgotten.lowest_id, forgotten.log_index, 0), *zip(forgotten.hashes, forgotten.ids, strict=True)]


def _restore_forgotten(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(type(number) is int and number >= 0 for number in row):
        raise TypeError("Forgotten")
    forgotten = tables.rooms.forgotten
    if len(row) == _FORGOTTEN_HEAD:
        forgotten.lowest_id, forgotten.log_index, _ = row
        if max(row) > index or forgotten.hashes:
            raise ValueError("Forgotten")
        return
    hash, id = row
    ascends = not forgotten.hashes or forgotten.hashes[-1] < hash
    if not ascends or not 0 < id <= index or len(forgotten.hashes) >= NAMES_MAX:
        raise ValueError("Forgotten")
    forgotten.hashes.append(hash)
    forgotten.ids.append(id)


# A line a table.
SECTIONS: tuple[Section, ...] = (
    Section("Settings", _copy_settings, _restore_settings),
    Section("LogTimes", _copy_log_times, _restore_log_time),
    Section("Leaps", _copy_leaps, _restore_leaps),
    Section("Users", _copy_users, _restore_user),
    Section("Tokens", _copy_tokens, _restore_token),
    Section("Invites", _copy_invites, _restore_invite),
    Section("Tickets", _copy_tickets, _restore_ticket),
    Section("Revisions", _copy_revisions, _restore_revision),
    Section("Details", _copy_details, _restore_details),
    Section("Members", _copy_members, _restore_members),
    Section("TurnedPrivate", _copy_turned_private, _restore_turned_private),
    Section("Looks", _copy_looks, _restore_looks),
    Section("Readers", _copy_readers, _restore_reader),
    Section("Preferences", _copy_preferences, _restore_preferences),
    Section("Imports", _copy_imports, _restore_import),
    Section("Erased", _copy_erased, _restore_erased),
    Section("Forgotten", _copy_forgotten, _restore_forgotten),
)


def copied(tables: Tables) -> Copied:
    """The rows of each section that has some.  Called under the state's lock."""
    return {section.name: rows for section in SECTIONS if (rows := section.copy(tables))}


def restore(tables: Tables, counts: object, next_value: Callable[[], dict[str, object]], index: int) -> None:
    """Restore the tables from the sections' lines, as `rows.read` has it.

    Raises KeyError, TypeError or ValueError.
    """
    restorers = {section.name: section.restore for section in SECTIONS}
    for name, rows in read(restorers, counts, next_value):
        for row in rows:
            restorers[name](tables, row, index)
