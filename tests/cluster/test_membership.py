"""Members come and go while the cluster runs; what would end it is refused."""

from pathlib import Path

from tests.cluster.writers import acknowledged_by, check_history, load, read_room
from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until

MISSED_MS = 2000  # several election timeouts
PATIENT = ("--election-timeout-ms", "1500")  # a busy machine is not to call an election


def test_a_member_added_without_a_vote_keeps_up_and_stays_without(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        learner = cluster.new_node(4)
        assert cluster.request(1, "POST", "/raft/4?voting=false", learner.peer_url).status == 204
        cluster.join(4)
        wait_until(lambda: learner.status()["Leader"], READY_S, "the learner follows")
        assert [post["Message"] for post in read_room(learner.port, "general")] == ["one"]
        assert cluster.post(4, "general", "two").status == 201
        cluster.wait_ready()
        assert cluster.members(1)[4]["Voting"] is False


def test_a_learner_gives_no_majority(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        learner = cluster.new_node(2)
        assert cluster.request(1, "POST", "/raft/2?voting=false", learner.peer_url).status == 204
        assert cluster.post(1, "general", "the learner has not even started").status == 201


def test_the_id_of_a_removed_member_is_never_used_again(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        gone, stays = (id for id in cluster.nodes if id != leader)
        assert cluster.request(stays, "DELETE", f"/raft/{gone}").status == 204
        assert cluster.nodes[gone].wait_exit() == 0
        again = cluster.request(stays, "POST", f"/raft/{gone}", cluster.nodes[gone].peer_url)
        assert (again.status, again.json()["code"]) == (409, "id_used")


def test_a_removed_member_that_is_started_again_ends_quietly(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=PATIENT) as cluster:
        leader = cluster.start_ready().wait_ready()
        gone, stays = (id for id in cluster.nodes if id != leader)
        cluster.kill(gone)
        assert cluster.request(stays, "DELETE", f"/raft/{gone}").status == 204
        term = cluster.nodes[stays].status()["Term"]
        cluster.start(gone)
        assert cluster.nodes[gone].wait_exit() == 0
        assert cluster.nodes[stays].status()["Term"] == term
        assert cluster.leader() == leader


def test_a_removal_that_would_leave_no_majority_within_reach_is_refused(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        dead, alive = (id for id in cluster.nodes if id != leader)
        cluster.kill(dead)

        def missed() -> bool:
            return bool(cluster.members(leader)[dead]["LastContactMs"] > MISSED_MS)

        wait_until(missed, READY_S, "the leader has missed the dead member")
        refused = cluster.request(leader, "DELETE", f"/raft/{alive}")
        assert (refused.status, refused.json()["code"]) == (409, "no_majority")
        assert cluster.request(leader, "DELETE", f"/raft/{dead}").status == 204
        assert cluster.post(leader, "general", "two of two").status == 201


def replace_member(cluster: Cluster, old: int, new: int) -> None:
    """Asking the new one for the removal shows that it takes requests like any other."""
    asked = next(id for id in cluster.nodes if cluster.nodes[id].running and id != old)
    added = cluster.new_node(new)
    assert cluster.request(asked, "POST", f"/raft/{new}", added.peer_url).status == 204
    cluster.join(new)
    wait_until(lambda: cluster.members(asked)[new]["Voting"], READY_S, f"node {new} votes")
    assert cluster.request(new, "DELETE", f"/raft/{old}").status == 204
    assert cluster.nodes[old].wait_exit() == 0


def test_all_members_are_replaced_under_load_without_a_post_lost_or_doubled(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with load(cluster.ports([3])) as writers:
            replace_member(cluster, 1, 4)
            replace_member(cluster, 2, 5)
        replace_member(cluster, 3, 6)
        cluster.wait_ready()
        told = [read_room(cluster.nodes[id].port, "general") for id in (4, 5, 6)]
        assert told[0] == told[1] == told[2]
        check_history(acknowledged_by(writers), {"general": told[0]})
