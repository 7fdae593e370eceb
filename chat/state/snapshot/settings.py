"""The cluster's settings, and what else is a number or two."""

from chat.commands.json_codec import row_reader
from chat.state.settings import Settings
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_read = row_reader(Settings)


def _copy(tables: Tables) -> list[Row]:
    return [tables.settings] if tables.settings != Settings() else []


def _take(tables: Tables, row: object, index: int) -> None:
    tables.settings = _read(row)


def _copy_erased(tables: Tables) -> list[Row]:
    return [(tables.erased_index,)] if tables.erased_index else []


def _take_erased(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int or not 0 < row[0] <= index:
        raise ValueError("Erased")
    tables.erased_index = row[0]


SECTION = Section("Settings", _copy, _take)
ERASED = Section("Erased", _copy_erased, _take_erased)
