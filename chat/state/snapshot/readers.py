"""How far each has read: the rooms and their readers in the order in which these were made.

{"Readers":[["general","ann",7,[9,12]]]}
"""

from itertools import pairwise

from chat.commands.json_codec import row_reader
from chat.state.read_positions import MENTIONS_MAX, READERS_MAX, Reader
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_read = row_reader(Reader)


def _copy(tables: Tables) -> list[Row]:
    return [(room, user, *reader) for room, readers in tables.readers.items() for user, reader in readers.items()]


def _take(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Readers")
    name, user, *fields = row
    room, reader = tables.rooms.by_name[name], _read(fields)
    readers = tables.readers.setdefault(name, {})
    ids = (reader.read_id, *reader.mentions)
    ascends = ids[0] >= 0 and ids[-1] <= room.newest_id and all(id < next for id, next in pairwise(ids))
    if not ascends or len(reader.mentions) > MENTIONS_MAX or user in readers or len(readers) >= READERS_MAX:
        raise ValueError("Readers")
    readers[tables.users[user].name] = reader


SECTION = Section("Readers", _copy, _take)
