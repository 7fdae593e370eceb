"""What time most members have: one wrong clock of three counts for nothing, and only a leader asks."""

import random
from collections.abc import Iterator

import pytest

from raft.clocks import KNOWN_S, Clocks
from raft.door import Door
from raft.endpoint import Endpoint
from raft.log import Log
from raft.membership import Configuration, Member
from raft.messages import HardState, HelloReply, Sender
from raft.node import Node, Role
from tests.raft.peer_port import PeerPort

OWN = 1
NOW = 1_795_428_000_000_000
HOUR = 3600 * 1_000_000


class Asked:
    """Another member, with a clock of its own."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.time = NOW
        self.cluster_id = "c1"
        self.times_asked = 0
        self.port = PeerPort(f"member-{id}")
        self.port.open(Endpoint(lambda: Sender(id, "bb", self.cluster_id, ""), self._hello))

    def _hello(self) -> HelloReply:
        self.times_asked += 1
        return HelloReply({}, {}, (), 1, self.time)


class Asking:
    """Member 1 of so many, whose own clock is right."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic_s = 500.0
        self.time = NOW
        monkeypatch.setattr("raft.clocks.now", lambda: self.time)
        monkeypatch.setattr("raft.clocks.time.monotonic", lambda: self.monotonic_s)
        self.others = [Asked(id) for id in (2, 3)]
        members = {OWN: Member(OWN, "http://127.0.0.1:9", True)}
        members |= {other.id: Member(other.id, other.port.url, True) for other in self.others}
        configuration = Configuration(members, cluster_id="c1")
        self.node = Node(
            OWN, log=Log(), hard_state=HardState(), configurations=[(0, configuration)], rng=random.Random(1)
        )
        self.node.role = Role.LEADER
        self.clocks = Clocks(OWN, Door(self.node), lambda: Sender(OWN, "aa", "c1", ""))

    def late(self) -> int:
        """Ask all; how far what they agree on is behind the right time, in hours."""
        self.clocks.ask()
        return (self.time - self.clocks.agreed_time()) // HOUR


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    made = Asking(monkeypatch)
    yield made
    for other in made.others:
        other.port.close()


def test_one_wrong_clock_of_three_counts_for_nothing(asking: Asking) -> None:
    for wrong in (-9 * HOUR, 9 * HOUR):
        asking.others[0].time = NOW + wrong
        assert asking.late() == 0
    asking.others[0].time, asking.time = NOW, NOW + 9 * HOUR
    assert asking.late() == 9, "the own one is wrong"


def test_a_clock_that_is_behind_all_others_makes_nothing_older_than_it_stamps(asking: Asking) -> None:
    asking.time = NOW - 9 * HOUR
    assert asking.late() == 0


def test_of_two_clocks_the_earlier_counts(asking: Asking) -> None:
    asking.others[1].port.close()
    asking.others[0].time = NOW - 2 * HOUR
    assert asking.late() == 2
    asking.others[0].time = NOW + 2 * HOUR
    assert asking.late() == 0


def test_what_was_told_goes_on_for_a_while(asking: Asking) -> None:
    asking.time = NOW + 9 * HOUR
    assert asking.late() == 9
    asking.monotonic_s += KNOWN_S - 1
    assert asking.clocks.agreed_time() == NOW + int((KNOWN_S - 1) * 1_000_000)
    asking.monotonic_s += 2
    assert asking.clocks.agreed_time() == asking.time


def test_who_does_not_lead_asks_nobody(asking: Asking) -> None:
    asking.node.role = Role.FOLLOWER
    asking.clocks.ask()
    assert [other.times_asked for other in asking.others] == [0, 0]
    asking.node.role = Role.LEADER
    asking.clocks.ask()
    assert [other.times_asked for other in asking.others] == [1, 1]


def test_another_cluster_and_a_member_that_does_not_say_count_for_nothing(asking: Asking) -> None:
    asking.time = NOW + 9 * HOUR
    asking.others[0].cluster_id = "c2"
    asking.others[1].time = 0
    assert asking.late() == 0
