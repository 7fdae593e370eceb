"""The files that are not appended to any more, checked and mended: sealed segments, the base, the newest checkpoint.

Rules.  A check reads all, in small steps.  It compares each line with its checksum, and the whole with the checksum
that a segment's successor or a snapshot's end line names.  A file that agrees with them holds the bytes that were
written.  Any other one is read again, and each entry in it is compared with its position.  A segment with void lines
was written anew here and has another checksum.  Lost entries are named, for whoever fetches them; what else is lost in
a segment nobody needs, and it is written anew at once.  An index is made anew if it is damaged or missing, and a
damaged checkpoint is removed: the base, or an earlier one, takes its place.

The newest segment is neither checked nor mended: its last bytes may not be durable yet.
"""

import threading
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

from raft.core.entries import RECORD_BYTES_MAX, decode_entry, is_entry_at
from raft.core.line_blocks import are_intact
from raft.errors import ADVICE, CorruptLog, DiskFull, InvalidMessage
from raft.storage.disk import Disk, NoRoom
from raft.storage.file_names import checkpoint_index, checkpoint_name, index_name, sequence_of
from raft.storage.file_set import FileSet
from raft.storage.index_file import OWNER, Indexes
from raft.storage.positions import Positions, Sparse, pack, unpack
from raft.storage.reader import LogReader
from raft.storage.rewrite_file import Plan, plan, rewrite
from raft.storage.salvage import STEP_BYTES, Lost, Piece, Salvage, any_line, open_possible, read_possible
from raft.storage.segment import Content, Header, Sealed, encode_header, is_written_anew, known_line
from raft.storage.snapshot_file import Scan, end_line, entries_line

_READ_ENTRIES = 256  # at once, so that a large repair is not in memory twice
_BOUNDS_MAX = 8  # neighbours asked for their term: if so many are damaged, nothing is known


@dataclass(frozen=True, slots=True)
class Verified:
    """A step of a check."""

    file: str  # the name of the file that is being read
    done: int  # bytes of all files so far
    total: int
    damages: tuple[CorruptLog, ...] = ()  # found in this step; `file` of each is a path


@dataclass(slots=True)
class SegmentTable:
    """The headers of the segments, by name, as the storage has written or found them.  Any thread."""

    headers: dict[str, Header] = field(default_factory=dict)
    sealed: dict[str, Sealed] = field(default_factory=dict)  # of all but the newest
    _lock: threading.Lock = field(default_factory=threading.Lock)  # held for a moment, by whoever changes them

    def add(self, header: Header) -> None:
        """Add the header of a segment; its predecessor is sealed."""
        with self._lock:
            self.headers[header.name] = header
            self.sealed[header.predecessor] = header.sealed

    def keep_from(self, first: str) -> None:
        """Forget the segments before this one; a segment that is being added stays."""
        with self._lock:
            for known in (self.headers, self.sealed):
                for name in [name for name in known if name < first]:
                    del known[name]


class _Survey:
    """A survey of one file on the disk: its gaps, and the entries lost in them.  Takes the bytes in order."""

    def __init__(
        self,
        indexes: Sequence[int],
        positions: Sequence[int],
        loose: Sequence[Lost],
        salvage: Salvage,
        crc_end: int,
    ) -> None:
        """`indexes` at these `positions` must be in the file, and `loose` somewhere in its gaps; ascending."""
        self.gaps: list[tuple[int, int]] = []
        self.lost: list[Lost] = []
        self.crc = 0  # of the bytes before `crc_end`
        self.has_void = False
        self.content: Content | None = None  # to be collected; None again if the entries are not a segment's content
        self._crc_left = crc_end
        self._expected = [(index, unpack(position)[1]) for index, position in zip(indexes, positions, strict=True)]
        self._expected.reverse()  # the next one is taken from the end
        self._loose = loose
        self._salvage = salvage

    def feed(self, data: bytes, *, last: bool = False) -> list[Lost]:
        """Take the next bytes; return the entries that are now known to be lost."""
        self.crc = crc32(memoryview(data)[: self._crc_left], self.crc)
        self._crc_left -= min(len(data), self._crc_left)
        found: list[Lost] = []
        for piece in self._salvage.feed(data, last=last):
            self._take(piece, found)
        if last:
            found += [Lost(index, offset) for index, offset in reversed(self._expected)]
            found += self._loose
        self.lost = sorted([*self.lost, *found], key=lambda one: one.index) if found else self.lost
        return found

    def _take(self, piece: Piece, found: list[Lost]) -> None:
        expected = self._expected
        while expected and expected[-1][1] < piece.offset:
            found.append(Lost(*expected.pop()))
        if piece.line is None:
            self.gaps.append((piece.offset, piece.end))
            return
        self.has_void = self.has_void or is_written_anew(piece.line[2])
        if expected and expected[-1] == (piece.index, piece.offset):
            expected.pop()
        if self.content is not None and piece.index:
            try:
                self.content.take(piece.line, piece.offset)
            except InvalidMessage:
                self.content = None


