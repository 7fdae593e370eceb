"""The times that answers took: a list for each class of status, by its first digit.

Any thread appends, which is one step of the interpreter, so none loses another one's, and no lock is needed.  Whoever
hands the lists in takes the durations out again, a bit later than once a second.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol


class Note(Protocol):
    """A place for durations, in seconds: a list, mostly."""

    def append(self, duration_s: float, /) -> object:
        """Note one."""


Durations = Sequence[Note]  # by the first digit of the status

_NOWHERE: Final[deque[float]] = deque(maxlen=0)
NOT_COUNTED: Final[Durations] = (_NOWHERE,) * 6
