"""A snapshot or checkpoint file: its lines, and how it is written, checked and read.

    snapshot-000000000000900.jsonl: the state and the live entries of the log up to index 900
    checkpoint-000000000001200.jsonl: the state at index 1200, without entries

    <crc> {"format":1,"snapshot":"<its own name>","cluster_id":"…","index":900,"term":3,"time":…,
           "configuration_index":17,"configuration":{…}}
    <crc> {"sessions":[…]}           the state document: the engine's lines, then the state machine's
    <crc> {"entries":2}              in a snapshot only: how many entries follow
    <crc> {"index":18,"term":3,…}    the live entries, verbatim and ascending, with gaps
    <crc> {"index":20,"term":3,…}
    <crc> {"end":8123,"crc":"…"}     the offset of this line, and the checksum of all bytes before it

Rules.  A file gets its name only when all of it is durable.  So a crash never leaves an incomplete snapshot, and a
start with one is refused.  A checkpoint is a cache: an incomplete one is ignored.  No line of a document looks like one
of the file's own (it has neither `entries` nor `end` as its first member), or is longer than a record may be.

A start, or a compaction, begins with the newest checkpoint that can be trusted, or with the base.  A checkpoint counts
if it is whole and the log holds, at its index, an entry of its term: then it is the state after that very entry.  It
was made of what was applied, so its entry is committed, whatever the hard state on this disk knew of that.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from raft.core.configuration import decode_configuration
from raft.core.entries import RECORD_BYTES_MAX, decode_object, entry_of_verified, seal
from raft.core.line_blocks import BLOCK_BYTES, are_intact, entries_of
from raft.core.raft_messages import SnapshotMeta
from raft.errors import ADVICE, CorruptLog, InvalidMessage, OtherFormat
from raft.storage.disk import NO_DAMAGE, TEMPORARY_SUFFIX, Disk, ReadFile
from raft.storage.file_names import SnapshotFile, checkpoint_index, snapshot_index
from raft.storage.positions import FILE_BYTES_MAX, Sparse
from raft.storage.segment import Line, intact_lines, intact_lines_in

FORMAT = 1
CHUNK_BYTES = 4 * RECORD_BYTES_MAX  # read at a time: always holds a whole line
STEP_BYTES = 128 << 10  # some hundred entries: a few milliseconds
WRITE_STEP_BYTES = 64 << 10  # some hundred lines, which take one or two milliseconds to make
_WRITE_BYTES = 1 << 20  # in one piece, and synced: a large fsync would hold up those of the log beside it
ENTRIES = re.compile(rb'\{"entries":([0-9]{1,16})\}')
_END = re.compile(rb'\{"end":([0-9]{1,16}),"crc":"([0-9a-f]{8})"\}')
_END_LINE_BYTES = 64  # an end line has at most 57
OWN_LINES = (b'{"entries":', b'{"end":')


def encode_header(name: str, cluster_id: str, meta: SnapshotMeta) -> bytes:
    """Return the first line's JSON."""
    value = {
        "format": FORMAT,
        "snapshot": name,
        "cluster_id": cluster_id,
        "index": meta.index,
        "term": meta.term,
        "time": meta.time,
        "configuration_index": meta.configuration_index,
        "configuration": json.loads(meta.configuration),
    }
    return json.dumps(value, separators=(",", ":")).encode()


def entries_line(count: int) -> bytes:
    """Return the line before the entries."""
    return seal(b'{"entries":%d}' % count)


def _end_line(offset: int, crc: int) -> bytes:
    return seal(b'{"end":%d,"crc":"%08x"}' % (offset, crc))


def end_line(size: int, crc: int) -> bytes:
    """Return the last line of a file of `size` bytes; `crc`: of the bytes before it."""
    line = _end_line(size, crc)
    for _ in range(2):  # the offset can have fewer digits than the size
        line = _end_line(size - len(line), crc)
    return line


