"""An engine of one, in memory: it orders commands, stamps them and applies them; it fails when it is told to.

`proposed` shows what reached the engine at all, so that a test can say: nothing did.
"""

from collections.abc import Callable, Sequence
from threading import Lock, current_thread

from chat.commands import LEVEL
from chat.replica import BackupFile
from chat.state.machine import ChatState
from raft.core.configuration import Change
from raft.core.entries import clock_entry, command_entry
from raft.core.raft_messages import Command, Entry, ProposalId
from raft.errors import ChangeRefused, CorruptLog, OutcomeUnknown, RaftError, Unavailable
from raft.metrics import MemberMetrics

FIRST_TIME = 1_795_428_000_123_456  # 2026-11-23T10:00:00.123456Z
FIRST_INDEX = 3  # the engine's own entries come first, so that no test takes an index for an Id


class FakeReplica:
    """Answers at once, on the caller's thread, unless `delayed`."""

    cluster_id = "c0ffee"
    generation = ""

    def __init__(self, state: ChatState) -> None:
        self.state = state
        self.proposed: list[bytes] = []
        self.flushed: list[int] = []  # how many were proposed, at each `flush_soon`
        self.changes: list[Change] = []
        self.transfers: list[int] = []
        self.reads = 0
        self.leader_index = 0  # what the leader has: a confirmed read waits for it
        self.unavailable = False
        self.loses_answers = False  # commits, and does not know it
        self.delayed = False  # keeps proposals until `release`
        self.is_set_aside = False
        self.holds_reads = False  # until `release_reads`
        self.on_read_held: Callable[[], None] = lambda: None
        self.on_wait: Callable[[], None] | None = None  # makes waiting worth while; without it nothing is to come
        self.refusal: ChangeRefused | None = None
        self.level = LEVEL
        self.leads = True
        self.clocks_known = True
        self.numbers: MemberMetrics | None = None
        self.checks = [("leader", ""), ("disk", "")]
        self.contact_s = 0.0  # how long ago a leader was in contact
        self.told: list[bytes] = []  # by `tell`
        self.gone: set[int] = set()  # log indexes that a compaction took
        self.damaged: set[int] = set()  # entries that are damaged on the disk,
        self.mends = True  # and whether another member has them
        self.waits_for_mends: list[str] = []  # the threads that waited
        self.scrubs = 0
        self.members: list[dict[str, object]] = []
        self.asked = 0  # how often the members were asked to report
        self.now = FIRST_TIME  # the log's time
        self.clock = FIRST_TIME  # what an operator accepts
        self.backups: list[BackupFile] = []  # that are made, the newest last
        self._entries: list[Entry] = []
        self._held: list[tuple[bytes, Callable[[object], None]]] = []
        self._readers: list[tuple[int, Callable[[RaftError | None], None]]] = []
        self._committing = Lock()

    @property
    def last_applied(self) -> int:
        return FIRST_INDEX + len(self._entries) - 1

    def agreed_time(self) -> int:
        if not self.clocks_known:
            raise Unavailable("what time it is is not known")
        return self.now

    def accept_clock(self) -> tuple[int, int]:
        if self.unavailable:
            raise Unavailable("no quorum")
        if self.refusal is not None:
            raise self.refusal
        before, self.now = self.now, self.clock
        if before != self.now:
            self._entries.append(clock_entry(self.last_applied + 1, 1, self.now, before))
            self.state.set_clock(self.last_applied, before, self.now)
        return before, self.now

    def backup(self, index: int, wait_s: float) -> BackupFile | None:
        return next((one for one in reversed(self.backups) if one.index >= index), None)

    def find_backup(self, tag: str) -> BackupFile | None:
        return next((one for one in self.backups if one.tag == tag), None)

    def contact_age_s(self) -> float:
        return self.contact_s

    def tell(self, body: bytes) -> None:
        self.told.append(body)

    def propose(self, command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        if self.unavailable:
            done(Unavailable("no quorum"))
            return
        self.proposed.append(command)
        if self.delayed:
            self._held.append((command, done))
        else:
            self._commit(command, done)

    def flush(self) -> None:
        """It has no disk."""

    def flush_soon(self) -> None:
        """It has no disk: how much was proposed by then is noted."""
        self.flushed.append(len(self.proposed))

    def release(self) -> None:
        """Commit all that is held back, in order."""
        held, self._held = self._held, []
        for command, done in held:
            self._commit(command, done)

    def take_over(self, other: "FakeReplica") -> None:
        """Be as far as another one is, by a snapshot of its."""
        self._entries = list(other._entries)
        self.state.restore(self.last_applied, other.state.document())

    def commit(self, command: bytes) -> object:
        """Another member's proposal, or one that no route would make; what the state said to it."""
        results: list[object] = []
        self._commit(command, results.append)
        return results[0]

    def read(self, done: Callable[[RaftError | None], None], *, min_index: int = 0, stale: bool = False) -> None:
        self.reads += not stale
        if self.unavailable and not stale:
            done(Unavailable("no quorum"))
        elif self.holds_reads:
            self._readers.append((0, done))
            self.on_read_held()
        elif self.last_applied >= (min_index := min_index if stale else max(min_index, self.leader_index)):
            done(None)
        elif self.on_wait is None:
            done(Unavailable("it has not come so far"))
        else:
            self._readers.append((min_index, done))
            self.on_wait()

    def release_reads(self, error: RaftError | None = None) -> None:
        """Confirm all reads that are held back, in order, or refuse them."""
        readers, self._readers = self._readers, []
        for _, done in readers:
            done(error)

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        assert list(indexes) == sorted(indexes)
        if not self.gone.isdisjoint(indexes):
            raise LookupError("not in the log")
        if damaged := sorted(self.damaged.intersection(indexes)):
            raise CorruptLog("log-1.jsonl", 7, f"entry {damaged[0]} is damaged", "act", damaged)
        entries = [self._entries[index - FIRST_INDEX] for index in indexes]
        return [Command(entry.index, entry.time, entry.body) for entry in entries]

    def mended(self, damage: CorruptLog) -> bool:
        self.waits_for_mends.append(current_thread().name)
        if self.mends:
            self.damaged.difference_update(damage.indexes)
        return self.mends

    def scrub(self) -> None:
        self.scrubs += 1

    def ask_members(self) -> None:
        self.asked += 1

    def status(self) -> dict[str, object]:
        return {
            "Id": 1,
            "Leader": 1,
            "Term": 1,
            "Role": "leader",
            "LastApplied": self.last_applied,
            "Members": self.members,
        }

    def metrics(self) -> MemberMetrics | None:
        return self.numbers

    def readiness(self) -> list[tuple[str, str]]:
        return self.checks

    def change(self, change: Change) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.unavailable:
            raise Unavailable("no quorum")
        self.changes.append(change)

    def transfer(self, target: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.transfers.append(target)

    def _commit(self, command: bytes, done: Callable[[object], None]) -> None:
        with self._committing:
            index = FIRST_INDEX + len(self._entries)
            entry = command_entry(index, 1, self.now, ProposalId(1, 1, index, 0), command)
            self.now += 1_500_000
            self._entries.append(entry)
            result = self.state.apply(entry)
            self.state.applied(index)
        readers, self._readers = self._readers, []
        for min_index, read in readers:
            if min_index <= index:
                read(None)
            else:
                self._readers.append((min_index, read))
        done(OutcomeUnknown("the leader was lost") if self.loses_answers else result)
