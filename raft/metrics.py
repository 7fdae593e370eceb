"""The numbers that a member keeps of itself, for whoever shows them.  Imports nothing of the project.

Rules.  A counter or a histogram has one writer at a time, so it needs no lock.  Any thread may read: a reader may see
a count without its part of the sum, never a wrong count.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

# Upper bounds of buckets.  A disk syncs in a tenth of a millisecond or in a second, and so does a round to a peer.
DISK_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """Counts of durations by bucket."""

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...] = DISK_S) -> None:
        """`bounds`: the upper bounds of the buckets, ascending; one more bucket is for all above."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def record(self, duration_s: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, duration_s)] += 1
        self.sum_s += duration_s

    def record_all(self, durations_s: Sequence[float]) -> None:
        """Count many durations; without a step of the interpreter for each."""
        for bucket, count in Counter(map(partial(bisect_left, self.bounds), durations_s)).items():
            self.counts[bucket] += count
        self.sum_s += sum(durations_s)


@dataclass(frozen=True, slots=True)
class MemberMetrics:
    """The numbers of one member.  Bytes are of its data directory; `None`: not known."""

    term: int
    commit_index: int
    applied_index: int
    is_leader: bool
    leader_changes: int  # since this process started
    log_fsync: Histogram
    append: Mapping[int, Histogram]  # by peer: from a request with entries to its answer, while this member leads
    last_contact_s: Mapping[int, float]  # by peer: of all to a leader, of the leader to a follower
    proposals: Mapping[str, int]  # of this member's own clients, by outcome
    log_bytes: int
    log_live_bytes: int
    compactions: int
    disk_free_bytes: int | None
    # By member that was compared: whether its state differs from the others'.
    state_mismatches: Mapping[int, bool] = field(default_factory=dict)
    scrub_bytes: int = 0
    scrub_last_success: float = 0.0  # in seconds since 1970; 0: none has ended since this process started
    damage_found: int = 0  # entries
    damage_mended: int = 0
