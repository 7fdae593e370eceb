"""Readiness: the checks of `GET /readyz` that the engine can answer.  Each is a name and the reason why it fails.

A check looks at what the engine knows anyway.  It takes the engine's lock for a moment, and never waits for a disk or
another node.  The reasons are for anybody: they name no node, file or address.
"""

import threading
import time
from collections.abc import Callable

from raft.core.node import Node
from raft.engine.damage import Damage
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import NodeLock

LAG_MAX = 1_000  # committed entries: busy nodes always lag by some, and apply so many in a tenth of a second

Check = tuple[str, str]  # its name, and why it fails; "" if it does not


class Readiness:
    """The checks of one running member.  Thread-safe."""

    def __init__(
        self,
        node_lock: NodeLock,
        contact: LeaderContact,
        damage: Damage,
        *,
        applied: Callable[[], int],
        is_full: Callable[[], bool],
        write_age_s: Callable[[], float],
        election_timeout_s: float,
        is_set_aside: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`applied()`: the last applied index; `is_full()`: the disk has no room.

        `write_age_s()`: the time since the write under way began.  The Node's clock would be late by a tick.
        `is_set_aside()`: the state differs from the other nodes'.
        """
        self._node_lock = node_lock
        self._contact = contact
        self._damage = damage
        self._applied = applied
        self._is_full = is_full
        self._write_age_s = write_age_s
        self._timeout_s = election_timeout_s
        self._is_set_aside = is_set_aside
        self._clock = clock
        self._goal_lock = threading.Lock()
        self._goal = 0  # an index that was committed at `_goal_s`
        self._goal_s = clock()

    def checks(self) -> list[Check]:
        """Return all checks, in the order in which they are shown."""
        leader_id, contact_s, committed = self._node_lock.read(self._look)
        return [
            ("leader", self._why_no_leader(leader_id, contact_s)),
            ("caught-up", self._why_behind(committed)),
            ("log", "a file of this node is damaged" if self._damage.found() else ""),
            ("disk", self._why_no_disk()),
            ("state", "the state of this node differs from the other nodes'" if self._is_set_aside() else ""),
        ]

    def _look(self, node: Node) -> tuple[int, float, int]:
        return node.leader_id, self._contact.age_s(node), max(node.known_committed, node.commit_index)

    def _why_no_leader(self, leader_id: int, contact_s: float) -> str:
        if not leader_id:
            return "no leader is known"
        if contact_s > self._timeout_s:
            return "no leader with a majority was heard within an election timeout"
        return ""

    def _why_behind(self, committed: int) -> str:
        """Compare with what was committed an election timeout ago, for under load there is always more by now."""
        applied, now_s = self._applied(), self._clock()
        with self._goal_lock:
            if applied >= self._goal:
                self._goal, self._goal_s = committed, now_s
            is_late = now_s - self._goal_s > self._timeout_s
        return "this node lacks committed entries" if is_late or committed - applied > LAG_MAX else ""

    def _why_no_disk(self) -> str:
        if self._is_full():
            return "the disk is full"
        return "a write has not ended within an election timeout" if self._write_age_s() > self._timeout_s else ""
