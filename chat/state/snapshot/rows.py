"""A section of the state's document: one table as rows of JSON, several rows in a line.

The header tells how many rows each section has.  The rows follow the lines of the rooms, section by section:

    {"Settings":[["login","invite",0,0,0,0,0]]}
    {"LogTimes":[[1795428001123456],[1795428000123456,17]]}

A section without rows is left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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
    names: Iterable[str], counts: object, next_value: Callable[[], dict[str, object]]
) -> Iterator[tuple[str, list[object]]]:
    """The rows of the sections with these names, in pieces: `counts` of each, from what `next_value` returns.

    Raises KeyError or TypeError.
    """
    if not isinstance(counts, dict):
        raise TypeError("Sections")
    for name in names:
        left = counts.get(name, 0)
        if type(left) is not int:
            raise TypeError(name)
        while left > 0:
            rows = next_value()[name]
            if not isinstance(rows, list) or not 0 < len(rows) <= left:
                raise TypeError(name)
            left -= len(rows)
            yield name, rows
