"""What a section of the state's document is: a table that is written as rows, and read from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chat.state.tables import Tables

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what is in a set, in order: it is put in order when it is written, and not under the state's lock."""

    whole: frozenset[str]
    start: int
    count: int

    def names(self) -> list[str]:
        """These of it."""
        return sorted(self.whole)[self.start : self.start + self.count]


class Section(NamedTuple):
    """One section.

    `copy`, under the state's lock, gives its rows in an order that follows from the state; none where there is nothing
    to say.  It copies references and no more: texts, numbers, bytes, tuples,
    frozensets and parts of them (which are written sorted).  A row is up to ROW_BYTES_MAX of JSON.
    `take` puts one row, a list, into the tables, in which all sections before it are; the document is one of log
    index `index`.  It raises KeyError, TypeError or ValueError where no state gives such a row.
    """

    name: str
    copy: Callable[[Tables], list[Row]]
    take: Callable[[Tables, object, int], None]