class Scan:
    """Takes a file's lines in their order, in pieces of any size, and notes their content."""

    def __init__(self, name: str, *, from_peer: bool = False) -> None:
        """`from_peer`: each entry is checked, as those of an AppendEntries are."""
        self.name = name
        self.offset = 0  # of the next line
        self.meta = SnapshotMeta(0, 0, 0, 0, b"")
        self.cluster_id = ""
        self.sparse = Sparse()
        self.whole = False  # the end line was there, and right
        self._from_peer = from_peer
        self._take: Callable[[Line, int], None] = self._take_header
        self._entries_left = -1  # not known yet; never known in a checkpoint
        self._last_index = 0  # of the entries so far
        self._crc = 0  # of all before `offset`

    def feed(self, data: bytes) -> int:
        """Take the whole lines at the beginning of `data`; return how many bytes they have.

        Stops before a line that is damaged or not whole.  Raises InvalidMessage if one is out of place: it is the one
        at `offset`.
        """
        done = 0
        while self._entries_left > 0 and not self._from_peer and (taken := self._take_block(data, done)):
            done += taken
        return done + self._take_lines(data[done:] if done else data)

    def _take_block(self, data: bytes, start: int) -> int:
        """Take entries from `start` on if all in a block are intact and in their places; return their length, or 0.

        A sixth of the time that `_take_lines` takes, which says what is wrong.
        """
        lines = data[start : data.rfind(b"\n", start, start + BLOCK_BYTES) + 1].split(b"\n")[:-1]
        del lines[self._entries_left :]
        found = entries_of(lines) if are_intact(lines) else None
        if found is None or not self._last_index < found.indexes[0] or found.indexes[-1] > self.meta.index:
            return 0
        if found.term_max > self.meta.term or max(found.lengths) > RECORD_BYTES_MAX:
            return 0
        self.sparse.add_all(found.indexes, self.offset, found.lengths)
        self._last_index = found.indexes[-1]
        self._entries_left -= len(found.lengths)
        size = sum(found.lengths)
        self._crc = crc32(memoryview(data)[start : start + size], self._crc)
        self.offset += size
        return size

    def _take_lines(self, data: bytes) -> int:
        done, view, before = 0, memoryview(data), self.offset
        try:
            for line in intact_lines_in(data):
                start = line.start()
                if self.whole:
                    raise InvalidMessage("a line after the end")
                if line[2].startswith(b'{"end":'):
                    self._check_end(line[2], before + start, crc32(view[:start], self._crc))
                else:
                    self._take(line, before + start)
                done = line.end()
        finally:
            self._crc = crc32(view[:done], self._crc)
            self.offset = before + done
        return done

    def _take_header(self, line: Line, _: int) -> None:
        value = decode_object(line[2])
        if value.get("format") != FORMAT:
            raise OtherFormat(value.get("format"), FORMAT)
        if value.get("snapshot") != self.name:
            raise InvalidMessage(f"the header is that of {value.get('snapshot')}")
        index, term, time, configuration_index = (
            _integer(value, name) for name in ("index", "term", "time", "configuration_index")
        )
        if index != int(self.name.partition("-")[2][:15]) or not configuration_index <= index:
            raise InvalidMessage("a header whose indexes contradict each other")
        configuration = json.dumps(value.get("configuration"), separators=(",", ":")).encode()
        decode_configuration(configuration)
        self.meta = SnapshotMeta(index, term, time, configuration_index, configuration)
        self.cluster_id = str(value.get("cluster_id"))
        self._take = self._take_document

    def _take_document(self, line: Line, _: int) -> None:
        entries = ENTRIES.fullmatch(line[2])
        if entries is not None:
            self._entries_left = int(entries[1])
            self._take = self._take_entry

    def _take_entry(self, line: Line, offset: int) -> None:
        if line[3] is None:
            raise InvalidMessage("a line among the entries that is not an entry")
        index, length = int(line[3]), line.end() - line.start()
        if not self._last_index < index <= self.meta.index or int(line[4]) > self.meta.term:
            raise InvalidMessage(f"entry {index} out of place")
        if length > RECORD_BYTES_MAX:
            raise InvalidMessage(f"entry {index} has {length} bytes")
        if self._from_peer:
            entry_of_verified(line[0])
        self.sparse.add(index, offset, length)
        self._last_index = index
        self._entries_left -= 1

    def _check_end(self, payload: bytes, offset: int, crc: int) -> None:
        end = _END.fullmatch(payload)
        if end is None or int(end[1]) != offset or int(end[2], 16) != crc:
            raise InvalidMessage("an end line with a wrong offset or checksum")
        if self._entries_left != (0 if snapshot_index(self.name) else -1):
            raise InvalidMessage("an end line before all announced entries")
        self.whole = True


