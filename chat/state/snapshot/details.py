"""What is known of rooms beside their posts, by the room's name; and their members, some in a row."""

from chat.commands.json_codec import row_reader
from chat.state.room_details import DIRECT, MEMBERS_MAX, PRIVATE, PUBLIC, RoomDetails
from chat.state.room_directory import is_public
from chat.state.snapshot.section import Part, Row, Section
from chat.state.tables import Tables

MEMBERS_A_ROW = 500  # of 64 code points each: half of what a row may have

_read = row_reader(RoomDetails)
_NOBODY: frozenset[str] = frozenset()


def _copy(tables: Tables) -> list[Row]:
    return [(room, *details._replace(members=_NOBODY)) for room, details in _described(tables)]


def _described(tables: Tables) -> list[tuple[str, RoomDetails]]:
    rooms = tables.rooms.by_name
    return sorted((name, room.details) for name, room in rooms.items() if room.details is not None)


def _take(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not row:
        raise TypeError("Details")
    room, details = tables.rooms.by_name[row[0]], _read(row[1:])
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


def _take_members(tables: Tables, row: object, index: int) -> None:
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


def _take_turned_private(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(isinstance(name, str) for name in row):
        raise TypeError("TurnedPrivate")
    former, name = row
    if tables.rooms.by_name[former].details is not None:
        raise ValueError("TurnedPrivate")
    tables.rooms.turned_private[former] = name


def _copy_looks(tables: Tables) -> list[Row]:
    return [*sorted(tables.rooms.looks.items())]


def _take_looks(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(isinstance(text, str) and text for text in row):
        raise TypeError("Looks")
    room, looks = row
    # That the room exists is looked at once its posts are read: it may have no details.
    if not is_public(tables.rooms.by_name[room]) or room in tables.rooms.looks:
        raise ValueError("Looks")
    tables.rooms.looks[room] = looks


SECTION = Section("Details", _copy, _take)
LOOKS = Section("Looks", _copy_looks, _take_looks)
TURNED_PRIVATE = Section("TurnedPrivate", _copy_turned_private, _take_turned_private)
MEMBERS = Section("Members", _copy_members, _take_members)
