"""One proposal given again and again, to whole members: it is applied once, and is passed on once at most."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from raft.core.raft_messages import ProposalId, Propose, ProposeReply
from raft.rpc.codec import Answer
from tests.cluster.waiting import wait_until
from tests.raft.cluster.test_snapshots_between_members import rewritten, same_on_all
from tests.raft.members import DEADLINE_S, House, Street, founded

STRANGER = 9  # who took the proposal from its client, and went on asking
ONCE = b'"once"'
PROPOSAL = (ProposalId(STRANGER, 1, 1, 0), ONCE)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Three members for one test."""
    with founded(tmp_path) as street:
        yield street


def given(house: House) -> ProposeReply:
    """What the member says to the proposal."""
    told: SimpleQueue[Answer] = SimpleQueue()
    house.member.serve(Propose(STRANGER, house.id, (PROPOSAL,)), told.put)
    reply = told.get(timeout=DEADLINE_S)
    assert isinstance(reply, ProposeReply)
    return reply


def give(street: Street) -> None:
    """To whoever leads; and wait until all have applied what they have been given."""
    wait_until(lambda: given(street.leader()).accepted, DEADLINE_S, "the leader takes the proposal")
    assert isinstance(street.leader().result_of(b'"between"'), int)
    same_on_all(street)


def check_once(street: Street) -> None:
    assert [house.memory.commands.count(ONCE) for house in street.present()] == [1, 1, 1]


def test_a_retry_across_failover_restart_and_snapshot_is_applied_once(street: Street) -> None:
    give(street)
    check_once(street)

    first = street.leader()
    first.stop()
    give(street)
    first.start()
    same_on_all(street)
    check_once(street)

    for house in street.houses.values():
        house.stop()
    for house in street.houses.values():
        house.start()
    give(street)
    check_once(street)

    sleeper, other = street.followers()
    sleeper.stop()
    give(street)
    for house in (street.leader(), other):
        rewritten(house)
    sleeper.start()
    give(street)
    assert sleeper.memory.restored, "it caught up without a snapshot"
    check_once(street)

    sleeper.stop()
    sleeper.start()  # now its memory comes from that snapshot's file
    give(street)
    check_once(street)


def test_a_proposal_that_was_passed_on_to_a_member_that_does_not_lead_goes_no_further(street: Street) -> None:
    leader = street.leader()
    for follower in street.followers():
        assert given(follower) == ProposeReply(accepted=False, leader_id=leader.id)
    leader.result_of(b'"after"')
    same_on_all(street)
    assert [house.memory.commands for house in street.present()] == [[b'"after"']] * 3
