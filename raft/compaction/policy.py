"""The policy: when the log is checkpointed and compacted; and the checkpoints themselves.

*Checkpoints.*  A checkpoint of the state is due when a start would have half a second of log to apply, and at least as
many bytes as the last checkpoint has: so checkpoints never write more than the log itself does.  While nothing comes
in, and at the end, a quarter is enough.  It is written here, from the state in memory: nothing is replayed or read for
it.  It is written in steps of about a millisecond with ten times as long between them, so clients hardly notice one.

*Compactions.*  A compaction is due when it would free more than what is live: so its cost is a constant share of the
work that made it necessary (as Redis rewrites its AOF).  It keeps the newest entries, for a day and as long as they are
at most half of the snapshot, and the entries that a member in contact still lacks.  So hardly any member needs a
snapshot, and for a member that lacks more, a snapshot is quicker.  A log is hardly ever three times as large as its
live part.

A snapshot holds what was live at its own index, so a deletion frees nothing before the snapshot's index reaches it.
What was live is noted as the log grows, even while a rewrite runs.  The state only estimates it (a deleted short
message counts as much as a long one).  Each compaction calibrates it; otherwise one compaction would follow the other
for ever.

Deleted text has to leave the disk: a day after a deletion a compaction is due, however little it frees. On a full disk
a compaction is due for any deletion, up to the applied index, even if a member still lacks those entries; the files
that it replaces go at once.

One thread; compactions are made by `rewrite`, in another process (child_process.py).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from math import inf
from typing import Protocol

from raft.compaction.failures import RewriteDamaged, RewriteFailed, RewriteStopped
from raft.core.node import Node
from raft.core.raft_messages import SnapshotMeta
from raft.engine.applier import Applier
from raft.engine.node_lock import NodeLock
from raft.engine.state_machine import StateMachine
from raft.errors import CorruptLog, InvalidMessage
from raft.storage.log_store import Storage

logger = logging.getLogger(__name__)

CHECK_S = 0.2  # a check costs next to nothing, and few entries come between two checks
IDLE_CHECK_S = 1.0  # once nothing has come for IDLE_S: each check lists the directory, and wakes an idle machine
IDLE_S = 5.0
RETRY_S = 60.0  # after a failed rewrite, for lack of space for example
MEND_S = 600.0  # for a scrub at full speed, before a rewrite that met damage is tried again
RENEWAL_S = 5.0  # until a base can be made anew: nothing was applied since the damaged one
RETRY_FULL_S = 5.0  # on a full disk, which accepts nothing until a rewrite succeeds
FREED_FULL_BYTES = 64 << 10  # a rewrite on a full disk frees at least this much
# The newest entries stay in the log, for members that were down for a moment: at most so many ...
KEEP_ENTRIES = 10_000
KEEP_S = 86_400.0  # ... no older than a day, since deleted text has to go even if nobody writes any more ...
KEEP_SHARE = 2  # ... and no more than this part of the snapshot,
KEEP_MIN_SHARE = 2  # or of COMPACT_BYTES_MIN
ERASED_NOTE_S = KEEP_S / 8  # between two notes of deletions, which bounds the compactions that they make due
FREED_MIN_SHARE = 4  # a compaction frees at least this part of COMPACT_BYTES_MIN, since it starts a process
MARK_ENTRIES = 1_000  # between two notes of what is live,
MARK_SHARE = 8  # or this part of COMPACT_BYTES_MIN
# So many entries stay for a member that lags behind, and no more bytes than a snapshot or COMPACT_BYTES_MIN has.
# A member that lags further gets a snapshot.
WAIT_ENTRIES = 200_000
CONTACT_MS = 10_000  # a member that was silent for longer is not waited for
YIELD_S = 0.01  # after each step of a millisecond or some
CHECKPOINT_BYTES = 8 << 20  # some 30,000 entries, which are applied in half a second
QUIET_S = 2.0  # without a new entry: an idle machine can make the next start quicker,
QUIET_SHARE = 4  # for this part of the log that would make a checkpoint due
FINISH_S = 2.0  # for the last checkpoint of a stop, without pauses: enough for five million posts
COMPACT_BYTES_MIN = 64 << 20  # a smaller log is not worth a compaction


# Makes a snapshot up to an index; calls the function every CHECK_S meanwhile.  Raises RewriteFailed and RewriteStopped.
Rewrite = Callable[[int, Callable[[], None]], SnapshotMeta]


class Healing(Protocol):
    """Mends what is damaged in this member's files (raft/repair)."""

    def mend_all(self, damage: CorruptLog, timeout_s: float) -> bool:
        """Mend this damage and all else, and wait for that; return False if it takes longer, or nobody has it."""

    def is_base_sound(self, pause: Callable[[], None]) -> bool:
        """Return whether the base's state can be read.  Raises OSError."""

    def renewed_base(self, pause: Callable[[], None]) -> SnapshotMeta | None:
        """Make and adopt a new base from the state in memory; None: not now.

        Raises CorruptLog, InvalidMessage or OSError: it was not made.
        """


