"""The driver: turns Node's output into disk, network and results, and time into ticks.

Two threads.  *tick* is the election timer; it also tries again what found no leader.  *flush* is the group commit: it
takes all that is pending, proposes the waiting commands as one batch, writes and syncs once for everything, tells the
Node, and only then lets go of the answers that had to wait for the disk.

A disk that fails ends the process; nothing is acknowledged after it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from raft.applier import Applier
from raft.door import Door, Told
from raft.errors import NotLeader
from raft.messages import AppendEntriesReply, Message, RequestVoteReply, TimeoutNowReply
from raft.node import Node, Ready
from raft.peers import Peers
from raft.proposals import Proposals, Waiting
from raft.queues import drain, drain_nowait
from raft.storage import Storage
from raft.wire import Answer

logger = logging.getLogger(__name__)

TICKS_PER_HEARTBEAT = 4

Reply = RequestVoteReply | AppendEntriesReply | TimeoutNowReply


class Driver:
    """Drives the Node behind `door`."""

    def __init__(
        self,
        door: Door,
        storage: Storage,
        applier: Applier,
        peers: Peers,
        proposals: Proposals,
        *,
        heartbeat_ms: float,
        on_tick: Callable[[], None],
    ) -> None:
        """`on_tick` is called by the tick thread after each tick."""
        self._door = door
        self._storage = storage
        self._applier = applier
        self._peers = peers
        self._proposals = proposals
        self._tick_s = heartbeat_ms / 1000 / TICKS_PER_HEARTBEAT
        self._on_tick = on_tick
        self._work: SimpleQueue[Ready | Waiting | None] = SimpleQueue()  # bounded by Proposals, and by RPCs in flight
        self._replies: dict[int, Callable[[Answer], None]] = {}  # RPCs that wait for the Node's reply, by request
        self._refused: SimpleQueue[Waiting] = SimpleQueue()  # proposed here when this member did not lead
        door.on_ready = self._dispatch_locked

    # Inputs

    def submit(self, waiting: Waiting) -> None:
        """Propose it here, together with what else waits."""
        self._work.put(waiting)

    def serve(self, request: int, message: Message, done: Callable[[Answer], None]) -> None:
        """Step a peer's message; `done` gets the reply, when it may be given.  Raises InvalidMessage."""

        def act(node: Node) -> None:
            self._replies[request] = done
            try:
                node.step(message)
            except Exception:
                del self._replies[request]
                raise

        self._door.enter(act)

    def refused(self) -> list[Waiting]:
        """What was submitted in vain since the last call."""
        return drain_nowait(self._refused)

    # The Ready

    def _dispatch_locked(self, node: Node, ready: Ready) -> Told:
        if ready.writes or ready.messages_after:
            self._work.put(ready)
        self._applier.commit(ready.commit_index)
        self._applier.confirmed(ready.reads)
        self._applier.lost(ready.reads_lost)
        return self._send_locked(node, ready.messages)

    def _send_locked(self, node: Node, messages: Sequence[Message]) -> Told:
        """A reply goes to the RPC that asked for it, once the lock is free; a request to the peer's lane."""
        told: Told = []
        for message in messages:
            if isinstance(message, Reply):
                told += self._told(message)
            else:
                self._peers.send_locked(node.configuration, message)
        return told

    def _told(self, reply: Reply) -> Told:
        done = self._replies.pop(reply.request, None)
        return [lambda: done(reply)] if done else []

    # The threads

    def run_ticks(self, stopping: threading.Event) -> None:
        """The tick thread."""
        while not stopping.wait(self._tick_s):
            self._door.enter(lambda node: node.tick(time.monotonic() * 1000, now()))
            self._on_tick()

    def run_flush(self) -> None:
        """The flush thread; `stop` ends it."""
        while True:
            items = drain(self._work)
            waiting = [item for item in items if isinstance(item, Waiting)]
            if waiting:
                self._propose(waiting)
                items += self._take_readies()
            self._flush([item for item in items if isinstance(item, Ready)])
            if None in items:
                return

    def _take_readies(self) -> list[Ready | None]:
        """What the proposing has made, so that it is written with this batch; commands go with the next one."""
        items = drain_nowait(self._work)
        for item in items:
            if isinstance(item, Waiting):
                self._work.put(item)
        return [item for item in items if not isinstance(item, Waiting)]

    def stop(self) -> None:
        """End the flush thread once it has written what is pending."""
        self._work.put(None)

    def _propose(self, batch: list[Waiting]) -> None:
        proposals = self._proposals.hand_over(batch)
        try:
            if proposals:
                self._door.enter(lambda node: node.propose(proposals, now()))
        except NotLeader:
            self._proposals.take_back(batch)
            for waiting in batch:
                self._refused.put(waiting)

    def _flush(self, readies: list[Ready]) -> None:
        if any(ready.writes for ready in readies):
            hard_states = [ready.hard_state for ready in readies if ready.hard_state is not None]
            entries = [entry for ready in readies for entry in ready.entries]
            self._storage.append(hard_states[-1], entries)
            self._door.enter(lambda node: node.persisted(readies[-1].sequence))
        messages = [message for ready in readies for message in ready.messages_after]
        if messages:
            for tell in self._door.look(lambda node: self._send_locked(node, messages)):
                tell()


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
