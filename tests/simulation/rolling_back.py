"""Disks that are rolled back: a machine goes down and comes back with its whole disk of an earlier moment.

Two kinds.  Most go back to before a start that all the others have recorded since: then they must refuse that member.
Some go back within one start, which no record tells: only the leader of the same term can find that out, by what the
member acknowledged to it.  Of those only such are made that lose nothing that somebody relies on, not by luck but by
what the others hold; what else a roll back within one start loses, nobody can find out.

One at a time, and none beside a disk that is lost: each may take a majority away for good.  The operator has the member
removed after a while, and another one comes.  All is drawn apart from the other faults.
"""

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.machine import Image

if TYPE_CHECKING:
    from tests.simulation.faults import Faults
    from tests.simulation.process import Process
    from tests.simulation.world import World

EVERY_MS = 600.0  # mean
LOOK_EVERY_MS = 20.0
LOOKS_MAX = 150  # in vain: then nothing comes of it
WITHIN_START = 0.4


class RollBacks:
    """Of one world."""

    def __init__(self, world: "World", faults: "Faults") -> None:
        self._world = world
        self._faults = faults
        self._rng = Random(f"{world.seed} roll backs")
        self._stopped = False

    def start(self) -> None:
        """The first one comes soon."""
        self._world.schedule.after(self._rng.expovariate(1.0) * EVERY_MS, self._begin)

    def stop(self) -> None:
        """No more of them."""
        self._stopped = True

    def _begin(self) -> None:
        """Make an image of some voter's disk."""
        running = list(self._world.network.running.values())
        voters = [p for p in running if p.node.configuration.is_voter(p.id) and p.machine.older is None]
        process = self._rng.choice(voters) if voters else None
        names = process.machine.disk.image() if process is not None else None
        if self._stopped or process is None or names is None or self._faults.is_replacing:
            return self.start() if not self._stopped else None
        machine = process.machine
        image = Image(names, len(machine.boots), machine.hard_state)
        within_start = self._rng.random() < WITHIN_START
        if not within_start:
            self._world.crash(process, power=self._rng.random() < 0.5, down_ms=50 * self._rng.random())
        after_ms = self._rng.choice([50, 300]) * self._rng.random()
        self._world.schedule.after(after_ms, self._look, machine.id, image, within_start, 0)
        return None

    def _look(self, id: int, image: Image, within_start: bool, looks: int) -> None:
        """Roll it back once that is what it shall be."""
        if self._stopped:
            return
        process = self._world.network.running.get(id)
        may = self._loses_nothing if within_start else self._all_others_know
        if process is not None and not self._faults.is_replacing and self._can_be_replaced() and may(process, image):
            self._world.counts["disks rolled back within a start"] += within_start
            self._world.roll_back(process, image, 100 * self._rng.random())
            timeout_ms = self._world.scenario.settings.election_timeout_ms
            self._faults.replace_later(id, self._rng.choice([0, 2, 10]) * timeout_ms * self._rng.random())
            self.start()
        elif looks >= LOOKS_MAX:
            self.start()
        else:
            self._world.schedule.after(LOOK_EVERY_MS, self._look, id, image, within_start, looks + 1)

    def _can_be_replaced(self) -> bool:
        """Whether the others are a majority, in whatever configuration there is, so that it can be removed."""
        machines = [machine for machine in self._world.machines.values() if not machine.removed and not machine.wiped]
        if any(machine.process is None for machine in machines):
            return False
        nodes = [machine.running.node for machine in machines]
        settled = all(node.configuration_index <= node.commit_index for node in nodes)
        return (
            settled
            and len({node.configuration_index for node in nodes}) == 1
            and len(nodes[0].configuration.voters) >= 3
        )

    def _others(self, process: "Process") -> list["Process"]:
        voters = process.node.configuration.voters
        return [self._world.machines[id].running for id in voters if id != process.id]

    def _all_others_know(self, process: "Process", image: Image) -> bool:
        """Whether the record of a start that the image lacks is on the disks of all other voters."""
        machine = process.machine
        lost = machine.boots[image.boots :]
        return bool(lost) and all(
            other.node.configuration.members[machine.id].boot in lost
            and other.node.configuration_index <= other.machine.promised
            for other in self._others(process)
        )

    def _loses_nothing(self, process: "Process", image: Image) -> bool:
        """Whether the same start runs, its vote is in the image, and all other voters hold what it has on its disk."""
        machine, last = process.machine, process.machine.promised
        before, now = image.hard_state, machine.hard_state
        same_vote = (before.current_term, before.voted_for) == (now.current_term, now.voted_for)
        if image.boots != len(machine.boots) or not same_vote or machine.unsure or machine.replaced is not None:
            return False
        if not last or process.node.current_term != now.current_term:
            return False
        term = machine.log[last - 1].term
        return all(other.machine.has_on_disk(last, term) for other in self._others(process))
