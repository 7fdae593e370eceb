"""The index beside a file that is not appended to any more: a start reads it instead of the whole file.

    log-00000002-000000000000018.idx        beside a segment that has a successor
    snapshot-000000000000900.idx            beside a snapshot

    <crc> {"format":1,"of":"<the file's name>","bytes":8123,"crc":…,"ends":…,"first_line":"…","items":16, …}
    the indexes of the entries (of a snapshot only), then their positions, 8 bytes each, in pieces:
    (the piece's length: 4 bytes, its crc: 4 bytes, both little-endian) (up to ITEMS_MAX numbers, packed by
    packed_numbers.py)

Rules.  An index is a cache.  It may be missing, older than its file, torn or another file's.  An index that was not
made of this very file is ignored, the file is read instead, and its index is made anew.  The index is bound to its file
by name, by length, by the checksum of all its bytes (that its successor names, or of a snapshot its end line), and by
one of the file's beginning and end; each of its own bytes is under a checksum.  It gets its name in one step, and a
failure to make one is ignored.  That of a snapshot is synced, for no other file tells which entries a damaged snapshot
held; nothing is synced for that of a segment, whose successor tells it.  An index repeats the file's first line, so
that a file which is lost is still known.  So none is made of a file whose first line is damaged: an index that is there
may be the only place that has it.

A start that trusts an index has not looked at the middle of the file.  Damage there is found when an entry is used, for
each entry is verified as it is read; and by a start after the index was deleted.
"""

import json
import logging
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

from raft.core import packed_numbers
from raft.core.entries import decode_entry, decode_object, seal, unseal
from raft.errors import InvalidMessage
from raft.storage.disk import TEMPORARY_SUFFIX, Disk, ReadFile
from raft.storage.file_names import SnapshotFile, index_name
from raft.storage.positions import Sparse
from raft.storage.salvage import any_line, pieces_of
from raft.storage.segment import Content, Header, intact_lines_in
from raft.storage.snapshot_file import ENTRIES, Scan, end_crc, scan_file

logger = logging.getLogger(__name__)

FORMAT = 1
OWNER = "owner"  # the word of the process that owns the directory
_END_BYTES = 4096  # of the file's beginning and end, which differ from file to file
_ROOM_BYTES = 1 << 16  # an index is at most this much longer than its file, whose records have 48 bytes or more
_LINE_BYTES_MAX = 64 << 20  # of a first line: that of an index holds a segment's configurations and runs of terms
_ITEM_BYTES = 8
_PIECE = Struct("<II")


@dataclass(frozen=True, slots=True)
class Base:
    """A whole snapshot, and the positions of its entries."""

    file: SnapshotFile
    cluster_id: str
    sparse: Sparse


@dataclass(frozen=True, slots=True)
class Said:
    """The facts that an index repeats of its file."""

    size: int
    crc: int  # of a segment: of all its bytes; of a snapshot: that in its end line
    first_line: bytes


