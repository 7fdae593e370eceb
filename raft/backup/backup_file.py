"""A backup file: its first line, and how it is checked and read.

    <crc> {"backup":1,"program":"1.2.0","made_at":"2026-11-30T21:00:00Z","cluster_id":"…","generation":"…",
           "index":900,"term":3,"time":…}
    <crc> {"format":…,"snapshot":"snapshot-000000000000900.jsonl",…}    from here on it is a snapshot file
    …
    <crc> {"end":8123,"crc":"…"}

Rules.  Each line has a checksum, and the snapshot has one over all of its lines, so a flipped bit is found wherever it
is.  A file that ends early has no end line, and is refused.  The first line has to agree with that of the snapshot: no
two backups are mixed.  The file may be compressed by gzip.
"""

import errno
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import BinaryIO, cast

from raft.backup.report import BackupHeader, BackupInvalid
from raft.core.entries import RECORD_BYTES_MAX, decode_object, seal, unseal
from raft.core.line_blocks import BLOCK_BYTES, are_intact
from raft.core.raft_messages import SnapshotMeta
from raft.errors import InvalidMessage, OtherFormat
from raft.storage.positions import Sparse
from raft.storage.snapshot_file import ENTRIES, OWN_LINES, Scan

FORMAT = 1
HEADER_BYTES_MAX = 4096
CHUNK_BYTES = 4 * RECORD_BYTES_MAX  # always holds a whole line
_GZIP = b"\x1f\x8b"
_BEGINNING = b'{"backup":'


def encode_header(header: BackupHeader) -> bytes:
    """Return the first line."""
    return seal(json.dumps({"backup": FORMAT, **asdict(header)}, separators=(",", ":")).encode())


def decode_header(line: bytes) -> BackupHeader:
    """Decode a first line.  Raises InvalidMessage, OtherFormat."""
    payload = unseal(line)
    if not payload.startswith(_BEGINNING):
        raise InvalidMessage("not a backup of raft-chat")
    value = decode_object(payload)
    if value.get("backup") != FORMAT:
        raise OtherFormat(value.get("backup"), FORMAT)
    known = {field.name: value.get(field.name) for field in fields(BackupHeader)}
    for field in fields(BackupHeader):
        if type(known[field.name]) is not field.type:
            raise InvalidMessage(f"a first line without {field.name}")
    return BackupHeader(**known)  # type: ignore[arg-type]


