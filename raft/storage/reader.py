"""The log reader: entries from the disk by index, while the log grows, is rewound and is compacted.

Rules.  Positions are looked up first, then the files are opened by them, so no lock is held across I/O.  Files are only
appended to, and replaced files stay for a while, so a position that was right stays readable.  A file that was removed
meanwhile is a LookupError.  Every record is verified, its checksum and its index: no caller gets another entry's bytes.
A file that counts and is missing, short or unreadable is damage like a wrong checksum.  The CorruptLog of a read names
all damaged entries that it met, for whoever fetches them from another member.  Records that were fetched stand in for
those that are damaged here, until the files are mended (`Borrowed`).
"""

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TypeVar

from raft.core.entries import RECORD_BYTES_MAX, entry_at, is_entry_at
from raft.core.line_blocks import BLOCK_BYTES, chosen
from raft.core.raft_messages import Entry
from raft.errors import ADVICE, CorruptLog
from raft.storage.disk import NO_DAMAGE, Disk, ReadFile
from raft.storage.file_set import FileSet
from raft.storage.positions import Positions, Run, count_in_one_file, count_within, offsets, pack, runs, unpack
from raft.storage.segment import LINE_BYTES_MIN

_T = TypeVar("_T")
_Take = Callable[[bytes, int, int, int], _T | None]  # (data, start, length at most, index) -> the record or entry
Progress = Callable[[int, int], None]  # done and total, of bytes or entries; called now and then in a long start
_REPLAY_BYTES = 4 * RECORD_BYTES_MAX  # read at a time in a start
_PIECE_ENTRIES = BLOCK_BYTES // 256  # asked for at a time: so many short messages have a block's length
_SPREAD_BYTES = 16 << 10  # records that are further apart are not worth reading what is between them
BORROWED_BYTES_MAX = 32 << 20  # in memory: some reads of the largest size, each of which waits for its own records


class Borrowed:
    """Records of other members that stand in for those damaged here: a reader need not wait for its disk.

    Each one counts for one place in one file, and only while the log has the record's term at its index.  So a record
    is never returned for an entry that has replaced it.  The oldest are dropped first.  Any thread.
    """

    def __init__(
        self, positions: Positions, term_of: Callable[[int], int], bytes_max: int = BORROWED_BYTES_MAX
    ) -> None:
        """`term_of(index)`: the term of an entry above the base; 0 for another one."""
        self._positions = positions
        self._term_of = term_of
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._records: dict[int, tuple[int, int, int, bytes]] = {}  # index -> file, offset, term and record
        self._bytes = 0

    def put(self, entries: Iterable[Entry], holes: Container[int] = ()) -> set[int]:
        """Take entries that are the ones of this log; return the indexes of those that fit their places.

        The length of those in `holes` is not known.
        """
        taken: set[int] = set()
        for entry in entries:
            try:
                (position,) = self._positions.get_many([entry.index])
            except LookupError:
                continue
            file, offset, _ = unpack(position)
            if entry.index in holes or pack(file, offset, len(entry.record)) == position:
                self._keep(entry.index, (file, offset, entry.term, entry.record))
                taken.add(entry.index)
        return taken

    def _keep(self, index: int, found: tuple[int, int, int, bytes]) -> None:
        with self._lock:
            before = self._records.pop(index, None)
            self._records[index] = found
            self._bytes += len(found[3]) - (len(before[3]) if before else 0)
            while self._bytes > self._bytes_max and len(self._records) > 1:
                oldest = next(iter(self._records))
                self._bytes -= len(self._records.pop(oldest)[3])

    def get(self, index: int, file: int, offset: int) -> bytes | None:
        """Return the record that stands in for the one of this entry at this place; None if there is none."""
        found = self._records.get(index)
        if found is None or found[:2] != (file, offset) or self._term_of(index) not in (0, found[2]):
            return None
        return found[3]

    def has(self, index: int) -> bool:
        """Return whether a read of this entry need not find it on this disk."""
        try:
            (position,) = self._positions.get_many([index])
        except LookupError:
            return False
        return self.get(index, *unpack(position)[:2]) is not None


