"""The numbers that members keep of themselves, on three whole members."""

from collections.abc import Iterator

import pytest

from tests.raft.members import DEADLINE_S, Members, founded
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with founded(tmp_path_factory.mktemp("members")) as cluster:
        yield cluster


def test_a_leader_counts_syncs_and_the_appends_of_each_peer(cluster: Members) -> None:
    leader = cluster.leader()
    peers = {host.id for host in cluster.running()} - {leader.id}
    wait_until(lambda: set(leader.member.metrics().append) == peers, DEADLINE_S, "each peer was sent something")
    before = leader.member.metrics()
    assert before.is_leader and set(before.last_contact_s) == peers
    syncs, appends = sum(before.log_fsync.counts), {id: sum(before.append[id].counts) for id in peers}
    assert isinstance(leader.result_of(b'"counted"'), int)

    def has_grown() -> bool:
        after = leader.member.metrics()
        grown = all(sum(after.append[id].counts) > appends[id] for id in peers)
        return grown and sum(after.log_fsync.counts) > syncs and after.proposals["committed"] >= 1

    wait_until(has_grown, DEADLINE_S, "one more of each")
    after = leader.member.metrics()
    assert all(0 <= contact_s < 1 for contact_s in after.last_contact_s.values())
    assert after.log_fsync.sum_s > 0
    assert after.commit_index >= after.applied_index > before.applied_index
    assert after.commit_index >= after.applied_index > before.applied_index
    assert after.disk_free_bytes is not None and after.disk_free_bytes > 0
    assert after.log_bytes > 0


def test_a_follower_shows_how_long_ago_its_leader_was_heard(cluster: Members) -> None:
    leader = cluster.leader()
    for host in cluster.followers():
        numbers = host.member.metrics()
        assert not numbers.is_leader
        assert set(numbers.last_contact_s) == {leader.id}
        assert numbers.leader_changes >= 1
        assert numbers.term == leader.member.metrics().term


def test_another_leader_is_counted_by_those_who_see_it(cluster: Members) -> None:
    before = {host.id: host.member.metrics().leader_changes for host in cluster.running()}
    cluster.leader().stop()
    for host in cluster.running():
        assert isinstance(host.result_of(b'"after"'), int)
        assert host.member.metrics().leader_changes > before[host.id]
