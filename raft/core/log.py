"""The log as the core sees it: the term at every index, and the recent tail of entries.

Terms are kept as runs (one pair a term, not one an entry), so memory does not grow with the log.  Only recent entries
are held: older ones, for a follower that lags or for the apply thread after a start, are read from disk, outside of the
core.

Rules kept here: indexes have no gap; terms never fall; entries at or below the base are committed and fixed.
"""

from bisect import bisect_right
from collections.abc import Sequence

from raft.core.raft_messages import Entry

TAIL_ENTRIES_MAX = 8_192  # about a second of writing at full speed
TAIL_BYTES_MAX = 16 << 20
SLICE_ENTRIES_MAX = 2_048  # 1 MiB holds 18,000 of the smallest, and each takes a receiver some 10 µs


class Log:
    """The terms of all entries, and the recent entries.  `base_*`: the snapshot's last entry, 0 without one."""

    def __init__(
        self, runs: Sequence[tuple[int, int]] = (), last_index: int = 0, base_index: int = 0, base_term: int = 0
    ) -> None:
        """`runs`: (first index, term) of the log on disk up to `last_index`, ascending."""
        self.base_index = base_index
        self.base_term = base_term
        self.last_index = max(last_index, base_index)
        self._run_first = [first for first, _ in runs]
        self._run_term = [term for _, term in runs]
        self._tail: list[Entry] = []
        self._tail_bytes = 0

    @property
    def last_term(self) -> int:
        """The term of the last entry."""
        return self._run_term[-1] if self._run_term else self.base_term

    @property
    def tail_first(self) -> int:
        """The first index held in memory; last_index + 1 if there is none."""
        return self.last_index - len(self._tail) + 1

    def term_at(self, index: int) -> int | None:
        """Return the term at `index`; None outside of what this log still knows."""
        if index == self.base_index:
            return self.base_term
        if not self.base_index < index <= self.last_index:
            return None
        return self._run_term[bisect_right(self._run_first, index) - 1]

    def first_index_of_term_at(self, index: int) -> int:
        """Return the first index of the run of equal terms that contains `index` (base < index <= last)."""
        return self._run_first[bisect_right(self._run_first, index) - 1]

    def last_index_of_term(self, term: int) -> int:
        """Return the last index of `term`; 0 if the log has no entry of that term."""
        run = bisect_right(self._run_term, term) - 1
        if run < 0 or self._run_term[run] != term:
            return 0
        return self._run_first[run + 1] - 1 if run + 1 < len(self._run_first) else self.last_index

    def is_up_to_date(self, last_log_index: int, last_log_term: int) -> bool:
        """Return whether a candidate's log is at least as up to date as this one (Raft §5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries; the oldest ones leave memory once the tail exceeds its bounds."""
        for entry in entries:
            assert entry.index == self.last_index + 1 and entry.term >= self.last_term
            if entry.term > self.last_term or not self._run_term:
                self._run_first.append(entry.index)
                self._run_term.append(entry.term)
            self._tail.append(entry)
            self._tail_bytes += len(entry.record)
            self.last_index = entry.index
        self._trim()

    def truncate_from(self, index: int) -> None:
        """Forget `index` and all after it (Raft §5.3)."""
        assert self.base_index < index
        if index > self.last_index:
            return
        keep = max(0, index - self.tail_first)
        self._tail_bytes -= sum(len(entry.record) for entry in self._tail[keep:])
        del self._tail[keep:]
        while self._run_first and self._run_first[-1] >= index:
            self._run_first.pop()
            self._run_term.pop()
        self.last_index = index - 1

    def compact(self, index: int, term: int) -> None:
        """Forget the terms up to `index`, whose entry has `term`: a snapshot holds those entries now (Raft §7)."""
        assert self.term_at(index) == term
        runs = bisect_right(self._run_first, index + 1) - 1  # the runs before the one with the next index
        keep = max(runs, 0) if index < self.last_index else len(self._run_first)
        del self._run_first[:keep], self._run_term[:keep]
        self.base_index, self.base_term = index, term

    def slice(self, first: int, last: int, bytes_max: int) -> tuple[Entry, ...] | None:
        """Return entries from `first` to `last`, but no more than `bytes_max` and SLICE_ENTRIES_MAX; at least one.

        None: `first` is not in memory any more.
        """
        start = first - self.tail_first
        if start < 0:
            return None
        entries = self._tail[start : start + min(last - first + 1, SLICE_ENTRIES_MAX)]
        size = 0
        for count, entry in enumerate(entries):
            size += len(entry.record)
            if size > bytes_max and count:
                return tuple(entries[:count])
        return tuple(entries)

    def _trim(self) -> None:
        # Half of the tail is dropped at once, so the list is moved only once in thousands of entries.
        if len(self._tail) <= TAIL_ENTRIES_MAX and self._tail_bytes <= TAIL_BYTES_MAX:
            return
        start, size = len(self._tail), 0
        while start and len(self._tail) - start < TAIL_ENTRIES_MAX // 2 and size < TAIL_BYTES_MAX // 2:
            start -= 1
            size += len(self._tail[start].record)
        del self._tail[:start]
        self._tail_bytes = size
