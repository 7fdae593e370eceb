"""The receiving end of a snapshot's transfer; `replication.send_snapshot` is the sending end.

The leader asks where to begin, then sends chunks of whole lines and continues where each answer says.  So a lost,
doubled or reordered chunk costs one more chunk, and a transfer that broke off continues where it stopped.  Every line
has a checksum, and the file has one over all; damaged data is never used.  When the file is complete, InstallSnapshot
asks the follower's Node to go on from it (Raft §7).

Rules: one file at a time, from one sender; while the Node is being asked, no other is begun.
"""

import threading

from raft.core.raft_messages import SnapshotMeta
from raft.errors import DiskFailed, InvalidMessage, RefusedPeer
from raft.rpc.calls import SnapshotChunk, SnapshotChunkReply
from raft.storage.log_store import Storage
from raft.storage.snapshot_receiver import SnapshotReceiver


class IncomingSnapshots:
    """The snapshot being received.  Thread-safe; the lock is held while a chunk is written: only chunks wait."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._receiver: SnapshotReceiver | None = None
        self._about: tuple[int, int, int, int] | None = None  # sender, index, term, bytes of the one being received
        self._installing: SnapshotMeta | None = None  # the Node is deciding whether to go on from this one

    def take(self, chunk: SnapshotChunk) -> SnapshotChunkReply:
        """Write the part of the chunk that continues the file.

        Raises InvalidMessage, DiskFailed or RefusedPeer: no room, or another snapshot is being installed.
        """
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
        """Return whether the whole snapshot is durable and sound; then no other is begun until `settled`."""
        with self._lock:
            if self._about is None or self._about[:3] != (source, snapshot.index, snapshot.term):
                return False
            assert self._receiver is not None
            if self._receiver.offset < self._about[3]:
                return False
            try:
                found = self._receiver.finish()
            except (InvalidMessage, DiskFailed):
                self._about = None  # damaged in a way that no line shows, or lost: it is received anew
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
