"""Which log index was the last at a moment: the window that is open, then the claims."""

from chat.state.log_times import CLAIMS_MAX
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables


def _copy(tables: Tables) -> list[Row]:
    log_times = tables.log_times
    if not log_times.open_until:
        return []
    return [(log_times.open_until,), *zip(log_times.moments, log_times.indexes, strict=True)]


def _take(tables: Tables, row: object, index: int) -> None:
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


def _copy_added(tables: Tables) -> list[Row]:
    return [(tables.log_times.added,)] if tables.log_times.added else []


def _take_added(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int or row[0] <= 0:
        raise ValueError("Leaps")
    tables.log_times.added = row[0]


LEAPS = Section("Leaps", _copy_added, _take_added)
SECTION = Section("LogTimes", _copy, _take)
