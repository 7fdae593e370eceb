"""Older copies of a member's data: a member stops rather than undo what lasts, and a copied log begins a generation."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft.core.configuration import Configuration, decode_configuration
from raft.core.log import Log
from raft.core.node import LISTEN_MS, Node, Role
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    HardState,
    InstallSnapshot,
    Kind,
    Message,
    RequestVote,
    SnapshotMeta,
    TimeoutNow,
)
from raft.errors import Diverged, StartRefused
from raft.storage.disk import RealDisk
from raft.storage.identity import load_or_create, save
from tests.raft.disks import entries
from tests.raft.machines import Machines, founders


def member(configuration: Configuration, id: int = 2, generation: str = "") -> Node:
    known = [(0, configuration)]
    return Node(id, log=Log(), hard_state=HardState(), configurations=known, rng=Random(0), generation=generation)


def append(prev: int, *new: Entry, term: int = 1, prev_term: int = 1, commit: int = 0) -> AppendEntries:
    heartbeat = not new
    return AppendEntries(1, 2, term, prev, prev_term if prev else 0, new, commit, round=0, heartbeat=heartbeat)


def holding(last: int, commit: int) -> Node:
    node = member(founders([1, 2, 3]))
    node.step(append(0, *entries(1, last), commit=commit))
    node.persisted(node.ready().sequence)
    return node


def test_a_member_stops_rather_than_undo_what_it_knows_to_be_committed() -> None:
    node = holding(5, commit=4)
    with pytest.raises(Diverged, match=r"would undo index 4, but .* up to 4 are committed") as stop:
        node.step(append(3, *entries(4, 4, term=2), term=2))
    assert not stop.value.log_is_old
    assert (node.commit_index, node.log.last_index) == (4, 5)


def test_what_is_not_known_to_be_committed_is_still_undone() -> None:
    node = holding(5, commit=4)
    node.step(append(4, *entries(5, 5, term=2), term=2))
    assert node.log.last_term == 2


def test_a_member_whose_log_lost_what_it_acknowledged_to_this_leader_stops() -> None:
    node = holding(3, commit=3)
    with pytest.raises(Diverged, match=r"acknowledged index 5, .* member 2 ends at 3: .* older copy") as stop:
        node.step(append(5))
    assert stop.value.log_is_old


def test_a_snapshot_for_a_member_whose_log_lost_what_it_acknowledged_stops_it() -> None:
    """The leader's log is compacted beyond that, so no heartbeat tells."""
    meta = SnapshotMeta(9, 1, 1, 0, founders([1, 2, 3]).encode())
    node = holding(3, commit=3)
    with pytest.raises(Diverged, match=r"acknowledged index 5, .* ends at 3: .* older copy") as stop:
        node.step(InstallSnapshot(1, 2, 1, meta, received=True, acknowledged=5))
    assert stop.value.log_is_old
    for acknowledged in (0, 3):
        holding(3, commit=3).step(InstallSnapshot(1, 2, 1, meta, received=True, acknowledged=acknowledged))


# What is known to be committed beyond the end of the log


def asked_for_a_vote(node: Node, last_index: int, last_term: int = 1) -> bool:
    for now_ms in range(0, 500, 60):  # the leader is gone
        node.tick(float(now_ms), 1)
        node.ready()
    node.step(RequestVote(3, 2, 9, last_index, last_term))
    node.persisted(node.ready().sequence)
    return node.voted_for == 3


def knowing(last: int, committed: int) -> Node:
    """Its log ends at `last`; the leader told it that more is committed."""
    node = holding(last, commit=last)
    node.step(append(0, term=1, commit=committed))
    node.ready()
    return node


def test_a_log_that_ends_before_what_is_known_to_be_committed_gets_no_vote() -> None:
    assert not asked_for_a_vote(knowing(3, 5), 4)
    assert not asked_for_a_vote(knowing(3, 5), 4, last_term=2)
    assert asked_for_a_vote(knowing(3, 5), 5)


def test_a_member_whose_log_ends_before_what_it_knows_to_be_committed_does_not_stand() -> None:
    node = knowing(3, 5)
    asked: list[Message] = []
    for now_ms in range(0, 3_000, 60):
        node.tick(float(now_ms), 1)
        asked += node.ready().messages
    node.step(TimeoutNow(1, 2, 1))
    assert (node.role, node.leader_id, node.current_term) == (Role.FOLLOWER, 0, 1)
    assert not any(isinstance(message, RequestVote) for message in [*asked, *node.ready().messages])


