"""One proposal given again and again, to whole members: it is applied once, and is passed on once at most."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from raft.core.raft_messages import ProposalId
from raft.rpc.calls import Propose, ProposeReply
from raft.rpc.codec import Answer
from tests.raft.cluster.test_snapshots_between_members import rewritten, same_on_all
from tests.raft.members import DEADLINE_S, Host, Members, founded
from tests.support.waiting import wait_until

STRANGER = 9  # who took the proposal from its client, and went on asking
ONCE = b'"once"'
PROPOSAL = (ProposalId(STRANGER, 1, 1, 0), ONCE)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Members]:
    """Three members for one test."""
    with founded(tmp_path) as cluster:
        yield cluster


def given(host: Host) -> ProposeReply:
    """What the member says to the proposal."""
    told: SimpleQueue[Answer] = SimpleQueue()
    host.member.serve(Propose(STRANGER, host.id, (PROPOSAL,)), told.put)
    reply = told.get(timeout=DEADLINE_S)
    assert isinstance(reply, ProposeReply)
    return reply


def give(cluster: Members) -> None:
    """To whoever leads; and wait until all have applied what they have been given."""
    wait_until(lambda: given(cluster.leader()).accepted, DEADLINE_S, "the leader takes the proposal")
    assert isinstance(cluster.leader().result_of(b'"between"'), int)
    same_on_all(cluster)


def check_once(cluster: Members) -> None:
    assert [host.memory.commands.count(ONCE) for host in cluster.running()] == [1, 1, 1]


def test_a_retry_across_failover_restart_and_snapshot_is_applied_once(cluster: Members) -> None:
    give(cluster)
    check_once(cluster)

    first = cluster.leader()
    first.stop()
    give(cluster)
    first.start()
    same_on_all(cluster)
    check_once(cluster)

    for host in cluster.hosts.values():
        host.stop()
    for host in cluster.hosts.values():
        host.start()
    give(cluster)
    check_once(cluster)

    sleeper, other = cluster.followers()
    sleeper.stop()
    give(cluster)
    for host in (cluster.leader(), other):
        rewritten(host)
    sleeper.start()
    give(cluster)
    assert sleeper.memory.restored, "it caught up without a snapshot"
    check_once(cluster)

    sleeper.stop()
    sleeper.start()  # now its memory comes from that snapshot's file
    give(cluster)
    check_once(cluster)


def test_a_proposal_that_was_passed_on_to_a_member_that_does_not_lead_goes_no_further(cluster: Members) -> None:
    def names_the_leader(number: int) -> bool:  # another one may lead between the answer and the look
        return given(cluster.followers()[number]) == ProposeReply(accepted=False, leader_id=cluster.leader().id)

    for number in range(2):
        wait_until(partial(names_the_leader, number), DEADLINE_S, "a follower names the leader, and takes nothing")
    cluster.leader().result_of(b'"after"')
    same_on_all(cluster)
    assert [host.memory.commands for host in cluster.running()] == [[b'"after"']] * 3
