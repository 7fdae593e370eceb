"""The requests of a member's clients, as `raft/engine/forwarding.py` and `raft/engine/applier.py` serve them.

A follower's proposals and reads go to the leader, one call at a time; what is in vain is tried again at the next tick,
or when there is another leader, until its time is over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chat.commands import frees_space
from raft.core.node import Ready
from raft.core.raft_messages import ProposalId
from raft.engine.clocks import proposal_stamp
from raft.engine.node_lock import configurations
from raft.engine.proposals import PendingProposal, Proposals
from raft.errors import DiskFull, NotLeader, OlderCopy, Overloaded, RaftError, RefusedPeer, Unavailable
from raft.rpc.calls import Propose, ProposeReply, ReadIndex, ReadIndexReply
from raft.rpc.codec import Answer
from raft.rpc.peer_auth import check_sender
from tests.simulation.network import Answered, Ask

if TYPE_CHECKING:
    from tests.simulation.process import Process

CALL_TIMEOUTS = 4  # election timeouts


@dataclass(slots=True, eq=False)
class Read:
    """A read that waits; `done(error, index)`."""

    done: Callable[[RaftError | None, int], None]
    since_s: float
    from_peer: bool = False


class Forwarding:
    """Of one process."""

    def __init__(self, process: "Process", boot: int) -> None:
        self.proposals = Proposals(process.id, boot)
        self.to_propose: list[PendingProposal] = []  # here, with the next write
        self._process = process
        self._boot = boot
        self._call_timeout_ms = CALL_TIMEOUTS * process.world.scenario.settings.election_timeout_ms
        self._to_forward: list[PendingProposal] = []
        self._forwarding: Ask | None = None
        self._to_read: list[Read] = []
        self._reading: Ask | None = None
        self._at_node: dict[int, list[Read]] = {}
        self._reads: list[tuple[int, list[Read]]] = []  # (index, those that wait for it)
        self._again: list[PendingProposal | Read] = []
        self._tokens = 0

    # Inputs

    def post(self, command: bytes, done: Callable[[object], None]) -> None:
        """Replicate a command; `done` gets the state's result, Unavailable or OutcomeUnknown."""
        key: list[ProposalId] = []

        def told(result: object) -> None:
            if isinstance(result, Unavailable | DiskFull) and key:
                self._process.world.invariants.refused(key[0])
            done(result)

        try:
            waiting = self.proposals.admit(command, told, self._process.now_s)
        except Unavailable as error:
            done(error)
            return
        key.append(ProposalId(self._process.id, self._boot, waiting.sequence, 0))
        self._route(waiting)

    def read(self, done: Callable[[RaftError | None], None]) -> None:
        """`done(None)` once the state may be read."""
        self._to_read.append(Read(lambda error, index: done(error), self._process.now_s))
        self._process.schedule(0, self.run_reads)

    def read_for_peer(self, call: ReadIndex, done: Callable[[int], None]) -> None:
        """`done` gets the index that a follower's reads hold from, 0 where this member does not lead."""
        read = Read(lambda error, index: done(index), self._process.now_s, from_peer=True)
        self._read_here([read], lambda: done(0), call.source, call.term)

    def leader_changed(self) -> None:
        """The new one gets everything again."""
        for ask in (self._forwarding, self._reading):  # to a leader that is none any more
            if ask is not None and ask.call.target != self._process.node.leader_id:
                self._process.world.network.fail(ask)
        for waiting in self.proposals.all():
            self._route(waiting)

    def _route(self, waiting: PendingProposal) -> None:
        leader_id = self._process.node.leader_id
        if leader_id == self._process.id:
            self.to_propose.append(waiting)
            self._process.flush_soon()
        elif leader_id:
            self._to_forward.append(waiting)
            if self._forwarding is None:
                self._process.schedule(0, self._forward)

    def _forward(self) -> None:
        if self._forwarding is not None or not self._to_forward:
            return
        leader_id = self._process.node.leader_id
        batch, self._to_forward = self._to_forward, []
        if leader_id in (0, self._process.id):
            for waiting in batch:
                self._route(waiting)
            return
        if not self._process.world.network.connects(self._process.id, leader_id):
            self._again += batch
            return
        proposals = tuple(self.proposals.hand_over(batch))
        if not proposals:
            return

        def done(answered: Answered) -> None:
            reply = self._believed(answered)
            if not isinstance(reply, ProposeReply):
                failed()
                return
            if reply.full:
                self._refuse_for_room(batch)
            elif not reply.accepted:
                self.proposals.undo_hand_over(batch)
                self._again.extend(batch)
            self._forwarded()

        def failed() -> None:
            self._again.extend(batch)  # it may have arrived; given again it still applies once
            self._forwarded()

        call = Propose(self._process.id, leader_id, proposals)
        self._forwarding = self._process.world.network.ask(self._process, call, self._call_timeout_ms, done, failed)

    def _forwarded(self) -> None:
        self._forwarding = None
        if self._to_forward:
            self._process.schedule(0, self._forward)

    def run_reads(self) -> None:
        """Ask the leader, here or elsewhere, for the reads that came since the last time."""
        if self._reading is not None or not self._to_read:
            return
        batch, self._to_read = self._to_read, []
        leader_id = self._process.node.leader_id
        if leader_id == self._process.id:
            self._read_here(batch, lambda: self._again.extend(batch))
        elif not leader_id or not self._process.world.network.connects(self._process.id, leader_id):
            self._again += batch
        else:
            self._read_there(batch, leader_id)

    def _read_here(
        self, reads: list[Read], refused: Callable[[], None], follower: int = 0, follower_term: int = 0
    ) -> None:
        self._tokens += 1
        self._at_node[self._tokens] = reads  # before: a sole voter confirms it at once
        try:
            self._process.enter(self._process.node.read_index, self._tokens, follower, follower_term)
        except NotLeader:
            del self._at_node[self._tokens]
            refused()

    def _read_there(self, batch: list[Read], leader_id: int) -> None:
        def done(answered: Answered) -> None:
            self._reading = None
            reply = self._believed(answered)
            if isinstance(reply, ReadIndexReply) and reply.index:
                self._reads.append((reply.index, batch))
                self.answer_reads()
            else:
                self._again.extend(batch)
            self._process.schedule(0, self.run_reads)

        def failed() -> None:
            self._reading = None
            self._again.extend(batch)

        call = ReadIndex(self._process.id, leader_id, self._process.node.current_term)
        self._reading = self._process.world.network.ask(self._process, call, self._call_timeout_ms, done, failed)

    def _believed(self, answered: Answered) -> Answer | RefusedPeer:
        """The answer, unless who gave it is refused here."""
        process, (sender, reply) = self._process, answered
        try:
            check_sender(sender, process.sender.cluster_id, *configurations(process.node))
        except OlderCopy as error:
            process.world.invariants.refused_as_older(sender)
            return error
        except RefusedPeer as error:
            return error
        process.world.invariants.believed(process.node, sender)
        return reply

    # What the Ready brings

    def carry_out(self, ready: Ready) -> None:
        """Reads that are confirmed, or lost."""
        for token, index in ready.reads:
            self._confirm(token, index)
        for token in ready.reads_lost:
            self._again += self._at_node.pop(token, [])

    def propose_here(self) -> None:
        """All that waits for the next write of this member, which leads."""
        batch, self.to_propose = self.to_propose, []
        proposals = self.proposals.hand_over(batch)
        if not proposals:
            return
        try:
            self.propose_to_node(proposals)
        except (NotLeader, Overloaded, Unavailable):
            self.proposals.undo_hand_over(batch)
            self._again += batch
        except DiskFull:
            self._refuse_for_room(batch)

    def propose_to_node(self, proposals: Sequence[tuple[ProposalId, bytes]]) -> None:
        """Append these to this leader's log; without room only where all of them free some.  Passes on RaftErrors."""
        node = self._process.node
        stamp = proposal_stamp(self._process.clocks, node)
        try:
            self._process.enter(node.propose, proposals, stamp)
        except DiskFull:
            if not all(frees_space(command) for _, command in proposals):
                raise
            self._process.world.counts["freeing without room"] += 1
            self._process.enter(partial(node.propose, frees=True), proposals, stamp)

    def _refuse_for_room(self, batch: list[PendingProposal]) -> None:
        """Refuse what frees no space, and all of it where everything does; try the rest again by itself."""
        self.proposals.undo_hand_over(batch)
        self._process.world.counts["refused without room"] += 1
        freeing = [waiting for waiting in batch if frees_space(waiting.command)]
        freeing = freeing if len(freeing) < len(batch) else []
        self.proposals.refuse([waiting for waiting in batch if waiting not in freeing], DiskFull("no room"))
        self._again += freeing

    def _confirm(self, token: int, index: int) -> None:
        batch = self._at_node.pop(token, [])  # none where they were given up meanwhile
        if batch and batch[0].from_peer:
            for read in batch:
                read.done(None, index)
        elif batch:
            self._reads.append((index, batch))
            self._process.schedule(0, self.answer_reads)

    def answer_reads(self) -> None:
        """Those whose index is applied."""
        waiting, self._reads = self._reads, []
        for index, batch in waiting:
            if self._process.last_applied >= index:
                for read in batch:
                    read.done(None, index)
            else:
                self._reads.append((index, batch))

    # The tick

    def tick(self) -> None:
        """Try again what was in vain, and give up what has waited too long."""
        now_s = self._process.now_s
        again, self._again = self._again, []
        for item in again:
            if isinstance(item, PendingProposal):
                self._route(item)
            elif item.from_peer or self._is_overdue(item, now_s):
                _give_up(item)
            else:
                self._to_read.append(item)
        if self._to_read:
            self.run_reads()
        self.proposals.expire(now_s)
        self._expire_reads(now_s)

    def _is_overdue(self, read: Read, now_s: float) -> bool:
        return now_s - read.since_s >= self._process.world.scenario.proposal_timeout_s

    def _expire_reads(self, now_s: float) -> None:
        for token in [token for token, batch in self._at_node.items() if self._is_overdue(batch[0], now_s)]:
            for read in self._at_node.pop(token):
                _give_up(read)
        overdue = [item for item in self._reads if self._is_overdue(item[1][0], now_s)]
        self._reads = [item for item in self._reads if item not in overdue]
        for _, batch in overdue:
            for read in batch:
                _give_up(read)


def _give_up(read: Read) -> None:
    read.done(Unavailable("no leader with a majority is in reach"), 0)
