"""A cluster without threads, clock, network or disks: real Nodes, and everything else moved by hand.

Each Machine's disk has what was synced and no more: a crash loses the rest, a restart begins with it.  Messages lie in
`network` until somebody delivers, drops or doubles them.  Everything a Node does is held against `Invariants`.

Here logs are kept whole, also where the Node has compacted its own: what a snapshot stands for is a prefix of what was
committed, so one that is installed puts that prefix in the place of the log.

A cluster of processes is `tests/support/cluster.py`, and whole members in one process are `tests/raft/members.py`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeVar

from raft.core.configuration import Configuration, Member, decode_configuration
from raft.core.log import Log
from raft.core.node import Node, Random, Ready, Role, Settings
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    HardState,
    InstallSnapshot,
    InstallSnapshotReply,
    Kind,
    Message,
    ProposalId,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNowReply,
)
from raft.errors import RaftError
from tests.raft.invariants import Invariants

T = TypeVar("T")
Link = tuple[int, int]


def founders(ids: Iterable[int]) -> Configuration:
    """Voters that have met already, so that no leader has to note who they are."""
    met = {id: Member(id, f"http://{id}", True, incarnation=f"i{id}", level=1) for id in ids}
    return Configuration(met, cluster_id="c")


@dataclass
class Machine:
    """One member: the process (`node`; None while it is down) and what outlives it."""

    id: int
    founding: Configuration
    committed: list[Entry]  # by anybody: what snapshots are made of
    node: Node | None = None
    hard_state: HardState = field(default_factory=HardState)  # on disk
    disk: list[Entry] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)  # as the node has it, synced or not
    unsynced: deque[Ready] = field(default_factory=deque)  # with a write, or with messages that wait for one
    snapshot: SnapshotMeta | None = None  # on disk
    slow: bool = False  # nothing is synced but by `persist`
    level: int = 1  # of its program
    now_ms: float = 0.0
    commands: int = 0

    @property
    def running(self) -> Node:
        """The node; it must not be down."""
        assert self.node is not None, f"member {self.id} is down"
        return self.node

    def boot(self, rng: Random, settings: Settings) -> Node:
        """A new process on what is on disk."""
        assert self.node is None
        self.log = list(self.disk)
        base = self.snapshot or SnapshotMeta(0, 0, 0, 0, self.founding.encode())
        after = self.log[base.index :]
        runs = [next(run) for _, run in groupby(after, key=lambda entry: entry.term)]
        configurations = [(base.configuration_index, decode_configuration(base.configuration))]
        configurations += [(e.index, decode_configuration(e.body)) for e in after if e.kind is Kind.CONFIGURATION]
        self.node = Node(
            self.id,
            log=Log([(entry.index, entry.term) for entry in runs], len(self.log), base.index, base.term),
            hard_state=replace(self.hard_state, commit_index=min(self.hard_state.commit_index, len(self.log))),
            configurations=configurations,
            rng=rng,
            settings=settings,
            last_time=self.log[-1].time if self.log else 0,
            snapshot=self.snapshot,
        )
        return self.node

    def meta(self, index: int) -> SnapshotMeta:
        """The snapshot of all up to `index`."""
        entry = self.log[index - 1]
        changes = [e for e in self.log[:index] if e.kind is Kind.CONFIGURATION]
        at, body = (changes[-1].index, changes[-1].body) if changes else (0, self.founding.encode())
        return SnapshotMeta(index, entry.term, entry.time, at, body)

    def sync(self, ready: Ready) -> None:
        """What the group commit does with one Ready."""
        if ready.snapshot is not None:
            self.snapshot = ready.snapshot
            self.disk[:] = self.committed[: ready.snapshot.index]
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
            write(self.disk, ready.entries)


class Machines:
    """Machines 1 to `size`, all voters, booted; more may `join`."""

    def __init__(
        self,
        size: int,
        rng_of: Callable[[int], Random],
        settings: Settings | None = None,
        founding: Configuration | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.founding = founding or founders(range(1, size + 1))
        self.invariants = Invariants()
        committed = self.invariants.committed
        self.machines = {id: Machine(id, self.founding, committed) for id in range(1, size + 1)}
        self.network: list[Message] = []
        self.cut: set[Link] = set()
        self.on_sent: Callable[[Message, bool], None] = lambda message, lost: None
        self.asked: dict[int, tuple[int, int]] = {}  # token -> who asks, in which term
        self.on_ready: Callable[[Machine, Ready], None] = lambda machine, ready: None
        self._rng_of = rng_of
        for id in self.machines:
            self.restart(id)

    @property
    def up(self) -> list[Machine]:
        """Those that run."""
        return [machine for machine in self.machines.values() if machine.node is not None]

    def leader(self) -> Machine | None:
        """The one of the highest term, if any."""
        leaders = [machine for machine in self.up if machine.running.role is Role.LEADER]
        return max(leaders, key=lambda machine: machine.running.current_term, default=None)

    # Processes and disks

    def join(self, id: int) -> None:
        """A new machine, which knows the founders and is none of them."""
        self.machines[id] = Machine(id, self.founding, self.invariants.committed)
        self.restart(id)

    def restart(self, id: int) -> None:
        """A new process on what its disk has."""
        node = self.machines[id].boot(self._rng_of(id), self.settings)
        self.invariants.restarted(id, node.commit_index)

    def crash(self, id: int, synced: int = 0) -> None:
        """Kill it; of what it was writing the first `synced` Readys had reached the disk, though it never knew."""
        machine = self.machines[id]
        for ready in list(machine.unsynced)[:synced]:
            machine.sync(ready)
        machine.unsynced.clear()
        machine.node = None

    def persist(self, id: int, count: int | None = None) -> None:
        """Sync the first `count` Readys that wait, or all, at once; then send what waited for that."""
        machine = self.machines[id]
        count = len(machine.unsynced) if count is None else count
        batch = [machine.unsynced.popleft() for _ in range(count)]
        for ready in batch:
            machine.sync(ready)
        if any(ready.writes for ready in batch):
            self.act(id, lambda node: node.persisted(batch[-1].sequence))
        for ready in batch:
            self._send(ready.messages_after)

    # Inputs

    def act(self, id: int, give: Callable[[Node], T]) -> T:
        """Give the node of `id` an input and carry out its Ready, as NodeLock does.  Passes on RaftErrors."""
        machine = self.machines[id]
        error: RaftError | None = None
        try:
            result = give(machine.running)
        except RaftError as raised:
            error = raised
        self._carry_out(machine, machine.running.ready())
        if error is not None:
            raise error
        return result

    def tick(self, id: int, ms: float) -> None:
        """Let so much time pass on this member alone."""
        machine = self.machines[id]
        machine.now_ms += ms
        self.act(id, lambda node: node.tick(machine.now_ms, int(machine.now_ms * 1000)))

    def propose(self, id: int, *texts: str, client_of: int = 0) -> int:
        """Commands, as one batch; of clients of another member where that is named."""
        machine = self.machines[id]
        commands = []
        for text in texts:
            machine.commands += 1
            commands.append(
                (ProposalId(client_of or id, 1, machine.commands, machine.commands - 1), b'"%b"' % text.encode())
            )
        return self.act(id, lambda node: node.propose(commands, int(machine.now_ms * 1000)))

    def read(self, id: int, token: int) -> None:
        """A read; its index must cover all that is committed anywhere by now."""
        self.invariants.read_asked(token)
        self.act(id, lambda node: node.read_index(token))

    def ask(self, follower: int, token: int) -> None:
        """A read comes to a member, which asks for it in the term it is in."""
        self.invariants.read_asked(token)
        self.asked[token] = follower, self.machines[follower].running.current_term

    def reach(self, id: int, token: int) -> None:
        """The question arrives at a member, now or much later."""
        follower, term = self.asked.pop(token)
        self.act(id, lambda node: node.read_index(token, follower, term))

    def compact(self, id: int, index: int = 0) -> SnapshotMeta:
        """A compaction that is through: all up to `index`, or all that may be applied, is in a snapshot."""
        machine = self.machines[id]
        node = machine.running
        snapshot = machine.meta(index or min(node.commit_index, node.durable_index))
        machine.snapshot = snapshot
        self.act(id, lambda node: node.compacted(snapshot))
        return snapshot

    def deliver(self, message: Message) -> None:
        """Hand over a message, which the caller has taken from `network` or made up."""
        machine = self.machines.get(message.target)
        if machine is None or machine.node is None:
            return
        loaded = self._load(message)
        if loaded is not None:
            level = self.machines[message.source].level if message.source in self.machines else 1
            self.act(message.target, lambda node: _take(node, loaded, level))

    def _load(self, message: Message) -> Message | None:
        """As the driver does it: entries that left the leader's memory come from its disk, if it still leads.

        A snapshot's data have all arrived before it.
        """
        if isinstance(message, InstallSnapshot):
            return replace(message, received=True)
        if not isinstance(message, AppendEntries) or message.entries is not None:
            return message
        source = self.machines[message.source]
        node = source.node
        if node is None or node.role is not Role.LEADER or node.current_term != message.term:
            return None
        if source.snapshot is not None and message.prev_log_index < source.snapshot.index:
            return None  # compacted meanwhile
        entries = source.disk[message.prev_log_index : message.last_index]
        while len(entries) > 1 and sum(len(entry.record) for entry in entries) > self.settings.append_bytes_max:
            entries.pop()
        return replace(message, entries=tuple(entries))

    def _carry_out(self, machine: Machine, ready: Ready) -> None:
        if ready.snapshot is not None:
            self.invariants.check_snapshot(ready.snapshot)
            machine.log[:] = machine.committed[: ready.snapshot.index]
        write(machine.log, ready.entries)
        if ready.writes or (ready.messages_after and machine.unsynced):
            machine.unsynced.append(ready)
        self.invariants.check(machine.running, ready, machine.log, machine.disk, self._holders)
        self.on_ready(machine, ready)
        self._send(ready.messages)
        if not machine.unsynced:
            self._send(ready.messages_after)
        elif not machine.slow:
            self.persist(machine.id)

    def _holders(self, index: int, term: int) -> list[int]:
        """Who has that entry on disk."""
        return [m.id for m in self.machines.values() if len(m.disk) >= index and m.disk[index - 1].term == term]

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.invariants.sent(message)
            lost = (message.source, message.target) in self.cut
            if not lost:
                self.network.append(message)
            self.on_sent(message, lost)


def write(log: list[Entry], entries: Iterable[Entry]) -> None:
    """As the log file is read: an entry at index i cancels every earlier one at i or above."""
    for entry in entries:
        del log[entry.index - 1 :]
        log.append(entry)


def _take(node: Node, message: Message, level: int) -> None:
    if isinstance(message, AppendEntriesReply | RequestVoteReply | InstallSnapshotReply | TimeoutNowReply):
        node.identified(message.source, f"i{message.source}", "", level)  # said with every answer
    node.step(message)
