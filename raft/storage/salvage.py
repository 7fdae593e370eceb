"""A file that may be damaged: its intact lines, the gaps between them, and which entries of a segment are lost there.

After a damaged line the reading goes on wherever an intact line begins, also within what looks like one line, for the
newline between two lines may be what was lost.  That is safe: within JSON's strings quotes are escaped, and outside of
them nothing follows eight digits and a space, so that no text of a user looks like the beginning of a line.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from raft.core.entries import RECORD_BYTES_MAX, entry_of_verified
from raft.core.raft_messages import HardState
from raft.storage.disk import NO_DAMAGE, Disk, ReadFile
from raft.storage.positions import TermRuns, pack, unpack
from raft.storage.segment import LINE, Content, Line, Sealed, decode_opening, is_void, known_line

STEP_BYTES = 256 << 10  # read at a time: some milliseconds
_PAGE_BYTES = 4096  # an unreadable place makes at least this much unreadable
_START = re.compile(rb'[0-9a-f]{8} \{"')
_START_BYTES = 11  # of a line's beginning, which may be split between two steps


@dataclass(frozen=True, slots=True)
class Piece:
    """An intact line, or a gap (`line` is None)."""

    offset: int
    length: int
    line: Line | None

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.length

    @property
    def index(self) -> int:
        """The index of an entry's line; 0: another line, or a gap."""
        return int(self.line[3]) if self.line is not None and self.line[3] is not None else 0

    @property
    def is_void(self) -> bool:
        """Return whether it is a void line."""
        return self.line is not None and is_void(self.line[2])


@dataclass(frozen=True, slots=True)
class Lost:
    """An entry that is lost in a file."""

    index: int
    offset: int | None  # None: it is not known, and the record is somewhere in the gaps from `lower` to `upper`
    lower: int = 0
    upper: int = 0


def any_line(line: Line, offset: int) -> bool:
    """Return True: a snapshot's document has lines of any kind."""
    return True


class Salvage:
    """Takes a file's bytes in their order, in pieces of any size."""

    def __init__(self, is_known: Callable[[Line, int], bool]) -> None:
        """`is_known(line, offset)`: an intact line of another kind counts as damage."""
        self._is_known = is_known
        self._rest = b""  # the beginning of a line, or what may be one
        self._offset = 0  # of `_rest`
        self._gap: int | None = None  # where the gap before `_rest` begins

    def feed(self, data: bytes, *, last: bool = False) -> list[Piece]:
        """Return the pieces that are known now; with the `last` bytes all of them."""
        data, start, found = self._rest + data, 0, list[Piece]()
        while start < len(data):
            end = data.find(b"\n", start)
            if end < 0 and not last and len(data) - start <= RECORD_BYTES_MAX:
                break
            line = LINE.fullmatch(data, start, end + 1) if end >= 0 else None
            offset = self._offset + start
            if line is not None and int(line[1], 16) == crc32(line[2]) and self._is_known(line, offset):
                found += self._gap_until(offset)
                found.append(Piece(offset, end + 1 - start, line))
                start = end + 1
                continue
            self._gap = offset if self._gap is None else self._gap
            next_line = len(data) - _START_BYTES if end < 0 and not last else end + 1 or len(data)
            other = _START.search(data, start + 1, next_line)
            start = other.start() if other else next_line
        self._rest, self._offset = data[start:], self._offset + start
        if last:
            found += self._gap_until(self._offset)
        return found

    def _gap_until(self, offset: int) -> list[Piece]:
        start, self._gap = self._gap, None
        return [] if start is None else [Piece(start, offset - start, None)]


def open_possible(disk: Disk, path: Path) -> ReadFile | None:
    """Open a file; None if it is missing or cannot be opened.  Raises OSError: that says nothing of the file."""
    try:
        return disk.open(path)
    except OSError as error:
        if error.errno in NO_DAMAGE:
            raise
        return None


def read_possible(file: ReadFile | None, size: int, offset: int) -> bytes:
    """Return `size` bytes from `offset`, with zeros for those that are not there or cannot be read."""
    if file is None:
        return bytes(size)
    try:
        data = file.pread(size, offset)
    except OSError as error:
        if error.errno in NO_DAMAGE:
            raise
        if size <= _PAGE_BYTES:
            return bytes(size)
        first = _PAGE_BYTES - offset % _PAGE_BYTES
        ends = [*range(offset + first, offset + size, _PAGE_BYTES), offset + size]
        return b"".join(read_possible(file, e - s, s) for s, e in zip([offset, *ends], ends, strict=False))
    return data + bytes(size - len(data))


def pieces_of(file: ReadFile | None, end: int, is_known: Callable[[Line, int], bool] = known_line) -> Iterator[Piece]:
    """Yield the pieces of a file's bytes before `end`; None: the file is missing, so that all of it is a gap."""
    salvage = Salvage(is_known)
    for offset in range(0, end, STEP_BYTES):
        size = min(STEP_BYTES, end - offset)
        yield from salvage.feed(read_possible(file, size, offset), last=offset + size == end)


# The identity of what is lost


@dataclass(slots=True)
class Identified:
    """The content of a damaged segment: positions of lost entries stand for the gap where they can be."""

    content: Content = field(default_factory=Content)
    lost: list[Lost] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)  # lost entries that may be configurations


class Uncertain(Exception):
    """Nobody can say which entries are lost in a gap; the text says why."""


