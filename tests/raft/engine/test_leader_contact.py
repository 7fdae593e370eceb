"""How long ago a leader was in contact: what stands still or lay in a socket counts for nothing."""

import math
import random
import threading

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node, Settings
from raft.core.raft_messages import HardState
from raft.engine.leader_contact import GAP_S, LeaderContact
from tests.raft.members import DEADLINE_S, founded
from tests.support.waiting import wait_until


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.contact = LeaderContact(lambda: self.now_s)

    def passes(self, seconds: float) -> None:
        """With a tick every tenth of a second."""
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.contact.ticked()

    def stands_still(self, seconds: float) -> None:
        """The process is stopped."""
        self.now_s += seconds


def node_of(*voters: int, learner: int = 0) -> Node:
    members = {id: Member(id, f"http://{id}", True) for id in voters}
    if learner:
        members[learner] = Member(learner, f"http://{learner}", False)
    return Node(
        1, log=Log(), hard_state=HardState(), configurations=[(0, Configuration(members))], rng=random.Random(1)
    )


def test_a_member_that_has_heard_nobody_has_never_been_in_contact() -> None:
    assert Clock().contact.age_s(node_of(1, 2, 3)) == math.inf


def test_a_sole_voter_is_always_in_contact() -> None:
    clock = Clock()
    clock.stands_still(3_600)
    assert clock.contact.age_s(node_of(1)) == clock.contact.age_s(node_of(1, learner=2)) == 0


def test_a_follower_was_in_contact_when_its_leader_spoke() -> None:
    clock = Clock()
    clock.contact.leader_spoke()
    clock.passes(30)
    assert clock.contact.age_s(node_of(1, 2, 3)) == pytest.approx(30)


@pytest.mark.parametrize(
    ("voters", "ages_s", "age_s"),
    [
        ((1, 2), [7], 7),
        ((1, 2, 3), [9, 4], 4),
        ((1, 2, 3, 4), [9, 4, 2], 4),
        ((1, 2, 3, 4, 5), [9, 4, 2, 8], 4),
        ((2, 3), [3, 5], 5),
    ],
)
def test_a_leader_was_in_contact_when_a_majority_had_answered(
    voters: tuple[int, ...], ages_s: list[int], age_s: int
) -> None:
    clock = Clock()
    told = sorted(zip(ages_s, [id for id in voters if id != 1], strict=True), reverse=True)
    for (answered_s, member), (next_s, _) in zip(told, [*told[1:], (0, 0)], strict=True):
        clock.contact.answered(member)
        clock.passes(answered_s - next_s)
    assert clock.contact.age_s(node_of(*voters)) == pytest.approx(age_s)


def test_a_leader_that_lost_its_majority_was_in_contact_until_then() -> None:
    clock = Clock()
    clock.contact.leader_spoke()
    clock.passes(100)
    clock.contact.answered(2)
    clock.passes(5)
    assert clock.contact.age_s(node_of(1, 2, 3)) == pytest.approx(5)


def test_time_goes_on_while_the_process_is_stopped() -> None:
    clock = Clock()
    clock.contact.leader_spoke()
    clock.stands_still(600)
    assert clock.contact.age_s(node_of(1, 2, 3)) == 600


def test_what_lay_in_a_socket_while_the_process_was_stopped_counts_for_nothing() -> None:
    clock, node = Clock(), node_of(1, 2, 3)
    clock.contact.leader_spoke()
    clock.stands_still(600)
    clock.contact.leader_spoke()  # before the first tick, or after it
    clock.contact.answered(2)
    clock.contact.ticked()
    clock.contact.leader_spoke()
    clock.contact.answered(2)
    assert clock.contact.age_s(node) == 600
    clock.passes(GAP_S + 0.1)
    clock.contact.leader_spoke()
    assert clock.contact.age_s(node) == 0


def test_all_members_are_in_contact_until_the_majority_has_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(heartbeat_ms=25, election_timeout_ms=120)
    with founded(tmp_path_factory.mktemp("contact"), settings) as cluster:
        cluster.leader()
        stays, *others = cluster.running()
        wait_until(lambda: all(h.member.contact_age_s() < 1.0 for h in cluster.running()), DEADLINE_S, "contact")
        for host in others:
            host.stop()
        ended = stays.member.contact_age_s()
        threading.Event().wait(0.3)
        assert stays.member.contact_age_s() > max(ended, 0.1)