@dataclass(frozen=True, slots=True)
class _Mark:
    """The live bytes when the log was applied up to `index`."""

    at_s: float
    index: int
    live_bytes: int


class LogMaintenance:
    """Checkpoints and compacts the log of one member, and removes replaced files."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        applier: Applier,
        machine: StateMachine,
        rewrite: Rewrite,
        *,
        compact_bytes: int = COMPACT_BYTES_MIN,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        is_full: Callable[[], bool] = lambda: False,
        healing: Healing | None = None,
    ) -> None:
        """`compact_bytes`: a smaller log is never compacted, unless the disk `is_full`.

        `healing` mends what a rewrite finds damaged; None: nothing does.
        """
        self._node_lock = node_lock
        self._storage = storage
        self._applier = applier
        self._machine = machine
        self._rewrite = rewrite
        self._compact_bytes = compact_bytes
        self._mark_bytes = compact_bytes // MARK_SHARE
        self._checkpoint_bytes = checkpoint_bytes
        self._is_full = is_full
        self._ended_at = 0  # the last index of a segment that was ended for a full disk
        self._marks: deque[_Mark] = deque()  # ascending; of the last WAIT_ENTRIES
        self._wanted_above = 0  # a member has asked for a snapshot above this index; 0: none
        self._is_held = False  # the state in memory is wrong: no document is made of it
        self.compactions = 0  # of this process
        self._off = (0, 1.0)  # the last compaction's index, and its live bytes divided by the estimate
        # (index, time noted): the last log index of each segment with deletions, until it is compacted.
        self._erased: deque[tuple[int, float]] = deque()  # up to KEEP_S / ERASED_NOTE_S of them, and some
        self._erasing = 0  # the log index behind which a segment is to end, for the next of these
        self._seen_index, self._marked_s = 0, -inf  # at the last note of live bytes: the index, and when
        self._grown_s = inf  # the last time that a check found the log grown
        self._not_before_s = 0.0
        self._stopping = threading.Event()
        self._healing = healing
        self._renews_base = False  # the base is damaged where only the state in memory can replace it
        self._renewal_s = 0.0  # not tried before

    def ask_for_base(self) -> None:
        """Have the base made anew, soon; any thread."""
        self._renews_base = True

    def want(self, above: int) -> None:
        """Compact the log soon, up to an index above this one, for a member that needs such a snapshot; any thread."""
        self._wanted_above = max(self._wanted_above, above)

    def hold(self, is_held: bool) -> None:
        """Make no checkpoint and no snapshot while the state in memory is wrong; any thread."""
        self._is_held = is_held

    def run(self, stopping: threading.Event) -> None:
        """Run the thread."""
        self._stopping = stopping
        while not stopping.wait(IDLE_CHECK_S if self._is_idle() else CHECK_S):
            self._storage.sweep(time.monotonic(), hurry=self._is_full())
            if not self._is_full():
                self._storage.keep_indexes()
            self.mark(time.monotonic())
            self.note_erased(time.monotonic())
            if self._renews_base and time.monotonic() >= self._renewal_s and not self._is_held:
                self.renew_base()
            if time.monotonic() >= self._not_before_s and not self._is_held:
                self.run_due()

    def _is_idle(self) -> bool:
        has_grown = self._applier.last_applied != self._seen_index
        return not has_grown and not self._is_full() and time.monotonic() - self._grown_s >= IDLE_S

    def run_due(self) -> None:
        """Run the compaction or the checkpoint that is due."""
        try:
            if up_to := self._due():
                self.compact(up_to)
            elif not self._is_full() and self._checkpoint_is_due(quiet=time.monotonic() - self._grown_s >= QUIET_S):
                self.checkpoint()
        except RewriteStopped:
            return
        except RewriteDamaged as found:
            if not self._is_mended(found.damage):
                self._put_off("the log was not rewritten", found)
        except RewriteFailed as failure:
            self._put_off("the log was not rewritten", failure)
        except OSError as error:
            self._put_off("no checkpoint was made", error)

    def _is_mended(self, damage: CorruptLog) -> bool:
        """Have all damage in this member's files mended, and wait; return False if that takes too long.

        A rewrite names what one read of it met.  The scrub finds the rest, before another rewrite stops at it.
        """
        if self._healing is None:
            return False
        if not damage.indexes:
            self.renew_base()
        is_mended = self._healing.mend_all(damage, MEND_S)
        if self._renews_base:
            self.renew_base()
        return is_mended and not self._renews_base

    def renew_base(self) -> None:
        """Make the base anew from the state in memory, or put that off."""
        assert self._healing is not None
        try:
            if self._healing.is_base_sound(self._pause):
                self._renews_base = False
                return
            meta = self._healing.renewed_base(self._pause)
        except (CorruptLog, InvalidMessage, OSError) as error:
            self._renewal_s = time.monotonic() + RETRY_S
            logger.warning("the damaged snapshot was not replaced; next try in %d s: %s", RETRY_S, error)
            return
        if meta is None:
            self._renewal_s = time.monotonic() + RENEWAL_S
            return
        self._renews_base = False
        self._node_lock.act(lambda node: node.compacted(meta))
        logger.warning("the snapshot was damaged; a new one of index %d was made from the state in memory", meta.index)

    def _put_off(self, what: str, error: Exception) -> None:
        retry_s = RETRY_FULL_S if self._is_full() else RETRY_S
        logger.warning("%s; next try in %d s: %s", what, retry_s, error)
        self._not_before_s = time.monotonic() + retry_s

    def _checkpoint_is_due(self, *, quiet: bool) -> bool:
        applied = self._applier.last_applied  # in a start, fewer entries are applied than committed
        due_bytes = max(self._checkpoint_bytes, self._storage.document_bytes)
        return self._storage.bytes_since_document(applied) >= due_bytes // (QUIET_SHARE if quiet else 1)

    def checkpoint(self) -> None:
        """Write the state in memory to a checkpoint.  Raises RewriteStopped, and OSError: no checkpoint was made."""
        document = self._applier.document()
        if document is None:
            return
        with closing(self._storage.write_checkpoint(document)) as steps:
            for _ in steps:
                self._pause()
                if self._stopping.is_set() or self._is_held:
                    raise RewriteStopped

    def finish(self) -> None:
        """Write a last checkpoint, after the thread has ended and nothing is applied any more, if it is quick."""
        self._storage.keep_indexes()
        is_due = not self._is_held and self._checkpoint_is_due(quiet=True)
        document = self._applier.document() if is_due else None
        if document is None:
            return
        end_s = time.monotonic() + FINISH_S
        with suppress(OSError), closing(self._storage.write_checkpoint(document)) as steps:
            for _ in steps:
                if time.monotonic() >= end_s:
                    return

    def mark(self, now_s: float) -> None:
        """Note what is live now, if the log has grown since the last time."""
        index = self._applier.last_applied
        last = self._marks[-1].index if self._marks else 0
        # The end of a log that does not grow is noted too, once.
        ends = index == self._seen_index
        if index > last and (ends or index >= last + MARK_ENTRIES or self._grown_by(last) >= self._mark_bytes):
            self._marks.append(_Mark(now_s, index, self._machine.live_bytes))
        if index != self._seen_index:
            self._grown_s = now_s
        self._seen_index, self._marked_s = index, now_s

    def note_erased(self, now_s: float) -> None:
        """Note deletions once a segment has ended behind them: a compaction frees whole segments."""
        while self._erased and self._erased[0][0] <= self._storage.base_index:
            self._erased.popleft()
        last, at_s = self._erased[-1] if self._erased else (self._storage.base_index, -inf)
        index, newest = self._machine.erased_index, self._storage.newest_segment_index
        if index <= last or now_s - at_s < ERASED_NOTE_S:
            return
        if self._erasing <= last:
            self._erasing = index
            if newest <= index:
                self._storage.end_segment()
        if newest > self._erasing:
            self._erased.append((newest - 1, now_s))

    def _grown_by(self, since: int) -> int:
        return self._storage.entry_bytes_above(max(since, self._storage.base_index))

    def _compaction_due(self) -> int:
        """Return up to which index to compact; 0: not at all."""
        now_s = time.monotonic()
        mark, size = self._furthest_mark(now_s), self._storage.bytes_on_disk
        if mark is None or mark.index <= self._storage.base_index:
            return 0
        if self._erased and self._erased[0][0] <= mark.index and now_s - self._erased[0][1] >= KEEP_S:
            return mark.index
        if size < self._compact_bytes:
            return 0
        live = self._live_bytes(mark)
        freed = size - live - self._storage.bytes_above(mark.index)
        return mark.index if freed > max(live, self._compact_bytes // FREED_MIN_SHARE) else 0

    def _due(self) -> int:
        """Return up to which index to compact, also for a full disk; 0: not at all."""
        if self._is_full():
            return self._freeing_due()
        if self._wanted_above:
            if self._storage.base_index > self._wanted_above:
                self._wanted_above = 0
            elif self._applier.last_applied > self._wanted_above:
                return self._applier.last_applied
        return self._compaction_due() or (self._freeing_due() if self._has_full() else 0)

    def _has_full(self) -> bool:
        """Return whether this member leads a follower with a full disk, where a snapshot may free space."""
        return self._node_lock.read(lambda node: any(progress.full for progress in node.progress.values()))

    def _freeing_due(self) -> int:
        """Return up to which index to compact for a full disk; 0: too little to free, or no room to do it."""
        applied = self._applier.last_applied
        mark = next((mark for mark in reversed(self._marks) if mark.index <= applied), None)
        if mark is None or mark.index <= self._storage.base_index:
            return 0
        live = self._live_bytes(mark)
        if self._storage.bytes_on_disk - live < max(FREED_FULL_BYTES, live // FREED_MIN_SHARE):
            return 0
        if self._storage.bytes_on_disk - live - self._storage.bytes_above(mark.index) >= FREED_FULL_BYTES:
            return mark.index
        if self._ended_at < mark.index:  # all garbage lies in the newest segment: the next entry begins another one
            self._ended_at = mark.index
            self._storage.end_segment()
        return 0

    def _furthest_mark(self, now_s: float) -> "_Mark | None":
        """Return the last mark up to which the log may be compacted, and forget those before it."""
        applied = self._applier.last_applied
        held = self._node_lock.read(_least_held)
        found = None
        for mark in self._marks:
            waits = mark.index > held and self._is_waited_for(mark, applied)
            if waits or (mark.index > applied - KEEP_ENTRIES and self._is_kept(mark, now_s)):
                break
            found = mark
        while found is not None and self._marks[0] is not found:
            self._marks.popleft()
        return found

    def _is_waited_for(self, mark: "_Mark", applied: int) -> bool:
        """Return whether to keep the entries after the mark for a member that lacks those before it."""
        if mark.index > applied:
            return True
        wait_bytes = max(self._live_bytes(mark), self._compact_bytes)
        return mark.index > applied - WAIT_ENTRIES and self._storage.entry_bytes_above(mark.index) < wait_bytes

    def _is_kept(self, mark: "_Mark", now_s: float) -> bool:
        """Return whether to keep the entries after the mark because they are among the newest."""
        live = self._live_bytes(mark)
        kept_max = max(live // KEEP_SHARE, self._compact_bytes // KEEP_MIN_SHARE)
        return now_s - mark.at_s < KEEP_S and self._storage.entry_bytes_above(mark.index) <= kept_max

    def _live_bytes(self, mark: "_Mark") -> int:
        """Return the estimated size of a snapshot made at the mark."""
        index, factor = self._off
        told = mark.live_bytes if index != self._storage.base_index else int(mark.live_bytes * factor)
        return self._storage.base_document_bytes + told

    def live_bytes(self) -> int:
        """Return the estimated size of a snapshot made now; any thread."""
        return self._live_bytes(_Mark(0.0, self._applier.last_applied, self._machine.live_bytes))

    def _calibrate(self, up_to: int) -> None:
        """Calibrate the live-bytes estimate against the snapshot just written."""
        base, told = self._storage.snapshot, next((mark.live_bytes for mark in self._marks if mark.index == up_to), 0)
        if base is not None and base.meta.index == up_to and told:
            self._off = up_to, (base.bytes - self._storage.base_document_bytes) / told

    def compact(self, up_to: int) -> SnapshotMeta:
        """Replace the log up to `up_to`, which is applied, by a snapshot.  Raises RewriteFailed."""
        began_s = time.monotonic()
        meta = self._rewrite(up_to, self._mark_if_due)
        if self._is_held:  # it was made of a document that may be wrong too, and a start would take it for the base
            self._storage.discard_snapshot(meta)
            raise RewriteStopped
        before = self._storage.bytes_on_disk  # read now: entries written meanwhile count before and after
        try:
            self._storage.adopt(meta, self._pause)
        except (InvalidMessage, OSError) as error:
            raise RewriteFailed(f"the new snapshot cannot be read: {error}") from error
        self._calibrate(up_to)
        self.compactions += 1
        self._node_lock.act(lambda node: node.compacted(meta))
        logger.info(
            "compacted the log up to index %d in %.1f s, from %d to %d bytes",
            up_to, time.monotonic() - began_s, before, self._storage.bytes_on_disk,
        )  # fmt: skip
        return meta

    def _pause(self) -> None:
        """Let threads that answer clients run: they all wait while this thread has the processor."""
        self._stopping.wait(YIELD_S)
        self._mark_if_due()

    def _mark_if_due(self) -> None:
        """Note what is live during a rewrite.

        Otherwise the log would have grown in one jump at the next look, and a compaction would find no mark in it.
        """
        now_s = time.monotonic()
        if now_s - self._marked_s >= CHECK_S:
            self.mark(now_s)


def _least_held(node: Node) -> int:
    """Return the index up to which every member in contact holds the log, as far as a leader knows."""
    heard = [p.match_index for p in node.progress.values() if node.clock_ms - p.contact_ms < CONTACT_MS]
    return min(heard, default=node.commit_index)