def test_a_lagging_member_and_an_up_to_date_one_have_a_leader_without_the_third() -> None:
    cluster = Machines(3, lambda id: Random(id))
    for _ in range(20):
        for id in (1, 2, 3):
            cluster.tick(id, 60)
            deliver_all(cluster)
    leader = cluster.leader()
    assert leader is not None
    lags, up_to_date = (machine.id for machine in cluster.up if machine is not leader)
    cluster.cut.update({(leader.id, lags)})
    cluster.propose(leader.id, "one", "two")
    deliver_all(cluster)
    cluster.cut.clear()
    leader.running._send_heartbeats()  # the lagging one hears of the commit before it has the entries
    cluster.act(leader.id, lambda node: None)
    [heard] = [m for m in cluster.network if isinstance(m, AppendEntries) and m.target == lags and m.heartbeat][-1:]
    cluster.network.clear()
    cluster.deliver(heard)
    assert cluster.machines[lags].running.known_committed > cluster.machines[lags].running.log.last_index
    cluster.crash(leader.id)
    for _ in range(100):
        for id in (lags, up_to_date):
            cluster.tick(id, 60)
            deliver_all(cluster)
    assert cluster.machines[up_to_date].running.role is Role.LEADER
    assert cluster.machines[lags].running.commit_index >= 3


def deliver_all(cluster: Machines) -> None:
    while cluster.network:
        cluster.deliver(cluster.network.pop(0))


def test_an_append_beyond_the_log_is_only_refused() -> None:
    node = holding(3, commit=3)
    node.step(append(5, *entries(6, 6)))
    (reply,) = node.ready().messages
    assert isinstance(reply, AppendEntriesReply)
    assert not reply.success


def test_a_directory_found_to_be_old_is_never_started_again(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 2)
    save(RealDisk(), tmp_path, replace(identity, refused="it lost index 5; remove member 2 and add a new id"))
    for _ in range(2):
        with pytest.raises(StartRefused, match="older copy: it lost index 5"):
            load_or_create(RealDisk(), tmp_path, 2)


def led(node: Node) -> list[Entry]:
    """What the only voter writes when it comes to lead."""
    written: list[Entry] = []
    for now_ms in range(0, 4_000, 60):
        node.tick(float(now_ms), 1)
        ready = node.ready()
        written += ready.entries
        node.persisted(ready.sequence)
    return written


def test_a_sole_voter_from_a_copy_commits_its_generation_with_its_first_entry() -> None:
    node = member(founders([2]), generation="ab12")
    node.tick(0.0, 1)
    written = led(node)
    assert [entry.kind for entry in written] == [Kind.NOOP, Kind.CONFIGURATION]
    assert decode_configuration(written[1].body).generation == "ab12"
    assert node.committed_configuration.generation == "ab12"


def test_no_read_is_confirmed_before_the_generation_is_committed() -> None:
    node = member(founders([2]), generation="ab12")
    confirmed: list[tuple[int, int]] = []
    asked = False
    for now_ms in range(0, 4_000, 60):
        node.tick(float(now_ms), 1)
        if node.leader_id == 2 and not asked:
            node.read_index(7)
            asked = True
        ready = node.ready()
        confirmed += ready.reads
        node.persisted(ready.sequence)
        confirmed += node.ready().reads
    assert confirmed == [(7, 2)]


def test_a_sole_voter_from_a_copy_first_listens_for_two_seconds() -> None:
    node = member(founders([2]), generation="ab12")
    for now_ms in range(0, LISTEN_MS, 60):
        node.tick(float(now_ms), 1)
        assert node.listens
        assert not node.ready().writes
    led(node)
    assert (node.listens, node.leader_id) == (False, 2)


def test_a_sole_voter_from_a_copy_follows_a_leader_that_it_does_not_know() -> None:
    """The cluster has grown since the copy was made."""
    node = member(founders([2]), generation="ab12")
    for now_ms in range(0, 4_000, 60):
        node.tick(float(now_ms), 1)
        node.step(append(0, term=5))
        assert node.role is Role.FOLLOWER
        node.persisted(node.ready().sequence)
    assert node.leader_id == 1


def test_one_of_several_voters_begins_no_generation() -> None:
    node = member(founders([1, 2, 3]), generation="ab12")
    node.become_candidate()
    node.become_leader()
    assert [entry.kind for entry in node.ready().entries] == [Kind.NOOP]


def test_a_generation_is_kept_by_the_encoding_and_empty_at_first() -> None:
    configuration = founders([1])
    assert decode_configuration(configuration.encode()) == configuration
    assert decode_configuration(configuration.encode()).generation == ""
    begun = replace(configuration, generation="ab12")
    assert decode_configuration(begun.encode()) == begun
