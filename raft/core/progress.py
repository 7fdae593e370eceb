"""The leader's view of one follower: what it holds, what to send it next, when it last answered.

PROBE: the leader does not know yet where the follower's log agrees; one small append at a time.

REPLICATE: the leader knows; `next_index` runs ahead of `match_index` by what is in flight.

SNAPSHOT: the follower needs entries that the log no longer has; a snapshot is being sent, and nothing else.

At most one append is in flight.  Commands proposed meanwhile go together in the next one, so batches grow with load.
"""

from dataclasses import dataclass
from enum import Enum


class Mode(Enum):
    """The way appends are sent."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """The state of one follower in this leader's term.  Times are milliseconds of the core's clock."""

    next_index: int  # > match_index, always
    contact_ms: float  # when it last answered in this term
    match_index: int = 0  # known to be durable there
    mode: Mode = Mode.PROBE
    in_flight: bool = False
    sent_ms: float = 0.0  # when the append in flight was sent
    acked_round: int = 0  # the newest ReadIndex round it has confirmed
    sent_commit: int = 0  # the newest leader_commit that was sent
    awaited_index: int = 0  # the last entry whose commit the follower's own clients wait for
    full: bool = False  # the follower's disk has no room, by its last answer
    catch_up_target: int = 0  # a learner's round (dissertation §4.2.1): the end of the log when the round began
    catch_up_start_ms: float = 0.0
    snapshot_above: int = 0  # the follower has asked for a snapshot above this index; 0: it has not

    def sent(self, last_index: int, now_ms: float) -> None:
        """Note that an append up to `last_index` was sent."""
        self.in_flight = True
        self.sent_ms = now_ms
        if self.mode is Mode.REPLICATE:
            self.next_index = last_index + 1

    def sent_snapshot(self, now_ms: float) -> None:
        """Note that a snapshot is being sent."""
        self.in_flight = True
        self.sent_ms = now_ms
        self.mode = Mode.SNAPSHOT

    def accepted(self, match_index: int) -> None:
        """Note that the follower holds all up to `match_index`, which may be a part of what was sent."""
        self.match_index = max(self.match_index, match_index)
        self.next_index = self.match_index + 1
        self.mode = Mode.REPLICATE

    def rejected(self, next_index: int) -> None:
        """Note that the follower's log differs: try at `next_index`, never at or below what is known to match."""
        self.next_index = max(next_index, self.match_index + 1)
        self.mode = Mode.PROBE

    def lost(self) -> None:
        """Note that the append in flight, or its answer, was lost.

        A probe is sent again as it was.  Entries sent ahead of `match_index` are sent again from there on.
        """
        self.in_flight = False
        if self.mode is Mode.REPLICATE:
            self.rejected(self.match_index + 1)
        self.mode = Mode.PROBE
