"""The driver: turns Node's output into disk writes, network messages and results, and time into ticks.

The driver routes the parts of each Ready: writes to the group commit, messages to the peers' queues, replies to the
RPCs that wait for them, commits and reads to the applier.  Its thread, *tick*, is the election timer, and retries
proposals and reads that found no leader.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import AppendEntries, InstallSnapshot, Message, Reply, RequestVote
from raft.engine.applier import Applier
from raft.engine.clocks import Clocks, follow_leap, proposal_stamp, settle
from raft.engine.group_commit import GroupCommit
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import Callbacks, NodeLock
from raft.engine.proposals import Proposals
from raft.engine.replication import Peers
from raft.errors import DiskFull
from raft.rpc.calls import Propose
from raft.rpc.codec import Answer
from raft.storage.log_store import Storage
from raft.storage.reserve import Reserve

logger = logging.getLogger(__name__)

# Waking is most of what an idle node costs, and each tick is a wake.  So there is one tick a heartbeat, and these while
# a timer of the Node may end sooner: an election is late by one of them at most.
TICKS_PER_HEARTBEAT = 4


class Driver:
    """Drives the Node behind `node_lock`."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        applier: Applier,
        peers: Peers,
        proposals: Proposals,
        contact: LeaderContact,
        clocks: Clocks,
        *,
        heartbeat_ms: float,
        on_tick: Callable[[], None],
        on_broken: Callable[[Exception], None],
        reserve: Reserve | None = None,
        frees: Callable[[bytes], bool] = lambda command: False,
    ) -> None:
        """`on_tick` is called by the tick thread after each tick; `on_broken` ends the process."""
        self.group_commit = GroupCommit(
            node_lock,
            storage,
            proposals,
            self._send,
            partial(proposal_stamp, clocks),
            on_broken,
            reserve=reserve,
            frees=frees,
        )
        self._frees = frees
        self._node_lock = node_lock
        self._applier = applier
        self._peers = peers
        self._contact = contact
        self._clocks = clocks
        self._heartbeat_s = heartbeat_ms / 1000
        self._on_tick = on_tick
        self._short_logs: dict[int, int] = {}  # by member: the committed index that it lacked, as logged
        self._replies: dict[int, Callable[[Answer], None]] = {}  # RPCs that wait for the Node's reply, by request
        node_lock.on_ready = self._dispatch_locked

    # Inputs

    def propose_for_peer(self, call: Propose) -> None:
        """Append commands that a follower forwards; the caller answers, then flushes.

        Raises NotLeader, Overloaded, Unavailable or DiskFull.
        """
        frees = False

        def action(node: Node) -> None:
            if call.proposals:
                node.propose(call.proposals, proposal_stamp(self._clocks, node), frees=frees)
            else:
                node.require_room()

        try:
            self._node_lock.act(action, flushes=True)
        except DiskFull:
            frees = bool(call.proposals) and all(self._frees(command) for _, command in call.proposals)
            if not frees:
                raise
            self._node_lock.act(action, flushes=True)

    def serve(self, request: int, message: Message, done: Callable[[Answer], None]) -> None:
        """Step a peer's message; `done` gets the reply once it may be sent.  Raises InvalidMessage."""
        lacked = 0

        def action(node: Node) -> None:
            nonlocal lacked
            if isinstance(message, RequestVote) and message.last_log_index < node.known_committed:
                lacked = node.known_committed
            self._replies[request] = done
            try:
                node.step(message)
            except Exception:
                del self._replies[request]
                raise
            led = isinstance(message, AppendEntries | InstallSnapshot) and message.term == node.current_term
            if led and message.source == node.leader_id and not _is_held_back(node, message):
                self._contact.leader_spoke()

        # A connection that brings entries has nothing else to do.  One that brings heartbeats must not wait for a disk.
        flushes = isinstance(message, AppendEntries) and not message.heartbeat
        self._node_lock.act(action, flushes=flushes)
        if flushes:
            self.group_commit.flush()
            self._apply_left()
        if lacked and isinstance(message, RequestVote):
            self._log_short_log(message, lacked)

    def _apply_left(self) -> None:
        try:
            self._applier.apply_left()
        except Exception as error:  # an entry is half applied
            self._node_lock.on_broken(error)
            raise

    def _log_short_log(self, message: RequestVote, committed: int) -> None:
        if self._short_logs.get(message.source) != committed:
            self._short_logs[message.source] = committed
            logger.info(
                "no vote for member %d: its log ends at index %d, but index %d is committed; it lags behind, or "
                "runs on an older copy of its data directory",
                message.source, message.last_log_index, committed,
            )  # fmt: skip

    # The Ready

    def _dispatch_locked(self, node: Node, ready: Ready, flushes: bool) -> Callbacks:
        writes = ready.writes or bool(ready.messages_after)
        if writes:
            self.group_commit.put(ready)
        callbacks = self._applier.confirmed(ready.reads)
        self._applier.lost(ready.reads_lost)
        callbacks += self._send_locked(node, ready.messages)
        if self._applier.commit(ready.commit_index):
            if node.role is Role.LEADER:  # its clients wait for this
                callbacks.append(self._applier.apply_few)
            elif not (flushes and writes) or self._applier.is_awaited:
                callbacks.append(self._applier.wake)
            # Else `serve` writes and answers first, since the leader waits for that, and applies afterwards.
        if writes and not flushes:
            callbacks.append(self.group_commit.wake)
        return callbacks

    def _send_locked(self, node: Node, messages: Sequence[Message]) -> Callbacks:
        """Give requests to the peers' queues; return the callbacks that send the rest once the lock is free."""
        callbacks: Callbacks = []
        rings = False
        for message in messages:
            if isinstance(message, Reply):
                callbacks += self._reply_callbacks(message)
            elif self._peers.send_locked(node.configuration, message):
                rings = True
        if rings:
            callbacks.append(self._peers.ring)
        return callbacks

    def _reply_callbacks(self, reply: Reply) -> Callbacks:
        done = self._replies.pop(reply.request, None)
        return [lambda: done(reply)] if done else []

    def _send(self, messages: Sequence[Message]) -> None:
        """Send messages that had to wait for the disk."""
        for callback in self._node_lock.read(lambda node: self._send_locked(node, messages)):
            callback()

    # The thread

    def run_ticks(self, stopping: threading.Event) -> None:
        """Run the tick thread."""
        pause_s = self._heartbeat_s
        while not stopping.wait(pause_s):
            calm = self.tick()
            self._applier.wake_if_late()
            self._on_tick()
            pause_s = self._heartbeat_s if calm else self._heartbeat_s / TICKS_PER_HEARTBEAT

    def tick(self) -> bool:
        """Advance the Node's clock; return whether the next tick can wait for a heartbeat.  For any thread."""
        return self._node_lock.act(self._tick)

    def _tick(self, node: Node) -> bool:
        """Advance the Node's clock; return whether the next tick can wait for a heartbeat."""
        self._contact.ticked()
        settle(self._clocks, node)
        node.tick(time.monotonic() * 1000, self._clocks.stamp())
        follow_leap(self._clocks, node)
        return node.is_calm()


def _is_held_back(node: Node, message: Message) -> bool:
    """Return whether a full disk keeps this member from entries that the leader has committed."""
    return node.is_full and isinstance(message, AppendEntries) and message.leader_commit > node.log.last_index
