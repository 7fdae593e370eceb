"""What a section of the state's document is: a table that is written as rows, and read from them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chat.state.tables import Tables

Row = Sequence[object]


class Section(NamedTuple):
    """One section.

    `copy`, under the state's lock, gives its rows in an order that follows from the state; none where there is nothing
    to say.  It copies references and no more: texts, numbers, bytes, tuples and frozensets (which are written sorted).
    A row is up to ROW_BYTES_MAX of JSON.
    `take` puts one row, a list, into the tables, in which all sections before it are; the document is one of log
    index `index`.  It raises KeyError, TypeError or ValueError where no state gives such a row.
    """

    name: str
    copy: Callable[[Tables], list[Row]]
    take: Callable[[Tables, object, int], None]
