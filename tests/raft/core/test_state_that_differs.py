"""The core of a member whose state differs: it does not lead, and takes a snapshot that its log could do without."""

from dataclasses import replace

import pytest

from raft.core.node import BARRED_LEADS_TIMEOUTS, BARRED_TIMEOUTS, Node, Role, Settings
from raft.core.raft_messages import (
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    SnapshotMeta,
    TimeoutNow,
)
from raft.errors import NotLeader
from tests.raft.core.test_node import append, follower, led, persisted, settle, taken
from tests.raft.disks import entries
from tests.raft.machines import Machines, founders

TIMEOUT_MS = Settings().election_timeout_ms


def snapshot(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(index, term, 0, 0, founders([1, 2, 3]).encode())


def install(index: int, *, received: bool) -> InstallSnapshot:
    return InstallSnapshot(1, 2, 1, snapshot(index), received=received)


def holding(last: int) -> Node:
    """A follower whose log has so many entries, all durable and committed."""
    node = follower()
    node.step(append(0, *entries(1, last), commit=last))
    persisted(node)
    return node


def replied(node: Node) -> InstallSnapshotReply:
    ready = persisted(node)
    (reply,) = [one for one in (*ready.messages, *ready.messages_after) if isinstance(one, InstallSnapshotReply)]
    return reply


def test_a_snapshot_that_was_asked_for_counts_once_it_is_in_its_place() -> None:
    node = holding(9)
    node.await_snapshot(4)
    node.step(install(7, received=False))
    assert not replied(node).success
    node.compacted(snapshot(7))
    node.step(install(7, received=True))
    assert replied(node).match_index == 7
    assert not node.awaits_snapshot(8)


def test_what_follows_such_a_snapshot_in_the_log_is_retained() -> None:
    node = holding(9)
    node.await_snapshot(4)
    node.compacted(snapshot(7))
    node.step(install(7, received=True))
    ready = persisted(node)
    assert ready.snapshot is None  # the log is not replaced
    assert (node.log.base_index, node.log.last_index, node.durable_index) == (7, 9, 9)
    node.step(append(9, *entries(10, 10), commit=10))
    (answer,) = [one for one in persisted(node).messages_after if isinstance(one, AppendEntriesReply)]
    assert answer.success and answer.match_index == 10


def test_a_snapshot_that_is_not_new_enough_is_not_waited_for() -> None:
    node = holding(9)
    node.await_snapshot(7)
    node.step(install(7, received=False))
    assert replied(node).success and node.awaits_snapshot(8)


def test_an_entry_is_held_durably_once_it_is_committed_and_on_the_disk() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3), commit=2))
    assert not node.holds_durably(2, 1)
    persisted(node)
    assert node.holds_durably(2, 1)
    assert not node.holds_durably(3, 1) and not node.holds_durably(2, 2)


def test_a_leader_sends_the_first_snapshot_above_what_the_follower_has() -> None:
    cluster, leader = led()
    cluster.propose(1, "a")
    settle(cluster)
    above = leader.log.last_index
    with pytest.raises(NotLeader):
        cluster.machines[2].running.want_snapshot(3, above)
    cluster.act(1, lambda node: node.want_snapshot(2, above))
    assert leader.log.last_index == above + 1  # without a later entry there would be none
    settle(cluster)
    cluster.act(1, lambda node: node.compacted(cluster.machines[1].meta(above)))
    settle(cluster)
    assert not [one for one in taken(cluster) if isinstance(one, InstallSnapshot)]
    cluster.act(1, lambda node: node.compacted(cluster.machines[1].meta(above + 1)))
    (sent,) = [one for one in taken(cluster) if isinstance(one, InstallSnapshot)]
    assert (sent.target, sent.snapshot.index) == (2, above + 1)


def test_a_leader_goes_on_with_entries_after_a_wanted_snapshot() -> None:
    cluster, leader = led()
    cluster.propose(1, "a")
    settle(cluster)
    above = leader.log.last_index - 1
    cluster.act(1, lambda node: node.compacted(cluster.machines[1].meta(above + 1)))
    cluster.act(1, lambda node: node.want_snapshot(2, above))
    (sent,) = [one for one in taken(cluster) if isinstance(one, InstallSnapshot)]
    reply = InstallSnapshotReply(2, 1, leader.current_term, True, above + 1, sent.request)
    cluster.act(1, lambda node: node.step(replace(reply)))
    cluster.propose(1, "b")
    settle(cluster)
    assert leader.progress[2].match_index == leader.log.last_index
    assert leader.progress[2].snapshot_above == 0


def wait(cluster: Machines, ids: tuple[int, ...], timeouts: float) -> None:
    """Let so many election timeouts pass for these members."""
    for _ in range(int(timeouts * TIMEOUT_MS / 60) + 1):
        for id in ids:
            cluster.tick(id, 60)
        settle(cluster)


def test_a_barred_member_does_not_campaign_while_another_one_may() -> None:
    cluster, _ = led()
    cluster.act(2, lambda node: node.bar(True))
    cluster.crash(1)
    wait(cluster, (2,), BARRED_TIMEOUTS - 2)
    assert cluster.machines[2].running.role is Role.FOLLOWER
    wait(cluster, (2, 3), 4)
    assert cluster.machines[3].running.role is Role.LEADER


def test_a_barred_member_does_not_take_over() -> None:
    cluster, leader = led()
    cluster.act(2, lambda node: node.bar(True))
    cluster.act(2, lambda node: node.step(TimeoutNow(1, 2, leader.current_term)))
    assert cluster.machines[2].running.role is Role.FOLLOWER


def test_a_barred_member_leads_if_nobody_else_can_and_hands_over_then() -> None:
    cluster, _ = led()
    cluster.propose(1, "held by 1 and 2")
    cluster.network = [message for message in cluster.network if message.target != 3]
    settle(cluster)
    cluster.act(2, lambda node: node.bar(True))
    cluster.crash(1)
    cluster.cut.clear()
    wait(cluster, (2, 3), BARRED_TIMEOUTS + 3)
    assert cluster.machines[3].running.log.last_index >= cluster.machines[2].running.log.last_index
    wait(cluster, (2, 3), BARRED_LEADS_TIMEOUTS)
    assert cluster.machines[2].running.role is not Role.LEADER
    assert cluster.machines[3].running.role is Role.LEADER


def test_a_barred_leader_hands_over() -> None:
    cluster, leader = led()
    cluster.act(1, lambda node: node.bar(True))
    wait(cluster, (1, 2, 3), 2)
    assert leader.role is not Role.LEADER
    assert any(cluster.machines[id].running.role is Role.LEADER for id in (2, 3))


def test_a_barred_leader_whose_successor_does_not_take_over_steps_down() -> None:
    cluster, leader = led()
    cluster.act(1, lambda node: node.bar(True))
    for _ in range(int((BARRED_LEADS_TIMEOUTS + 1) * TIMEOUT_MS / 60)):
        cluster.tick(1, 60)
        cluster.network = [message for message in cluster.network if not isinstance(message, TimeoutNow)]
        settle(cluster)
        if leader.role is not Role.LEADER:
            break
    assert leader.role is Role.FOLLOWER
