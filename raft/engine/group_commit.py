"""Group commit: one write and one sync for all that is pending, outside of the engine's lock.

Work gathers in a queue: commands to propose, which become one batch of entries, and Readys to write.  A thread that
brings work and only waits for it flushes it itself, unless another thread is flushing: waking a thread costs as much as
a quick disk.  The flush thread works under load, and for threads that must not wait for a disk (the tick, the peers'
queues).

A disk that fails ends the process; nothing is acknowledged after that.  On a full disk the reserve is given up
(reserve.py), and pending work is written there.  If that is not enough, the write is retried until there is room: to
the core, that looks like a disk that hangs.  Little is proposed at a time, so that a reserve holds what is pending.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import Message
from raft.engine.node_lock import NodeLock
from raft.engine.proposals import PendingProposal, Proposals
from raft.engine.queues import drain_nowait
from raft.errors import DiskFailed, DiskFull, NotLeader, Overloaded, Unavailable
from raft.storage.log_store import Storage
from raft.storage.reserve import Reserve

logger = logging.getLogger(__name__)

FULL_RETRY_S = 0.2  # between two tries to write to a full disk
FULL_LOG_S = 60.0  # between two log lines which say that even the reserve is full
PROPOSE_BYTES_MAX = 128 << 10  # a batch ends with the proposal that exceeds it: some hundred posts


class GroupCommit:
    """The only writer that appends to the storage."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        proposals: Proposals,
        send: Callable[[Sequence[Message]], None],
        stamp: Callable[[Node], int],
        on_broken: Callable[[Exception], None],
        *,
        reserve: Reserve | None = None,
        frees: Callable[[bytes], bool] = lambda command: False,
    ) -> None:
        """`send` takes the messages that had to wait for the disk; `stamp` gives the time for entries, under the lock.

        `on_broken` ends the process.  `frees(command)`: the command frees space, so it is accepted on the reserve.
        """
        self._node_lock = node_lock
        self._storage = storage
        self._proposals = proposals
        self._send = send
        self._stamp = stamp
        self._on_broken = on_broken
        self._work: SimpleQueue[Ready | PendingProposal] = SimpleQueue()  # bounded by Proposals, and by RPCs in flight
        self._refused: SimpleQueue[PendingProposal] = SimpleQueue()  # not the leader, full, or without the time
        self._busy = threading.Lock()  # held by the thread that flushes
        self._wakes: SimpleQueue[bool] = SimpleQueue()  # of the flush thread; False ends it
        self.stuck = ""  # the reason why nothing can be written, not even on the reserve; "" otherwise
        self._reserve = reserve
        self._frees = frees
        self._kept: list[Ready] = []  # Readys that came while nothing could be written
        self._ending = threading.Event()
        self._stopped = False  # set while busy; then the storage may be closed

    def put(self, work: Ready | PendingProposal) -> None:
        """Add work; never blocks.  Then call `wake` or `flush`."""
        self._work.put(work)

    def wake(self) -> None:
        """Wake the flush thread; never blocks.  A thread that is flushing checks the queue again afterwards."""
        if not self._busy.locked():
            self._wakes.put(True)

    def flush(self) -> None:
        """Flush one batch in this thread, unless another thread is flushing."""
        if self._work.empty() or not self._busy.acquire(blocking=False):
            return
        try:
            if not self._stopped:
                self._flush_batch()
        finally:
            self._busy.release()
        if not self._work.empty():  # other threads wait for the rest
            self._wakes.put(True)

    def run(self) -> None:
        """Run the flush thread."""
        while self._wakes.get():
            while (
                not self._work.empty() and not self._stopped
            ):  # checked without the lock: a thread that could not get it relies on that
                with self._busy:
                    self._flush_batch()
        with self._busy:  # connections' threads flush too, and peers call to the very end
            self._stopped = True

    def stop(self) -> None:
        """Write what is pending and end the flush thread; after its end nothing is written any more.

        On a full disk what is pending is not written.
        """
        self._ending.set()
        self._wakes.put(True)
        self._wakes.put(False)

    def end_segment(self) -> None:
        """Complete the newest segment of the log, with an empty write into the next one; waits for the disk.

        Raises DiskFull: nothing was done.
        """
        with self._busy:
            if not self._stopped:
                self._storage.end_segment()
                try:
                    self._storage.append(None, ())
                except DiskFailed as error:
                    self._on_broken(error)
                    raise
        if not self._work.empty():
            self._wakes.put(True)

    def refused(self) -> list[PendingProposal]:
        """Take the proposals that were refused here since the last call."""
        return drain_nowait(self._refused)

    def _flush_batch(self) -> None:
        try:
            self._flush_all()
        except DiskFull:
            self._stopped = True  # this member is shutting down; unwritten work was not acknowledged
        except Exception as error:  # work taken from the queue is neither written nor refused
            self._on_broken(error)
            raise

    def _flush_all(self) -> None:
        items = drain_nowait(self._work)
        waiting = [item for item in items if isinstance(item, PendingProposal)]
        readies = [item for item in items if isinstance(item, Ready)]
        while waiting or readies:
            batch, waiting = _bounded(waiting)
            if batch:
                self._propose(batch)
                readies += self._take_readies()
            self._write(readies)
            readies, self._kept = self._kept, []

    def _propose(self, batch: list[PendingProposal], *, frees: bool = False) -> None:
        proposals = self._proposals.hand_over(batch)
        try:
            if proposals:
                self._node_lock.act(lambda node: node.propose(proposals, self._stamp(node), frees=frees), flushes=True)
        except (NotLeader, Overloaded, Unavailable):
            self._proposals.undo_hand_over(batch)
            for waiting in batch:
                self._refused.put(waiting)
        except DiskFull as error:
            self._proposals.undo_hand_over(batch)
            freeing: list[PendingProposal] = []
            others: list[PendingProposal] = []
            for waiting in batch:
                (freeing if not frees and self._frees(waiting.command) else others).append(waiting)
            self._proposals.refuse(others, error)
            if freeing:
                self._propose(freeing, frees=True)

    def _take_readies(self) -> list[Ready]:
        """Take the Readys that the proposal made, to write them with this batch; commands wait for the next one."""
        items = drain_nowait(self._work)
        for item in items:
            if isinstance(item, PendingProposal):
                self._work.put(item)
        return [item for item in items if isinstance(item, Ready)]

    def _write(self, readies: list[Ready]) -> None:
        pending: list[Ready] = []
        for ready in readies:
            if ready.snapshot is not None:  # writes before the snapshot belong to the log that it replaces
                self._append(pending)
                assert ready.hard_state is not None
                self._when_there_is_room(partial(self._storage.install, ready.snapshot, ready.hard_state))
                pending.clear()
            pending.append(ready)
        self._append(pending)
        if any(ready.writes for ready in readies):
            self._node_lock.act(lambda node: node.persisted(readies[-1].sequence), flushes=True)
        messages = [message for ready in readies for message in ready.messages_after]
        if messages:
            self._send(messages)

    def _append(self, readies: list[Ready]) -> None:
        hard_states = [ready.hard_state for ready in readies if ready.hard_state is not None]
        if hard_states:
            entries = [entry for ready in readies for entry in ready.entries]
            self._when_there_is_room(partial(self._storage.append, hard_states[-1], entries))

    def _when_there_is_room(self, write: Callable[[], None]) -> None:
        """Write, retrying until there is room.  Raises DiskFull only if the member is shutting down."""
        tries = 0
        while True:
            try:
                write()
            except DiskFull as error:
                if self._reserve is not None and self._reserve.give_up(str(error)):
                    self.report_room()
                    continue  # now there is room
                if not tries % round(FULL_LOG_S / FULL_RETRY_S):
                    logger.error("%s; this node writes and acknowledges nothing until there is room", error)
                tries += 1
                self._note_stuck(error)
                if self._ending.wait(FULL_RETRY_S):
                    raise
                continue
            if self.stuck:
                logger.warning("there is room on the disk again; everything that waited is written")
                self.stuck = ""
                self.report_room()
            return

    def _note_stuck(self, error: DiskFull) -> None:
        """Tell the core that the disk takes nothing, and refuse proposals if no other node accepts them."""
        self.stuck = str(error)
        self.report_room()
        items = drain_nowait(self._work)
        self._kept += [item for item in items if isinstance(item, Ready)]
        waiting = [item for item in items if isinstance(item, PendingProposal)]
        if self._node_lock.read(lambda node: node.role is Role.LEADER and not node.majority_has_room):
            self._proposals.refuse(waiting, error)
        else:
            for item in waiting:
                self._refused.put(item)

    def is_full(self) -> bool:
        """Return whether this member's disk has no room; takes no lock."""
        return bool(self.stuck or (self._reserve is not None and self._reserve.why_full))

    def report_room(self) -> None:
        """Tell the core how much the disk still takes; any thread."""
        room_bytes = 0 if self.stuck else self._reserve.room_bytes() if self._reserve else None
        self._node_lock.act(lambda node: node.set_room(room_bytes))


def _bounded(waiting: list[PendingProposal]) -> tuple[list[PendingProposal], list[PendingProposal]]:
    """Split into what is proposed at once, and the rest."""
    size = 0
    for place, item in enumerate(waiting):
        if size >= PROPOSE_BYTES_MAX:
            return waiting[:place], waiting[place:]
        size += len(item.command)
    return waiting, []
