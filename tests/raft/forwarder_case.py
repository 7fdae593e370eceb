"""A Forwarder between fakes: who leads, the own log and the way to the leader are what a test says."""

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, cast

from raft.engine.applier import Applier
from raft.engine.forwarding import Forwarder
from raft.engine.group_commit import GroupCommit
from raft.engine.leader_client import LeaderClient
from raft.engine.node_lock import NodeLock
from raft.engine.proposals import PendingProposal, Proposals
from raft.rpc.calls import Propose
from raft.rpc.codec import Answer, Call
from raft.storage.log_store import Storage
from tests.raft.alone import DEADLINE_S, FakeStorage
from tests.raft.memory import Memory

OWN, OTHER = 1, 2


class FakeNodeLock:
    """Somebody leads, or nobody."""

    leader_id = 0
    current_term = 5

    def read(self, see: Callable[[Any], tuple[int, int]]) -> tuple[int, int]:
        return see(self)


class FakeGroupCommit:
    """Where proposals go that this member makes itself."""

    def __init__(self) -> None:
        self.pending: list[PendingProposal] = []
        self.flushes = self.wakes = 0
        self.full = False

    def is_full(self) -> bool:
        return self.full

    def put(self, waiting: PendingProposal) -> None:
        self.pending.append(waiting)

    def wake(self) -> None:
        self.wakes += 1

    def flush(self) -> None:
        self.flushes += 1


class FakeLeader:
    """The way to the other member: what it answers is scripted, call by call; an exception is raised."""

    def __init__(self) -> None:
        self.answers: SimpleQueue[Answer | OSError] = SimpleQueue()
        self.calls: SimpleQueue[Call] = SimpleQueue()
        self.unreachable = False
        self.left = self.closed = 0

    def open(self, leader_id: int) -> None:
        assert leader_id == OTHER
        if self.unreachable:
            raise ConnectionRefusedError

    def call(self, call: Call) -> Answer:
        self.calls.put(call)
        answer = self.answers.get(timeout=DEADLINE_S)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def leave(self) -> None:
        self.left += 1

    def close(self) -> None:
        self.closed += 1

    def next_call(self) -> Call:
        return self.calls.get(timeout=DEADLINE_S)


class Case:
    """A Forwarder whose threads run only when a test says so; ages are told, not waited for."""

    def __init__(self) -> None:
        self.node_lock, self.group_commit = FakeNodeLock(), FakeGroupCommit()
        self.to_leader, self.reads_to_leader = FakeLeader(), FakeLeader()
        self.proposals = Proposals(OWN, 1)
        storage = cast(Storage, FakeStorage([]))
        self.applier = Applier(
            cast(NodeLock, self.node_lock), storage, Memory(), self.proposals, lambda configuration: None
        )
        ways = iter([self.to_leader, self.reads_to_leader])
        self.forwarder = Forwarder(
            OWN,
            cast(NodeLock, self.node_lock),
            self.proposals,
            self.applier,
            cast(GroupCommit, self.group_commit),
            lambda: cast(LeaderClient, next(ways)),
        )

    def propose(self, command: bytes = b"1", *, flushes: bool = False) -> list[object]:
        told: list[object] = []
        self.forwarder.propose(command, told.append, flushes)
        return told

    def run_threads(self) -> None:
        """Let both threads do what there is to do."""
        self.forwarder.stop()
        self.forwarder.run_proposals()
        self.forwarder.run_reads()

    def tick(self) -> None:
        self.forwarder.try_again([])

    def expire(self, age_s: float) -> None:
        self.proposals.expire(time.monotonic() + age_s)

    def sent(self) -> list[list[bytes]]:
        """The commands of each call so far."""
        batches = []
        while not self.to_leader.calls.empty():
            call = self.to_leader.calls.get()
            assert isinstance(call, Propose)
            batches.append([command for _, command in call.proposals])
        return batches