class LogReader:
    """Reads a log whose owner keeps `files` and `positions`.  Any thread."""

    def __init__(
        self, disk: Disk, data_dir: Path, files: FileSet, positions: Positions, borrowed: Borrowed | None = None
    ) -> None:
        """`borrowed`: what stands in for damaged records; None: nothing does."""
        self._borrowed = borrowed
        self._disk = disk
        self._data_dir = data_dir
        self._files = files
        self._positions = positions

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """Return the records from `first` up to `last`: at least one, then as many as fit in `bytes_max`.

        Raises LookupError (the log does not hold them all, or no longer), CorruptLog (the disk returns other data than
        was written, or none), or OSError (no descriptors or no memory).
        """
        return self._read(*self._range(first, last, bytes_max), _record_at)

    def read_entries(self, first: int, last: int, bytes_max: int) -> list[Entry]:
        """Return the entries that `read` returns, decoded: 5.7 µs each in a start, instead of 7.9 one by one."""
        return self._read(*self._range(first, last, bytes_max), _entry_at)

    def _range(self, first: int, last: int, bytes_max: int) -> tuple[Sequence[int], Sequence[int]]:
        last = min(last, first + bytes_max // LINE_BYTES_MIN)
        positions = self._positions.get_range(first, last)
        count = count_within(positions, bytes_max)
        return range(first, first + count), positions[:count]

    def read_many(self, indexes: Sequence[int]) -> list[bytes]:
        """Return the records of ascending indexes; neighbours in the file are read in one go.  Raises as `read`."""
        return self._read(indexes, self._positions.get_many(indexes), _record_at)

    def read_pieces(self, indexes: Sequence[int]) -> Iterator[bytes]:
        """Yield the records of ascending indexes, one behind the other, in pieces of a few hundred.

        A third of the time that `read_many` takes.  Each record is verified as there, and damage raises the same.
        """
        done = 0
        while done < len(indexes):
            piece, count = self._piece(indexes[done : done + _PIECE_ENTRIES])
            yield piece
            done += count

    def _piece(self, indexes: Sequence[int]) -> tuple[bytes, int]:
        """Return the records of the first of these indexes, and how many they are."""
        positions = self._positions.get_many(indexes)
        positions = positions[: count_in_one_file(positions)]
        starts = offsets(positions)
        count = max(1, bisect_left(starts, starts[0] + BLOCK_BYTES))
        indexes, positions, starts = indexes[:count], positions[:count], starts[:count]
        piece = self._block(unpack(positions[0])[0], starts[0], starts[-1] + unpack(positions[-1])[2], starts, indexes)
        if piece is None:
            piece = b"".join(self._read(indexes, positions, _record_at))
        return piece, count

    def _block(self, slot: int, start: int, end: int, starts: Sequence[int], indexes: Sequence[int]) -> bytes | None:
        """Return the records in a part of a file.

        None if there is damage, or too much between them: then they have to be read one by one.
        """
        if not 0 < end - start <= _SPREAD_BYTES * len(indexes):
            return None
        try:
            with closing(self._disk.open(self._data_dir / self._files.name(slot))) as file:
                data = file.pread(end - start, start)
        except OSError:
            return None
        last = data.find(b"\n", starts[-1] - start) + 1
        return chosen(data[:last], [each - start for each in starts], indexes)

    def replay(self, first: int, last: int, progress: Progress | None = None) -> Iterator[Entry]:
        """Return the entries `first` to `last`, read in large pieces.  `progress(entries done, entries in all)`."""
        index = first
        while index <= last:
            entries = self.read_entries(index, last, _REPLAY_BYTES)
            yield from entries
            index += len(entries)
            if progress is not None:
                progress(index - first, last - first + 1)

    def _read(self, indexes: Sequence[int], positions: Iterable[int], take: "_Take[_T]") -> list[_T]:
        found: list[_T] = []
        damage = _Damage()
        opened: tuple[int, ReadFile] | None = None
        done = 0
        try:
            for run in runs(positions):
                some = indexes[done : (done := done + len(run.places))]
                if opened is None or run.file != opened[0]:
                    if opened is not None:
                        opened[1].close()
                        opened = None
                    opened = self._open(run, some, found, damage, take)
                if opened is not None:
                    self._read_run(opened[1], run, some, found, damage, take)
        finally:
            if opened is not None:
                opened[1].close()
        damage.check()
        return found

    def _open(
        self, run: Run, indexes: Sequence[int], found: list[_T], damage: "_Damage", take: "_Take[_T]"
    ) -> tuple[int, ReadFile] | None:
        path = self._data_dir / self._files.name(run.file)
        try:
            return run.file, self._disk.open(path)
        except OSError as error:
            if error.errno in NO_DAMAGE:
                raise
            if isinstance(error, FileNotFoundError) and not self._files.counts(run.file):
                raise LookupError("the log no longer holds these entries") from None
            what = "is missing with its file" if isinstance(error, FileNotFoundError) else _unreadable(error)
            for index, (offset, _) in zip(indexes, run.places, strict=True):
                self._stand_in(run.file, offset, index, what, found, damage, take)
            return None

    def _stand_in(
        self, file: int, offset: int, index: int, what: str, found: list[_T], damage: "_Damage", take: "_Take[_T]"
    ) -> None:
        """Take what was borrowed for a damaged record, or note the damage."""
        record = self._borrowed.get(index, file, offset) if self._borrowed is not None else None
        one = take(record, 0, len(record), index) if record is not None else None
        if one is None:
            damage.add(self._data_dir / self._files.name(file), offset, index, what)
        else:
            found.append(one)

    def _read_run(
        self,
        file: ReadFile,
        run: Run,
        indexes: Sequence[int],
        found: list[_T],
        damage: "_Damage",
        take: "_Take[_T]",
    ) -> None:
        try:
            data = file.pread(run.end - run.start, run.start)
        except OSError as error:
            if error.errno in NO_DAMAGE:
                raise
            self._read_one_by_one(file, run, indexes, found, damage, take)
            return
        for index, (offset, length) in zip(indexes, run.places, strict=True):
            one = take(data, offset - run.start, length, index)
            if one is None:
                self._stand_in(run.file, offset, index, "is damaged", found, damage, take)
            else:
                found.append(one)

    def _read_one_by_one(
        self,
        file: ReadFile,
        run: Run,
        indexes: Sequence[int],
        found: list[_T],
        damage: "_Damage",
        take: "_Take[_T]",
    ) -> None:
        """Read each record of a run by itself: an unreadable page makes only its own records unreadable."""
        nexts = [offset for offset, _ in run.places[1:]] + [run.end]
        for index, (offset, length), after in zip(indexes, run.places, nexts, strict=True):
            what = "is damaged"
            try:
                one = take(file.pread(min(length, after - offset), offset), 0, length, index)
            except OSError as error:
                if error.errno in NO_DAMAGE:
                    raise
                one, what = None, _unreadable(error)
            if one is None:
                self._stand_in(run.file, offset, index, what, found, damage, take)
            else:
                found.append(one)


class _Damage:
    """The damaged entries of one read."""

    def __init__(self) -> None:
        self._first: tuple[Path, int, str] | None = None
        self._indexes: list[int] = []

    def add(self, path: Path, offset: int, index: int, what: str) -> None:
        """Note a damaged entry; the first one gives the error its text."""
        self._first = self._first or (path, offset, f"entry {index} {what}")
        self._indexes.append(index)

    def check(self) -> None:
        """Raise CorruptLog if there was any."""
        if self._first is not None:
            path, offset, what = self._first
            raise CorruptLog(str(path), offset, what, ADVICE, tuple(self._indexes))


def _unreadable(error: OSError) -> str:
    return f"cannot be read ({error.strerror or error})"


def _record_at(data: bytes, start: int, length: int, index: int) -> bytes | None:
    record = data[start : data.find(b"\n", start, start + length) + 1]
    return record if is_entry_at(record, index) else None


def _entry_at(data: bytes, start: int, length: int, index: int) -> Entry | None:
    return entry_at(data, start, index)
