"""When a member is ready to serve clients: leader, log and disk, each a check of its own."""

import random
from pathlib import Path

import pytest

from raft.cluster.readiness import LAG_MAX, Readiness
from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node
from raft.core.raft_messages import AppendEntries, HardState
from raft.engine.damage import Damage
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import NodeLock
from raft.errors import CorruptLog
from tests.raft.members import DEADLINE_S, founded
from tests.support.waiting import wait_until

TIMEOUT_S = 0.3


class Follower:
    """A follower whose clock, contact and progress a test sets."""

    def __init__(self) -> None:
        members = {id: Member(id, f"http://{id}", True) for id in (1, 2, 3)}
        self.node = Node(
            1, log=Log(), hard_state=HardState(), configurations=[(0, Configuration(members))], rng=random.Random(1)
        )
        self.now_s = 1_000.0
        self.applied = 0
        self.is_full = False
        self.write_age_s = 0.0
        self.damage = Damage()
        self.contact = LeaderContact(lambda: self.now_s)
        node_lock = NodeLock(self.node, lambda before, after: None, lambda error: None)
        self.readiness = Readiness(
            node_lock, self.contact, self.damage, applied=lambda: self.applied, is_full=lambda: self.is_full,
            write_age_s=lambda: self.write_age_s, election_timeout_s=TIMEOUT_S, clock=lambda: self.now_s,
        )  # fmt: skip

    def hear(self, committed: int = 0) -> None:
        """A heartbeat of member 2, which leads and has committed so much."""
        self.contact.ticked()
        self.node.step(AppendEntries(2, 1, 1, 0, 0, (), committed, 0, heartbeat=True))
        self.node.ready()
        self.contact.leader_spoke()

    def failing(self) -> set[str]:
        return {name for name, why in self.readiness.checks() if why}


@pytest.fixture
def follower() -> Follower:
    made = Follower()
    made.hear()
    return made


def test_a_follower_that_hears_its_leader_is_ready(follower: Follower) -> None:
    assert follower.readiness.checks() == [("leader", ""), ("caught-up", ""), ("log", ""), ("disk", ""), ("state", "")]


def test_a_member_that_knows_no_leader_is_not_ready() -> None:
    assert dict(Follower().readiness.checks())["leader"] == "no leader is known"


def test_a_leader_that_is_not_heard_for_an_election_timeout_is_lost(follower: Follower) -> None:
    follower.now_s += TIMEOUT_S
    assert follower.failing() == set()
    follower.now_s += 0.001
    assert follower.failing() == {"leader"}
    follower.hear()
    assert follower.failing() == set()


def test_a_member_that_lacks_much_is_not_caught_up(follower: Follower) -> None:
    follower.hear(committed=LAG_MAX)
    assert follower.failing() == set()
    follower.hear(committed=LAG_MAX + 1)
    assert follower.failing() == {"caught-up"}
    follower.applied = 1
    assert follower.failing() == set()


def test_a_member_that_stands_still_is_not_caught_up_whatever_little_it_lacks(follower: Follower) -> None:
    follower.hear(committed=1)
    assert follower.failing() == set()
    for _ in range(10):
        follower.now_s += TIMEOUT_S / 9
        follower.hear(committed=1)
        last = follower.failing()
    assert last == {"caught-up"}
    follower.applied = 1
    assert follower.failing() == set()


def test_a_member_that_keeps_up_with_a_busy_leader_is_caught_up(follower: Follower) -> None:
    for committed in range(100, 5_000, 100):
        follower.applied = committed - 100
        follower.now_s += TIMEOUT_S / 2
        follower.hear(committed)
        assert follower.failing() == set()


def test_a_damaged_file_is_told_without_its_name(follower: Follower) -> None:
    follower.damage.note(CorruptLog("/secret/log-1", 7, "damaged", "act"))
    assert dict(follower.readiness.checks())["log"] == "a file of this node is damaged"


def test_a_full_disk_fails_the_check_until_there_is_room(follower: Follower) -> None:
    follower.is_full = True
    assert follower.failing() == {"disk"}
    follower.is_full = False
    assert follower.failing() == set()


def test_a_write_that_does_not_end_fails_the_check_of_the_disk(follower: Follower) -> None:
    follower.write_age_s = TIMEOUT_S
    assert follower.failing() == set()
    follower.write_age_s += 0.01
    assert follower.failing() == {"disk"}
    follower.write_age_s = 0.0
    assert follower.failing() == set()


def test_the_members_that_a_dead_leader_leaves_are_ready_again_once_one_of_them_leads(tmp_path: Path) -> None:
    with founded(tmp_path) as cluster:
        cluster.leader().stop()
        members = [host.member for host in cluster.running()]
        wait_until(lambda: not any(why for each in members for _, why in each.readiness()), DEADLINE_S, "ready")
