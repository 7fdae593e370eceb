"""Forwarding: bring clients' proposals and reads to the leader, which is this member or another one.

A follower's proposals and reads go over connections of their own, one call at a time; those that come during a call
make the next batch.  A leader never forwards them again, so there is at most one hop.  Proposals and reads that find no
leader wait for the next tick, or until their time is over: a client never sees a redirect.

The leader sends no new entries to a follower whose disk is full.  Such a follower could not learn the outcome of a
command, and could not serve reads of new entries, so it refuses both at once.  If no majority has room, it forwards
commands that free space: the leader sends it those entries.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf
from queue import SimpleQueue

from raft.core.node import Node
from raft.engine.applier import Applier, Read
from raft.engine.group_commit import GroupCommit
from raft.engine.leader_client import CallRefused, LeaderClient
from raft.engine.node_lock import NodeLock
from raft.engine.proposals import PendingProposal, Proposals
from raft.engine.queues import drain, drain_nowait
from raft.errors import DiskFull, NotLeader, RaftError, Unavailable
from raft.rpc.calls import Propose, ProposeReply, ReadIndex, ReadIndexReply

FORWARD_MAX = 1_024  # proposals in one call to the leader ...
# ... and bytes of their commands: a call has CALL_TIMEOUTS election timeouts, which a line of 20 Mbit/s is enough for.
FORWARD_BYTES_MAX = 4 << 20
READS_MAX = 8_192
NO_ROOM_S = 1.0  # after the leader answered that no majority has room, before it gets another command
FULL_PAUSE_S = 0.25  # between two tries to send a leader what it had no room for
NO_ROOM = "no majority of the nodes has room on its disk; nothing was changed"
FULL_HERE = "this node's disk is full, so the newest entries are missing here; ask another node"


def parts_of(batch: Sequence[PendingProposal]) -> Iterator[list[PendingProposal]]:
    """Split the batch in its order, cut where the commands would exceed FORWARD_BYTES_MAX."""
    part: list[PendingProposal] = []
    size = 0
    for waiting in batch:
        size += len(waiting.command)
        if part and size > FORWARD_BYTES_MAX:
            yield part
            part, size = [], len(waiting.command)
        part.append(waiting)
    if part:
        yield part


class Forwarder:
    """Routes the proposals and reads of this member's clients."""

    def __init__(
        self,
        id: int,
        node_lock: NodeLock,
        proposals: Proposals,
        applier: Applier,
        group_commit: GroupCommit,
        new_leader: Callable[[], LeaderClient],
        frees: Callable[[bytes], bool] = lambda command: False,
    ) -> None:
        """`group_commit` proposes on this member.  `new_leader` makes a client of the leader for one thread.

        `frees(command)`: the command frees space.
        """
        self._id = id
        self._node_lock = node_lock
        self._proposals = proposals
        self._applier = applier
        self._group_commit = group_commit
        self._proposals_leader = new_leader()
        self._reads_leader = new_leader()
        self._tokens = itertools.count(1)
        self._to_forward: SimpleQueue[PendingProposal | None] = SimpleQueue()  # bounded by Proposals
        self._to_read: SimpleQueue[Read | None] = SimpleQueue()  # bounded by READS_MAX
        self._reads_waiting = 0  # counted without a lock: the bound may be off by a few
        self._again: SimpleQueue[PendingProposal | Read] = SimpleQueue()  # failed so far; the next tick retries
        self._full_until_s = 0.0  # proposals that the leader had no room for wait until then
        self._given_up = False  # once set, everything has waited too long
        self._no_room_until_s = 0.0  # until then only commands that free space are sent to the leader
        self._frees = frees

    # Inputs

    def propose(self, command: bytes, done: Callable[[object], None], flushes: bool) -> None:
        """Propose a command, as chat/replica.py specifies."""
        now_s = time.monotonic()
        try:
            if self._applier.refusal:  # the answer would be the state's
                raise Unavailable(f"{self._applier.refusal}; nothing was changed")
            if now_s < self._no_room_until_s and not self._frees(command):
                raise DiskFull(NO_ROOM)
            waiting = self._proposals.admit(command, done, now_s)
        except (Unavailable, DiskFull) as error:
            self._proposals.not_admitted(error)
            done(error)
        else:
            self._route(waiting, flushes=flushes)

    def read(self, done: Callable[[RaftError | None], None], min_index: int = 0, stale: bool = False) -> None:
        """Confirm a read, as chat/replica.py specifies."""
        if self._applier.refusal:
            done(Unavailable(self._applier.refusal))
            return
        if self._reads_waiting >= READS_MAX:
            done(Unavailable("too many reads are waiting"))
            return
        self._reads_waiting += 1

        def counted(error: RaftError | None, index: int) -> None:
            self._reads_waiting -= 1
            done(error)

        read = Read(counted, time.monotonic(), min_index=min_index)
        if stale:
            self._applier.read_at(min_index, [read])
        else:
            self._to_read.put(read)

    def read_for_peer(self, call: ReadIndex, done: Callable[[int], None]) -> None:
        """Confirm a follower's reads: `done(index)`, or `done(0)` if this member does not lead."""
        read = Read(lambda error, index: done(index), time.monotonic(), from_peer=True)
        self._read_here([read], lambda reads: done(0), call.source, call.term)

    def leader_changed(self) -> None:
        """Give all unanswered proposals to the new leader.

        The old leader may have committed some of them.  Each applies once all the same.
        """
        self._no_room_until_s = 0.0
        self._proposals_leader.leave()  # a call to a leader that hangs would hold up all others
        self._reads_leader.leave()
        for waiting in self._proposals.all():
            self._route(waiting)

    def try_again(self, refused: Sequence[PendingProposal]) -> None:
        """Retry what failed so far, and refuse what has waited too long; at each tick."""
        now_s = inf if self._given_up else time.monotonic()
        for item in (*refused, *self._applier.take_lost(), *drain_nowait(self._again)):
            if isinstance(item, PendingProposal) and now_s < self._full_until_s:
                self._again.put(item)
            elif isinstance(item, PendingProposal):
                self._route(item)
            elif item.from_peer or item.is_overdue(now_s):
                item.give_up()
            else:
                self._to_read.put(item)
        self._proposals.expire(now_s)
        self._applier.expire_reads(now_s)

    def give_up(self) -> None:
        """Refuse at the next ticks all that waits and all that still comes, as if its time were over."""
        self._given_up = True
        self._applier.give_up()

    def stop(self) -> None:
        """End both threads."""
        self._to_forward.put(None)
        self._to_read.put(None)
        self._proposals_leader.close()
        self._reads_leader.close()

    def _route(self, waiting: PendingProposal, *, flushes: bool = False) -> None:
        leader_id = self._node_lock.leader_id
        if leader_id == self._id:
            self._group_commit.put(waiting)
            if not flushes:
                self._group_commit.wake()
        elif leader_id:
            self._to_forward.put(waiting)
        # Without a leader it stays in Proposals, until a leader is known (`leader_changed`) or its time is over.

    # The thread of proposals

    def run_proposals(self) -> None:
        """Run the thread that forwards a follower's proposals to the leader; `stop` ends it."""
        while True:
            items = drain(self._to_forward, FORWARD_MAX)
            batch = [item for item in items if item is not None]
            for part in parts_of(batch):
                self._forward(part)
            if None in items:
                self._proposals_leader.close()
                return

    def _forward(self, batch: list[PendingProposal]) -> None:
        leader_id = self._node_lock.leader_id
        if leader_id in (0, self._id):
            for waiting in batch:
                self._route(waiting)
            return
        try:
            self._proposals_leader.open(leader_id)
            if self._group_commit.is_full() and not self._is_sent_all(leader_id):
                self._proposals.refuse(batch, Unavailable(FULL_HERE))
                return
        except OSError:
            self._retry_later(batch)
            return
        proposals = tuple(self._proposals.hand_over(batch))
        if not proposals:
            return
        try:
            reply = self._proposals_leader.call(Propose(self._id, leader_id, proposals))
        except CallRefused:
            self._proposals.undo_hand_over(batch)
            self._retry_later(batch)
            return
        except OSError:
            self._retry_later(batch)  # the call may have arrived; sent again, a proposal still applies once
            return
        if isinstance(reply, ProposeReply) and reply.full:
            self._proposals.undo_hand_over(batch)
            self._refuse_for_room(batch)
        elif isinstance(reply, ProposeReply) and not reply.accepted:
            self._proposals.undo_hand_over(batch)
            self._retry_later(batch)
            if reply.leader_id == leader_id:  # the target leads, and accepts no more for now
                self._full_until_s = time.monotonic() + FULL_PAUSE_S

    def _is_sent_all(self, leader_id: int) -> bool:
        """Return whether the leader sends this full member what it commits, since no majority has room.

        Raises OSError.
        """
        reply = self._proposals_leader.call(Propose(self._id, leader_id, ()))
        return isinstance(reply, ProposeReply) and reply.full

    def _refuse_for_room(self, batch: list[PendingProposal]) -> None:
        """Refuse commands that free no space and retry the rest alone; refuse all if all free space."""
        self._no_room_until_s = time.monotonic() + NO_ROOM_S
        freeing = [waiting for waiting in batch if self._frees(waiting.command)]
        if len(freeing) == len(batch):
            self._proposals.refuse(batch, DiskFull(NO_ROOM))
            return
        self._proposals.refuse((one for one in batch if not self._frees(one.command)), DiskFull(NO_ROOM))
        self._retry_later(freeing)

    # The thread of reads

    def run_reads(self) -> None:
        """Run the thread that asks the leader for the index of each read; `stop` ends it."""
        while True:
            items = drain(self._to_read)
            batch = [item for item in items if item is not None]
            if batch and self._node_lock.leader_id == self._id:
                self._read_here(batch, self._retry_later)
            elif batch:
                self._read_there(batch)
            if None in items:
                self._reads_leader.close()
                return

    def _read_here(
        self, reads: list[Read], refused: Callable[[list[Read]], None], follower: int = 0, follower_term: int = 0
    ) -> None:
        token = next(self._tokens)

        def action(node: Node) -> None:
            node.read_index(token, follower, follower_term)
            self._applier.register(token, reads)

        try:
            self._node_lock.act(action)
        except NotLeader:
            refused(reads)

    def _read_there(self, reads: list[Read]) -> None:
        index = 0
        # Under the lock: values read without it may be older than a vote that was sent.
        leader_id, term = self._node_lock.read(lambda node: (node.leader_id, node.current_term))
        try:
            if leader_id:
                self._reads_leader.open(leader_id)
                reply = self._reads_leader.call(ReadIndex(self._id, leader_id, term))
                index = reply.index if isinstance(reply, ReadIndexReply) else 0
        except OSError:
            index = 0
        if index and self._group_commit.is_full() and index > self._node_lock.read(lambda node: node.log.last_index):
            for read in reads:
                read.done(Unavailable(FULL_HERE), 0)
        elif index:
            self._applier.read_at(index, reads)
        else:
            self._retry_later(reads)

    def _retry_later(self, items: Sequence[PendingProposal | Read]) -> None:
        for item in items:
            self._again.put(item)
