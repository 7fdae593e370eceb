"""A file that may be damaged: its intact lines, and the gaps between them.

After a damaged line the reading goes on wherever an intact line begins, also within what looks like one line, for the
newline between two lines may be what was lost.  That is safe: within JSON's strings quotes are escaped, and outside of
them nothing follows eight digits and a space, so that no text of a user looks like the beginning of a line.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from raft.core.entries import RECORD_BYTES_MAX
from raft.storage.disk import NO_DAMAGE, Disk, ReadFile
from raft.storage.segment import LINE, Line, is_void, known_line

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
