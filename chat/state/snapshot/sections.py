"""All of the state's document that came with level 3, a section a table.

The header tells how many rows each section has; the rows follow the rooms' lines, in this order, some in a line:

    {"Settings":[["login","invite",0,0,0,0,0]]}
    {"LogTimes":[[1795428001123456],[1795428000123456,17]]}

A section that has no rows is not there.
"""

import json
from collections.abc import Callable, Iterator

from chat.state.snapshot import accounts, ages, changes, details, forgotten, readers, settings
from chat.state.snapshot.section import Part, Row, Section
from chat.state.tables import Tables

# One line a table.  What is taken first may be needed by what comes after.
SECTIONS: tuple[Section, ...] = (
    settings.SECTION, ages.SECTION, ages.LEAPS,
    accounts.USERS, accounts.TOKENS, accounts.INVITES, accounts.TICKETS,
    changes.SECTION, details.SECTION, details.MEMBERS, details.TURNED_PRIVATE, details.LOOKS, readers.SECTION,
    settings.ERASED, forgotten.SECTION,
)  # fmt: skip

ROWS_MAX = 1_000  # in a line
ROW_BYTES_MAX = LINE_BYTES_MAX = 256 * 1024

Copied = dict[str, list[Row]]


def _plain(value: object) -> object:
    """What JSON has no form for."""
    match value:
        case bytes():
            return value.hex()
        case frozenset():
            return sorted(value)
        case Part():
            return value.names()
        case _:
            raise TypeError(type(value).__name__)


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)


def copied(tables: Tables) -> Copied:
    """The sections that have rows; under the state's lock."""
    return {section.name: rows for section in SECTIONS if (rows := section.copy(tables))}


def lines(sections: Copied) -> Iterator[bytes]:
    """The rows of all the sections, in lines."""
    for name, rows in sections.items():
        some: list[str] = []
        size = 0
        for row in rows:
            text = _encoder.encode(row)
            if some and (len(some) == ROWS_MAX or size + len(text.encode()) > LINE_BYTES_MAX):
                yield _line(name, some)
                some, size = [], 0
            some.append(text)
            size += len(text.encode())
        yield _line(name, some)


def _line(name: str, rows: list[str]) -> bytes:
    return f'{{"{name}":[{",".join(rows)}]}}'.encode()


def read(tables: Tables, counts: object, value: Callable[[], dict[str, object]], index: int) -> None:
    """Take in so many rows of each section, from the lines that `value` gives one after the other.

    Raises KeyError, TypeError or ValueError.
    """
    if not isinstance(counts, dict):
        raise TypeError("Sections")
    for section in SECTIONS:
        left = counts.get(section.name, 0)
        if type(left) is not int:
            raise TypeError(section.name)
        while left > 0:
            rows = value()[section.name]
            if not isinstance(rows, list) or not 0 < len(rows) <= left:
                raise TypeError(section.name)
            left -= len(rows)
            for row in rows:
                section.take(tables, row, index)
