"""What of a member outlives its process: the disk, the clock, and the memory of what it promised.

The mirror of the log (`log`, `promised`) is not the engine's: it is kept from what the engine asked to write and from
which writes were through, and every start is held against it.
"""

from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from raft.messages import Entry, HardState
from raft.node import Ready
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
        self._rate_since_ms = 0.0
        self._steady_ms = 0.0
        # The mirror
        self.log: list[Entry] = []  # as the process has it
        self.written_by: list[int] = []  # by index - 1: the number of the write it goes with
        self.promised = 0  # up to where `log` is on the disk, whatever is still to be written
        self.hard_state = HardState()  # on the disk
        self.unsure: list[HardState] = []  # may be on the disk instead: a crash came while it was written
        self.compared = 0  # up to where its committed entries were compared
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
        return self.skew_ms + self._steady_ms + (now_ms - self._rate_since_ms) * self.rate

    def wall_us(self, now_ms: float) -> int:
        """Its idea of the date."""
        return EPOCH + self.wall_skew_us + int(now_ms * 1000)

    def set_rate(self, rate: float, now_ms: float) -> None:
        """From now on its monotonic clock runs so fast."""
        self._steady_ms += (now_ms - self._rate_since_ms) * self.rate
        self._rate_since_ms = now_ms
        self.rate = rate

    # The mirror

    def has_on_disk(self, index: int, term: int) -> bool:
        """Whether that entry is there for good."""
        return self.promised >= index and self.log[index - 1].term == term

    def note_ready(self, ready: Ready) -> None:
        """The process has these entries, in place of others at or above their indexes."""
        log, written_by = self.log, self.written_by
        for entry in ready.entries:
            if entry.index <= len(log):
                del log[entry.index - 1 :], written_by[entry.index - 1 :]
                self.promised = min(self.promised, len(log))
            if entry.index != len(log) + 1:
                raise Violation("log matching", f"member {self.id} writes {entry.index} behind {len(log)}")
            log.append(entry)
            written_by.append(ready.sequence)

    def note_written(self, hard_state: HardState, sequence: int) -> None:
        """All writes up to that number are through."""
        newest = max(name for name in self.disk.list(DIRECTORY) if name.startswith("log-"))
        if not self.disk.is_synced(newest):
            raise Violation("durable before said", f"member {self.id} calls {newest} written, and it is not synced")
        self.hard_state = hard_state
        self.unsure = []
        promised, written_by = self.promised, self.written_by
        while promised < len(written_by) and written_by[promised] <= sequence:
            promised += 1
        self.promised = promised

    def note_start(self, hard_state: HardState, found: list[Entry]) -> None:
        """A start found these: at least what was promised."""
        if (hard_state.current_term, hard_state.voted_for) not in [
            (known.current_term, known.voted_for) for known in [self.hard_state, *self.unsure]
        ]:
            raise Violation(
                "nothing durable is lost",
                f"member {self.id} had {self.hard_state} on its disk and starts with {hard_state}",
            )
        for index, entry in enumerate(self.log[: self.promised]):
            if index >= len(found) or found[index].record != entry.record:
                raise Violation("nothing durable is lost", f"member {self.id} starts without entry {index + 1}")
        self._counts["restarts"] += 1
        self.hard_state, self.unsure = hard_state, []
        self.log, self.promised, self.compared = found, len(found), 0
        self.written_by = [0] * len(found)
