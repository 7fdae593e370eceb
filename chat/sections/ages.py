"""Which log index was the last at a moment: the window that is open, then the claims."""

from chat.sections.section import Row, Section
from chat.state.ages import CLAIMS_MAX
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


SECTION = Section("Ages", _copy, _take)