class BackupCheck:
    """Takes a backup's bytes in their order, in pieces of any size, and checks them as they come."""

    def __init__(self) -> None:
        self.header: BackupHeader | None = None
        self.offset = 0  # up to here all is sound
        self._rest = b""  # what came of the next line
        self._scan: Scan | None = None

    @property
    def meta(self) -> SnapshotMeta:
        """The description of the snapshot, once its first line came."""
        return SnapshotMeta(0, 0, 0, 0, b"") if self._scan is None else self._scan.meta

    @property
    def entries(self) -> Sparse:
        """The entries so far."""
        return Sparse() if self._scan is None else self._scan.sparse

    def feed(self, data: bytes) -> None:
        """Check the next bytes.  Raises BackupInvalid."""
        data = self._rest + data
        if self._scan is None:
            data = self._take_header(data)
        if self._scan is not None and data:
            data = data[self._take_lines(self._scan, data) :]
        self._rest = data

    def finish(self) -> BackupHeader:
        """Return the header of a backup that is whole.  Raises BackupInvalid."""
        if self.header is None or self._scan is None or not self._scan.whole or self._rest:
            what = "a damaged line" if b"\n" in self._rest else "the backup ends early,"
            raise BackupInvalid(self.offset, what)
        return self.header

    def _take_header(self, data: bytes) -> bytes:
        end = data.find(b"\n") + 1
        if not end:
            if len(data) > HEADER_BYTES_MAX:
                raise BackupInvalid(0, "no backup of raft-chat:")
            return data
        try:
            self.header = decode_header(data[:end])
        except OtherFormat as other:
            raise BackupInvalid(0, f"a backup of another version: {other};") from None
        except InvalidMessage as error:
            what = "the first line is damaged" if _BEGINNING in data[:end] else "no backup of raft-chat:"
            raise BackupInvalid(0, f"{what} {error}") from None
        self.offset = end
        self._scan = Scan(f"snapshot-{self.header.index:015}.jsonl")
        return data[end:]

    def _take_lines(self, scan: Scan, data: bytes) -> int:
        knew = scan.offset > 0
        before = self.offset - scan.offset
        try:
            taken = scan.feed(data)
        except InvalidMessage as error:
            raise BackupInvalid(before + scan.offset, str(error)) from None
        self.offset = before + scan.offset
        if taken and not knew:
            self._check_header(before)
        left = memoryview(data)[taken : taken + RECORD_BYTES_MAX + 1]
        if b"\n" in bytes(left) or len(left) > RECORD_BYTES_MAX:  # a line that is whole, and not intact
            raise BackupInvalid(self.offset, "a damaged line")
        return taken

    def _check_header(self, offset: int) -> None:
        assert self.header is not None
        assert self._scan is not None
        header, meta = self.header, self._scan.meta
        said = header.cluster_id, header.index, header.term, header.time
        if said != (self._scan.cluster_id, meta.index, meta.term, meta.time):
            raise BackupInvalid(offset, "the snapshot is not the one of the first line")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a backup for reading, decompressed.  Raises OSError, and BackupInvalid for what gzip cannot read."""
    if path.is_fifo():  # it would wait for a writer, and be empty the second time
        raise OSError(errno.ESPIPE, "a pipe cannot be read twice; write it to a file first")
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
        file.seek(0)
        if not is_compressed:
            yield file
            return
        with closing(gzip.GzipFile(fileobj=file)) as compressed:
            try:
                yield cast(BinaryIO, compressed)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise BackupInvalid(compressed.tell(), f"the compressed file is damaged: {error}") from None


def header_of(path: Path) -> BackupHeader:
    """Return the first line of a backup, and check no more.  Raises BackupInvalid, OSError."""
    checked = BackupCheck()
    with opened(path) as file:
        checked.feed(file.readline(HEADER_BYTES_MAX))
    if checked.header is None:
        raise BackupInvalid(0, "no backup of raft-chat:")
    return checked.header


def check(path: Path) -> BackupCheck:
    """Read a whole backup.  Raises BackupInvalid, OSError."""
    checked = BackupCheck()
    with opened(path) as file:
        while data := file.read(CHUNK_BYTES):
            checked.feed(data)
    checked.finish()
    return checked


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a backup from the snapshot's document on, up to the end line.  Each checksum is verified.

    The lines of the document come one by one, and entries several in one piece.  Raises BackupInvalid, OSError.
    """
    with opened(path) as file:
        offset = len(file.readline(HEADER_BYTES_MAX))
        offset += len(file.readline(HEADER_BYTES_MAX + RECORD_BYTES_MAX))
        while line := file.readline(RECORD_BYTES_MAX + 1):
            try:
                payload = unseal(line)
            except InvalidMessage:
                raise BackupInvalid(offset, "a damaged line") from None
            yield line
            offset += len(line)
            if entries := ENTRIES.fullmatch(payload):
                yield from _entries(file, offset, int(entries[1]))
                return
    raise BackupInvalid(offset, "the backup ends early,")


def _entries(file: BinaryIO, offset: int, count: int) -> Iterator[bytes]:
    """Yield so many lines from `offset` on, each verified, in blocks.  Raises BackupInvalid."""
    rest = b""
    while count:
        data = file.read(BLOCK_BYTES)
        block = rest + data
        lines = block[: block.rfind(b"\n") + 1].split(b"\n")[:-1][:count]
        if not data or not are_intact(lines):
            raise BackupInvalid(offset, "a damaged line" if data else "the backup ends early,")
        size = sum(map(len, lines)) + len(lines)
        if lines:
            yield block[:size]
        rest, offset, count = block[size:], offset + size, count - len(lines)


def document_of(content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the payloads of the document at the beginning of `pieces`; the line after it is taken too."""
    for line in content:
        payload = line[9:-1]
        if payload.startswith(OWN_LINES):
            return
        yield payload
