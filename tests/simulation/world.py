"""All of it together: `run(seed)` is one life of one cluster, from its founding to the proof that it serves again."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from random import Random
from time import process_time
from unittest import mock

from chat.commands import LEVEL
from chat.state.room import PageRequest
from raft.core.configuration import Member
from raft.core.node import Role
from raft.errors import DiskFailed, DiskFull, StartRefused
from raft.rpc.calls import SnapshotChunk
from raft.storage.identity import Founder, Identity
from tests.simulation.accounts import Revocations
from tests.simulation.clients import Client, History
from tests.simulation.digests import COARSE_SIMULATED_US, FINE_SIMULATED_US, MINORITY_FROM, change_later
from tests.simulation.disk import Died
from tests.simulation.faults import Faults
from tests.simulation.healing import ASKED_SCRUB_BYTES_PER_S, STEP_BYTES, Connection
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.lagging_leaders import READER, LaggingLeaders
from tests.simulation.leaps import Leaps, with_leaps
from tests.simulation.machine import Image, Machine
from tests.simulation.network import Network
from tests.simulation.process import Process, incarnation
from tests.simulation.rolling_back import RollBacks
from tests.simulation.rotting import Rot, with_rot
from tests.simulation.scenario import Scenario, draw
from tests.simulation.schedule import Schedule
from tests.simulation.truth import ANSWER_SIMULATED_S, HOLD_SIMULATED_S, OFF_SIMULATED_S, Truth

HEALED_TIMEOUTS = 60  # so many election timeouts it may take, once all is mended, until everything is served
LOOK_EVERY_MS = 20.0
JOIN_EVERY_MS = 50.0
FORGET_EVERY_S = 0.5
TOLD_MS = 3_000 * HOLD_SIMULATED_S  # after a leap, until it is followed wherever it is to be
GOES_ON_MS = 1_000.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run held."""

    seed: int
    inputs: int  # to Nodes
    events: int
    simulated_ms: float
    counts: Counter[str]
    cpu_s: float  # what it took, of this process's time
    digest: int  # of the trace: the same for the same seed, whatever process it ran in


def run(seed: int, trace: Callable[[str], None] | None = None) -> Report:
    """Live the seed's life.  Raises Violation, with a note that says how to see it again."""
    began_s = process_time()
    scenario = with_rot(seed, with_leaps(seed, draw(seed)))
    with ExitStack() as patches:
        patches.enter_context(mock.patch("raft.core.log.TAIL_ENTRIES_MAX", scenario.tail_entries))
        timeout_s = scenario.proposal_timeout_s
        patches.enter_context(mock.patch("raft.engine.proposals.UNPROPOSED_TIMEOUT_S", timeout_s))
        patches.enter_context(mock.patch("raft.engine.proposals.HANDED_OVER_TIMEOUT_S", timeout_s * 1.2))
        patches.enter_context(mock.patch("chat.state.apply.expiry.CLIENT_IDS_KEPT_S", scenario.client_ids_kept_s))
        patches.enter_context(mock.patch("raft.core.digest_points.FINE_US", FINE_SIMULATED_US))
        patches.enter_context(mock.patch("raft.core.digest_points.COARSE_US", COARSE_SIMULATED_US))
        patches.enter_context(mock.patch("raft.engine.clocks.OFF_S", OFF_SIMULATED_S))
        patches.enter_context(mock.patch("raft.engine.clocks.HOLD_S", HOLD_SIMULATED_S))
        patches.enter_context(mock.patch("raft.engine.clocks.ANSWER_TIMEOUT_S", ANSWER_SIMULATED_S))
        patches.enter_context(mock.patch("chat.services.maintenance.FORGET_EVERY_S", FORGET_EVERY_S))
        patches.enter_context(mock.patch("raft.repair.fetching.PeerConnection", Connection))
        patches.enter_context(mock.patch("raft.repair.scrub.ASKED_BYTES_PER_S", ASKED_SCRUB_BYTES_PER_S))
        # An unreadable page is one of this world's, in every part that reads around it.
        patches.enter_context(mock.patch("raft.storage.salvage._PAGE_BYTES", scenario.page_bytes))
        step_bytes = max(STEP_BYTES, scenario.page_bytes)
        patches.enter_context(mock.patch("raft.storage.salvage.STEP_BYTES", step_bytes))
        patches.enter_context(mock.patch("raft.storage.sealed_files.STEP_BYTES", step_bytes))
        world = World(seed, scenario, trace)
        try:
            world.live()
        except Exception as error:
            error.add_note(f"seed {seed}, at {world.schedule.now_ms:.3f} ms, after {world.inputs} inputs")
            error.add_note(f"see it again: python -m tests.simulator --seed {seed} --trace")
            raise
    schedule = world.schedule
    cpu_s = process_time() - began_s
    return Report(seed, world.inputs, schedule.events, schedule.now_ms, world.counts, cpu_s, schedule.digest)


