"""The log on disk, which is the database: one object over the segment files of a data directory.

Rules.  What `append` returned from is durable, all of it or (it raised) nobody knows: a failed write or fsync makes
the storage unusable, because what the disk then holds is unknown and an fsync that is tried again lies.  A batch is
one write and one fdatasync, and carries the hard state.  One thread appends; any thread reads, during appends too,
and no lock is held across I/O.  An entry's text is on disk once and in memory never: eight bytes an entry say where.

What a segment looks like is in `segments.py`, what a start accepts in `recovery.py`.  Checkpoints, compaction and
snapshots will hang in here: they replace a prefix of the segments, never a byte of one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from raft.disk import Disk
from raft.errors import CorruptLog, DiskFailed, InvalidMessage
from raft.identity import ADVICE
from raft.messages import Entry, HardState
from raft.positions import SEGMENT_BYTES_MAX, count_within, pack, runs
from raft.records import RECORD_BYTES_MAX, entry_of_verified, unseal
from raft.recovery import Progress, RecoveredLog, recover
from raft.segments import Header, SegmentWriter, encode_opening, segment_name, sequence_of

SEGMENT_BYTES = 64 << 20  # at most this much is read again where one file is read from its start
BATCH_BYTES_MAX = SEGMENT_BYTES_MAX // 2  # a segment begins a batch below its bound and must hold all of it
_REPLAY_BYTES = 4 * RECORD_BYTES_MAX  # read at a time in a start
_RECORD_BYTES_MIN = 48  # the shortest entry there can be, rounded down

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found on the disk."""

    hard_state: HardState  # `commit_index` is a hint: never more than was committed, sometimes less
    last_index: int
    term_runs: tuple[tuple[int, int], ...]  # (first index, term), ascending
    last_time: int  # of the last entry, 0 where there is none
    configurations: tuple[Entry, ...]  # those the log still holds, in its order
    reports: tuple[str, ...]  # a line for each thing that was cut


