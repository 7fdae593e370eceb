"""What of a member outlives its process: the disk, the clock, and the memory of what it promised.

The mirror of the log (`log`, `promised`) is not the engine's: it is kept from what the engine asked to write and from
which writes were through, and every start is held against it.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from raft.core.configuration import decode_configuration
from raft.core.node import Ready
from raft.core.raft_messages import Entry, HardState, Kind, SnapshotMeta
from tests.simulation.disk import SimulatedDisk
from tests.simulation.invariants import Violation

if TYPE_CHECKING:
    from tests.simulation.process import Process

DIRECTORY = Path("/simulated")
EPOCH = 1_700_000_000_000_000  # microseconds: when the runs begin


class Machine:
    """One member's computer."""

    def __init__(self, id: int, rng: Random, page_bytes: int, counts: Counter[str]) -> None:
        self.id = id
        self.rng = rng
        self.disk = SimulatedDisk(Random(rng.getrandbits(64)), page_bytes)
        self.process: Process | None = None
        self.removed = False  # its process ended because the cluster had taken it out
        self.wiped = False  # its disk is gone; nothing starts here again
        # The clock
        self.rate = 1.0
        self.skew_ms = rng.uniform(0, 1e6)  # of the steady clock: no two are alike
        self.wall_skew_us = rng.randint(-50_000, 50_000)
        self.rated_ms = 0.0  # when the rate was last changed, by the observer's clock
        self._steady_ms = 0.0
        # The mirror
        self.log: list[Entry] = []  # as the process has it
        self.configurations: list[Entry] = []  # those in it
        self.written_by: list[int] = []  # by index - 1: the number of the write it goes with
        self.promised = 0  # up to where `log` is on the disk, whatever is still to be written
        self.replaced: _Replaced | None = None  # until the snapshot that stands in its place is durable
        self.hard_state = HardState()  # on the disk
        self.unsure: list[HardState] = []  # may be on the disk instead: a crash came while it was written
        self.compared = 0  # up to where its committed entries were compared
        self.boots: list[int] = []  # of all its starts
        self.boots_rng: Random | None = None  # where they are drawn at random
        self.older: Older | None = None  # once its disk was rolled back
        self.sync_ms = -1.0  # how long each sync takes now; -1: as usual
        self._counts = counts

    @property
    def running(self) -> "Process":
        """The process; it must not be down."""
        assert self.process is not None
        return self.process

    # The clock

    def steady_ms(self, now_ms: float) -> float:
        """Its monotonic clock."""
        return self.skew_ms + self._steady_ms + (now_ms - self.rated_ms) * self.rate

    def wall_us(self, now_ms: float) -> int:
        """Its idea of the date."""
        return EPOCH + self.wall_skew_us + int(now_ms * 1000)

    def set_rate(self, rate: float, now_ms: float) -> None:
        """From now on its monotonic clock runs so fast."""
        self._steady_ms += (now_ms - self.rated_ms) * self.rate
        self.rated_ms = now_ms
        self.rate = rate

    # The mirror

    def has_on_disk(self, index: int, term: int) -> bool:
        """Whether that entry is there for good."""
        old = self.replaced
        return (self.promised >= index and self.log[index - 1].term == term) or (
            old is not None and old.promised >= index and old.log[index - 1].term == term
        )

    def holds(self, index: int, term: int) -> bool:
        """Whether that entry is there, or was until the disk was rolled back: that it was may still be on its way."""
        lost = self.older
        if lost is not None and len(lost.log) >= index and lost.log[index - 1].term == term:
            return True
        return self.promised >= index and self.log[index - 1].term == term

    @property
    def held(self) -> int:
        """Up to where its disk has a log that it may speak of: the one that it goes by, or the one before that."""
        return max(self.promised, self.replaced.promised if self.replaced else 0)

    def note_ready(self, ready: Ready, committed: list[Entry]) -> None:
        """The process has a snapshot in place of its log, and these entries in place of others at or above theirs."""
        if ready.snapshot is not None:
            if self.replaced is None:
                index = ready.snapshot.index
                self.replaced = _Replaced(self.log, self.written_by, self.promised, ready.sequence, index)
            self.log = snapshot_of(ready.snapshot, committed)
            self.configurations = configurations_in(self.log)
            self.written_by = [ready.sequence] * len(self.log)
            self.promised = 0
        log, written_by = self.log, self.written_by
        for entry in ready.entries:
            if entry.index <= len(log):
                del log[entry.index - 1 :], written_by[entry.index - 1 :]
                self.promised = min(self.promised, len(log))
                while self.configurations and self.configurations[-1].index >= entry.index:
                    self.configurations.pop()
            if entry.index != len(log) + 1:
                raise Violation("log matching", f"member {self.id} writes {entry.index} behind {len(log)}")
            log.append(entry)
            if entry.kind is Kind.CONFIGURATION:
                self.configurations.append(entry)
            written_by.append(ready.sequence)

    def note_written(self, hard_state: HardState, sequence: int) -> None:
        """All writes up to that number are through."""
        unsynced = self.disk.unsynced_log()
        if unsynced:
            raise Violation("durable before said", f"member {self.id} calls {unsynced} written, and it is not synced")
        self.hard_state = hard_state
        self.unsure = []
        self.promised = _through(self.written_by, self.promised, sequence)
        old = self.replaced
        if old is not None:
            old.promised = _through(old.written_by, old.promised, sequence)
            if sequence >= old.replaced_by:
                self.replaced = None

    def note_boot(self, boot: int) -> None:
        """A process has drawn this number for its start."""
        self.boots.append(boot)
        if self.older is not None:
            self.older.boots.add(boot)

    def roll_back(self, image: "Image") -> None:
        """The disk is as it was at that moment; what it held since is remembered here only."""
        self.disk.roll_back(image.names)
        old = self.replaced
        held = self.log[: self.promised] if old is None or self.promised >= old.promised else old.log[: old.promised]
        self.older = Older(set(self.boots[image.boots :]), held, image.boots == len(self.boots))
        self.log, self.written_by, self.configurations, self.promised, self.replaced = [], [], [], 0, None

    def note_start(self, hard_state: HardState, found: list[Entry], base_index: int) -> None:
        """A start found these, those up to `base_index` in a snapshot: at least what was promised."""
        if self.older is not None and not self.older.started:
            self.older.started = True
            self._take_found(hard_state, found)
            return
        known = [(known.current_term, known.voted_for) for known in [self.hard_state, *self.unsure]]
        if (hard_state.current_term, hard_state.voted_for) not in known:
            said = f"member {self.id} had {self.hard_state} on its disk and starts with {hard_state}"
            raise Violation("nothing durable is lost", said)
        old = self.replaced
        promised = self.log[: self.promised] if old is None else old.log[: old.promised]
        if old is not None and base_index >= old.snapshot_index:
            promised = promised[:base_index]  # the snapshot came through, so what was beyond it is gone with it
        for index, entry in enumerate(promised):
            if index >= len(found) or found[index].record != entry.record:
                if old is not None and index < base_index:
                    continue  # of another leader's, never committed
                raise Violation("nothing durable is lost", f"member {self.id} starts without entry {index + 1}")
        self._take_found(hard_state, found)

    def _take_found(self, hard_state: HardState, found: list[Entry]) -> None:
        self._counts["restarts"] += 1
        self.hard_state, self.unsure, self.replaced = hard_state, [], None
        self.log, self.promised, self.compared = found, len(found), 0
        self.configurations = configurations_in(found)
        self.written_by = [0] * len(found)