class World:
    """The machines, who uses them and what happens to them."""

    def __init__(self, seed: int, scenario: Scenario, trace: Callable[[str], None] | None) -> None:
        self.seed = seed
        self.scenario = scenario
        self.rng = Random(seed + 1)
        self.counts: Counter[str] = Counter()
        self.inputs = 0
        self.tracing = trace is not None
        self.schedule = Schedule()
        self.machines: dict[int, Machine] = {}
        self.history = History()
        self.truth = Truth()
        self.revocations = Revocations()
        self.invariants = Invariants(self.machines, self.history, self.counts)
        self.network = Network(self._rng(), self.schedule, scenario, self.counts)
        self.next_id = 1
        self.changed: set[int] = set()  # members whose memory was changed
        self._trace = trace
        self._founders = {
            id: Founder(f"http://{id}", incarnation(id, 16).hex(), f"http://client-{id}", LEVEL)
            for id in range(1, scenario.size + 1)
        }
        self.rot = Rot(self)
        self._faults = Faults(self, self._rng())
        self._roll_backs = RollBacks(self, self._faults)
        self.leaps = Leaps(self)
        self.lagging_leaders = LaggingLeaders(self)
        self._clients = [Client(id, self, self._rng()) for id in range(1, scenario.clients + 1)]

    def _rng(self) -> Random:
        return Random(self.rng.getrandbits(64))

    @property
    def members(self) -> list[int]:
        """The ids of all machines there ever were."""
        return list(self.machines)

    def trace(self, line: str) -> None:
        """A step, where somebody watches."""
        if self._trace is not None:
            self._trace(f"{self.schedule.now_ms:12.3f}  {line}")

    # A life

    def live(self) -> None:
        """As `run` has it."""
        self.truth.everybody_lies = self.scenario.clocks == "wild"
        if self.scenario.clocks == "few":
            self.truth.liars.update(self.rng.sample(list(self._founders), (self.scenario.size - 1) // 2))
        for id in self._founders:
            self._install(id)
        self._faults.start()
        if self.scenario.records_starts:
            self._roll_backs.start()
        self.leaps.start()
        self.rot.start()
        change_later(self)
        for client in self._clients:
            client.start()
        self.schedule.run(self.scenario.active_ms)
        self._faults.stop()
        self._roll_backs.stop()
        self.rot.stop()
        self.trace("everything is mended")
        self._must_serve()
        self.rot.must_be_mended()
        self._must_agree()
        if self.scenario.leap_us:
            self._must_tell_time()

    def _must_serve(self) -> None:
        """Progress, within a bounded time after everything was mended."""
        deadline_ms = self.schedule.now_ms + HEALED_TIMEOUTS * self.scenario.settings.election_timeout_ms
        while not self._all_served():
            if self.schedule.now_ms >= deadline_ms:
                raise Violation("progress", f"nobody serves after all was mended: {self._standing()}")
            self.schedule.run(self.schedule.now_ms + LOOK_EVERY_MS)

    def _all_served(self) -> bool:
        if not all(client.done for client in self._clients):
            return False
        processes = self.network.running
        leaders = [process for process in processes.values() if process.node.role is Role.LEADER]
        if not leaders:
            return False
        node = max((process.node for process in leaders), key=lambda node: node.current_term)
        members = node.configuration.members
        return (
            node.commit_index == node.log.last_index
            and not any(member.promote for member in members.values())
            and all(id in processes and processes[id].last_applied == node.commit_index for id in members)
            # Of two voters nobody knows which one is right.
            and (
                len(node.configuration.voters) < MINORITY_FROM
                or all(processes[id].digests.serves and not processes[id].digests.is_changed for id in members)
            )
            and not any(self._lingers(id, members) for id in node.configuration.removed)
        )

    def _lingers(self, removed: int, members: Mapping[int, Member]) -> bool:
        """Whether it runs on, though it knows somebody who is still there to ask."""
        process = self.network.running.get(removed)
        return process is not None and any(id in members for id in process.node.configuration.members)

    def _must_agree(self) -> None:
        """Whoever has applied all has one state, and shows all that was ever posted and not deleted."""
        applied = max(process.last_applied for process in self.network.running.values())
        for process in self.network.running.values():
            if process.last_applied < applied or process.digests.is_changed:
                continue  # it is no member any more, or not yet
            self.invariants.state(process.machine, applied, process.digest())
            for room in self.history.rooms:
                page = process.state.page(room, PageRequest(limit=1_000_000), READER)
                self.history.read_done(
                    page, room, process.shown(page), self.history.seen(room), self.history.revisions.acknowledged(room)
                )

    def _must_tell_time(self) -> None:
        """A leap is followed in the end, or the log's time goes on without it."""
        self.schedule.run(max(self.schedule.now_ms, self.truth.leapt_ms + TOLD_MS))
        before = {process: process.clocks.stamp() for process in self.network.running.values()}
        self.schedule.run(self.schedule.now_ms + GOES_ON_MS)
        for process, stamp in before.items():
            if process.alive and process.id in process.node.configuration.members:
                self.truth.goes_on(process, stamp, GOES_ON_MS)

    def _standing(self) -> str:
        described = (
            f"{p.id} {p.node.role.value} in {p.node.current_term}, applied {p.last_applied} of {p.node.commit_index} "
            f"of {p.node.log.last_index}, members {list(p.node.configuration.members)}"
            for p in self.network.running.values()
        )
        clients = [client.id for client in self._clients if not client.done]
        return f"{'; '.join(described)}; clients that wait: {clients}"

    # Machines and processes

    def _install(self, id: int) -> None:
        self.next_id = max(self.next_id, id + 1)
        machine = self.machines[id] = Machine(id, self._rng(), self.scenario.page_bytes, self.counts)
        if self.scenario.records_starts:
            machine.boots_rng = Random(f"{self.seed} boots of {id}")
        if id in self.truth.liars:
            machine.wall_skew_us = machine.rng.choice([-1, 1]) * machine.rng.choice([5, 3_600]) * 1_000_000
        self.leaps.installed(machine)
        self.restart(self.machines[id])

    def join(self, id: int) -> None:
        """A machine for a member that is being added; it starts once a member of the cluster knows of it."""
        self.next_id = max(self.next_id, id + 1)
        configurations = [process.node.committed_configuration for process in self.network.running.values()]
        known = any(c.cluster_id and id in c.members for c in configurations)
        if known and id not in self.machines:
            self._install(id)
        elif not known:
            self.schedule.after(JOIN_EVERY_MS, self.join, id)

    def formed(self, identity: Identity) -> Identity:
        """What `raft/cluster/bootstrap.py` makes of a new member: a founder, or one that joins."""
        if identity.id in self._founders:
            return replace(identity, founders=self._founders)
        configurations = [process.node.committed_configuration for process in self.network.running.values()]
        cluster_id = next((c.cluster_id for c in configurations if c.cluster_id), "")
        return replace(identity, cluster_id=cluster_id, joining=True)

    def restart(self, machine: Machine) -> None:
        """Start a process where none is."""
        if machine.process is not None or machine.wiped:
            return
        machine.disk.failed = machine.disk.dead = False
        if machine.disk.room >= 0:
            machine.disk.give_up_reserve()  # as `Reserve.prepare_start` does
        try:
            process = Process(machine, self)
        except (DiskFailed, DiskFull, StartRefused) as error:
            if machine.older is not None and "is an older copy" in str(error):
                machine.wiped = True
                return
            if not self.rot.start_refused(machine, error):
                self._require_a_reason(machine, error)
            self.schedule.after(50, self.restart, machine)
            return
        except Violation:
            raise
        except Exception as error:
            raise Violation("believable", f"member {machine.id} does not start: {error!r}") from error
        except Died:
            self.counts["crashes"] += 1
            machine.disk.lose_power()
            self.schedule.after(50, self.restart, machine)
            return
        self.trace(f"{machine.id} starts")
        self.truth.started(self)
        machine.process = self.network.running[machine.id] = process
        process.start()

    def crash(self, process: Process, *, power: bool, down_ms: float) -> None:
        """It ends without a word, and comes back after `down_ms`."""
        self.trace(f"{process.id} crashes{', and its power is cut' if power else ''}")
        self.counts["crashes"] += 1
        self.counts["power cuts"] += power
        process.kill()
        self._down(process, power)
        self.schedule.after(down_ms, self.restart, process.machine)

    def died(self, process: Process) -> None:
        """It ended within a disk operation."""
        self.counts["crashes"] += 1
        self.counts["writes cut short"] += 1
        self.trace(f"{process.id} dies within a disk operation")
        process.die()
        self._down(process, power=self.rng.random() < 0.7)
        self.schedule.after(self.rng.random() * 300, self.restart, process.machine)

    def broken(self, process: Process, error: Exception) -> None:
        """The engine ended its process."""
        self._require_a_reason(process.machine, error)
        self.trace(f"{process.id} ends: {error}")
        process.die()
        self._down(process, power=self.rng.random() < 0.3)
        self.schedule.after(self.rng.random() * 300, self.restart, process.machine)

    def removed(self, process: Process) -> None:
        """It has learned that it is no member any more, and ends for good."""
        self.trace(f"{process.id} was removed")
        self.counts["members removed"] += 1
        process.machine.removed = True
        process.kill()
        self._down(process, power=False)

    def ended_as_older(self, process: Process, why: str) -> None:
        """It runs on an older copy, and ends for good."""
        self.trace(f"{process.id} ends as an older copy: {why}")
        self.counts["older copies ended"] += 1
        process.kill()
        self._down(process, power=False)

    def roll_back(self, process: Process, image: Image, down_ms: float) -> None:
        """Its machine goes down, and comes back with the disk of an earlier moment."""
        self.trace(f"{process.id} is rolled back")
        self.counts["disks rolled back"] += 1
        process.kill()
        self._down(process, power=True)
        process.machine.roll_back(image)
        self.schedule.after(down_ms, self.restart, process.machine)

    def shun(self, id: int, length_ms: float) -> None:
        """For a while the clients leave this member alone, if there is another one."""
        if len(self.machines) > 1:
            self.network.shunned.add(id)
            self.schedule.after(length_ms, self.network.shunned.discard, id)
            for client in self._clients:
                client.leave(id)

    def _down(self, process: Process, power: bool) -> None:
        machine = process.machine
        self.network.running.pop(machine.id, None)
        machine.process = None
        if power:
            torn = machine.disk.torn
            machine.disk.lose_power()
            self.counts["torn writes"] += machine.disk.torn - torn

    def _require_a_reason(self, machine: Machine, error: Exception) -> None:
        """A disk that refused; nothing else ends a process or keeps it from starting."""
        if not machine.disk.failed and machine.disk.room < 0:
            raise Violation("nothing durable is lost", f"member {machine.id} ends: {error}")
        self.counts["disk errors"] += 1

    def damaged(self, chunk: SnapshotChunk) -> SnapshotChunk:
        """As it arrives: now and then a bit of it has flipped on the way."""
        if not chunk.lines or self.network.healed or self.rng.random() >= self.scenario.damage:
            return chunk
        lines = bytearray(chunk.lines)
        lines[self.rng.randrange(len(lines))] ^= 1 << self.rng.randrange(8)
        self.counts["chunks damaged"] += 1
        return replace(chunk, lines=bytes(lines))

    # How long things take

    def sync_ms(self, machine: Machine) -> float:
        """This write of this machine."""
        if machine.sync_ms >= 0:
            return machine.sync_ms
        mean_ms = self.scenario.sync_ms
        return mean_ms * self.rng.expovariate(1.0) if mean_ms else 0.0

    def apply_ms(self) -> float:
        """Until the applying thread runs."""
        mean_ms = self.scenario.apply_ms
        return mean_ms * self.rng.expovariate(1.0) if mean_ms else 0.0
