"""A check of a log's files, each by itself: every byte is read, and nothing is written.

Recovery trusts the index beside a sealed file, and then does not read the file.  Here each line of each file is
verified, and the checksum of the whole: of a segment that in its successor's header, of a snapshot that in its own end
line.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from raft.errors import InvalidMessage
from raft.storage.disk import Disk, ReadFile
from raft.storage.file_names import checkpoint_index, sequence_of, snapshot_index
from raft.storage.index_file import Indexes
from raft.storage.salvage import Piece, any_line, open_possible, pieces_of
from raft.storage.segment import (
    Header,
    Sealed,
    SegmentScan,
    checksum,
    decode_header,
    highest_durable,
    intact_lines,
    is_written_anew,
)
from raft.storage.snapshot_file import CHUNK_BYTES, Scan

SEGMENT, SNAPSHOT, CHECKPOINT = "segment", "snapshot", "checkpoint"
_HEADER_BYTES_MAX = 4096
_ANY_INDEX = 1 << 53  # before a segment: which entries are there is not for this check to say
_READER = "check"  # the word of this reader of indexes; it makes none, as the disk is only read
_DAMAGED = "a damaged or missing record"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file of the log, and what is wrong with it."""

    name: str
    kind: str
    bytes: int = 0
    first_index: int = 0  # of the entries in it, or 0; a document's is that of the state in it
    last_index: int = 0
    problem: str = ""  # "" for a sound file
    offset: int = 0  # of the first byte that is wrong
    unfinished_bytes: int = 0  # at the end of the newest segment: a write that was under way, or that a crash cut short
    gaps: tuple[tuple[int, int], ...] = ()  # (offset, length) of each damaged place
    lost: tuple[int, ...] = ()  # the entries in the gaps, as far as another file says which those are


def check_files(disk: Disk, data_dir: Path) -> Iterator[CheckedFile]:
    """Check the log's files, snapshots and checkpoints first, segments in their order."""
    names = sorted(disk.list(data_dir))
    for name in names:
        if snapshot_index(name) or checkpoint_index(name):
            kind = SNAPSHOT if snapshot_index(name) else CHECKPOINT
            found = _checked(disk, data_dir, name, kind, _check_document)
            yield _with_lost_of_snapshot(disk, data_dir, found) if kind == SNAPSHOT and found.problem else found
    segments = [name for name in names if sequence_of(name)]
    for name, after in zip(segments, [*segments[1:], ""], strict=False):
        check = partial(_check_segment, sealed=_sealed(disk, data_dir, name, after), is_newest=not after)
        yield _checked(disk, data_dir, name, SEGMENT, check)
        if after:
            yield from _missing(disk, data_dir, name, after)


def _checked(
    disk: Disk, data_dir: Path, name: str, kind: str, check: Callable[[ReadFile, CheckedFile], CheckedFile]
) -> CheckedFile:
    found = CheckedFile(name, kind)
    try:
        with closing(disk.open(data_dir / name)) as file:
            found = replace(found, bytes=file.size)
            return check(file, found)
    except OSError as error:
        return replace(found, problem=f"it cannot be read: {error.strerror}")


def _check_document(file: ReadFile, found: CheckedFile) -> CheckedFile:
    scan = Scan(found.name)
    try:
        while scan.offset < found.bytes and scan.feed(file.pread(CHUNK_BYTES, scan.offset)):
            pass
    except InvalidMessage as error:
        return replace(found, problem=str(error), offset=scan.offset)
    found = replace(found, first_index=scan.meta.index, last_index=scan.meta.index)
    if scan.whole and scan.offset == found.bytes:
        return found
    return replace(found, problem=_DAMAGED, offset=scan.offset)


def _with_lost_of_snapshot(disk: Disk, data_dir: Path, found: CheckedFile) -> CheckedFile:
    """Add the gaps of a damaged snapshot, and by its index the entries that are lost in them."""
    file = open_possible(disk, data_dir / found.name)
    try:
        pieces = [*pieces_of(file, found.bytes, any_line)]
    finally:
        if file is not None:
            file.close()
    intact = {piece.index for piece in pieces}
    try:
        known = Indexes(disk, data_dir, _READER).base(found.name).sparse.indexes
    except (InvalidMessage, OSError):  # the index is missing or not of this file
        known = array("Q")
    return replace(found, gaps=_gaps(pieces), lost=tuple(index for index in known if index not in intact))


