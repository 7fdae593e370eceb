"""Group commit: one write and one sync for all that is pending, outside the engine's lock.

What is pending gathers in a queue: commands to propose, which become one batch of entries, and Readys to write.
Whoever brings something and has nothing better to do than to wait for it flushes it in its own thread, unless another
thread is at it: waking a thread costs as much as a quick disk.  So the flush thread works under load, and for those
who must not wait for a disk (the tick, the lanes).

A disk that fails ends the process; nothing is acknowledged after it.  A full one holds up what is pending: it is tried
again until there is room.  For the core that is a disk that hangs, so a leader hands over and a follower acknowledges
nothing.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

from raft.door import Door
from raft.errors import DiskFull, NotLeader, Overloaded, Unavailable
from raft.messages import Message
from raft.node import Ready
from raft.proposals import Proposals, Waiting
from raft.queues import drain_nowait
from raft.storage import Storage

logger = logging.getLogger(__name__)

FULL_RETRY_S = 0.2  # between two tries to write to a full disk
FULL_LOG_S = 60.0  # between two lines in the log that it is full


class Flusher:
    """The one that appends to the storage."""

    def __init__(
        self,
        door: Door,
        storage: Storage,
        proposals: Proposals,
        send: Callable[[Sequence[Message]], None],
        stamp: Callable[[], int],
        on_broken: Callable[[Exception], None],
    ) -> None:
        """`send` takes the messages that had to wait for the disk; `stamp` is asked for entries' time; `on_broken`
        ends the process.
        """
        self._door = door
        self._storage = storage
        self._proposals = proposals
        self._send = send
        self._stamp = stamp
        self._on_broken = on_broken
        self._work: SimpleQueue[Ready | Waiting] = SimpleQueue()  # bounded by Proposals, and by RPCs in flight
        self._refused: SimpleQueue[Waiting] = SimpleQueue()  # in vain: it does not lead, is full, or has no time
        self._busy = threading.Lock()  # held by whoever flushes
        self._wakes: SimpleQueue[bool] = SimpleQueue()  # of the flush thread; False ends it
        self.full = ""  # why nothing can be written for now
        self._ending = threading.Event()
        self._stopped = False  # set while busy: from then on the storage may be closed

    def put(self, work: Ready | Waiting) -> None:
        """Add to what is pending; never blocks.  Then `wake` or `flush`."""
        self._work.put(work)

    def wake(self) -> None:
        """Have the flush thread see to it; never blocks.  Whoever is busy now looks at the queue again afterwards."""
        if not self._busy.locked():
            self._wakes.put(True)

    def flush(self) -> None:
        """Flush one batch in this thread, unless another one is at it."""
        if self._work.empty() or not self._busy.acquire(blocking=False):
            return
        try:
            if not self._stopped:
                self._flush_batch()
        finally:
            self._busy.release()
        if not self._work.empty():  # others do not wait for what this thread has brought
            self._wakes.put(True)

    def run(self) -> None:
        """The flush thread."""
        while self._wakes.get():
            while (
                not self._work.empty() and not self._stopped
            ):  # looked at with the lock free: who could not get it relies on that
                with self._busy:
                    self._flush_batch()
        with self._busy:  # connections' threads flush too, and peers go on calling to the very end
            self._stopped = True

    def stop(self) -> None:
        """Write what is pending and end the flush thread; when it has ended nobody writes any more.

        On a full disk what is pending is not written.
        """
        self._ending.set()
        self._wakes.put(True)
        self._wakes.put(False)

    def refused(self) -> list[Waiting]:
        """What was to be proposed here in vain since the last call."""
        return drain_nowait(self._refused)

    def _flush_batch(self) -> None:
        try:
            self._flush_all()
        except DiskFull:
            self._stopped = True  # this member is shutting down, and nobody was told of what is not written
        except Exception as error:  # what was taken from the queue is neither written nor refused
            self._on_broken(error)
            raise

    def _flush_all(self) -> None:
        items = drain_nowait(self._work)
        waiting = [item for item in items if isinstance(item, Waiting)]
        readies = [item for item in items if isinstance(item, Ready)]
        if waiting:
            self._propose(waiting)
            readies += self._take_readies()
        self._write(readies)

    def _propose(self, batch: list[Waiting]) -> None:
        proposals = self._proposals.hand_over(batch)
        try:
            if proposals:
                self._door.enter(lambda node: node.propose(proposals, self._stamp()), flushes=True)
        except (NotLeader, Overloaded, Unavailable):
            self._proposals.take_back(batch)
            for waiting in batch:
                self._refused.put(waiting)

    def _take_readies(self) -> list[Ready]:
        """What the proposing has made, so that it is written with this batch; commands go with the next one."""
        items = drain_nowait(self._work)
        for item in items:
            if isinstance(item, Waiting):
                self._work.put(item)
        return [item for item in items if isinstance(item, Ready)]

    def _write(self, readies: list[Ready]) -> None:
        pending: list[Ready] = []
        for ready in readies:
            if ready.snapshot is not None:  # what came before it belongs to the log that it replaces
                self._append(pending)
                assert ready.hard_state is not None
                self._when_there_is_room(partial(self._storage.install, ready.snapshot, ready.hard_state))
                pending.clear()
            pending.append(ready)
        self._append(pending)
        if any(ready.writes for ready in readies):
            self._door.enter(lambda node: node.persisted(readies[-1].sequence), flushes=True)
        messages = [message for ready in readies for message in ready.messages_after]
        if messages:
            self._send(messages)

    def _append(self, readies: list[Ready]) -> None:
        hard_states = [ready.hard_state for ready in readies if ready.hard_state is not None]
        if hard_states:
            entries = [entry for ready in readies for entry in ready.entries]
            self._when_there_is_room(partial(self._storage.append, hard_states[-1], entries))

    def _when_there_is_room(self, write: Callable[[], None]) -> None:
        """Write, as often as it takes.  Raises DiskFull only where the member is shutting down."""
        tries = 0
        while True:
            try:
                write()
            except DiskFull as error:
                if not tries % round(FULL_LOG_S / FULL_RETRY_S):
                    logger.error("%s; nothing is written and acknowledged here until there is", error)
                self.full, tries = str(error), tries + 1
                if self._ending.wait(FULL_RETRY_S):
                    raise
                continue
            if self.full:
                logger.warning("there is room on the disk again")
                self.full = ""
            return
