"""The transfer of a snapshot's file to a follower: both ends.

The leader asks where to begin, then sends chunks of whole lines and continues where each answer says.  So a lost,
doubled or reordered chunk costs one more chunk, and a transfer that broke off continues where it stopped.  Every line
has a checksum, and the file has one over all; damaged data is never used.  When the file is complete, InstallSnapshot
asks the follower's Node to go on from it (Raft §7).

Rules of the receiving end: one file at a time, from one sender; while the Node is being asked, no other is begun.
"""

import threading
from collections.abc import Callable

from raft.core.raft_messages import SnapshotMeta
from raft.errors import DiskFailed, InvalidMessage, RefusedPeer
from raft.rpc.calls import SnapshotChunk, SnapshotChunkReply
from raft.storage.log_store import Storage
from raft.storage.snapshot_receiver import Receiver

CHUNK_BYTES = 1 << 20  # some milliseconds of a disk and of the other end's processor
STALLED_MAX = 8  # answers in a row that do not get further: then the transfer begins anew


def send_snapshot(
    storage: Storage,
    source: int,
    target: int,
    snapshot: SnapshotMeta,
    ask: Callable[[SnapshotChunk], SnapshotChunkReply],
    piece_bytes: Callable[[], int] = lambda: CHUNK_BYTES,
) -> None:
    """Send the file of `snapshot` to `target`; `ask` makes one call, and raises to end the transfer.

    `piece_bytes()` is how much fits the line in one call, at this moment.

    Raises LookupError: another compaction has replaced that snapshot meanwhile; CorruptLog: it is damaged here.
    """
    file = storage.snapshot
    if file is None or file.meta != snapshot:
        raise LookupError(f"the snapshot of index {snapshot.index} is not the newest any more")

    def sent(offset: int, lines: bytes) -> int:
        return ask(SnapshotChunk(source, target, snapshot.index, snapshot.term, file.bytes, offset, lines)).offset

    offset, stalled = sent(0, b""), 0
    while offset < file.bytes:
        wanted = sent(offset, storage.read_snapshot(file, offset, min(CHUNK_BYTES, piece_bytes())))
        stalled = 0 if wanted > offset else stalled + 1
        if stalled > STALLED_MAX:
            raise ConnectionError(f"member {target} does not accept the snapshot of index {snapshot.index}")
        offset = wanted


class IncomingSnapshots:
    """The receiving end.  Thread-safe; its lock is held while a chunk is written, nothing else waits for it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._receiver: Receiver | None = None
        self._about: tuple[int, int, int, int] | None = None  # whose, index, term, bytes: of what is received
        self._installing: SnapshotMeta | None = None  # the Node is asked to go on from it

    def take(self, chunk: SnapshotChunk) -> SnapshotChunkReply:
        """Write the part that fits on.  Raises InvalidMessage, DiskFailed or RefusedPeer: no room, or installing."""
        about = (chunk.source, chunk.last_included_index, chunk.last_included_term, chunk.bytes_total)
        with self._lock:
            if about != self._about or (self._receiver is not None and self._receiver.dropped):
                if self._installing is not None and self._storage.base_index < self._installing.index:
                    raise RefusedPeer("not_ready", "another snapshot is being installed")
                self._about = self._installing = None
                self._receiver = self._storage.receive(
                    chunk.last_included_index, chunk.last_included_term, chunk.bytes_total
                )
                self._about = about
            assert self._receiver is not None
            if chunk.lines:
                self._receiver.write(chunk.offset, chunk.lines)
            return SnapshotChunkReply(self._receiver.offset)

    def complete(self, source: int, snapshot: SnapshotMeta) -> bool:
        """Return whether all of it is durable here and sound; then no other is begun until `settled`."""
        with self._lock:
            if self._about is None or self._about[:3] != (source, snapshot.index, snapshot.term):
                return False
            assert self._receiver is not None
            if self._receiver.offset < self._about[3]:
                return False
            try:
                found = self._receiver.finish()
            except (InvalidMessage, DiskFailed):
                self._about = None  # damaged in a way that no line shows, or lost: it is asked for anew
                return False
            if found != snapshot:
                self._about = None
                return False
            self._installing = snapshot
            return True

    def settled(self, snapshot: SnapshotMeta, installed: bool) -> None:
        """Note the Node's decision.

        If it `installed` the snapshot, the disk still has to write it: until then no other is begun.
        """
        with self._lock:
            if self._installing == snapshot and not installed:
                self._installing = None