def _integer(value: dict[str, object], name: str) -> int:
    found = value.get(name)
    if type(found) is not int or not 0 <= found < 1 << 53:
        raise InvalidMessage(f"a header without {name}")
    return found


def scan_file(disk: Disk, data_dir: Path, name: str, pause: Callable[[], None] | None = None) -> Scan:
    """Read a whole file and check it.  Raises InvalidMessage: it is not whole; OSError.

    `pause` is called between steps of some milliseconds; without `pause` the steps are larger.
    """
    scan = Scan(name)
    file = disk.open(data_dir / name)
    try:
        size = file.size
        if size >= FILE_BYTES_MAX:
            raise InvalidMessage(f"{size} bytes")
        while scan.offset < size and _feed(scan, file, CHUNK_BYTES if pause is None else STEP_BYTES):
            if pause is not None:
                pause()
    finally:
        file.close()
    if not scan.whole or scan.offset != size:
        raise InvalidMessage("damaged")
    return scan


def _feed(scan: Scan, file: ReadFile, step_bytes: int) -> int:
    return scan.feed(file.pread(step_bytes, scan.offset)) or scan.feed(file.pread(CHUNK_BYTES, scan.offset))


def end_crc(file: ReadFile) -> int:
    """Return the checksum in a file's end line; -1 if that line is damaged or missing."""
    tail = file.pread(_END_LINE_BYTES, max(0, file.size - _END_LINE_BYTES))
    for line in intact_lines_in(tail[tail.rfind(b"\n", 0, -1) + 1 :]):
        end = _END.fullmatch(line[2])
        if end is not None:
            return int(end[2], 16)
    return -1


def document_lines(disk: Disk, path: Path) -> Iterator[bytes]:
    """Yield the lines of the state document in a file.  Raises CorruptLog: it is damaged or missing; OSError."""
    stop, what = 0, "the state document is damaged"
    try:
        with closing(disk.open(path)) as file:
            for offset, line in intact_lines(file, 0, file.size):
                if line[2].startswith(OWN_LINES):
                    return
                if offset:
                    yield line[2]
                stop = offset + line.end() - line.start()
    except OSError as error:
        if error.errno in NO_DAMAGE:
            raise
        what = f"the state document cannot be read ({error.strerror or error})"
    raise CorruptLog(str(path), stop, what, ADVICE)


def file_steps(
    disk: Disk,
    data_dir: Path,
    name: str,
    cluster_id: str,
    meta: SnapshotMeta,
    document: Iterable[bytes],
    entries: tuple[int, Iterable[bytes]] | None = None,
    *,
    maker: str = "1",
    noted: Sparse | None = None,
    path: Path | None = None,
    preface: bytes = b"",
) -> Generator[None, None, None]:
    """Make a whole, durable file, step by step: with `entries` (their number and records) a snapshot, else a
    checkpoint.

    The records come one by one, or several in one piece.  `path`: the file has another name on the disk.  `preface`:
    bytes before it, from behind which all offsets count.

    A step is WRITE_STEP_BYTES of short lines, or a long line, and now and then a sync.  After the last step the file is
    there.  `maker` is a word that no other process making files here has; `noted` gets the entries' positions.  If a
    step raises, or the steps are closed early, nothing is left, unless the disk cannot even remove the file.
    """
    writer, step_end = _Writer(disk, path or data_dir / name, maker, preface), 0
    try:
        writer.put(seal(encode_header(name, cluster_id, meta)))
        for line in document:
            assert not line.startswith(OWN_LINES)
            writer.put(sealed := seal(line))
            assert len(sealed) <= RECORD_BYTES_MAX
            if writer.size >= step_end:
                step_end = writer.size + WRITE_STEP_BYTES
                yield
        if entries is not None:
            count, records = entries
            writer.put(entries_line(count))
            for offset in _put_records(writer, records, noted):
                if offset >= step_end:
                    step_end = offset + WRITE_STEP_BYTES
                    yield
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


