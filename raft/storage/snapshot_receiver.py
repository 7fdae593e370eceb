"""The receiver of a snapshot that the leader sends, piece by piece, into a temporary file.

Rules.  Only whole lines count, and only those at the offset that comes next: a lost, doubled or reordered chunk changes
nothing, and the sender asks for `offset` to go on.  Every line's checksum and order is verified before it is written,
and the end line proves that nothing is missing.  The receiver does not touch the log, and leaves
room on the disk for it: a full disk stops the log, but a snapshot can wait.
"""

import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

from raft.core.raft_messages import SnapshotMeta
from raft.errors import DiskFailed, InvalidMessage, RefusedPeer
from raft.storage.disk import TEMPORARY_SUFFIX, AppendFile, Disk
from raft.storage.file_names import SnapshotFile, snapshot_name
from raft.storage.positions import FILE_BYTES_MAX, Sparse
from raft.storage.snapshot_file import Scan

SPARE_BYTES = 8 << 20  # of the disk stay free for the log
_SYNC_BYTES = 4 << 20  # synced at a time, so that the log's own syncs beside it stay short
_serials = count(1)  # each gets a temporary name of its own: an earlier one may be about to be installed


class SnapshotReceiver:
    """A snapshot being received.  Any thread; concurrent calls wait for each other."""

    def __init__(
        self,
        disk: Disk,
        data_dir: Path,
        cluster_id: str,
        meta_index: int,
        meta_term: int,
        bytes_total: int,
        spare_bytes: int = SPARE_BYTES,
    ) -> None:
        """`spare_bytes` of the disk stay free.

        Raises InvalidMessage: this cannot be a snapshot; RefusedPeer: there is no room for it; DiskFailed.
        """
        if not 0 < meta_index < 10**15 or not 0 < bytes_total < FILE_BYTES_MAX:
            raise InvalidMessage(f"a snapshot at index {meta_index} with {bytes_total} bytes")
        self.index, self.term, self.bytes_total = meta_index, meta_term, bytes_total
        self._temporary = data_dir / f"{snapshot_name(meta_index)}.received{next(_serials)}{TEMPORARY_SUFFIX}"
        self._disk = disk
        self._spare_bytes = spare_bytes
        self._cluster_id = cluster_id
        self._lock = threading.Lock()  # held across I/O: other calls could do nothing meanwhile
        self._scan = Scan(snapshot_name(meta_index), from_peer=True)
        self._unsynced = 0
        self._finished: SnapshotFile | None = None
        self._file: AppendFile | None = None  # None once it is finished or dropped
        try:
            self._require_room(bytes_total)
            self._file = disk.create(self._temporary)
        except OSError as error:
            raise DiskFailed(f"{self._temporary}: {error}") from error

    @property
    def temporary_name(self) -> str:
        """The file's name until it is installed."""
        return self._temporary.name

    @property
    def offset(self) -> int:
        """The offset where the next chunk begins."""
        return self._scan.offset

    @property
    def dropped(self) -> bool:
        """Return whether the receiver was dropped unfinished: another one has to be begun."""
        return self._file is None and self._finished is None

    def write(self, offset: int, lines: bytes) -> None:
        """Write a chunk of whole lines; a chunk that does not begin at `offset`, or comes too late, is ignored.

        Raises InvalidMessage: the chunk is damaged (its intact beginning was taken, `offset` says so), or this is no
        such snapshot; RefusedPeer (no room) or DiskFailed.  In the last three cases the file is dropped.
        """
        with self._lock:
            if self._file is None or offset != self.offset:
                return
            try:
                taken = self._take(lines)
            except OSError as error:
                self._drop()
                raise DiskFailed(f"{self._temporary}: {error}") from error
            except (InvalidMessage, RefusedPeer):
                self._drop()
                raise
            if taken < len(lines):
                raise InvalidMessage(f"a snapshot's line at byte {self.offset} that is damaged or not whole")

    def _take(self, lines: bytes) -> int:
        assert self._file is not None
        if self.offset + len(lines) > self.bytes_total:
            raise InvalidMessage(f"{len(lines)} bytes at {self.offset} of a snapshot with {self.bytes_total}")
        self._require_room(len(lines))
        taken = self._scan.feed(lines)
        meta, cluster_id = self._scan.meta, self._scan.cluster_id
        if taken and (meta.term != self.term or (self._cluster_id and cluster_id not in ("", self._cluster_id))):
            raise InvalidMessage(f"a snapshot of term {meta.term} and cluster {cluster_id!r}, which was not announced")
        self._file.append(lines[:taken])
        self._unsynced += taken
        if self._unsynced >= _SYNC_BYTES:
            self._file.fdatasync()
            self._unsynced = 0
        return taken

    def _require_room(self, size: int) -> None:
        free = self._disk.free_bytes(self._temporary.parent)
        if free < size + self._spare_bytes:
            raise RefusedPeer(
                "not_ready", f"{free} bytes are free in {self._temporary.parent}, too few for a snapshot of {size} more"
            )

    def finish(self) -> SnapshotMeta:
        """Make the complete file durable, under its temporary name.

        Raises InvalidMessage: it is not complete, `offset` says from where on; DiskFailed: begin another.
        """
        with self._lock:
            if self._finished is not None:
                return self._finished.meta
            if self._file is None or not self._scan.whole or self.offset != self.bytes_total:
                raise InvalidMessage(f"a snapshot of {self.bytes_total} bytes that ends at {self.offset}")
            try:
                self._file.fsync()
            except OSError as error:
                self._drop()
                raise DiskFailed(f"{self._temporary}: {error}") from error
            self._file.close()
            self._file = None
            self._finished = SnapshotFile(self._scan.meta, self._scan.name, self.offset)
            return self._finished.meta

    def finished(self) -> tuple[SnapshotFile, Sparse] | None:
        """Return the file, with its final name, and its entries; None while it is not finished."""
        return (self._finished, self._scan.sparse) if self._finished else None

    def drop(self) -> None:
        """Give up what was received; nothing can be written any more."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._finished = None
        with suppress(OSError):  # the next start removes it
            self._disk.remove(self._temporary)
