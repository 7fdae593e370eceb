"""Leaders that outlive their time: they go on believing that they lead while another member does.

That is what a stale read takes, and it is rare by itself: the old leader has to be out of reach of the others, not to
notice that, and to stay so until another one leads and a client has heard from that one.  So most seeds have it once,
beside the fault of that name, and no other fault strikes until somebody has read at the old leader
(`lagging_leaders.py`), or that does not lead any more.  Not where all clocks leap: there each steady clock is right.

Drawn from random numbers of their own.
"""

from random import Random
from typing import TYPE_CHECKING

from raft.core.node import Role

if TYPE_CHECKING:
    from tests.simulation.faults import Faults
    from tests.simulation.process import Process
    from tests.simulation.world import World

ONCE = 0.8  # of the seeds
PAUSED = 0.3  # of these leaders: stopped, not cut off
SHUNNED = 0.6  # of them: their clients turn to others, so that these soon hear something, and the first read is late
LOOK_EVERY_MS = 20.0  # for a leader that can be replaced


class Outliving:
    """Of one world."""

    def __init__(self, world: "World", faults: "Faults") -> None:
        self._world = world
        self._faults = faults
        self._rng = Random(f"outliving leaders of seed {world.seed}")
        self._leader: Process | None = None
        self._term = 0  # in which it led
        self._reads_before = 0
        self._until_ms = 0.0

    def start(self) -> None:
        """Have it once, if the seed is one that has it."""
        scenario = self._world.scenario
        if not scenario.leap_us and self._rng.random() < ONCE:
            self._world.schedule.after(scenario.active_ms * self._rng.uniform(0.1, 0.7), self._once)

    def _once(self) -> None:
        if self._world.network.healed:
            return
        leader = next(filter(self._can_be_replaced, self._world.network.running.values()), None)
        if leader is None or self.is_under_way():
            self._world.schedule.after(LOOK_EVERY_MS, self._once)
        else:
            self.begin(leader)

    def _can_be_replaced(self, process: "Process") -> bool:
        """Return whether it leads, and the others may elect another one."""
        running = self._world.network.running.values()
        others = [other.id for other in running if other is not process and other.held is None]
        leads = process.node.role is Role.LEADER and process.held is None and process.node.has_committed_in_term
        return leads and process.node.configuration.is_majority(others)

    def begin(self, leader: "Process") -> None:
        """Cut the leader off from the others, and let time pass slowly for it; or pause it."""
        world = self._world
        length_ms = self._rng.uniform(3, 7) * world.scenario.settings.election_timeout_ms
        if self._can_be_replaced(leader):
            self._leader, self._term = leader, leader.node.current_term
            self._reads_before = world.lagging_leaders.reads_at(leader)
            self._until_ms = world.schedule.now_ms + length_ms
        if self._rng.random() < SHUNNED:
            world.shun(leader.id, length_ms)
        if self._rng.random() < PAUSED:
            self._faults.pause_for(leader, length_ms)
            return
        machine, others = leader.machine, [id for id in world.members if id != leader.id]
        machine.set_rate(self._rng.choice([0.1, 0.1, 0.3]), world.schedule.now_ms)
        world.schedule.after(length_ms, lambda: machine.set_rate(1.0, world.schedule.now_ms))
        self._faults.cut([(leader.id, id) for id in others] + [(id, leader.id) for id in others], length_ms)

    def is_under_way(self) -> bool:
        """Return whether another fault would end it before somebody has read there."""
        leader, world = self._leader, self._world
        if leader is None:
            return False
        leads = leader.alive and leader.node.role is Role.LEADER and leader.node.current_term == self._term
        is_read = world.lagging_leaders.reads_at(leader) > self._reads_before
        if leads and not is_read and world.schedule.now_ms < self._until_ms:
            return True
        self._leader = None
        return False
