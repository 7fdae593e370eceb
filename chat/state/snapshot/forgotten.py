"""What is left of forgotten rooms: two numbers for all of them, then a hash and an Id for each that had messages.

{"Forgotten":[[3,17],[1234567890123456789,12]]}
"""

from chat.state.forgotten_rooms import NAMES_MAX
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_FIRST = 3  # numbers in the first row


def _copy(tables: Tables) -> list[Row]:
    forgotten = tables.rooms.forgotten
    if not forgotten:
        return []
    return [(forgotten.lowest_id, forgotten.log_index, 0), *zip(forgotten.hashes, forgotten.ids, strict=True)]


def _take_forgotten(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or not all(type(number) is int and number >= 0 for number in row):
        raise TypeError("Forgotten")
    forgotten = tables.rooms.forgotten
    if len(row) == _FIRST:
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


SECTION = Section("Forgotten", _copy, _take_forgotten)