def _gaps(pieces: Iterable[Piece]) -> tuple[tuple[int, int], ...]:
    return tuple((piece.offset, piece.length) for piece in pieces if piece.line is None)


def _missing(disk: Disk, data_dir: Path, name: str, after: str) -> Iterator[CheckedFile]:
    """Yield the segment between two others, if the later one follows another one than the earlier."""
    try:
        with closing(disk.open(data_dir / after)) as file:
            header = _header(file)
    except (OSError, InvalidMessage):
        return
    if header is not None and header.predecessor > name:
        first, last = header.sealed.first_index, header.sealed.last_index
        yield CheckedFile(
            header.predecessor, SEGMENT, problem="the file is missing", gaps=((0, header.sealed.end),),
            lost=tuple(range(first, last + 1)), first_index=first, last_index=last,
        )  # fmt: skip


def _sealed(disk: Disk, data_dir: Path, name: str, after: str) -> Sealed | None:
    """Return the description of a segment in its successor's header; None if it has none that can be read."""
    if not after:
        return None
    try:
        with closing(disk.open(data_dir / after)) as file:
            header = _header(file)
    except (OSError, InvalidMessage):
        return None
    return header.sealed if header is not None and header.predecessor == name else None


def _header(file: ReadFile) -> Header | None:
    """Return the header of a segment; None if it is damaged.  Raises InvalidMessage: another program's; OSError."""
    for _, line in intact_lines(file, 0, min(file.size, _HEADER_BYTES_MAX)):
        return decode_header(line[2])
    return None


def _check_segment(file: ReadFile, found: CheckedFile, *, sealed: Sealed | None, is_newest: bool) -> CheckedFile:
    """Check a segment.  `sealed` None: its successor does not describe it, so it counts as far as it is intact.

    In the newest one, nobody was told of what follows the last batch that is known to be durable.
    """
    try:
        header = _header(file)
    except InvalidMessage as error:
        return replace(found, problem=str(error))
    if header is None:
        return replace(found, problem="the header is damaged")
    if header.name != found.name:
        return replace(found, problem=f"the header is that of {header.name}")
    end = found.bytes if sealed is None else sealed.end
    scan = SegmentScan.of(header, _ANY_INDEX)
    try:
        scan.run(file, end, lambda _: None)
    except InvalidMessage as error:
        return replace(found, problem=str(error), offset=scan.stop)
    content = scan.content
    if content.last_index >= content.first_index:
        found = replace(found, first_index=content.first_index, last_index=content.last_index)
    if sealed is None and is_newest:
        if scan.stop < max(scan.durable, highest_durable(file, scan.stop, end)):
            return _with_lost(file, replace(found, problem=_DAMAGED, offset=scan.stop), end, None)
        return replace(found, unfinished_bytes=end - scan.stop)
    if scan.stop < end:
        return _with_lost(file, replace(found, problem=_DAMAGED, offset=scan.stop), end, sealed)
    crc = None if sealed is None else sealed.crc
    if crc is not None and checksum(file, end) != crc and not _has_void(file, end):
        return replace(found, problem=f"the checksum of the whole is not {crc:08x}")
    return found


def _with_lost(file: ReadFile, found: CheckedFile, end: int, sealed: Sealed | None) -> CheckedFile:
    """Add the gaps of a damaged segment, and by its successor the entries that are lost in them."""
    pieces = [*pieces_of(file, end)]
    intact = {piece.index for piece in pieces}
    first, last = (sealed.first_index, sealed.last_index) if sealed is not None else (1, 0)
    lost = tuple(index for index in range(first, last + 1) if index not in intact)
    return replace(found, gaps=_gaps(pieces), lost=lost)


def _has_void(file: ReadFile, end: int) -> bool:
    """Return whether the segment was written anew after damage: then its checksum is another one."""
    return any(is_written_anew(line[2]) for _, line in intact_lines(file, 0, end))