def _put_records(writer: "_Writer", records: Iterable[bytes], noted: Sparse | None) -> Iterator[int]:
    """Write entries' records, and yield the offset of each piece; `noted` gets their positions."""
    for piece in records:
        offset = writer.put(piece)
        if noted is not None:
            found = entries_of(piece.split(b"\n")[:-1])
            assert found is not None, "records that are not ascending entries"
            noted.add_all(found.indexes, offset, found.lengths)
        yield offset


class _Writer:
    """A file that is under its name with all of its content, or not at all."""

    def __init__(self, disk: Disk, path: Path, maker: str, preface: bytes = b"") -> None:
        self._disk = disk
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{maker}{TEMPORARY_SUFFIX}")
        if self._temporary.name in disk.list(path.parent):
            disk.remove(self._temporary)  # left by an earlier process of that name
        self._file = disk.create(self._temporary)
        self._preface = preface  # written first; no part of the checksum
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._written = 0
        self._crc = 0

    @property
    def size(self) -> int:
        """The bytes so far."""
        return self._written + self._pending_bytes

    def put(self, line: bytes) -> int:
        """Add a line; return its offset."""
        offset = self.size
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes >= _WRITE_BYTES:
            self._flush()
        return offset

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._file.append(self._preface + data)
        self._preface = b""
        self._file.fdatasync()
        self._crc = crc32(data, self._crc)
        self._written += len(data)

    def finish(self) -> None:
        """Close the file with its end line, durable and under its name."""
        self._flush()
        self._file.append(_end_line(self._written, self._crc))
        self._file.fsync()
        self._file.close()
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_directory(self._path.parent)

    def abandon(self) -> None:
        """Remove the unfinished file."""
        self._file.close()
        with suppress(OSError):  # the first error is the one to raise
            self._disk.remove(self._temporary)


@dataclass(frozen=True, slots=True)
class Document:
    """The state at `meta.index`: the engine's lines, then the state machine's."""

    meta: SnapshotMeta
    lines: Iterator[bytes]


def newest_document(
    disk: Disk,
    data_dir: Path,
    base: SnapshotFile | None,
    up_to: int,
    term_at: Callable[[int], int],
    removed: list[str] | None = None,
    *,
    known: dict[str, SnapshotMeta] | None = None,
) -> Document | None:
    """Return the newest usable document whose index is at most `up_to`.

    Damaged checkpoints are removed and added to `removed`; None: they stay.

    `term_at(index)` is that of the log, 0 if it does not hold the entry.  `known`: checkpoints found whole before,
    which are not checked again; new ones are added.  Raises OSError.
    """
    known = {} if known is None else known
    base_index = base.meta.index if base else 0
    names = disk.list(data_dir)
    for index, name in sorted(((checkpoint_index(name), name) for name in names), reverse=True):
        if not base_index < index <= up_to:
            continue
        try:
            known[name] = meta = known.get(name) or scan_file(disk, data_dir, name).meta
        except (InvalidMessage, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_DAMAGE:
                raise
            if removed is not None:
                with suppress(OSError):  # a damaged checkpoint that stays does no harm
                    disk.remove(data_dir / name)
                    removed.append(name)
            continue
        if meta.term == term_at(index):
            return Document(meta, document_lines(disk, data_dir / name))
    if base is None or base_index > up_to:
        return None
    return Document(base.meta, document_lines(disk, data_dir / base.name))
