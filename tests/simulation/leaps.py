"""The clocks of all machines leap together, as they do where all of them ask one server what time it is.

Drawn from random numbers of their own, so that a seed without a leap lives the same life as before there were any.
In a seed with one no other clock is wrong, and each steady clock is right: what remains is what a cluster has to tell
a leap by.
"""

from dataclasses import replace
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

from raft.core.node import Role
from raft.engine.clocks import accept_clock
from raft.errors import RaftError
from tests.simulation.scenario import Scenario
from tests.simulation.truth import HOLD_SIMULATED_S

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process
    from tests.simulation.world import World

FIRST, EVERY = 28, 10  # the seeds that have a leap: none of those at which a fault of the table is caught
ACCEPT_EVERY_MS = 50.0
_HOLD_MS = HOLD_SIMULATED_S * 1_000
_SECOND = 1_000_000


class Kind(Enum):
    """What becomes of a leap."""

    STAYS = "stays"
    COMES_BACK = "comes back"  # before it is followed: somebody has mended the clocks
    ACCEPTED = "accepted"  # the operator says that the clocks are right


def with_leaps(seed: int, scenario: Scenario) -> Scenario:
    """The scenario, and the leap that the seed has, if any."""
    if seed < FIRST or (seed - FIRST) % EVERY:
        return scenario
    rng = Random(f"leap of {seed}")
    by_s = rng.choice([3, 60, 3_600, 400 * 86_400]) * rng.choice([1, 1, -1])
    faults = tuple((name, weight) for name, weight in scenario.faults if name not in ("clock", "outlive"))
    active_ms = max(scenario.active_ms, 3 * _HOLD_MS)
    return replace(scenario, clocks="leap", leap_us=by_s * _SECOND, faults=faults, active_ms=active_ms)


class Leaps:
    """Of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"what becomes of the leap of {world.seed}")
        self._kind = self._rng.choice(list(Kind))
        self.ahead_us = 0  # of all clocks, now

    def start(self) -> None:
        """The leap comes once the cluster has lived for a while."""
        leap_us, active_ms = self._world.scenario.leap_us, self._world.scenario.active_ms
        if not leap_us:
            return
        at_ms = active_ms * self._rng.uniform(0.2, 0.5)
        self._world.schedule.after(at_ms, self._leap, leap_us)
        if self._kind is Kind.COMES_BACK:
            self._world.schedule.after(at_ms + _HOLD_MS * self._rng.uniform(0.1, 0.7), self._leap, -leap_us)
        elif self._kind is Kind.ACCEPTED:
            self._world.schedule.after(at_ms + _HOLD_MS * self._rng.uniform(0.3, 1.5), self._accept)

    def _leap(self, by_us: int) -> None:
        world = self._world
        world.trace(f"all clocks leap by {by_us / _SECOND:.0f} s")
        world.counts["leaps of all clocks"] += 1
        world.truth.leaps(world, by_us)
        self.ahead_us += by_us
        for machine in world.machines.values():
            machine.wall_skew_us += by_us

    def installed(self, machine: "Machine") -> None:
        """A new machine asks the same server."""
        machine.wall_skew_us += self.ahead_us

    def _accept(self) -> None:
        """The operator runs `raft-chat clock accept`, until it is done."""
        world = self._world
        for process in list(world.network.running.values()):
            if process.node.role is Role.LEADER and process.held is None and self._accepted_by(process):
                world.counts["leaps accepted"] += 1
                return
        if world.schedule.now_ms < world.scenario.active_ms:
            world.schedule.after(ACCEPT_EVERY_MS, self._accept)

    def _accepted_by(self, process: "Process") -> bool:
        self._world.truth.is_accepted = True
        try:
            return bool(process.enter(accept_clock, process.clocks, process.node))
        except RaftError:
            return False
