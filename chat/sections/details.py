"""What is known of rooms beside their posts, by the room's name."""

from chat.commands.codec import row_reader
from chat.sections.section import Row, Section
from chat.state.details import DIRECT, MEMBERS_MAX, PRIVATE, PUBLIC, RoomDetails
from chat.state.tables import Tables

_read = row_reader(RoomDetails)


def _copy(tables: Tables) -> list[Row]:
    rooms = tables.rooms.by_name
    return [(name, *details) for name in sorted(rooms) if (details := rooms[name].details) is not None]


def _take(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not row:
        raise TypeError("Details")
    room, details = tables.rooms.by_name[row[0]], _read(row[1:])
    if details.visibility not in {PUBLIC, PRIVATE, DIRECT} or len(details.members) > MEMBERS_MAX:
        raise ValueError("Details")
    if not 0 <= details.changed_index <= index or min(details.made_at, details.touched_at, details.max_age_s) < 0:
        raise ValueError("Details")
    room.details = details
    room.last_index = max(room.last_index, details.changed_index)


SECTION = Section("Details", _copy, _take)
