"""The newest log entry before a moment: all the memory that expiry by age needs.

A list of claims (T, I): every entry below log index I is older than T.  Each is true by itself, so any may be dropped;
what is dropped only makes something expire later.  A claim is made of each second in which something was applied; at
CLAIMS_MAX the older ones are thinned, so that the answer for a moment is late by about a 64th of its age, or a second.

Rules.  A function of the log alone: of the times and indexes of its entries .  Times fall only where the
log's time is set to another one (raft/engine/clocks.py), and then the claims move with it.  No age grows by that: a
leap forwards moves all of them; one back first takes away what leaps forwards added, and then the claims of times that
are yet to come are given up, since all that is there is older than the time that the log has now.
"""

from bisect import bisect_right

CLAIMS_MAX = 4096
_SECOND = 1_000_000  # microseconds
_PRECISION = 64


class LogTimes:
    """The claims."""

    __slots__ = ("added", "indexes", "moments", "open_until")

    def __init__(self) -> None:
        self.moments: list[int] = []  # T, ascending, microseconds since 1970
        self.indexes: list[int] = []  # I
        self.added = 0  # by leaps forwards, and not taken away since
        self.open_until = 0  # an entry of this time or later is to be noted; 0: none was noted yet

    def note(self, time: int, index: int) -> None:
        """Note an entry of a time >= `open_until`, the first one too: all entries before it came before that."""
        if self.open_until:
            self.moments.append(self.open_until)
            self.indexes.append(index)
        self.open_until = time + _SECOND
        if len(self.moments) >= CLAIMS_MAX:
            self._thin()

    def set_clock(self, before: int, time: int) -> int:
        """The log's time, which was `before`, is `time` now; by how much what has a life moves."""
        moved = max(time - before, -self.added)
        self.added += moved
        if self.open_until:
            self.moments = [moment + moved for moment in self.moments if moment + moved <= time]  # ascending
            del self.indexes[len(self.moments) :]
            self.open_until = min(self.open_until + moved, time + _SECOND)
        return moved

    def before(self, moment: int, next_index: int) -> int:
        """The last log index of which is known that it is older than `moment`; 0 for none.

        `next_index` comes after the newest entry there is.
        """
        if 0 < self.open_until <= moment:
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
