"""A section of the state's document: one table as rows of JSON, several rows in a line.

The header tells how many rows each section has.  The rows follow the lines of the rooms, section by section:

    {"Settings":[["login","invite",0,0,0,0,0]]}
    {"LogTimes":[[1795428001123456],[1795428000123456,17]]}

A section without rows is left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chat.state.tables import Tables

ROWS_MAX = 1_000  # in a line
ROW_BYTES_MAX = LINE_BYTES_MAX = 256 * 1024

Row = Sequence[object]
Copied = dict[str, list[Row]]  # by the section's name


@dataclass(frozen=True, slots=True)
class Part:
    """A slice of a sorted set.  It is sorted when it is written, and so not under the state's lock."""

    whole: frozenset[str]
    start: int
    count: int

    def names(self) -> list[str]:
        """The names in this slice, sorted."""
        return sorted(self.whole)[self.start : self.start + self.count]


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


def _plain(value: object) -> object:
    """A JSON form for a value that has none."""
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


def lines(copied: Copied) -> Iterator[bytes]:
    """The rows of all sections, in lines of up to ROWS_MAX rows and about LINE_BYTES_MAX."""
    for name, rows in copied.items():
        waiting: list[str] = []
        size = 0
        for row in rows:
            text = _encoder.encode(row)
            if waiting and (len(waiting) == ROWS_MAX or size + len(text.encode()) > LINE_BYTES_MAX):
                yield _line(name, waiting)
                waiting, size = [], 0
            waiting.append(text)
            size += len(text.encode())
        yield _line(name, waiting)


def _line(name: str, rows: list[str]) -> bytes:
    return f'{{"{name}":[{",".join(rows)}]}}'.encode()


def read(
    sections: Iterable[Section],
    tables: Tables,
    counts: object,
    next_value: Callable[[], dict[str, object]],
    index: int,
) -> None:
    """Restore the tables from the sections' lines: `counts` rows each, from the objects that `next_value` returns.

    Raises KeyError, TypeError or ValueError.
    """
    if not isinstance(counts, dict):
        raise TypeError("Sections")
    for section in sections:
        left = counts.get(section.name, 0)
        if type(left) is not int:
            raise TypeError(section.name)
        while left > 0:
            rows = next_value()[section.name]
            if not isinstance(rows, list) or not 0 < len(rows) <= left:
                raise TypeError(section.name)
            left -= len(rows)
            for row in rows:
                section.restore(tables, row, index)
