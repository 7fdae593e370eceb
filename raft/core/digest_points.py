"""The entries after which every member takes a digest of its state: a function of the log's times alone.

Time is divided into periods.  The first entry whose time lies in another period than the entry before it is such a
point.  All members apply the same entries, so they find the same points without a word to each other, also those that
replay a log, or go on from a snapshot.

A digest is only ever compared with one of the same log index.  So a point that a member misses costs a comparison and
nothing else: it may skip points while it is busy, and need not look at each entry of a batch.
"""

FINE_US = 10_000_000  # while some member's state is in doubt, so that it serves again soon
COARSE_US = 180_000_000  # a multiple of FINE_US: the points of the long periods are some of the short ones'


class DigestPoints:
    """Finds the points in the entries that one member applies."""

    def __init__(self) -> None:
        self._start = 0  # of the short period of the last entry, in microseconds since 1970

    def go_on(self, time: int) -> None:
        """Go on after an entry of this time."""
        self._start = time - time % FINE_US

    def is_within(self, time: int) -> bool:
        """Return whether this time lies in the period of the last entry: then there is no point at it."""
        return 0 <= time - self._start < FINE_US

    def passed(self, time: int) -> tuple[bool, bool]:
        """Pass an entry of this time; return whether it is a point, and whether it is one of the longer periods."""
        before = self._start
        if self.is_within(time):
            return False, False
        self.go_on(time)
        return True, before // COARSE_US != time // COARSE_US
