"""What one segment leaves of itself in the log: read from its lines or from the index beside it (indexes.py), or noted
as it was written.

Rules.  A segment's records are taken in their order, and one at index i cancels every earlier one at i or above, those
of earlier segments too.  So from the lowest index in the segment on, all entries that are in force after it are its
own, without a gap; nothing else of it is in force; and which these are does not depend on what was before it.  Only
whether its first entry leaves a gap does.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from raft.core.entries import entry_of_verified
from raft.core.raft_messages import Entry, HardState, Kind
from raft.errors import InvalidMessage
from raft.storage.disk import ReadFile
from raft.storage.positions import pack
from raft.storage.segments import Header, Line, decode_opening, intact_lines

_PROGRESS_BYTES = 1 << 20  # 10 to 30 ms apart, whatever the length of the entries


@dataclass(slots=True)
class Content:
    """Those of a segment's entries that none of its own cancels."""

    first_written: int = 0  # the index of its first record; 0 where it has no entries
    first_index: int = 1  # the lowest: all entries from here on are this segment's
    positions: "array[int]" = field(default_factory=lambda: array("Q"))  # from `first_index` on, in file 0
    term_runs: list[tuple[int, int]] = field(default_factory=list)  # (first index, term)
    last_time: int = 0
    configurations: list[Entry] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        """`first_index` - 1 where there are no entries."""
        return self.first_index + len(self.positions) - 1

    def take(self, line: Line, offset: int) -> None:
        """An entry's record, next in order.  Raises InvalidMessage where it leaves a gap."""
        index_digits, term_digits, time_digits, configuration = line.group(3, 4, 5, 6)
        position = pack(0, offset, line.end() - line.start())
        self._add(int(index_digits), int(term_digits), int(time_digits), position)
        if configuration is not None:
            self.configurations.append(entry_of_verified(line[0]))

    def note(self, entry: Entry, position: int) -> None:
        """An entry that was written there, next in order; its file may have any number, but the same for all."""
        self._add(entry.index, entry.term, entry.time, position)
        if entry.kind is Kind.CONFIGURATION:
            self.configurations.append(entry)

    def _add(self, index: int, term: int, time: int, position: int) -> None:
        if index != self.first_index + len(self.positions) or not self.first_written:
            self._rewind(index)
        self.last_time = time
        if not self.term_runs or self.term_runs[-1][1] != term:
            self.term_runs.append((index, term))
        self.positions.append(position)

    def _rewind(self, index: int) -> None:
        if not self.first_written:
            self.first_written = self.first_index = index
            return
        if not 1 <= index <= self.last_index + 1:
            raise InvalidMessage(f"entry {index} right after entry {self.last_index}")
        del self.positions[max(0, index - self.first_index) :]
        self.first_index = min(index, self.first_index)
        while self.term_runs and self.term_runs[-1][0] >= index:
            self.term_runs.pop()
        while self.configurations and self.configurations[-1].index >= index:
            self.configurations.pop()


@dataclass(slots=True)
class SegmentScan:
    """Reads a segment from its beginning, as far as it is intact."""

    header: Header
    after: int  # the last entry before it
    hard_state: HardState  # the last one
    content: Content = field(default_factory=Content)
    stop: int = 0  # where the first damage is, or the end
    durable: int = 0  # the highest durable offset named

    @classmethod
    def of(cls, header: Header, after: int) -> "SegmentScan":
        """One that has read nothing yet, of a segment whose first entry comes at most after entry `after`."""
        return cls(header, after, header.hard_state)

    def run(self, file: ReadFile, end: int, progress: Callable[[int], None]) -> None:
        """Read up to `end`; `progress(offset)` is called every MiB, and may raise.

        Raises InvalidMessage: what is at `stop` is intact, and out of place.
        """
        entries = told = 0
        for offset, line in intact_lines(file, 0, end):
            if line[3] is not None:
                if not entries and not 1 <= int(line[3]) <= self.after + 1:
                    raise InvalidMessage(f"entry {int(line[3])} right after entry {self.after}")
                self.content.take(line, offset)
                entries += 1
                if offset >= told + _PROGRESS_BYTES:
                    told = offset
                    progress(offset)
            elif offset == 0:
                self.durable = line.end() - line.start() + self.header.carried
            else:
                durable, self.hard_state = decode_opening(line[2])
                self.durable = max(self.durable, durable)
            self.stop = offset + line.end() - line.start()
