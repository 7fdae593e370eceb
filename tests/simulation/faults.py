"""What goes wrong, and for how long.  A fault is a method that `scenario.FAULTS` names; all of them mend in the end."""

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING

from raft.core.configuration import AddMember, RemoveMember
from raft.core.node import Role
from raft.engine.clocks import stamp
from tests.simulation.outliving import Outliving

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process
    from tests.simulation.world import World

Link = tuple[int, int]
WAIT_MS = 20.0  # until a fault is tried again that would end another one too soon
FULL_DISKS = 0.25  # of all seeds
MEMBERS_MAX = 7  # more would only be slower


class Faults:
    """Strikes at random moments until `stop`."""

    def __init__(self, world: "World", rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._names = [name for name, _ in world.scenario.faults]
        self._weights = [weight for _, weight in world.scenario.faults]
        self._stopped = False
        self._full_disks = Random(f"full disks of seed {world.seed}")  # its own: other seeds stay as they were
        self._has_full_disks = self._full_disks.random() < FULL_DISKS
        self._outliving = Outliving(world, self)
        self._replaced = 0  # the member whose disk is gone, until it is out of the configuration

    def start(self) -> None:
        """The first fault comes soon."""
        self._strike_later()
        self._outliving.start()
        if self._has_full_disks:
            self._fill_later()

    def _strike_later(self) -> None:
        self._world.schedule.after(self._rng.expovariate(1.0) * self._world.scenario.fault_every_ms, self._strike)

    def _fill_later(self) -> None:
        self._world.schedule.after(self._full_disks.uniform(100, 2_000), self._fill)

    def _fill(self) -> None:
        """Some disks, or all of them, are about to be full, and for a while."""
        if self._stopped:
            return
        machines = list(self._world.machines.values())
        length_ms = self._full_disks.uniform(0.5, 8) * self._world.scenario.settings.election_timeout_ms
        for machine in self._full_disks.sample(machines, self._full_disks.randint(1, len(machines))):
            if machine.disk.room < 0:
                machine.disk.room = self._full_disks.choice([0, 100, 1_000, 5_000])
                self._world.counts["disks filled"] += 1
                self._world.schedule.after(length_ms * self._full_disks.uniform(0.5, 1.5), self._make_room, machine)
        self._fill_later()

    @staticmethod
    def _make_room(machine: "Machine") -> None:
        was_full = machine.disk.is_full
        machine.disk.make_room()
        process = machine.process
        if was_full and process is not None:
            process.schedule(0, process.report_room)

    def _strike(self) -> None:
        if self._stopped:
            return
        if self._outliving.is_under_way():
            self._world.schedule.after(WAIT_MS, self._strike)
            return
        name = self._rng.choices(self._names, self._weights)[0]
        act: Callable[[], None] = getattr(self, name)
        act()
        self._strike_later()

    def stop(self) -> None:
        """Mend everything that does not mend by itself."""
        world = self._world
        self._stopped = True
        world.network.healed = True
        world.network.cut.clear()
        world.network.shunned.clear()
        for machine in world.machines.values():
            machine.disk.fuse = machine.disk.fail_in = -1
            self._make_room(machine)
            machine.sync_ms = -1
            machine.set_rate(1.0, world.schedule.now_ms)
            if machine.process is not None and machine.process.held is not None:
                machine.process.resume()
            if not machine.removed:
                world.restart(machine)

    def _one(self) -> "Process | None":
        running = list(self._world.network.running.values())
        return self._rng.choice(running) if running else None

    def _victim(self) -> "Process | None":
        """Any, but leaders more often than others: where they go there is an election."""
        return (self._rng.random() < 0.5 and self._leader()) or self._one()

    def _for_a_while_ms(self) -> float:
        """Shorter or longer than an election timeout."""
        return self._rng.choice([0.3, 1, 3, 6]) * self._world.scenario.settings.election_timeout_ms * self._rng.random()

    # Processes and machines

    def kill(self) -> None:
        """kill -9 of one."""
        self._crash([self._victim()], power=False)

    def power_cut(self) -> None:
        """One machine loses power."""
        self._crash([self._victim()], power=True)

    def crash_majority(self) -> None:
        """More than half of all at once."""
        running = list(self._world.network.running.values())
        self._crash(self._rng.sample(running, len(running) // 2 + 1 if running else 0), power=self._rng.random() < 0.7)

    def crash_all(self) -> None:
        """The power of the whole room."""
        self._crash(list(self._world.network.running.values()), power=self._rng.random() < 0.8)

    def _crash(self, processes: Iterable["Process | None"], *, power: bool) -> None:
        for process in processes:
            if process is not None:
                self._world.crash(process, power=power, down_ms=self._for_a_while_ms())

    def die_writing(self) -> None:
        """One dies in the middle of a disk operation soon."""
        if process := self._victim():
            process.machine.disk.fuse = self._rng.randint(0, 20)

    def pause(self) -> None:
        """SIGSTOP, and SIGCONT some time later."""
        process = self._victim()
        if process is not None and process.held is None:
            self.pause_for(process, self._for_a_while_ms())

    def pause_for(self, process: "Process", length_ms: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        process.pause()
        self._world.schedule.after(length_ms, self._resume, process)

    def _resume(self, process: "Process") -> None:
        if process.alive and process.held is not None:
            process.resume()

    def slow_disk(self) -> None:
        """Each sync takes long, or so long that it looks as if it never ended."""
        if process := self._victim():
            machine = process.machine
            machine.sync_ms = self._rng.choice([0.1, 1, 5]) * self._world.scenario.settings.election_timeout_ms
            self._world.schedule.after(2 * self._for_a_while_ms(), setattr, machine, "sync_ms", -1)

    def disk_error(self) -> None:
        """EIO or ENOSPC at one of the next operations."""
        if process := self._one():
            process.machine.disk.fail_in = self._rng.randint(0, 12)

    def clock(self) -> None:
        """A clock runs too fast or too slow for a while, or its date jumps."""
        machine = self._world.machines[self._rng.choice(list(self._world.machines))]
        truth = self._world.truth
        if self._rng.random() < 0.4 and (truth.everybody_lies or machine.id in truth.liars):
            machine.wall_skew_us += self._rng.randint(-100_000_000, 100_000_000)
            return
        fast = [1.5, 3] if truth.everybody_lies else []  # the log's time never goes back from where that led it
        machine.set_rate(self._rng.choice([0.1, 0.5, *fast]), self._world.schedule.now_ms)
        self._world.schedule.after(
            2 * self._for_a_while_ms(), lambda: machine.set_rate(1.0, self._world.schedule.now_ms)
        )

    def compact(self) -> None:
        """A log is compacted, whatever the others hold; now and then one compaction follows the other."""
        if process := self._victim():
            process.housekeeping.compact()
            if self._rng.random() < 0.3:
                self._world.schedule.after_for(process, self._for_a_while_ms(), process.housekeeping.compact)

    def checkpoint(self) -> None:
        """A state is written down."""
        if process := self._one():
            process.housekeeping.checkpoint()

    def oversleep(self) -> None:
        """A follower is away while all the others compact their logs: it needs a snapshot."""
        running = list(self._world.network.running.values())
        sleepers = [process for process in running if process.node.role is not Role.LEADER]
        if not sleepers:
            return
        sleeper = self._rng.choice(sleepers)
        away_ms = self._rng.uniform(2, 5) * self._world.scenario.settings.election_timeout_ms
        self._world.crash(sleeper, power=self._rng.random() < 0.5, down_ms=away_ms)
        for process in running:
            if process is not sleeper:
                self._world.schedule.after_for(
                    process, away_ms * 0.8 * self._rng.random(), process.housekeeping.compact
                )

    # The network

    def cut_link(self) -> None:
        """Some one-way links carry nothing."""
        ids = self._world.members
        self.cut([(self._rng.choice(ids), self._rng.choice(ids)) for _ in range(self._rng.randint(1, 3))])

    def partition(self) -> None:
        """Two sides that do not hear each other, or one that does not hear the other."""
        ids, one_way = self._world.members, self._rng.random() < 0.3
        side = {id for id in ids if self._rng.random() < 0.5}
        self.cut([(a, b) for a in ids for b in ids if (a in side and b not in side)])
        if not one_way:
            self.cut([(b, a) for a in ids for b in ids if (a in side and b not in side)])

    def isolate_leader(self) -> None:
        """Only the leader is cut off: fully, or only from what it hears, or only from who hears it."""
        if leader := self._leader():
            others = [id for id in self._world.members if id != leader.id]
            ways = self._rng.choice(["both", "out", "in"])
            out = [(leader.id, id) for id in others] if ways != "in" else []
            self.cut(out + [(id, leader.id) for id in others] if ways != "out" else out)

    def outlive(self) -> None:
        """A leader goes on believing that it leads while another one does."""
        if leader := self._leader():
            self._outliving.begin(leader)

    def ring(self) -> None:
        """Each hears its two neighbours only."""
        ids = self._world.members
        size = len(ids)
        near = {(ids[n], ids[(n + 1) % size]) for n in range(size)}
        self.cut([(a, b) for a in ids for b in ids if a != b and (a, b) not in near and (b, a) not in near])

    def flap(self) -> None:
        """A link comes and goes."""
        link = (self._rng.choice(self._world.members), self._rng.choice(self._world.members))
        for n in range(self._rng.randint(2, 6)):
            self._world.schedule.after(n * self._for_a_while_ms() / 3, self.cut, [link])

    def cut(self, links: list[Link], length_ms: float = 0) -> None:
        """Cut these links for a while."""
        if self._stopped:
            return
        self._world.network.cut.update(links)
        self._world.counts["links cut"] += len(links)
        self._world.schedule.after(length_ms or self._for_a_while_ms(), self._mend, links)

    def _mend(self, links: list[Link]) -> None:
        if not self._stopped:
            self._world.network.cut.subtract(links)

    # Membership

    def _leader(self) -> "Process | None":
        """One that believes it leads, deposed ones too."""
        leaders = [p for p in self._world.network.running.values() if p.node.role is Role.LEADER and p.held is None]
        return self._rng.choice(leaders) if leaders else None

    def transfer(self) -> None:
        """Leadership is handed over, maybe to one that cannot take it."""
        if leader := self._leader():
            target = self._rng.choice([0, *self._world.members])
            self._world.counts["transfers"] += leader.ask_leader(leader.node.transfer_leadership, target)

    def add(self) -> None:
        """A new member, which is to vote unless it is a learner for good."""
        leader = self._leader()
        if leader is None or len(leader.node.configuration.members) >= MEMBERS_MAX:
            return
        self._add(leader, voting=self._rng.random() < 0.8)

    def _add(self, leader: "Process", *, voting: bool) -> None:
        world = self._world
        id = world.next_id
        change = AddMember(id, f"http://{id}", voting)
        if leader.ask_leader(leader.node.change_membership, change, stamp(leader.clocks, leader.node)):
            world.join(id)

    def remove(self) -> None:
        """Some member goes, maybe the leader."""
        leader = self._leader()
        if leader is None or self._replaced or len(leader.node.configuration.voters) < 2:
            return
        if self._world.rot.is_damaged:
            return  # it may have what another one lacks
        id = self._rng.choice(sorted(leader.node.configuration.members))
        leader.ask_leader(leader.node.change_membership, RemoveMember(id), stamp(leader.clocks, leader.node))

    def replace(self) -> None:
        """A new member comes, and once it votes an old one goes."""
        self.add()
        self._world.schedule.after(self._world.scenario.settings.election_timeout_ms * 2, self._remove_later)

    def _remove_later(self) -> None:
        if not self._stopped:
            self.remove()

    def revive(self) -> None:
        """Somebody starts a removed member again: it must neither disturb nor linger."""
        gone = [machine for machine in self._world.machines.values() if machine.removed and machine.process is None]
        if gone:
            self._world.restart(self._rng.choice(gone))

    def wipe(self) -> None:
        """A machine is lost for good, and replaced under another id.

        Only where no change is under way anywhere: a majority that is asked for must be there in the end.
        """
        world = self._world
        machines = [machine for machine in world.machines.values() if not machine.removed]
        leader = self._leader()
        if leader is None or self._replaced or any(machine.process is None for machine in machines):
            return
        if world.rot.is_damaged:
            return
        nodes = [machine.running.node for machine in machines]
        if any(node.configuration_index > node.commit_index for node in nodes):
            return
        if len({node.configuration_index for node in nodes}) > 1 or len(leader.node.configuration.voters) < 3:
            return
        victim = self._rng.choice([world.machines[id] for id in leader.node.configuration.voters])
        victim.wiped = True
        world.counts["disks lost"] += 1
        self._replaced = victim.id
        world.crash(victim.running, power=False, down_ms=0)
        self.tend()

    @property
    def is_replacing(self) -> bool:
        """Whether a disk is lost, or as good as lost, and its member not replaced yet."""
        return bool(self._replaced)

    def replace_later(self, id: int, after_ms: float) -> None:
        """The operator replaces this member after a while; until then no other disk is lost."""
        self._replaced = id
        self._world.schedule.after(after_ms, self.tend)

    def tend(self) -> None:
        """The operator's part: have the lost member removed, and another one in its place."""
        leader = self._leader()
        if leader is not None and leader.node.has_committed_in_term:
            configuration = leader.node.committed_configuration
            if self._replaced not in configuration.members:
                self._add(leader, voting=True)
                self._replaced = 0
            else:
                leader.ask_leader(
                    leader.node.change_membership, RemoveMember(self._replaced), stamp(leader.clocks, leader.node)
                )
        if self._replaced:
            self._world.schedule.after(100, self.tend)
