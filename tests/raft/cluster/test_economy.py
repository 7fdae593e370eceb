"""What the protocol costs: how many messages are sent, and how many bytes of entries, where nothing goes wrong.

Counted over the whole network, so that a message that is sent without need, or sent twice, is noticed wherever it
comes from.
"""

from collections import Counter
from itertools import pairwise

import pytest

from raft.core.node import PROBE_BYTES_MAX, Role, Settings
from raft.core.raft_messages import AppendEntries, AppendEntriesReply, Message, RequestVote, RequestVoteReply
from tests.raft.machines import Machines
from tests.raft.script import Fixed

HEARTBEAT_MS = 60


class Counted:
    """A cluster that member 1 comes to lead, and all that was ever sent in it."""

    def __init__(self, size: int, settings: Settings | None = None) -> None:
        self.cluster = Machines(size, Fixed, settings)
        self.sent: list[Message] = []
        self.cluster.on_sent = lambda message, lost: self.sent.append(message)
        while self.cluster.machines[1].running.role is not Role.LEADER:
            self.cluster.tick(1, HEARTBEAT_MS)
            self.settle()
        self.settle()

    def settle(self) -> None:
        while self.cluster.network:
            self.cluster.deliver(self.cluster.network.pop(0))

    def forget(self) -> None:
        self.sent.clear()

    def appends(self) -> list[AppendEntries]:
        """Those that carry entries."""
        return [message for message in self.sent if isinstance(message, AppendEntries) and message.entries]

    def kinds(self) -> dict[str, int]:
        return dict(Counter(type(message).__name__ for message in self.sent))


def size_of(message: AppendEntries) -> int:
    return sum(len(entry.record) for entry in message.entries or ())


@pytest.mark.parametrize("size", [3, 5, 7])
def test_an_election_costs_each_voter_two_questions_and_one_append(size: int) -> None:
    counted = Counted(size)
    others = size - 1
    assert counted.kinds() == {
        RequestVote.__name__: 2 * others,  # the pre-vote and the vote
        RequestVoteReply.__name__: 2 * others,
        AppendEntries.__name__: others,
        AppendEntriesReply.__name__: others,
    }


@pytest.mark.parametrize("size", [3, 5])
def test_a_proposal_costs_one_append_and_one_answer_a_follower(size: int) -> None:
    counted = Counted(size)
    counted.forget()
    for n in range(10):
        counted.cluster.propose(1, f"{n}")
        counted.settle()
    assert counted.kinds() == {AppendEntries.__name__: 10 * (size - 1), AppendEntriesReply.__name__: 10 * (size - 1)}


def test_every_byte_of_an_entry_is_sent_once_to_each_follower() -> None:
    counted = Counted(3)
    counted.forget()
    for n in range(50):
        counted.cluster.propose(1, f"{n}:".ljust(1_000))
        if n % 7 == 0:  # at times many wait for the answer to what is in flight
            counted.settle()
    counted.settle()
    log = counted.cluster.machines[1].log
    for follower in (2, 3):
        carried = [entry for m in counted.appends() if m.target == follower for entry in m.entries or ()]
        assert carried == log[-50:]


def test_proposals_that_come_during_an_append_share_the_next_one() -> None:
    counted = Counted(3)
    counted.forget()
    for n in range(1_000):
        counted.cluster.propose(1, f"{n}")
    counted.settle()
    assert len(counted.appends()) == 4  # the first alone, all others together; to two followers


def test_an_idle_leader_sends_one_heartbeat_an_interval_to_each_and_followers_nothing() -> None:
    counted = Counted(3)
    for machine in counted.cluster.up:
        counted.cluster.tick(machine.id, HEARTBEAT_MS)
    counted.settle()
    counted.forget()
    for _ in range(100):
        for machine in counted.cluster.up:
            for _ in range(6):
                counted.cluster.tick(machine.id, HEARTBEAT_MS / 6)
        counted.settle()
    assert counted.kinds() == {AppendEntries.__name__: 200, AppendEntriesReply.__name__: 200}
    assert counted.appends() == []


def test_what_is_in_flight_to_a_follower_is_one_append_of_bounded_bytes() -> None:
    counted = Counted(3, Settings(append_bytes_max=5_000))
    counted.forget()
    for n in range(100):
        counted.cluster.propose(1, f"{n}".ljust(700))
    for follower in (2, 3):
        assert [m.last_index for m in counted.appends() if m.target == follower] == [2]
    counted.settle()
    assert counted.cluster.machines[2].log == counted.cluster.machines[1].log
    sizes = [size_of(message) for message in counted.appends()]
    assert max(sizes) <= 5_000
    assert len(sizes) <= 2 * (100 // (5_000 // 800) + 2)  # and they are full


def test_a_member_that_was_away_costs_a_few_probes_and_each_missing_entry_once() -> None:
    counted = Counted(3)
    counted.cluster.crash(3)
    for n in range(200):
        counted.cluster.propose(1, f"{n}".ljust(1_000))
        counted.settle()
    counted.forget()
    counted.cluster.restart(3)
    counted.cluster.act(1, lambda node: node.unreachable(3))
    counted.cluster.tick(1, HEARTBEAT_MS)
    counted.settle()
    appends = [message for message in counted.appends() if message.target == 3]
    assert size_of(appends[0]) <= PROBE_BYTES_MAX
    assert len(appends) == 2
    assert [(a.entries or ())[-1].index + 1 == (b.entries or ())[0].index for a, b in pairwise(appends)] == [True]
    assert counted.cluster.machines[3].log == counted.cluster.machines[1].log