class Indexes:
    """The indexes of one data directory."""

    def __init__(self, disk: Disk, data_dir: Path, maker: str) -> None:
        """`maker` is a word that no other process making indexes here has."""
        self._disk = disk
        self._data_dir = data_dir
        self._maker = maker
        self.remade: list[str] = []  # the paths of indexes that were damaged or missing, and were made anew

    def segment(self, file: ReadFile, header: Header, end: int, crc: int | None) -> Content | None:
        """Return the content of the segment that is sealed at `end`; None if no index has it.

        `crc` is that of the bytes before `end`, as the successor names it.
        """
        return self._content(self._read(file, header.name, end, crc, 1))

    def lost_segment(self, name: str, end: int, crc: int | None) -> Content | None:
        """Return the content that a segment had before it was damaged or lost; None if no index has it.

        The checksum that the successor names binds the index to the segment, so `crc` must be known.
        """
        return None if crc is None else self._content(self._read(None, name, end, crc, 1))

    def _content(self, found: "tuple[dict[str, Any], list[array[int]]] | None") -> Content | None:
        if found is None:
            return None
        value, (positions,) = found
        try:
            configurations = [decode_entry(text.encode("utf-8", "surrogateescape")) for text in value["configurations"]]
            runs = [(first, term) for first, term in value["term_runs"]]
            first_written, first_index, last_time = value["first_written"], value["first_index"], value["last_time"]
        except (KeyError, TypeError, ValueError, AttributeError, InvalidMessage):  # made by another program
            return None
        return Content(first_written, first_index, positions, runs, last_time, configurations)

    def keep_segment(self, file: ReadFile, header: Header, end: int, crc: int | None, content: Content) -> bool:
        """Make the index of a segment that is sealed at `end`; return whether it was made."""
        value = {
            "first_written": content.first_written,
            "first_index": content.first_index,
            "last_time": content.last_time,
            "term_runs": content.term_runs,
            "configurations": [one.record.decode("utf-8", "surrogateescape") for one in content.configurations],
        }
        return self._keep(file, header.name, end, crc, value, [content.positions])

    def renew_segment(self, file: ReadFile, header: Header, end: int, crc: int | None, content: Content) -> None:
        """Make the index of a sealed segment in place of one that is damaged or missing.

        Beside the owner of the directory a missing one is nothing to tell: it may be about to make it.
        """
        name = index_name(header.name)
        is_told = self._maker == OWNER or name in self._disk.list(self._data_dir)
        if self.keep_segment(file, header, end, crc, content) and is_told:
            self.remade.append(str(self._data_dir / name))

    def base(self, name: str, pause: Callable[[], None] | None = None) -> Base:
        """Return the snapshot of this name.  `pause` as in `scan_file`.

        Raises InvalidMessage: it is not whole; OSError.
        """
        file = self._disk.open(self._data_dir / name)
        try:
            found = self._read(file, name, file.size, end_crc(file), 2)
            if found is not None:
                scan = Scan(name)
                scan.feed(_first_line(file))
                return Base(SnapshotFile(scan.meta, name, file.size), scan.cluster_id, Sparse(*found[1]))
        finally:
            file.close()
        scan = scan_file(self._disk, self._data_dir, name, pause)
        self.keep_base(name, scan.sparse)
        self.remade.append(str(self._data_dir / index_name(name)))
        return Base(SnapshotFile(scan.meta, name, scan.offset), scan.cluster_id, scan.sparse)

    def lost_base(self, name: str) -> Base | None:
        """Return a snapshot that is damaged or missing, as its index has it; None if no index does.

        Each entry is verified when it is read or mended, and so is the whole: an index that is of another snapshot of
        this name makes no wrong entry right.
        """
        said = self.said(name)
        found = self._read(None, name, said.size, said.crc, 2) if said else None
        if said is None or found is None:
            return None
        scan = Scan(name)
        try:
            scan.feed(said.first_line)
        except InvalidMessage:
            return None
        return Base(SnapshotFile(scan.meta, name, said.size), scan.cluster_id, Sparse(*found[1]))

    def salvaged_base(self, name: str, file: ReadFile) -> "tuple[Base, bool] | None":
        """Return a damaged snapshot by its own intact lines, and whether those are all of its entries.

        None if the first line, which describes it, is damaged too.  Raises OSError.
        """
        size, scan, sparse, announced, last_index = file.size, Scan(name), Sparse(), -1, 0
        for piece in pieces_of(file, size, any_line):
            if piece.line is None:
                continue
            if piece.offset == 0:
                with suppress(InvalidMessage):
                    scan.feed(piece.line[0])
            elif announced < 0 and (entries := ENTRIES.fullmatch(piece.line[2])):
                announced = int(entries[1])
            elif last_index < piece.index <= scan.meta.index:
                sparse.add(piece.index, piece.offset, piece.length)
                last_index = piece.index
        if not scan.meta.index:
            return None
        return Base(SnapshotFile(scan.meta, name, size), scan.cluster_id, sparse), len(sparse.indexes) == announced

    def keep_base(self, name: str, sparse: Sparse) -> None:
        """Make the index of a whole snapshot."""
        with suppress(OSError):
            file = self._disk.open(self._data_dir / name)
            try:
                self._keep(file, name, file.size, end_crc(file), {}, [sparse.indexes, sparse.packed], is_synced=True)
            finally:
                file.close()

    def is_base_intact(self, name: str) -> bool:
        """Return whether each byte of a snapshot's index is as it was written; 2 ms for a million entries."""
        try:
            index = self._disk.open(self._data_dir / index_name(name))
        except OSError:
            return False
        try:
            head = _first_line(index)
            items, end, pieces = int(str(decode_object(unseal(head))["items"])), len(head), 0
            while end < index.size:
                length, crc = _PIECE.unpack(_bytes_of(index, end, _PIECE.size))
                if crc32(_bytes_of(index, end + _PIECE.size, length)) != crc:
                    return False
                end, pieces = end + _PIECE.size + length, pieces + 1
            return pieces == 2 * -(-items // packed_numbers.ITEMS_MAX)
        except (OSError, InvalidMessage, KeyError, ValueError):
            return False
        finally:
            index.close()

    # Either kind

    def said(self, name: str) -> "Said | None":
        """Return what an intact index says of its file, which may be damaged or missing; None if there is none."""
        try:
            index = self._disk.open(self._data_dir / index_name(name))
        except OSError:
            return None
        try:
            value = decode_object(unseal(_first_line(index)))
            if (value["format"], value["of"]) != (FORMAT, name):
                return None
            first_line = str(value["first_line"]).encode("utf-8", "surrogateescape")
            unseal(first_line)
            return Said(int(str(value["bytes"])), int(str(value["crc"])), first_line)
        except (OSError, InvalidMessage, KeyError, ValueError):
            return None
        finally:
            index.close()

    def _read(
        self, file: ReadFile | None, name: str, size: int, crc: int | None, count: int
    ) -> "tuple[dict[str, Any], list[array[int]]] | None":
        """Return the index's first line, and its `count` arrays; None if it is not the index of the file's `size`
        bytes.  Without a file, its beginning and end are not compared.
        """
        try:
            index = self._disk.open(self._data_dir / index_name(name))
        except OSError:
            return None
        try:
            if index.size > size + _ROOM_BYTES:
                return None
            head = _first_line(index)
            value: dict[str, Any] = decode_object(unseal(head))
            if (value["format"], value["of"], value["bytes"], value["crc"]) != (FORMAT, name, size, crc):
                return None
            if file is not None and value["ends"] != _ends(file, size):
                return None
            arrays, end = [], len(head)
            for _ in range(count):
                items, end = _array(index, end, value["items"])
                arrays.append(items)
            return (value, arrays) if end == index.size else None
        except (OSError, InvalidMessage, KeyError, TypeError, ValueError):
            return None
        finally:
            index.close()

    def _keep(
        self,
        file: ReadFile,
        name: str,
        size: int,
        crc: int | None,
        value: dict[str, object],
        arrays: "Sequence[array[int]]",
        *,
        is_synced: bool = False,
    ) -> bool:
        first_line = _first_line(file)
        if not any(intact_lines_in(first_line)):
            return False
        bound = {
            "format": FORMAT,
            "of": name,
            "bytes": size,
            "crc": crc,
            "ends": _ends(file, size),
            "first_line": first_line.decode("utf-8", "surrogateescape"),
            "items": len(arrays[0]),
        }
        head = seal(json.dumps({**bound, **value}, separators=(",", ":")).encode())
        path = self._data_dir / index_name(name)
        temporary = path.with_name(f"{path.name}.{self._maker}{TEMPORARY_SUFFIX}")
        with suppress(OSError):
            if temporary.name in self._disk.list(self._data_dir):
                self._disk.remove(temporary)  # left by an earlier process of that name
            out = self._disk.create(temporary)
            try:
                with closing(out):
                    out.append(head)
                    for piece in _pieces(arrays):
                        out.append(piece)
                    if is_synced:
                        out.fsync()
                self._disk.rename(temporary, path)
                if is_synced:
                    self._disk.sync_directory(self._data_dir)
                return True
            except OSError:
                self._disk.remove(temporary)
        return False


def log_remade(paths: Iterable[str]) -> None:
    """Log the indexes that were damaged or missing, and were made anew."""
    for path in paths:
        logger.info("%s: the index was damaged or missing, and was made anew", path)


def _first_line(file: ReadFile) -> bytes:
    """Return the first line with its newline; b"" if there is none."""
    data = file.pread(_END_BYTES, 0)
    if b"\n" not in data:  # an index, or a snapshot of many members
        data = file.pread(min(file.size, _LINE_BYTES_MAX), 0)
    return data[: data.find(b"\n") + 1]


def _ends(file: ReadFile, size: int) -> int:
    """Return the checksum of the beginning and the end of a file's first `size` bytes."""
    head, tail = file.pread(min(size, _END_BYTES), 0), file.pread(min(size, _END_BYTES), max(0, size - _END_BYTES))
    return crc32(tail, crc32(head))


def _array(file: ReadFile, start: int, items: int) -> "tuple[array[int], int]":
    """Return `count` numbers, and the end of their last piece.  Raises ValueError if they are not there."""
    found = array("Q")
    while len(found) < items:
        length, crc = _PIECE.unpack(_bytes_of(file, start, _PIECE.size))
        piece = _bytes_of(file, start + _PIECE.size, length)
        if crc32(piece) != crc:
            raise ValueError("a piece with a wrong checksum")
        found.frombytes(packed_numbers.unpack(piece, _ITEM_BYTES, min(items - len(found), packed_numbers.ITEMS_MAX)))
        start += _PIECE.size + length
    if sys.byteorder == "big":
        found.byteswap()
    return found, start


def _bytes_of(file: ReadFile, start: int, size: int) -> bytes:
    data = file.pread(size, start) if size <= file.size else b""
    if len(data) != size:
        raise ValueError("an index that ends early")
    return data


def _pieces(arrays: "Sequence[array[int]]") -> Iterator[bytes]:
    for items in arrays:
        for start in range(0, len(items), packed_numbers.ITEMS_MAX):
            some = items[start : start + packed_numbers.ITEMS_MAX]
            if sys.byteorder == "big":
                some.byteswap()
            piece = packed_numbers.pack(some.tobytes(), _ITEM_BYTES)
            yield _PIECE.pack(len(piece), crc32(piece)) + piece
