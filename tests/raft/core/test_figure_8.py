"""Raft Figure 8 again and again, by chance: leaders die while what they appended is on a few disks, and come back.

tests/scripts/figure_8.txt is the figure itself.  Here nobody plans it: with each way of losing messages the invariants
(tests/raft/invariants.py) hold at every step, and once all are up and connected everybody agrees on a new entry.
"""

from random import Random

import pytest

from raft.core.node import Role, Settings
from raft.core.raft_messages import Message
from raft.errors import NotLeader
from tests.raft.machines import Machine, Machines

MEMBERS = 5
ROUNDS = 200
ROUND_MS = 300  # a leader comes and is gone again, often before it has brought much to anybody
MESSAGES_MAX = 16  # in a fifth of a round
HEALED_ROUNDS = 200
SEEDS = range(6)  # a third of them notice where an entry of an earlier term is committed by counting
NETWORK_MAX = 80
ONE_ENTRY_BYTES = 100  # so that an old entry travels without the newer one behind it


class Storm:
    """Five members, and a network that is as good as `network` says."""

    def __init__(self, network: str, seed: int) -> None:
        self.rng = Random(f"{network} {seed}")
        self.network = network
        self.cluster = Machines(
            MEMBERS, lambda id: Random(self.rng.random()), Settings(append_bytes_max=ONE_ENTRY_BYTES)
        )
        self.leaders_lost = 0

    def run(self) -> None:
        for _ in range(ROUNDS):
            for machine in self.leading():
                self.cluster.propose(machine.id, "x")
            self.pass_time(ROUND_MS, self.rng.randint(0, MESSAGES_MAX))
            self.lose_a_leader()
            while len(self.cluster.up) < MEMBERS // 2 + 1:
                self.bring_one_back()

    def leading(self) -> list[Machine]:
        return [machine for machine in self.cluster.up if machine.running.role is Role.LEADER]

    def pass_time(self, ms: float, messages: int) -> None:
        """So much time, and at most so many messages after each part of it."""
        for _ in range(5):
            for machine in self.cluster.up:
                self.cluster.tick(machine.id, ms / 5)
            for _ in range(min(messages, len(self.cluster.network))):
                self.move(self.taken())
            del self.cluster.network[:-NETWORK_MAX]

    def taken(self) -> Message:
        """The next message; where they overtake each other, any."""
        network = self.cluster.network
        return network.pop(self.rng.randrange(len(network)) if self.network == "reordering" else 0)

    def move(self, message: Message) -> None:
        """It arrives, or gets lost, or arrives twice."""
        if self.network != "reliable" and self.rng.random() < 0.1:
            return
        self.cluster.deliver(message)
        if self.network == "reordering" and self.rng.random() < 0.1:
            self.cluster.network.append(message)

    def lose_a_leader(self) -> None:
        leading = self.leading()
        if leading and self.rng.random() < 0.8:
            self.cluster.crash(self.rng.choice(leading).id)
            self.leaders_lost += 1
        elif self.rng.random() < 0.2:
            self.bring_one_back()

    def bring_one_back(self) -> None:
        down = [machine for machine in self.cluster.machines.values() if machine.node is None]
        if down:
            self.cluster.restart(self.rng.choice(down).id)

    def heal(self) -> None:
        """All are up, nothing is lost any more; everybody commits what is proposed now."""
        self.network = "reliable"
        for _ in range(MEMBERS):
            self.bring_one_back()
        wanted = 0
        for _ in range(HEALED_ROUNDS):
            self.pass_time(ROUND_MS, NETWORK_MAX)
            committed = [machine.running.commit_index for machine in self.cluster.up]
            if wanted and min(committed) >= wanted:
                return
            wanted = wanted or self.proposed()
        raise AssertionError(f"entry {wanted} is committed by {committed} only")

    def proposed(self) -> int:
        leader = self.cluster.leader()
        try:
            return self.cluster.propose(leader.id, "after the storm") if leader else 0
        except NotLeader:
            return 0


@pytest.mark.repeated
@pytest.mark.parametrize("network", ["reliable", "unreliable", "reordering"])
def test_leaders_that_die_with_entries_on_a_few_disks_never_undo_what_is_committed(network: str) -> None:
    leaders_lost = committed = 0
    for seed in SEEDS:
        storm = Storm(network, seed)
        try:
            storm.run()
            storm.heal()
        except Exception as error:
            error.add_note(f"network {network}, seed {seed}")
            raise
        leaders_lost += storm.leaders_lost
        committed += len(storm.cluster.invariants.committed)
    assert leaders_lost > 10 * len(SEEDS)  # or the storm was none
    assert committed > 5 * len(SEEDS)
