"""Which entry of the log was the last before a moment: all the memory that expiry by age needs.

A list of claims (T, I): every entry below log index I is older than T.  Each is true by itself, so any may be dropped;
what is dropped only makes something expire later.  A claim is made of each second in which something was applied; at
CLAIMS_MAX the older ones are thinned, so that what is told of a moment is late by about a 64th of its age, or a second.

Rules.  A function of the log alone: of the times and indexes of its entries since `begin`.  Times never fall.
"""

from bisect import bisect_right

CLAIMS_MAX = 4096
_SECOND = 1_000_000  # microseconds
_PRECISION = 64
_NEVER = 1 << 63


class Ages:
    """The claims.  Nothing is noted before `begin`."""

    __slots__ = ("indexes", "moments", "open_until")

    def __init__(self) -> None:
        self.moments: list[int] = []  # T, ascending, microseconds since 1970
        self.indexes: list[int] = []  # I
        self.open_until = _NEVER  # whoever applies an entry of this time or later is to `note` it

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return self.open_until != _NEVER

    def begin(self, time: int) -> None:
        """All entries so far are of this time at most."""
        self.open_until = time + _SECOND

    def note(self, time: int, index: int) -> None:
        """An entry is applied, of a time >= `open_until`: all entries before it came before that."""
        self.moments.append(self.open_until)
        self.indexes.append(index)
        self.open_until = time + _SECOND
        if len(self.moments) >= CLAIMS_MAX:
            self._thin()

    def before(self, moment: int, next_index: int) -> int:
        """The last log index of which is known that it is older than `moment`; 0 for none.

        `next_index` comes after the newest entry there is.
        """
        if self.open_until <= moment:
            return next_index - 1
        at = bisect_right(self.moments, moment)
        return self.indexes[at - 1] - 1 if at else 0

    def _thin(self) -> None:
        """Drop what leaves no larger hole than a 64th of its age: some 2,000 stay of ten years."""
        newest = kept = self.moments[-1]
        stays = [True] * len(self.moments)
        for at in range(len(self.moments) - 2, 0, -1):
            older = self.moments[at - 1]
            stays[at] = kept - older > max((newest - older) // _PRECISION, _SECOND)
            if stays[at]:
                kept = self.moments[at]
        self.moments = [moment for moment, stay in zip(self.moments, stays, strict=True) if stay]
        self.indexes = [index for index, stay in zip(self.indexes, stays, strict=True) if stay]
