"""The positions of the log's entries: eight bytes an entry, however long its text.

A position is one integer of 64 bits: the file (its place in the list of files, 15 bits), the byte where the record
begins (36 bits) and an upper bound of its length in blocks of 128 bytes (13 bits).  The bound lets a read fetch a
record with one call; the record's own newline marks its end.

Rules.  Above the base, every index has a position.  Up to the base, only the entries that its snapshot holds have one:
sparse, found by bisection, sixteen bytes each.  Setting index i forgets every index above i, as a record at i does in
the files.  One thread sets, any thread looks up and moves the base; the lock is held for copying only, never for I/O.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock

from raft.core.entries import RECORD_BYTES_MAX
from raft.core.raft_messages import Entry

_BLOCK_BYTES = 128
_BLOCK_BITS = 13
_OFFSET_BITS = 36
FILES_MAX = 1 << 64 - _OFFSET_BITS - _BLOCK_BITS  # in use at a time: 2 TiB of full segments
FILE_BYTES_MAX = 1 << _OFFSET_BITS  # of a snapshot, which holds all that is live
_GAP_BYTES = 16 << 10  # a gap of this size is read too: copying it costs about as much as another call
_RUN_BYTES_MAX = 4 * RECORD_BYTES_MAX  # in one call, so that a long list is not in memory twice
_SPARED_SHARE = 4  # of a snapshot's entries, so many for each that is asked for are taken along: a bisection costs more

assert RECORD_BYTES_MAX <= _BLOCK_BYTES << _BLOCK_BITS


def pack(file: int, offset: int, length: int) -> int:
    """Return the position of a record of `length` bytes at `offset`."""
    assert file < FILES_MAX and offset < FILE_BYTES_MAX and 0 < length <= RECORD_BYTES_MAX
    return (file << _OFFSET_BITS | offset) << _BLOCK_BITS | (length - 1) // _BLOCK_BYTES


def unpack(position: int) -> tuple[int, int, int]:
    """Return the file, the offset and the upper bound of the length."""
    place = position >> _BLOCK_BITS
    blocks = (position & (1 << _BLOCK_BITS) - 1) + 1
    return place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1, blocks * _BLOCK_BYTES


def offsets(positions: Iterable[int]) -> list[int]:
    """Return where the records begin."""
    return [position >> _BLOCK_BITS & (1 << _OFFSET_BITS) - 1 for position in positions]


def count_in_one_file(positions: Sequence[int]) -> int:
    """Return how many of the first positions are in the file of the first one."""
    files = [position >> _BLOCK_BITS + _OFFSET_BITS for position in positions]
    return next((count for count, file in enumerate(files) if file != files[0]), len(files))


def moved(positions: "array[int]", file: int) -> "array[int]":
    """Return these positions of one file, within its first 32 GiB, as positions of `file`.

    The highest two bytes name the file.  They are set for all positions at once: 5 ms a million, instead of 80.
    """
    data, named = bytearray(positions.tobytes()), pack(file, 0, 1).to_bytes(8, sys.byteorder)
    for place in (0, 1) if sys.byteorder == "big" else (6, 7):
        data[place::8] = named[place : place + 1] * len(positions)
    return array("Q", data)


@dataclass(frozen=True, slots=True)
class Sparse:
    """The entries that a snapshot holds.  Never changed once it is given to `Positions`."""

    indexes: "array[int]" = field(default_factory=lambda: array("Q"))  # ascending
    packed: "array[int]" = field(default_factory=lambda: array("Q"))  # the positions of `indexes`, all in file 0

    def add(self, index: int, offset: int, length: int) -> None:
        """Add the next entry."""
        self.indexes.append(index)
        self.packed.append(pack(0, offset, length))

    def add_all(self, indexes: "array[int]", offset: int, lengths: Sequence[int]) -> None:
        """Add the next entries, which are one behind the other from `offset` on."""
        ends = [*accumulate(lengths, initial=offset)]
        assert ends[-1] < FILE_BYTES_MAX and min(lengths) > 0 and max(lengths) <= RECORD_BYTES_MAX
        self.indexes.extend(indexes)
        self.packed.extend(
            [start << _BLOCK_BITS | (length - 1) // _BLOCK_BYTES for start, length in zip(ends, lengths, strict=False)]
        )

    def find_many(self, indexes: Sequence[int]) -> Sequence[int]:
        """Return the positions of ascending indexes.  Raises LookupError as `find` does."""
        if not indexes:
            return ()
        first, end = bisect_left(self.indexes, indexes[0]), bisect_right(self.indexes, indexes[-1])
        if end - first > _SPARED_SHARE * len(indexes):
            return [self.find(index) for index in indexes]
        if end - first == len(indexes) and self.indexes[first:end] == array("Q", indexes):
            return self.packed[first:end]
        known = dict(zip(self.indexes[first:end], self.packed[first:end], strict=True))
        return [known.get(index) or self.find(index) for index in indexes]

    def find(self, index: int) -> int:
        """Return the position of `index`.  Raises LookupError if the snapshot does not hold it."""
        return self.packed[self.place(index)]

    def place(self, index: int) -> int:
        """Return which entry of the snapshot `index` is.  Raises LookupError as `find` does."""
        place = bisect_left(self.indexes, index)
        if place == len(self.indexes) or self.indexes[place] != index:
            raise LookupError(f"entry {index} is no longer in the log")
        return place


class Positions:
    """The positions of the entries up to `last_index`: all above `base_index`, some of those up to it."""

    def __init__(self, base_index: int = 0, sparse: Sparse | None = None, base_file: int = 0) -> None:
        self.base_index = base_index
        self._lock = Lock()
        self._packed = array("Q")
        self._sparse = sparse or Sparse()
        self._base_file = pack(base_file, 0, 1)  # names the base's file, which positions in the snapshot lack

    @property
    def last_index(self) -> int:
        """The last index; `base_index` if there is none above it."""
        with self._lock:
            return self.base_index + len(self._packed)

    @property
    def entry_count(self) -> int:
        """The number of entries."""
        with self._lock:
            return len(self._sparse.indexes) + len(self._packed)

    def first_offset(self, default: int) -> int:
        """Return the offset of the snapshot's first entry; `default` if it holds none."""
        with self._lock:
            packed = self._sparse.packed
        return unpack(packed[0])[1] if packed else default

    def set(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Note (index, position) pairs in the order of their records; each index at most one above the last."""
        with self._lock:
            packed = self._packed
            for index, position in pairs:
                place = index - self.base_index - 1
                if place != len(packed):
                    assert 0 <= place < len(packed), "a gap in the log"
                    del packed[place:]
                packed.append(position)

    def extend(self, positions: "array[int]") -> None:
        """Note the positions of the indexes after the last."""
        with self._lock:
            self._packed.extend(positions)

    def forget_from(self, index: int) -> None:
        """Forget `index`, which is above the base, and all above it."""
        with self._lock:
            assert index > self.base_index
            del self._packed[index - self.base_index - 1 :]

    def rebase(self, base_index: int, sparse: Sparse, base_file: int) -> None:
        """Replace the entries up to `base_index`, which is higher than before, by those of a snapshot."""
        with self._lock:
            assert base_index >= self.base_index
            del self._packed[: base_index - self.base_index]
            self.base_index = base_index
            self._sparse = sparse
            self._base_file = pack(base_file, 0, 1)

    def install(self, base_index: int, sparse: Sparse, base_file: int) -> None:
        """Replace all entries by those of a snapshot."""
        with self._lock:
            self._packed = array("Q")
            self.base_index = base_index
            self._sparse = sparse
            self._base_file = pack(base_file, 0, 1)

    def replace(self, index: int, old: int, new: int) -> bool:
        """Set the position of an entry above the base if it is `old`; return whether it was."""
        with self._lock:
            place = index - self.base_index - 1
            if not 0 <= place < len(self._packed) or self._packed[place] != old:
                return False
            self._packed[place] = new
            return True

    @property
    def sparse(self) -> Sparse:
        """The entries of the base."""
        with self._lock:
            return self._sparse

    def get_range(self, first: int, last: int) -> Sequence[int]:
        """Return the positions of `first` to `last`, all above the base.  Raises LookupError if one is missing."""
        with self._lock:
            start = first - self.base_index - 1
            if start < 0 or last > self.base_index + len(self._packed) or first > last:
                raise LookupError(f"the log does not hold entries {first} to {last}")
            return self._packed[start : last - self.base_index]

    def get_many(self, indexes: Sequence[int]) -> Sequence[int]:
        """Return the positions of ascending `indexes`.  Raises LookupError if one is missing."""
        with self._lock:
            base_index, base_file, sparse = self.base_index, self._base_file, self._sparse
            above = bisect_left(indexes, base_index + 1)
            places = [index - base_index - 1 for index in indexes[above:]]
            if places and (min(places) < 0 or max(places) >= len(self._packed)):
                raise LookupError(f"the log does not hold entries {indexes[above]} to {indexes[-1]}")
            dense = [self._packed[place] for place in places]
        return [position | base_file for position in sparse.find_many(indexes[:above])] + dense


class TermRuns:
    """The terms of the entries above the base, as runs.  One thread notes entries, any thread asks."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._lock = Lock()
        self._firsts: list[int] = []
        self._terms: list[int] = []
        for first, term in runs:
            self._firsts.append(first)
            self._terms.append(term)

    def note(self, entries: Sequence[Entry]) -> None:
        """Take the entries of a batch, in the order of their records."""
        firsts, terms = self._firsts, self._terms
        if firsts and entries[0].index > firsts[-1] and entries[0].term == entries[-1].term == terms[-1]:
            return  # terms never fall from record to record, so that all of them are of this one
        with self._lock:
            for entry in entries:
                while firsts and firsts[-1] >= entry.index:
                    firsts.pop()
                    terms.pop()
                if not terms or terms[-1] != entry.term:
                    firsts.append(entry.index)
                    terms.append(entry.term)

    def term_of(self, index: int) -> int:
        """Return the term of an entry that is in the log; 0 if it is before all runs."""
        with self._lock:
            place = bisect_right(self._firsts, index)
            return self._terms[place - 1] if place else 0

    @property
    def last_term(self) -> int:
        """The term of the last entry; 0 if there are no runs."""
        terms = self._terms
        return terms[-1] if terms else 0


@dataclass(slots=True)
class Run:
    """Records of one file so close together that one call reads them."""

    file: int
    start: int
    end: int  # not before the end of the last record; may be beyond that of the file
    places: list[tuple[int, int]]  # offset and upper bound of the length, ascending


def runs(positions: Iterable[int]) -> Iterator[Run]:
    """Split positions into runs, in their order."""
    run: Run | None = None
    for position in positions:
        file, offset, length = unpack(position)
        if (
            run is not None
            and file == run.file
            and run.start <= offset <= run.end + _GAP_BYTES
            and offset + length - run.start <= _RUN_BYTES_MAX
        ):
            run.places.append((offset, length))
            run.end = offset + length
            continue
        if run is not None:
            yield run
        run = Run(file, offset, offset + length, [(offset, length)])
    if run is not None:
        yield run


def count_within(positions: Iterable[int], bytes_max: int) -> int:
    """Return how many of the first records surely fit in `bytes_max`, at least one."""
    count = total = 0
    for position in positions:
        total += unpack(position)[2]
        if count and total > bytes_max:
            break
        count += 1
    return count
