"""Members that were away while they were removed, by a leader that has changed since: they go, and disturb nobody."""

import signal
from pathlib import Path

import pytest

from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until

ENDS_S = 8  # a second or two by design


def remove_and_change_the_leader(cluster: Cluster, gone: int, stays: list[int]) -> int:
    """The term of the leader that never had to do with the removed one."""
    leader = cluster.nodes[stays[0]].status()["Leader"]
    assert cluster.request(stays[0], "DELETE", f"/raft/{gone}").status == 204
    successor = next(id for id in stays if id != leader)
    assert cluster.request(stays[0], "POST", f"/raft/{successor}/lead").status == 204
    return int(cluster.nodes[successor].status()["Term"])


def check_undisturbed(cluster: Cluster, stays: list[int], term: int) -> None:
    assert cluster.post(stays[0], "general", "undisturbed").status == 201
    assert {cluster.nodes[id].status()["Term"] for id in stays} == {term}


@pytest.mark.parametrize("voting", [True, False])
@pytest.mark.parametrize("away", ["killed", "paused"])
def test_a_member_that_was_away_while_it_was_removed_ends_and_disturbs_nobody(
    tmp_path: Path, voting: bool, away: str
) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        added = cluster.new_node(4)
        assert cluster.request(1, "POST", f"/raft/4?voting={str(voting).lower()}", added.peer_url).status == 204
        cluster.join(4)
        wait_until(lambda: cluster.members(1)[4]["Voting"] is voting, READY_S, "node 4 is what it shall be")
        cluster.wait_ready()
        if cluster.leader() == 4:
            assert cluster.request(1, "POST", "/raft/1/lead").status == 204
        if away == "killed":
            cluster.kill(4)
        else:
            added.signal(signal.SIGSTOP)
        term = remove_and_change_the_leader(cluster, 4, [1, 2, 3])
        if away == "killed":
            cluster.join(4)
        else:
            added.signal(signal.SIGCONT)
        assert added.wait_exit(ENDS_S) == 0
        assert "removed" in added.log()
        check_undisturbed(cluster, [1, 2, 3], term)
