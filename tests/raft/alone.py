"""A single voter's engine without a disk, a clock or threads: each test turns what it needs."""

import random
import threading
from collections.abc import Iterator, Sequence
from typing import cast

from raft.core.configuration import Configuration, Member
from raft.core.entries import entry_of_verified
from raft.core.log import Log
from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import Entry, HardState, Message
from raft.engine.applier import Applier
from raft.engine.group_commit import GroupCommit
from raft.engine.node_lock import Callbacks, NodeLock
from raft.engine.proposals import PendingProposal, Proposals, now
from raft.errors import DiskFailed
from raft.storage.log_store import Storage
from tests.raft.memory import Memory

DEADLINE_S = 10.0


class FakeStorage:
    """A disk that is memory, and that a test can stop or break."""

    base_index = 0

    def __init__(self, happened: list[str]) -> None:
        self.batches: list[tuple[HardState | None, tuple[Entry, ...]]] = []
        self.records: dict[int, bytes] = {}
        self.fails = False
        self.writing = threading.Event()  # somebody is in `append`
        self.may_write = threading.Event()  # and goes on once this is set
        self.may_write.set()
        self._happened = happened

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self.writing.set()
        assert self.may_write.wait(DEADLINE_S)
        if self.fails:
            raise DiskFailed("the disk is gone")
        self.batches.append((hard_state, tuple(entries)))
        self.records.update((entry.index, entry.record) for entry in entries)
        self._happened.append("append")

    @property
    def reader(self) -> "FakeStorage":
        return self

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """At most three, whatever the bytes: so that one call is not enough."""
        return [self.records[index] for index in range(first, min(last, first + 2) + 1)]

    def read_entries(self, first: int, last: int, bytes_max: int) -> list[Entry]:
        """As `read`."""
        return [entry_of_verified(record) for record in self.read(first, last, bytes_max)]

    def documents(self, commit_index: int) -> None:
        """There is none."""

    def replay(self, first: int, last: int, progress: object) -> Iterator[Entry]:
        return (entry_of_verified(self.records[index]) for index in range(first, last + 1))


class Alone:
    """Member 1 of `voters`; the others do not exist."""

    def __init__(self, voters: int = 1) -> None:
        self.happened: list[str] = []
        self.sent: list[Message] = []
        self.failures: list[Exception] = []
        self.configurations: list[Configuration] = []
        members = {id: Member(id, f"http://127.0.0.1:{id}", voting=True) for id in range(1, voters + 1)}
        self.storage = FakeStorage(self.happened)
        self.memory = Memory()
        self.proposals = Proposals(1, 1)
        node = Node(
            1, log=Log(), hard_state=HardState(), configurations=[(0, Configuration(members))], rng=random.Random(1)
        )
        self.node_lock = NodeLock(node, lambda before, after: None, self.failures.append)
        self.node_lock.on_ready = self._dispatch
        storage = cast(Storage, self.storage)
        self.applier = Applier(self.node_lock, storage, self.memory, self.proposals, self.configurations.append)
        self.group_commit = GroupCommit(
            self.node_lock, storage, self.proposals, self._send, lambda _: now(), self.failures.append
        )

    def _send(self, messages: Sequence[Message]) -> None:
        self.sent += messages
        self.happened.append("send")

    def _dispatch(self, node: Node, ready: Ready, flushes: bool) -> Callbacks:
        told = self.applier.confirmed(ready.reads)
        self.applier.lost(ready.reads_lost)
        if self.applier.commit(ready.commit_index):
            self.applier.wake()
        if ready.writes or ready.messages_after:
            self.group_commit.put(ready)
        return told

    def lead(self) -> None:
        """Become the leader, with the first entries of the term on disk."""
        self.node_lock.act(lambda node: node.tick(0.0, 1))
        for _ in range(5):  # the own vote, the no-op, the cluster's name
            self.group_commit.flush()
        assert self.node_lock.read(lambda node: node.role) is Role.LEADER

    def waiting(self, command: bytes, told: list[object] | None = None) -> PendingProposal:
        """An admitted proposal, not given to anybody yet."""
        return self.proposals.admit(command, (told if told is not None else []).append, 0.0)

    def commit(self, *commands: bytes) -> None:
        """Have them in the log, durable and committed."""
        for command in commands:
            self.group_commit.put(self.waiting(command))
        self.group_commit.flush()