def identify_by_positions(content: Content, pieces: Iterable[Piece]) -> Identified:
    """Return the content that a sound index tells, and what of it the pieces lack."""
    expected = [unpack(position)[1] for position in content.positions]
    found = {(piece.offset, piece.index) for piece in pieces if piece.index}
    indexes = range(content.first_index, content.last_index + 1)
    return Identified(content, [Lost(i, o) for i, o in zip(indexes, expected, strict=True) if (o, i) not in found])


def identify_by_description(sealed: Sealed, pieces: Iterable[Piece], base_index: int) -> Identified:
    """Return the content that the successor's header describes.  Raises Uncertain.

    A record of the same index and term is the same entry (Raft §5.3, Log Matching), wherever it is.  What is
    lost up to the base is in the snapshot, and nobody needs it here.
    """
    if sealed.term_runs is None:
        raise Uncertain("its successor does not list its terms")
    terms = TermRuns(sealed.term_runs)
    lines: dict[int, Piece] = {}
    gaps: list[Piece] = []
    for piece in pieces:
        if piece.line is None or piece.is_void:  # void may be in the place of an entry that a later segment replaces
            gaps.append(piece)
        elif piece.index and int(piece.line[4]) == terms.term_of(piece.index):
            lines[piece.index] = Piece(piece.offset, piece.length, piece.line)
    found, indexes = Identified(), range(sealed.first_index, sealed.last_index + 1)
    content = found.content
    content.first_index = content.first_written = sealed.first_index
    content.term_runs, content.last_time = list(sealed.term_runs), sealed.last_time
    if not indexes:
        found.content = Content()
        return found
    uppers, upper = dict[int, int](), sealed.end
    for index in reversed(indexes):
        uppers[index] = upper
        upper = lines[index].offset if index in lines else upper
    lower = 0
    for index in indexes:
        intact = lines.get(index)
        if intact is not None and intact.line is not None:
            content.positions.append(pack(0, intact.offset, intact.length))
            lower = intact.end
            if intact.line[6] is not None:
                content.configurations.append(entry_of_verified(intact.line[0]))
            continue
        within = [gap.offset for gap in gaps if lower <= gap.offset and gap.end <= uppers[index]]
        content.positions.append(pack(0, within[-1] if within else 0, 1))
        if index > base_index:
            if not within:
                raise Uncertain(f"entry {index} is in no damaged place")
            found.lost.append(Lost(index, None, lower, uppers[index]))
            if sealed.configurations is None or index in sealed.configurations:
                found.doubtful.append(index)
    return found


class Neighbours:
    """Identifies what gaps hide by the intact lines around them, in the order of the file.

    The last intact entry before a gap is (p, t).  The first one after it is (n, t), or an opening after it names (n, t)
    as the log's last entry.  If n is not below p, the entries from p to n are of term t: leader t's own log held both
    (Raft §5.3, Log Matching), whatever was written and replaced in between.  With another term nothing is certain.
    """

    def __init__(self, index: int, term: int) -> None:
        """The log before the segment ends with this entry; term 0: not known."""
        self.found = Identified()
        self.hard_state: HardState | None = None
        self._last = index, term
        self._gap: tuple[int, int] | None = None
        self._kinds: list[int] = []  # lost entries that no opening has followed yet
        self._lost: dict[int, Lost] = {}

    def take(self, piece: Piece) -> None:
        """Take the next piece.  Raises Uncertain; InvalidMessage: an intact line that is out of place."""
        if piece.line is None or piece.is_void:
            self._gap = (self._gap[0] if self._gap else piece.offset), piece.end
        elif piece.index:
            index, term = piece.index, int(piece.line[4])
            if self._gap is not None:
                self._close_gap(index - 1, index, term)
            self.found.content.take(piece.line, piece.offset)
            self._last = index, term
        elif piece.offset:
            opening = decode_opening(piece.line[2])
            self.hard_state = opening.hard_state
            if self._gap is not None:
                self._close_gap(opening.last_index, opening.last_index, opening.last_term)
            self.found.doubtful += [index for index in self._kinds if index <= opening.configuration]
            self._kinds = []

    def _close_gap(self, last: int, witness: int, term: int) -> None:
        """Add the lost entries up to `last`; an intact line names entry `witness` of `term`."""
        assert self._gap is not None
        (before, before_term), (start, end) = self._last, self._gap
        if term != before_term or witness < before:
            raise Uncertain(
                f"between entry {before} of term {before_term} and entry {witness} of term {term} "
                "other entries may have been written and replaced"
            )
        for index in range(before + 1, last + 1):
            self.found.content.add_lost(index, term, pack(0, start, 1))
            self._lost[index] = Lost(index, None, start, end)
            self._kinds.append(index)
        self._last, self._gap = (max(before, last), term), None

    def result(self) -> Identified:
        """Return what was found.  Raises Uncertain: the last gap was not followed by anything."""
        if self._gap is not None:
            raise Uncertain("no intact line follows it")
        content = self.found.content
        for index, lost in sorted(self._lost.items()):
            place = index - content.first_index
            if 0 <= place < len(content.positions) and content.positions[place] == pack(0, lost.lower, 1):
                self.found.lost.append(lost)
        still = {lost.index for lost in self.found.lost}
        self.found.doubtful = sorted(still & {*self.found.doubtful, *self._kinds})
        return self.found
