"""The time since this member's last contact with a majority through a leader: the bound on how stale it can be.

A follower is in contact with each append or heartbeat of the leader, a leader with the answers of a majority to its
own.  The seconds go on while the machine sleeps or the process is stopped, unlike the core's own clock, which stands
still then (node.py, `tick`).  After such a pause no contact counts for GAP_S: a message may have waited in a socket
all the while.
"""

from collections.abc import Callable

from raft.core.node import Node
from raft.engine.clocks import steady_s

GAP_S = 1.0  # ticks are milliseconds apart: such a gap means that the process or machine was stopped


class LeaderContact:
    """The contact of one member; all methods are called under the engine's lock."""

    def __init__(self, clock: Callable[[], float] = steady_s) -> None:
        self._clock = clock
        self._ticked_s = clock()
        self._believed_from_s = self._ticked_s
        self._leader_s = float("-inf")
        self._answered_s: dict[int, float] = {}  # by member, while this one led

    def ticked(self) -> None:
        """Note a tick."""
        now_s = self._clock()
        if now_s - self._ticked_s > GAP_S:
            self._believed_from_s = now_s + GAP_S
        self._ticked_s = now_s

    def leader_spoke(self) -> None:
        """Note an append, a heartbeat or a snapshot from this member's leader."""
        if (now_s := self._clock()) >= self._believed_from_s and now_s - self._ticked_s <= GAP_S:
            self._leader_s = now_s

    def answered(self, member: int) -> None:
        """Note that `member` answered this member as its leader."""
        if (now_s := self._clock()) >= self._believed_from_s and now_s - self._ticked_s <= GAP_S:
            self._answered_s[member] = now_s

    def age_s(self, node: Node) -> float:
        """Return the seconds since the last contact; 0 for a single voter, infinite if there was none."""
        return max(0.0, self._clock() - max(self._leader_s, self._majority_s(node)))

    def _majority_s(self, node: Node) -> float:
        """Return the newest time since which a majority of voters has answered."""
        answered_s = {**self._answered_s, node.id: self._clock()}
        newest = sorted((answered_s.get(id, float("-inf")) for id in node.configuration.voters), reverse=True)
        return newest[len(newest) // 2] if newest else float("-inf")