class Storage:
    """The log of one member.  Make it with `open`."""

    def __init__(self, disk: Disk, data_dir: Path, cluster_id: str, segment_bytes: int, log: RecoveredLog) -> None:
        assert segment_bytes <= SEGMENT_BYTES_MAX - BATCH_BYTES_MAX
        self._disk = disk
        self._data_dir = data_dir
        self._cluster_id = cluster_id
        self._segment_bytes = segment_bytes
        self._segments = log.segments  # their names; a position names a segment by its place here
        self._positions = log.positions
        self._hard_state = log.hard_state
        self._sealed_bytes = log.bytes_on_disk  # of all segments but the one that is appended to
        self._failure = ""  # why the storage is unusable
        self._closed = False
        self.recovered = Recovered(
            log.hard_state,
            log.last_index,
            tuple(log.term_runs),
            log.last_time,
            tuple(log.configurations),
            tuple(log.reports),
        )
        self._writer = self._final(lambda: self._open_segment(log))

    @classmethod
    def open(
        cls,
        disk: Disk,
        data_dir: Path,
        cluster_id: str = "",
        *,
        must_exist: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        progress: Progress | None = None,
    ) -> "Storage":
        """Recover the log and open a new segment for what comes; the caller holds the directory's lock.

        `cluster_id` is the identity's; a member of a cluster, and one that `must_exist`, is not started without its
        log.  `progress(bytes done, bytes in all)` is called now and then.  When this returns, all that was recovered
        is durable.  Raises CorruptLog, StartRefused or DiskFailed.
        """
        log = recover(disk, data_dir, cluster_id, must_exist or bool(cluster_id), progress)
        return cls(disk, data_dir, cluster_id, segment_bytes, log)

    @property
    def last_index(self) -> int:
        """Of the last entry written; durable once `append` returned."""
        return self._positions.last_index

    @property
    def bytes_on_disk(self) -> int:
        """The size of all segments."""
        return self._sealed_bytes + self._writer.size

    def set_cluster_id(self, cluster_id: str) -> None:
        """Put this ClusterId into the segments to come.  Save it in the identity first."""
        self._cluster_id = cluster_id

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make the hard state (None: as it was) and the entries durable, in one write and one fdatasync.

        `entries` may rewind, more than once: an entry at index i replaces every earlier one at i or above.  They can
        be read as soon as they are written.  One thread only.  Raises DiskFailed: what is durable is not known.
        """
        self._check_usable()
        assert not self._closed
        self._final(lambda: self._append(hard_state or self._hard_state, entries))

    def _append(self, hard_state: HardState, entries: Sequence[Entry]) -> None:
        if self._writer.size >= self._segment_bytes:
            self._rotate()  # with the old hard state: what the new one calls committed is not in the log yet
        self._hard_state = hard_state
        start = self._writer.size
        lowest = min((entry.index for entry in entries), default=self.last_index + 1)
        commit_index = min(hard_state.commit_index, lowest - 1)  # what holds whatever part a crash leaves
        opening = encode_opening(start, replace(hard_state, commit_index=commit_index))
        batch = b"".join([opening, *(entry.record for entry in entries)])
        assert len(batch) <= BATCH_BYTES_MAX
        pairs = self._place(((entry.index, len(entry.record)) for entry in entries), start + len(opening))
        self._writer.write(batch)
        self._positions.set(pairs)
        self._writer.sync()

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """The records of `first` and the following up to `last`: at least one, then as many as fit in `bytes_max`.

        Any thread.  Their checksums are verified.  Raises LookupError (the log does not hold them, or no longer),
        CorruptLog (the disk gives back something else than was written), DiskFailed, or OSError of the reading.
        """
        self._check_usable()
        last = min(last, first + bytes_max // _RECORD_BYTES_MIN)
        positions = self._positions.get_range(first, last)
        count = count_within(positions, bytes_max)
        return self._read(range(first, first + count), positions[:count])

    def read_many(self, indexes: Sequence[int]) -> list[bytes]:
        """The records of some indexes, ascending; neighbours in the file are read in one go.  As `read` otherwise."""
        self._check_usable()
        return self._read(indexes, self._positions.get_many(indexes))

    def replay(self, first: int, last: int, progress: Progress | None = None) -> Iterator[Entry]:
        """The entries `first` to `last`, read in large pieces.  `progress(entries done, entries in all)`."""
        index = first
        while index <= last:
            records = self.read(index, last, _REPLAY_BYTES)
            for record in records:
                yield entry_of_verified(record)
            index += len(records)
            if progress is not None:
                progress(index - first, last - first + 1)

    def close(self) -> None:
        """Mark all as durable, so that damage to the last batch is from now on told from a crash's, and close.

        Raises DiskFailed; a second time does nothing.
        """
        if self._closed:
            return
        try:
            self.append(None, ())
        finally:
            self._closed = True
            self._writer.close()

    def _open_segment(self, log: RecoveredLog) -> SegmentWriter:
        """The segment of this start, with what the last one held beyond its durable offset."""
        first_index = log.carried[0][0] if log.carried else self.last_index + 1
        last = log.last_segment
        if last is not None and last.empty:  # takes its place, or restarts alone would fill the directory
            name, predecessor, end = last.header.name, last.header.predecessor, last.header.predecessor_end
            self._sealed_bytes -= last.size
            self._segments.pop()
        elif last is not None:
            name = segment_name(sequence_of(last.header.name) + 1, first_index)
            predecessor, end = last.header.name, last.durable
        else:
            name, predecessor, end = segment_name(1, first_index), "", 0
        writer = self._create(name, predecessor, end, b"".join(record for _, record in log.carried))
        lengths = ((index, len(record)) for index, record in log.carried)
        self._positions.set(self._place(lengths, writer.size - writer.header.carried))
        return writer

    def _rotate(self) -> None:
        """Go on in a new segment: all of the old one is durable."""
        old = self._writer
        name = segment_name(sequence_of(old.header.name) + 1, self.last_index + 1)
        self._writer = self._create(name, old.header.name, old.size, b"")
        self._sealed_bytes += old.size
        old.close()

    def _create(self, name: str, predecessor: str, predecessor_end: int, carried: bytes) -> SegmentWriter:
        header = Header(name, self._cluster_id, self._hard_state, predecessor, predecessor_end, len(carried))
        writer = SegmentWriter.create(self._disk, self._data_dir, header, carried)
        self._segments.append(name)
        return writer

    def _place(self, records: Iterable[tuple[int, int]], offset: int) -> list[tuple[int, int]]:
        """(index, position) for (index, length) of records one behind the other from `offset` in the newest segment."""
        segment = len(self._segments) - 1
        next_index = self.last_index + 1
        pairs = []
        for index, length in records:
            assert 1 <= index <= next_index, "a gap in the log"
            next_index = index + 1
            pairs.append((index, pack(segment, offset, length)))
            offset += length
        return pairs

    def _read(self, indexes: Sequence[int], positions: Iterable[int]) -> list[bytes]:
        """The verified records at `positions`; files never change but at their end, so no lock is needed."""
        records: list[bytes] = []
        segment, file = -1, None
        try:
            for run in runs(positions):
                if file is None or run.segment != segment:
                    if file is not None:
                        file.close()
                    segment, file = run.segment, self._disk.open(self._data_dir / self._segments[run.segment])
                data = file.pread(run.end - run.start, run.start)
                for offset, length in run.places:
                    index = indexes[len(records)]
                    start = offset - run.start
                    records.append(self._verified(data[start : start + length], index, run.segment, offset))
        finally:
            if file is not None:
                file.close()
        return records

    def _final(self, action: Callable[[], _T]) -> _T:
        """Do what writes; where the disk refuses, nothing is ever done on this storage again."""
        try:
            return action()
        except OSError as error:
            self._failure = f"data directory {self._data_dir} cannot be written: {error}"
            raise DiskFailed(self._failure) from error
        except BaseException as error:  # half done: memory and disk may differ
            self._failure = f"writing to data directory {self._data_dir} was broken off: {error!r}"
            raise

    def _check_usable(self) -> None:
        if self._failure:
            raise DiskFailed(self._failure)

    def _verified(self, data: bytes, index: int, segment: int, offset: int) -> bytes:
        """The record that `data` begins with, which must be intact and that of `index`."""
        record = data[: data.find(b"\n") + 1]
        try:
            if unseal(record).startswith(b'{"index":%d,' % index):
                return record
        except InvalidMessage:
            pass
        raise CorruptLog(str(self._data_dir / self._segments[segment]), offset, f"entry {index} is damaged", ADVICE)