@dataclass(frozen=True, slots=True)
class Image:
    """A disk at one moment of it."""

    names: dict[str, bytes]
    boots: int  # how many starts there were
    hard_state: HardState


@dataclass(slots=True)
class Older:
    """What is true of a machine whose disk was rolled back, whoever has found that out."""

    lost_boots: set[int]  # of the starts that the disk does not know of
    log: list[Entry]  # what it held
    within_start: bool  # no start was lost, only what came after it
    boots: set[int] = field(default_factory=set)  # of the starts since
    started: bool = False


@dataclass(slots=True)
class _Replaced:
    """The log that a snapshot is to take the place of: still on the disk, and older writes to it are under way."""

    log: list[Entry]
    written_by: list[int]
    promised: int
    replaced_by: int  # the number of the write
    snapshot_index: int


def _through(written_by: list[int], promised: int, sequence: int) -> int:
    """Up to where a log is on the disk, once all writes up to that number are through."""
    while promised < len(written_by) and written_by[promised] <= sequence:
        promised += 1
    return promised


def configurations_in(log: list[Entry]) -> list[Entry]:
    """The entries that change the membership."""
    return [entry for entry in log if entry.kind is Kind.CONFIGURATION]


def snapshot_of(meta: SnapshotMeta, committed: list[Entry]) -> list[Entry]:
    """The log that a snapshot stands for, which was committed; and it says of it what is so."""
    if meta.index > len(committed):
        raise Violation("snapshot", f"one of index {meta.index}, with {len(committed)} entries committed")
    log = committed[: meta.index]
    newest = next(reversed(configurations_in(log)), None)
    true = (log[-1].term, log[-1].time, newest.index if newest else 0)
    if (meta.term, meta.time, meta.configuration_index) != true:
        raise Violation("snapshot", f"{meta} stands for a log that ends in (term, time, configuration) {true}")
    if newest is not None and decode_configuration(meta.configuration) != decode_configuration(newest.body):
        raise Violation("snapshot", f"{meta} has another configuration than entry {newest.index}")
    return log
