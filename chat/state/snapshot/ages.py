"""Which log index was the last at a moment: the window that is open, then the claims."""

from chat.state.log_times import CLAIMS_MAX
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables


def _copy(tables: Tables) -> list[Row]:
    ages = tables.ages
    return [(ages.open_until,), *zip(ages.moments, ages.indexes, strict=True)]


def _take(tables: Tables, row: object, index: int) -> None:
    ages = tables.ages
    if not isinstance(row, list) or not all(type(number) is int and number > 0 for number in row):
        raise TypeError("Ages")
    if not ages.begun:
        (ages.open_until,) = row
        return
    moment, at = row
    ascends = not ages.moments or (ages.moments[-1] < moment and ages.indexes[-1] < at)
    if not ascends or moment >= ages.open_until or at > index or len(ages.moments) >= CLAIMS_MAX:
        raise ValueError("Ages")
    ages.moments.append(moment)
    ages.indexes.append(at)


def _copy_added(tables: Tables) -> list[Row]:
    return [(tables.ages.added,)] if tables.ages.added else []


def _take_added(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int or row[0] <= 0:
        raise ValueError("Leaps")
    tables.ages.added = row[0]


LEAPS = Section("Leaps", _copy_added, _take_added)
SECTION = Section("Ages", _copy, _take)
