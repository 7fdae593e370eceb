"""Random lives of small clusters, every step held against the invariants; a failure prints its seed.

    python -m tests.raft.core.test_random FIRST_SEED COUNT

Here messages are lost, doubled, delayed and reordered at will, links are cut one way, disks lag, processes die with or
without what they were writing, clocks drift apart, logs are compacted, members come and go; then everything heals, and
the cluster has to serve.  The driver, and time as it really passes, belong to the full simulator.
"""

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from raft.core.configuration import AddMember, RemoveMember
from raft.core.node import Node, Ready, Role, Settings
from raft.core.raft_messages import AppendEntries, InstallSnapshot, Message
from raft.errors import ChangeRefused, NotLeader
from tests.raft.machines import Machine, Machines

STEPS = 2_000
NETWORK_MAX = 60  # more messages than that in flight: the oldest are lost
OLD_MAX = 30  # messages that may come again much later
MEMBERS_MAX = 6
HEALED_ROUNDS = 600  # of 20 ms each: twelve seconds for an election, catching up and all that is under way


class Life:
    """One seed's cluster, and what may happen to it."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        settings = Settings(append_bytes_max=self.rng.choice([200, 1 << 20]))
        self.cluster = Machines(self.rng.choice([1, 2, 3, 3, 3, 4, 5]), lambda id: Random(self.rng.random()), settings)
        self.tokens = itertools.count(1)
        self.confirmed: set[int] = set()
        self.inputs = 0
        self._clocks: dict[int, float] = {}  # how fast they run, if not as they should
        self._old: list[Message] = []
        self.cluster.on_ready = self._ready
        weights = {
            self._deliver_next: 500, self._deliver_any: 150, self._lose: self.rng.choice([0, 2, 20]),
            self._remember: 20, self._repeat: 20, self._tick: 200, self._change_clock: 10, self._propose: 30,
            self._read: 30, self._ask_for_read: 15, self._reach_leader: 15, self._slow: 5, self._persist: 150,
            self._cut: 2, self.cluster.cut.clear: 6,
            self._isolate_leader: self.rng.choice([0, 5]), self._crash: self.rng.choice([0, 2, 6]),
            self._compact: self.rng.choice([0, 2, 10]), self._restart: 10, self._add: 3, self._remove: 2,
            self._transfer: self.rng.choice([0, 3]), self._say_gone: self.rng.choice([0, 3, 30]),
        }  # fmt: skip
        self._choices: list[Callable[[], None]] = list(weights)
        self._weights = list(itertools.accumulate(weights.values()))

    def run(self) -> None:
        for act in self.rng.choices(self._choices, cum_weights=self._weights, k=STEPS):
            act()
        self._must_serve_again()

    def _ready(self, machine: Machine, ready: Ready) -> None:
        self.inputs += 1
        self.confirmed.update(token for token, _ in ready.reads)
        network = self.cluster.network
        del network[: max(0, len(network) - NETWORK_MAX)]

    # Network

    def _deliver_next(self) -> None:
        if self.cluster.network:
            self.cluster.deliver(self.cluster.network.pop(0))

    def _deliver_any(self) -> None:
        if self.cluster.network:
            self.cluster.deliver(self.cluster.network.pop(self.rng.randrange(len(self.cluster.network))))

    def _lose(self) -> None:
        """As HTTP loses things: the sender of an append may learn of it."""
        if not self.cluster.network:
            return
        message = self.cluster.network.pop(self.rng.randrange(len(self.cluster.network)))
        noticed = isinstance(message, AppendEntries | InstallSnapshot) and self.rng.random() < 0.8
        if noticed and self.cluster.machines[message.source].node:
            self.cluster.act(message.source, lambda node: node.unreachable(message.target))

    def _remember(self) -> None:
        if self.cluster.network:
            message = self.rng.choice(self.cluster.network)
            self._old = [message, *self._old[: OLD_MAX - 1]]

    def _repeat(self) -> None:
        """A copy arrives: of a message still under way, or of one from a term, or a life, long past."""
        if self._old:
            self.cluster.network.insert(0, self.rng.choice(self._old))

    def _cut(self) -> None:
        ids = list(self.cluster.machines)
        if self.rng.random() < 0.5:
            self.cluster.cut.add((self.rng.choice(ids), self.rng.choice(ids)))
        else:
            side = {id for id in ids if self.rng.random() < 0.5}
            self.cluster.cut.update((a, b) for a in ids for b in ids if (a in side) != (b in side))

    def _isolate_leader(self) -> None:
        if leader := self._some_leader():
            self.cluster.cut.update(link for id in self.cluster.machines for link in ((leader.id, id), (id, leader.id)))

    # Time, disks, processes

    def _one(self) -> Machine | None:
        up = self.cluster.up
        return self.rng.choice(up) if up else None

    def _tick(self) -> None:
        """Time passes for all, by each one's own clock."""
        ms = self.rng.uniform(0, 60)
        for machine in self.cluster.up:
            self.cluster.tick(machine.id, ms * self._clocks.get(machine.id, 1))

    def _say_gone(self) -> None:
        """A member takes its leader's process for ended, whether it has or not."""
        if machine := self._one():
            self.cluster.act(machine.id, lambda node: node.leader_gone(node.leader_id, node.current_term))

    def _change_clock(self) -> None:
        """A clock stands still or runs ahead, so that a leader outlives its term, or a member loses its patience."""
        self._clocks[self.rng.choice(list(self.cluster.machines))] = self.rng.choice([0, 0.3, 1, 1, 2])

    def _slow(self) -> None:
        if machine := self._one():
            machine.slow = self.rng.random() < 0.3

    def _persist(self) -> None:
        if (machine := self._one()) and machine.unsynced:
            self.cluster.persist(machine.id, self.rng.randint(1, len(machine.unsynced)))

    def _crash(self) -> None:
        if machine := self._one():
            self.cluster.crash(machine.id, synced=self.rng.randint(0, len(machine.unsynced)))

    def _compact(self) -> None:
        machine = self._one()
        if machine is None:
            return
        node = machine.running
        applied = min(node.commit_index, node.durable_index)
        if applied > node.log.base_index:
            self.cluster.compact(machine.id, self.rng.randint(node.log.base_index + 1, applied))

    def _restart(self) -> None:
        for machine in self.cluster.machines.values():
            if machine.node is None and self.rng.random() < 0.5:
                self.cluster.restart(machine.id)

    # What is asked

    def _ask(self, machine: Machine | None, give: Callable[[Node], object]) -> None:
        if machine is None:
            return
        with suppress(NotLeader, ChangeRefused):
            self.cluster.act(machine.id, give)

    def _some_leader(self) -> Machine | None:
        """Any that believes it leads, deposed ones too."""
        leaders = [machine for machine in self.cluster.up if machine.running.role is Role.LEADER]
        return self.rng.choice(leaders) if leaders else None

    def _propose(self) -> None:
        if machine := self._some_leader():
            texts = [f"{machine.id}" * n for n in range(1, self.rng.randint(2, 5))]
            with suppress(NotLeader):  # it hands leadership over
                self.cluster.propose(machine.id, *texts, client_of=self.rng.choice(list(self.cluster.machines)))

    def _read(self) -> None:
        if machine := self._some_leader():
            self.cluster.read(machine.id, next(self.tokens))

    def _ask_for_read(self) -> None:
        """A read comes to any member; its question to a leader is on its way for as long as it takes."""
        if machine := self._one():
            self.cluster.ask(machine.id, next(self.tokens))

    def _reach_leader(self) -> None:
        leader = self._some_leader()
        if leader and self.cluster.asked:
            self.cluster.reach(leader.id, self.rng.choice(list(self.cluster.asked)))

    def _add(self) -> None:
        leader = self._some_leader()
        id = max(self.cluster.machines) + 1
        if leader is None or len(leader.running.configuration.members) >= MEMBERS_MAX:
            return
        self._ask(leader, lambda node: node.change_membership(AddMember(id, f"http://{id}"), 0))
        self.cluster.join(id)

    def _remove(self) -> None:
        leader = self._some_leader()
        if leader is not None and len(leader.running.configuration.voters) > 1:
            id = self.rng.choice(list(leader.running.configuration.members))
            self._ask(leader, lambda node: node.change_membership(RemoveMember(id), 0))

    def _transfer(self) -> None:
        target = self.rng.choice([0, *self.cluster.machines])
        self._ask(self._some_leader(), lambda node: node.transfer_leadership(target))

    # The end

    def _must_serve_again(self) -> None:
        """With everything up and connected: a leader, a new command on every member, a read, no change left over."""
        cluster = self.cluster
        cluster.cut.clear()
        self._restart_all()
        proposed = token = 0
        for _ in range(HEALED_ROUNDS):
            self._quiet_round()
            leader = cluster.leader()
            if leader is None:
                proposed = token = 0
                continue
            if not proposed:
                term, token = leader.running.current_term, next(self.tokens)
                try:
                    proposed = cluster.propose(leader.id, "after all")
                    cluster.read(leader.id, token)
                except NotLeader:
                    continue
            if leader.running.current_term != term:
                proposed = 0
            elif token in self.confirmed and self._all_have(proposed, leader.running):
                return
        raise AssertionError(f"no progress: {[(m.id, m.running.role, m.running.current_term) for m in cluster.up]}")

    def _restart_all(self) -> None:
        for machine in self.cluster.machines.values():
            machine.slow = False
            if machine.node is None:
                self.cluster.restart(machine.id)
            self.cluster.persist(machine.id)

    def _quiet_round(self) -> None:
        for machine in self.cluster.up:
            self.cluster.tick(machine.id, 20)
        for _ in range(200):
            self._deliver_next()

    def _all_have(self, index: int, leader: Node) -> bool:
        members = (self.cluster.machines[id].running for id in leader.configuration.members)
        learners_left = any(m.promote for m in leader.configuration.members.values())
        return not learners_left and all(node.commit_index >= index for node in members)


def live(seed: int) -> int:
    """Run one seed; returns how many inputs the nodes had."""
    life = Life(seed)
    try:
        life.run()
    except Exception as error:
        error.add_note(f"seed {seed}, after {life.inputs} inputs: python -m tests.raft.core.test_random {seed} 1")
        raise
    return life.inputs


@pytest.mark.repeated
@pytest.mark.parametrize("first", range(0, 300, 10))
def test_invariants_hold_whatever_happens_and_the_cluster_serves_again(first: int) -> None:
    for seed in range(first, first + 10):
        live(seed)


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    began_s = time.process_time()
    inputs = sum(live(seed) for seed in range(first, first + count))
    took_s = time.process_time() - began_s
    sys.stdout.write(f"{count} seeds, {inputs} inputs in {took_s:.1f} s: {inputs / took_s:.0f} a second\n")
