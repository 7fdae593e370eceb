"""Where each entry of the log lies: eight bytes an entry, however long its text.

A position is one integer of 64 bits: the segment (its place in the list of segments, 21 bits), the byte where the
record begins (30 bits) and an upper bound of its length in blocks of 128 bytes (13 bits).  The bound lets a read
fetch a record with one call; the record's own newline tells its end.

Rules.  The positions are those of indexes `first_index` onwards without a gap.  Setting index i forgets every index
above i, as a record at i does in the files.  One thread sets, any thread looks up; the lock is held for copying only,
never for I/O.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from raft.records import RECORD_BYTES_MAX

SEGMENTS_MAX = 1 << 21
SEGMENT_BYTES_MAX = 1 << 30
_BLOCK_BYTES = 128
_BLOCK_BITS = 13
_OFFSET_BITS = 30
_GAP_BYTES = 16 << 10  # is read through: to copy 16 KiB costs about as much as a call of its own
_RUN_BYTES_MAX = 4 * RECORD_BYTES_MAX  # what one call may read, so that a long list is not in memory twice

assert RECORD_BYTES_MAX <= _BLOCK_BYTES << _BLOCK_BITS


def pack(segment: int, offset: int, length: int) -> int:
    """The position of a record of `length` bytes at `offset`."""
    assert segment < SEGMENTS_MAX and offset < SEGMENT_BYTES_MAX and 0 < length <= RECORD_BYTES_MAX
    return (segment << _OFFSET_BITS | offset) << _BLOCK_BITS | (length - 1) // _BLOCK_BYTES


def unpack(position: int) -> tuple[int, int, int]:
    """Segment, offset and the upper bound of the length."""
    place = position >> _BLOCK_BITS
    blocks = (position & (1 << _BLOCK_BITS) - 1) + 1
    return place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1, blocks * _BLOCK_BYTES


class Positions:
    """The positions of the entries `first_index` to `last_index`."""

    def __init__(self, first_index: int = 1) -> None:
        self.first_index = first_index
        self._lock = Lock()
        self._packed = array("Q")

    @property
    def last_index(self) -> int:
        """`first_index` - 1 where there is none."""
        return self.first_index + len(self._packed) - 1

    def set(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Note (index, position) pairs in the order of their records; each index at most one above the last."""
        with self._lock:
            packed = self._packed
            for index, position in pairs:
                place = index - self.first_index
                if place != len(packed):
                    assert 0 <= place < len(packed), "a gap in the log"
                    del packed[place:]
                packed.append(position)

    def append(self, position: int) -> None:
        """Note the position of the index after the last."""
        with self._lock:
            self._packed.append(position)

    def forget_from(self, index: int) -> None:
        """Forget `index`, which is there, and all above it."""
        with self._lock:
            del self._packed[index - self.first_index :]

    def get_range(self, first: int, last: int) -> Sequence[int]:
        """The positions of `first` to `last`.  Raises LookupError where the log does not hold them (any more)."""
        start = first - self.first_index
        with self._lock:
            if start < 0 or last > self.last_index or first > last:
                raise LookupError(f"the log does not hold entries {first} to {last}")
            return self._packed[start : last - self.first_index + 1]

    def get_many(self, indexes: Iterable[int]) -> Sequence[int]:
        """The positions of `indexes`.  Raises LookupError where the log does not hold all of them (any more)."""
        with self._lock:
            packed, base = self._packed, self.first_index
            places = [index - base for index in indexes]
            if places and (min(places) < 0 or max(places) >= len(packed)):
                raise LookupError(f"the log does not hold entries {min(places) + base} to {max(places) + base}")
            return [packed[place] for place in places]


@dataclass(slots=True)
class Run:
    """Records of one segment that lie so close together that one call reads them."""

    segment: int
    start: int
    end: int  # not before the end of the last record; may be beyond that of the file
    places: list[tuple[int, int]]  # offset and upper bound of the length, ascending


def runs(positions: Iterable[int]) -> Iterator[Run]:
    """Split positions into runs, in their order."""
    run: Run | None = None
    for position in positions:
        segment, offset, length = unpack(position)
        if (
            run is not None
            and segment == run.segment
            and run.start <= offset <= run.end + _GAP_BYTES
            and offset + length - run.start <= _RUN_BYTES_MAX
        ):
            run.places.append((offset, length))
            run.end = offset + length
            continue
        if run is not None:
            yield run
        run = Run(segment, offset, offset + length, [(offset, length)])
    if run is not None:
        yield run


def count_within(positions: Iterable[int], bytes_max: int) -> int:
    """How many of the first records surely fit in `bytes_max`, at least one."""
    count = total = 0
    for position in positions:
        total += unpack(position)[2]
        if count and total > bytes_max:
            break
        count += 1
    return count
