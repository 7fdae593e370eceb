"""When the log is checkpointed and compacted.

A checkpoint of the state is due when a segment's worth of log has been written since the last one, and at least as
many bytes as that one has: a start replays a bounded tail, and checkpoints never cost more than the log itself.
A compaction is due when what is dead outweighs what is live, and the log has doubled since the last one: the cost is
shared by what made it necessary, however much there is (as Redis rewrites its AOF).  It keeps the newest entries, and
what a member that is there still lacks, so that hardly anybody needs a snapshot.

One thread, off everybody's way; what it decides is done by `rewrite`, elsewhere (rewriting.py).
"""

import logging
import threading
import time
from collections.abc import Callable

from raft.applier import Applier
from raft.door import Door
from raft.errors import InvalidMessage
from raft.messages import SnapshotMeta
from raft.node import Node
from raft.replicated import StateMachine
from raft.storage import SEGMENT_BYTES, Storage

logger = logging.getLogger(__name__)

COMPACTION, CHECKPOINT = "compaction", "checkpoint"
CHECK_S = 1.0
RETRY_S = 60.0  # after a rewrite that failed, for want of space say
KEEP_ENTRIES = 10_000  # stay in the log in any case: for members that were away for a moment, and cursors
WAIT_ENTRIES = 200_000  # so many stay for a member that lags behind; past that it gets a snapshot
CONTACT_MS = 10_000  # who was not heard for so long is not waited for
YIELD_S = 0.01  # after each step of some milliseconds
COMPACT_BYTES_MIN = 64 << 20  # below that nobody misses the space


class RewriteFailed(Exception):
    """It could not be done; the message says why.  The log is as it was."""


class Housekeeper:
    """Looks after one member's data directory."""

    def __init__(
        self,
        door: Door,
        storage: Storage,
        applier: Applier,
        machine: StateMachine,
        rewrite: Callable[[str, int], SnapshotMeta],
        *,
        compact_bytes: int = COMPACT_BYTES_MIN,
        checkpoint_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """`rewrite(kind, up_to)` makes the file; `compact_bytes`: a smaller log is never compacted."""
        self._door = door
        self._storage = storage
        self._applier = applier
        self._machine = machine
        self._rewrite = rewrite
        self._compact_bytes = compact_bytes
        self._checkpoint_bytes = checkpoint_bytes
        base = storage.snapshot
        self._compacted_bytes = base.bytes if base is not None else 0  # the log's size after the last compaction
        self._not_before_s = 0.0
        self._stopping = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        """The thread."""
        self._stopping = stopping
        while not stopping.wait(CHECK_S):
            self._storage.sweep(time.monotonic())
            if time.monotonic() >= self._not_before_s:
                self.look_over()

    def look_over(self) -> None:
        """Do what is due."""
        try:
            if up_to := self._compaction_due():
                self.compact(up_to)
            elif self._checkpoint_due():
                self.checkpoint(self._applier.last_applied)
        except RewriteFailed as error:
            if not self._stopping.is_set():
                logger.warning("the log was not rewritten, which is tried again in %d s: %s", RETRY_S, error)
            self._not_before_s = time.monotonic() + RETRY_S

    def _checkpoint_due(self) -> bool:
        share = min(
            self._storage.bytes_on_disk // 8, SEGMENT_BYTES
        )  # for a checkpoint all of the log is looked through
        due_bytes = max(self._checkpoint_bytes, share, self._storage.document_bytes)
        return self._storage.bytes_since_document >= due_bytes

    def checkpoint(self, up_to: int) -> SnapshotMeta:
        """Write the state at `up_to`, which is applied, down.  Raises RewriteFailed."""
        meta = self._rewrite(CHECKPOINT, up_to)
        self._storage.checkpointed(meta)
        return meta

    def _compaction_due(self) -> int:
        """Up to which index; 0: it is not."""
        size = self._storage.bytes_on_disk
        if size < max(self._compact_bytes, 2 * self._compacted_bytes):
            return 0
        live = self._machine.live_bytes
        up_to = self._applier.last_applied - KEEP_ENTRIES
        if size - live <= live or up_to <= self._storage.base_index:
            return 0
        lacking = self._door.look(_least_held)
        up_to = min(up_to, max(lacking, self._applier.last_applied - WAIT_ENTRIES))
        return up_to if up_to > self._storage.base_index else 0

    def compact(self, up_to: int) -> SnapshotMeta:
        """Put a snapshot in the place of the log up to `up_to`, which is applied.  Raises RewriteFailed."""
        before, began_s = self._storage.bytes_on_disk, time.monotonic()
        meta = self._rewrite(COMPACTION, up_to)
        try:
            self._storage.adopt(meta, self._yield)
        except (InvalidMessage, OSError) as error:
            raise RewriteFailed(f"what was written cannot be read: {error}") from error
        self._door.enter(lambda node: node.compacted(meta))
        self._compacted_bytes = self._storage.bytes_on_disk
        logger.info(
            "compacted the log up to index %d in %.1f s: %d bytes are %d now",
            up_to, time.monotonic() - began_s, before, self._compacted_bytes,
        )  # fmt: skip
        return meta

    def _yield(self) -> None:
        """Leave the processor to who answers clients: one that computes holds each of them up, at each of its turns."""
        self._stopping.wait(YIELD_S)


def _least_held(node: Node) -> int:
    """The index up to which every member that is there holds the log, as far as this one knows: a leader does."""
    heard = [p.match_index for p in node.progress.values() if node.clock_ms - p.contact_ms < CONTACT_MS]
    return min(heard, default=node.commit_index)