class _QuickCheck:
    """A check whether all lines of a file are intact, in a sixth of the time that a survey takes."""

    def __init__(self, crc_end: int) -> None:
        self.crc = 0  # of the bytes before `crc_end`
        self.is_intact = True
        self._crc_left = crc_end
        self._rest = b""  # what came of the next line

    def feed(self, data: bytes, *, last: bool) -> None:
        """Take the next bytes."""
        self.crc = crc32(memoryview(data)[: self._crc_left], self.crc)
        self._crc_left -= min(len(data), self._crc_left)
        *lines, self._rest = (self._rest + data).split(b"\n")
        is_cut = len(self._rest) > (0 if last else RECORD_BYTES_MAX)
        self.is_intact = self.is_intact and not is_cut and are_intact(lines)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The terms between which all entries of a base are whose place in it is above `below` and below `above`."""

    sparse: Sparse
    below: int
    above: int
    low: int
    high: int


def _shorter(header: Header, room: int) -> bytes:
    """Return a first line of fewer than `room` bytes: it is padded then, and so known not to be the one that was there.

    A header that was known only in part may say more of the predecessor than the lost one did.
    """
    line, sealed = encode_header(header), header.sealed
    for shorter in (
        replace(sealed, crc=None),
        replace(sealed, crc=None, configurations=None),
        replace(sealed, crc=None, configurations=None, term_runs=None),
    ):
        if len(line) >= room:
            line = encode_header(replace(header, sealed=shorter))
    return line


class SealedFiles:
    """The files of a log whose owner keeps the collaborators.  Any thread; one at a time mends or checks."""

    def __init__(
        self,
        disk: Disk,
        data_dir: Path,
        files: FileSet,
        positions: Positions,
        segments: SegmentTable,
        term_of: Callable[[int], int],
        holes: Mapping[int, tuple[int, Lost]],
    ) -> None:
        """`holes`: by index the position that stands for one whose place is not known, and where it can be."""
        self._disk = disk
        self._data_dir = data_dir
        self._files = files
        self._positions = positions
        self._reader = LogReader(disk, data_dir, files, positions)
        self._indexes = Indexes(disk, data_dir, OWNER)
        self._segments = segments
        self._term_of = term_of
        self._holes = dict(holes)
        self._bounds = _Bounds(Sparse(), 0, 0, 0, 0)  # the last ones: lost entries are often neighbours
        self._lock = threading.Lock()  # held across I/O: nobody else waits for it than who mends or checks

    def holes(self) -> list[tuple[int, int]]:
        """Return (index, term) of the entries whose place is not known, and which are not mended yet."""
        found = [index for index, (position, _) in list(self._holes.items()) if self._position(index) == position]
        return [(index, self._term_of(index)) for index in sorted(found)]

    def hole_indexes(self) -> Container[int]:
        """Return the entries whose place is not known."""
        return self._holes

    def _position(self, index: int) -> int | None:
        try:
            return self._positions.get_many([index])[0]
        except LookupError:
            return None

    def places_of(self, indexes: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Return path and offset of each of these entries, by index; those not in the log are left out."""
        found: dict[int, tuple[str, int]] = {}
        for index in indexes:
            with suppress(LookupError):
                slot, offset, _ = unpack(self._positions.get_many([index])[0])
                found[index] = str(self._data_dir / self._files.name(slot)), offset
        return found

    # Mending

    def mend(self, records: Mapping[int, bytes]) -> set[int]:
        """Put these records, which other members hold, where they are lost; return the indexes that can be read now.

        A record that is not that of its index and term, or does not fit, is left out, and so is one of the newest
        segment.  Raises DiskFull, OSError: the files are as they were.
        """
        with self._lock:
            placed = {index: position for index in sorted(records) if (position := self._position(index)) is not None}
            mended = self._sound_among(list(placed))
            wanted: dict[int, dict[int, bytes]] = {}
            for index, position in placed.items():
                if index not in mended and self._is_right(index, records[index]):
                    wanted.setdefault(unpack(position)[0], {})[index] = records[index]
            for slot, name, _ in self._files.counted():
                if slot in wanted:
                    self._mend_file(slot, name, wanted[slot])
                    mended |= self._sound_among(list(wanted[slot]))
            return mended

    def _sound_among(self, indexes: Sequence[int]) -> set[int]:
        """Return those of these ascending entries that can be read."""
        sound: set[int] = set()
        for start in range(0, len(indexes), _READ_ENTRIES):
            some = list(indexes[start : start + _READ_ENTRIES])
            try:
                self._reader.read_many(some)
                sound.update(some)
            except CorruptLog as damage:
                damaged = set(damage.indexes)
                sound.update(index for index in some if index not in damaged)
            except LookupError:  # a compaction was quicker
                sound.update(index for index in some if self._can_be_read(index))
        return sound

    def _can_be_read(self, index: int) -> bool:
        try:
            self._reader.read_many([index])
        except (CorruptLog, LookupError):
            return False
        return True

    def _is_right(self, index: int, record: bytes) -> bool:
        if not is_entry_at(record, index):
            return False
        try:
            term = decode_entry(record).term
        except InvalidMessage:
            return False
        low, high = self.term_bounds(index)
        return low <= term <= high

    def term_bounds(self, index: int) -> tuple[int, int]:
        """Return between which terms that of an entry is: above the base its own, else those of sound neighbours."""
        if index > self._positions.base_index:
            return self._term_of(index), self._term_of(index)
        base, sparse = self._files.base, self._positions.sparse
        if base is None or self._is_missing(base.name):  # no neighbour can be asked, and each would cost a try
            return 0, base.meta.term if base else 0
        try:
            place = sparse.place(index)
        except LookupError:
            return 0, base.meta.term
        known = self._bounds  # read once: another thread may replace it
        if known.sparse is not sparse or not known.below < place < known.above:
            self._bounds = known = self._bounds_at(place, sparse, base.meta.term)
        return known.low, known.high

    def _bounds_at(self, place: int, sparse: Sparse, high: int) -> "_Bounds":
        """Return the bounds of the terms around an entry of the base, for it and all between its sound neighbours."""
        below = sparse.indexes[max(0, place - _BOUNDS_MAX) : place][::-1]
        above = sparse.indexes[place + 1 : place + 1 + _BOUNDS_MAX]
        far_below, low = self._first_term(below, 0)
        far_above, high = self._first_term(above, high)
        return _Bounds(sparse, place - far_below, place + far_above, low, high)

    def _is_missing(self, name: str) -> bool:
        file = open_possible(self._disk, self._data_dir / name)
        if file is not None:
            file.close()
        return file is None

    def _first_term(self, indexes: "array[int]", default: int) -> tuple[int, int]:
        """Return which of these entries, nearest first, is the first one that is sound, from 1, and its term."""
        damaged: tuple[int, ...] = ()
        try:
            self._reader.read_many(sorted(indexes))  # in one call: a whole file may be lost
        except CorruptLog as damage:
            damaged = damage.indexes
        except LookupError:
            return 1, default
        for distance, index in enumerate(indexes, 1):
            if index not in damaged:
                with suppress(CorruptLog, LookupError):
                    return distance, decode_entry(self._reader.read_many([index])[0]).term
        return len(indexes) + 1, default

    def _mend_file(self, slot: int, name: str, records: Mapping[int, bytes]) -> None:
        """Write a file anew with these records, as far as they fit."""
        try:
            if sequence_of(name):
                self._mend_segment(slot, name, records)
            else:
                self._mend_base(slot, name, records)
        except NoRoom as full:
            raise DiskFull(f"{name} cannot be written anew: {full.strerror}") from full
        except InvalidMessage:  # the whole has another checksum: nothing was changed
            return

    def _mend_segment(self, slot: int, name: str, records: Mapping[int, bytes]) -> None:
        sealed, header = self._segments.sealed.get(name), self._segments.headers.get(name)
        if sealed is None or header is None:
            return
        survey = self._survey_segment(slot, sealed)
        self._read_through(survey, name, sealed.end)
        made, *others = self._plans(header, survey, records)
        if not made.patches:
            return
        try:
            self._rewrite_segment(name, sealed, survey, made)
        except InvalidMessage:
            if not others:
                raise
            (made,) = others
            self._rewrite_segment(name, sealed, survey, made)
        for index, (offset, length) in made.places.items():
            if index in self._holes:
                position, _ = self._holes[index]
                if self._positions.replace(index, position, pack(slot, offset, length)):
                    del self._holes[index]

    def _plans(self, header: Header, survey: _Survey, records: Mapping[int, bytes]) -> list[Plan]:
        """Return how to write a segment anew, and another way if the checksum of the whole is wrong then.

        A first line that is lost, and that no index repeats, is put there once all else is.
        """
        line, said = encode_header(header), self._indexes.said(header.name)
        is_certain = not survey.gaps or survey.gaps[0][0] > 0 or (said is not None and said.first_line == line)
        lines = [line] if is_certain else [line, _shorter(header, survey.gaps[0][1])]
        plans = [plan(survey.gaps, {0: one}, survey.lost, records, fills=True) for one in lines]
        if is_certain:
            return plans
        if whole := [one for one in plans if one.is_whole]:
            return whole
        plans[0].patches.pop(0, None)
        return plans[:1]

    def _rewrite_segment(self, name: str, sealed: Sealed, survey: _Survey, made: Plan) -> None:
        is_as_it_was = made.is_whole and not made.has_void and not survey.has_void
        expected = (sealed.end, sealed.crc) if is_as_it_was and sealed.crc is not None else None
        rewrite(self._disk, self._data_dir / name, sealed.end, made.patches, survey.crc, expected)

    def _mend_base(self, slot: int, name: str, records: Mapping[int, bytes]) -> None:
        base, sparse = self._files.base, self._positions.sparse
        if base is None or base.name != name:
            return
        survey = _Survey(sparse.indexes, sparse.packed, (), Salvage(any_line), base.bytes)
        self._read_through(survey, name, base.bytes)
        own: dict[int, bytes] = {}
        said = self._indexes.said(name)
        if said is not None and said.size == base.bytes:
            last = end_line(base.bytes, said.crc)
            own = {0: said.first_line, base.bytes - len(last): last}
        count = entries_line(len(sparse.indexes))
        own[self._positions.first_offset(base.bytes) - len(count)] = count
        made = plan(survey.gaps, own, survey.lost, records, fills=False)
        if made.patches:
            crc_end = base.bytes - len(end_line(base.bytes, 0))
            expected = (crc_end, said.crc) if made.is_whole and said is not None else None
            rewrite(self._disk, self._data_dir / name, base.bytes, made.patches, survey.crc, expected)

    def _survey_segment(self, slot: int, sealed: Sealed) -> _Survey:
        base_index, last_index = self._positions.base_index, self._positions.last_index
        first, last = max(sealed.first_index, base_index + 1), min(sealed.last_index, last_index)
        indexes, positions, loose = array("Q"), array("Q"), []
        with suppress(LookupError):  # a compaction, or a rewind, was quicker: what it replaced nobody needs
            for index, position in enumerate(self._positions.get_range(first, last), first):
                hole = self._holes.get(index)
                if hole is not None and hole[0] == position:
                    loose.append(hole[1])
                elif unpack(position)[0] == slot:
                    indexes.append(index)
                    positions.append(position)
        return _Survey(indexes, positions, loose, Salvage(known_line), sealed.end)

    def _read_through(self, survey: _Survey, name: str, end: int) -> None:
        for _ in self._steps(survey, name, end):
            pass

    def _steps(self, survey: _Survey, name: str, end: int) -> Iterator[tuple[int, list[Lost]]]:
        """Feed a file's bytes before `end` to the survey; yield the size of each step, and the entries lost."""
        file = open_possible(self._disk, self._data_dir / name)
        try:
            for offset in range(0, end, STEP_BYTES):
                size = min(STEP_BYTES, end - offset)
                yield size, survey.feed(read_possible(file, size, offset), last=offset + size == end)
        finally:
            if file is not None:
                file.close()

    def lost_in(self, name: str) -> list[int]:
        """Return the entries that are lost in a file, ascending; none if it does not count, or is being appended to.

        Reads the whole file.  Raises OSError.
        """
        slot = next((slot for slot, each, _ in self._files.counted() if each == name), None)
        sealed, base = self._segments.sealed.get(name), self._files.base
        if slot is None:
            return []
        if sealed is not None:
            survey = self._survey_segment(slot, sealed)
            self._read_through(survey, name, sealed.end)
        elif base is not None and base.name == name:
            sparse = self._positions.sparse
            survey = _Survey(sparse.indexes, sparse.packed, (), Salvage(any_line), 0)
            self._read_through(survey, name, base.bytes)
        else:
            return []
        return [one.index for one in survey.lost]

    # Checking

    def verify(self) -> Iterator[Verified]:
        """Read everything in steps of at most 256 KiB and yield each; the caller pauses between them.

        Raises DiskFull, OSError.
        """
        counted = self._files.counted()
        sealed = {name: self._segments.sealed.get(name) for _, name, _ in counted}
        sizes = {name: described.end for name, described in sealed.items() if described is not None}
        sizes |= {name: size for _, name, size in counted if not sequence_of(name)}
        checkpoint = checkpoint_name(self._files.document_index)
        with suppress(OSError):
            if checkpoint in self._disk.list(self._data_dir):
                file = self._disk.open(self._data_dir / checkpoint)
                sizes[checkpoint] = file.size
                file.close()
        total, done = sum(sizes.values()), 0  # what is read again counts again
        for slot, name, _ in counted:
            if name not in sizes:
                continue  # the newest segment
            steps = self._check_segment(slot, name) if sequence_of(name) else self._check_base(slot, name)
            end = done + sizes[name]
            for size, damages in steps:
                done += size
                yield Verified(name, done, total + max(0, done - end), damages)
            total += max(0, done - end)
        if checkpoint in sizes:
            for size, damages in self._check_checkpoint(checkpoint):
                done += size
                yield Verified(checkpoint, done, total, damages)

    def _check_segment(self, slot: int, name: str) -> Iterator[tuple[int, tuple[CorruptLog, ...]]]:
        sealed, header = self._segments.sealed.get(name), self._segments.headers.get(name)
        if sealed is None or header is None:  # a compaction has replaced it since the check began
            return
        has_index = self._has_index(header, sealed)
        if has_index and sealed.crc is not None:
            quick = _QuickCheck(sealed.end)
            yield from self._quick_steps(quick, name, sealed.end)
            if quick.is_intact and quick.crc == sealed.crc:
                return
        survey = self._survey_segment(slot, sealed)
        if not has_index:
            survey.content = Content()
        for size, lost in self._steps(survey, name, sealed.end):
            yield size, self._damage_of(name, lost)
        if not self._files.counts(slot):
            return
        if survey.gaps and not survey.lost:
            with self._lock:
                self._mend_file(slot, name, {})
            yield 0, (self._error(name, survey.gaps[0][0], "bytes that nobody needs were damaged: written anew,"),)
        elif not survey.gaps and not survey.has_void and survey.crc != sealed.crc and sealed.crc is not None:
            yield 0, (self._error(name, 0, "the checksum of the whole is wrong"),)
        elif not survey.gaps and survey.content is not None:
            self._keep_index(header, sealed, survey.content)
            yield 0, (self._index_error(name),)

    def _quick_steps(self, quick: "_QuickCheck", name: str, end: int) -> Iterator[tuple[int, tuple[CorruptLog, ...]]]:
        """Feed a file's bytes before `end` to the check until it finds that they are not all intact."""
        file = open_possible(self._disk, self._data_dir / name)
        try:
            for offset in range(0, end, STEP_BYTES):
                size = min(STEP_BYTES, end - offset)
                quick.feed(read_possible(file, size, offset), last=offset + size == end)
                yield size, ()
                if not quick.is_intact:
                    return
        finally:
            if file is not None:
                file.close()

    def _has_index(self, header: Header, sealed: Sealed) -> bool:
        file = open_possible(self._disk, self._data_dir / header.name)
        if file is None:
            return True  # what is lost is the file
        try:
            return self._indexes.segment(file, header, sealed.end, sealed.crc) is not None
        except OSError:
            return True
        finally:
            file.close()

    def _keep_index(self, header: Header, sealed: Sealed, content: Content) -> None:
        with suppress(OSError), closing(self._disk.open(self._data_dir / header.name)) as file:
            self._indexes.keep_segment(file, header, sealed.end, sealed.crc, content)

    def _index_error(self, name: str) -> CorruptLog:
        return self._error(index_name(name), 0, "the index was damaged or missing, and was made anew,")

    def _check_base(self, slot: int, name: str) -> Iterator[tuple[int, tuple[CorruptLog, ...]]]:
        base, sparse = self._files.base, self._positions.sparse
        if base is None or base.name != name:
            return
        said, crc_end = self._indexes.said(name), base.bytes - len(end_line(base.bytes, 0))
        has_index = self._indexes.is_base_intact(name)
        if said is not None and said.size == base.bytes:
            quick = _QuickCheck(crc_end)
            yield from self._quick_steps(quick, name, base.bytes)
            if quick.is_intact and quick.crc == said.crc and self._ends_with(name, base.bytes, quick.crc):
                if not has_index:
                    self._indexes.keep_base(name, sparse)
                    yield 0, (self._index_error(name),)
                return
        survey = _Survey(sparse.indexes, sparse.packed, (), Salvage(any_line), crc_end)
        for size, lost in self._steps(survey, name, base.bytes):
            yield size, self._damage_of(name, lost)
        if not self._files.counts(slot):
            return
        if survey.gaps and not survey.lost:
            with self._lock:
                self._mend_file(slot, name, {})
            yield 0, (self._error(name, survey.gaps[0][0], "the snapshot is damaged"),)
        elif not survey.gaps and not self._ends_with(name, base.bytes, survey.crc):
            yield 0, (self._error(name, 0, "the checksum of the whole is wrong"),)
        elif not survey.gaps and (said is None or not has_index or (said.size, said.crc) != (base.bytes, survey.crc)):
            self._indexes.keep_base(name, sparse)
            yield 0, (self._index_error(name),)

    def _ends_with(self, name: str, size: int, crc: int) -> bool:
        line = end_line(size, crc)
        file = open_possible(self._disk, self._data_dir / name)
        try:
            return read_possible(file, len(line), size - len(line)) == line
        finally:
            if file is not None:
                file.close()

    def _check_checkpoint(self, name: str) -> Iterator[tuple[int, tuple[CorruptLog, ...]]]:
        file, scan = open_possible(self._disk, self._data_dir / name), Scan(name)
        if file is None:
            return  # a newer one has replaced it
        try:
            size, rest, what = file.size, b"", ""
            for offset in range(0, size, STEP_BYTES):
                rest += read_possible(file, min(STEP_BYTES, size - offset), offset)
                try:
                    rest = rest[scan.feed(rest) :]
                except InvalidMessage as error:
                    what = str(error)
                    break
                yield min(STEP_BYTES, size - offset), ()
            what = what or ("" if scan.whole and scan.offset == size else "a damaged line")
        finally:
            file.close()
        if what and checkpoint_index(name) == self._files.document_index:
            with suppress(OSError):
                self._disk.remove(self._data_dir / name)
            self._files.forget_checkpoints()
            yield 0, (self._error(name, scan.offset, f"the checkpoint was removed: {what}"),)

    def _damage_of(self, name: str, lost: Sequence[Lost]) -> tuple[CorruptLog, ...]:
        if not lost:
            return ()
        first = lost[0]
        offset = first.lower if first.offset is None else first.offset
        indexes = tuple(sorted(one.index for one in lost))
        return (self._error(name, offset, f"entry {indexes[0]} is damaged", indexes),)

    def _error(self, name: str, offset: int, what: str, indexes: tuple[int, ...] = ()) -> CorruptLog:
        return CorruptLog(str(self._data_dir / name), offset, what, ADVICE, indexes)
