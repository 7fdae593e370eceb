"""When this member was last in contact with a majority by way of a leader: how stale what it shows may be.

A follower is by each append or heartbeat of the leader; a leader by the answers to its own, from a majority.  Measured
in seconds that go on while the machine sleeps or the process is stopped, unlike the core's own clock, which stands
still then (node.py, `tick`).  And after such a pause nothing counts for GAP_S: what comes then may have lain in a
socket all the while.
"""

from collections.abc import Callable

from raft.core.node import Node
from raft.engine.clocks import steady_s

GAP_S = 1.0  # ticks are some milliseconds apart: by then this process, or its machine, has been stopped


class LeaderContact:
    """Of one member; all methods are called under the engine's lock."""

    def __init__(self, clock: Callable[[], float] = steady_s) -> None:
        self._clock = clock
        self._ticked_s = clock()
        self._believed_from_s = self._ticked_s
        self._leader_s = float("-inf")
        self._answered_s: dict[int, float] = {}  # by member, while this one led

    def ticked(self) -> None:
        """At each tick."""
        now_s = self._clock()
        if now_s - self._ticked_s > GAP_S:
            self._believed_from_s = now_s + GAP_S
        self._ticked_s = now_s

    def leader_spoke(self) -> None:
        """An append, a heartbeat or a snapshot of whom this member takes for its leader has come in."""
        if (now_s := self._clock()) >= self._believed_from_s and now_s - self._ticked_s <= GAP_S:
            self._leader_s = now_s

    def answered(self, member: int) -> None:
        """`member` has answered to this member as its leader."""
        if (now_s := self._clock()) >= self._believed_from_s and now_s - self._ticked_s <= GAP_S:
            self._answered_s[member] = now_s

    def age_s(self, node: Node) -> float:
        """Seconds since the last contact; 0 for a member that is the majority by itself, infinite where none was."""
        return max(0.0, self._clock() - max(self._leader_s, self._majority_s(node)))

    def _majority_s(self, node: Node) -> float:
        """The newest time since which a majority of voters has answered."""
        answered_s = {**self._answered_s, node.id: self._clock()}
        newest = sorted((answered_s.get(id, float("-inf")) for id in node.configuration.voters), reverse=True)
        return newest[len(newest) // 2] if newest else float("-inf")
