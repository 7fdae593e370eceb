"""A cluster is created once, by members that agree on what it is; who lost its disk gets words, not a vote."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.writers import read_room
from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until

# How long "nothing is created" is watched: many election timeouts.
WATCHED_S = 3.0


def check_nobody_leads(cluster: Cluster) -> None:
    """For as long as it is watched no node knows a leader, though all that run answer."""
    try:
        leader = cluster.wait_leader(WATCHED_S)
    except AssertionError:
        assert all(node.status()["Leader"] == 0 for node in cluster.running())
    else:
        raise AssertionError(f"node {leader} leads a cluster that must not be")


def test_two_of_three_create_nothing_and_name_the_one_they_wait_for(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start(1, 2)
        for id in (1, 2):
            cluster.nodes[id].wait_says("waiting for member 3")
        check_nobody_leads(cluster)
        assert cluster.post(1, "general", "too early").status == 503
        cluster.start(3)
        cluster.wait_ready()
        assert cluster.post(1, "general", "now").status == 201


@pytest.mark.parametrize(
    ("third", "says"),
    [
        ("1={one},3={three}", "another --cluster"),
        ("{one},{two},{three},http://127.0.0.1:9", "another --cluster"),
        ("{two},{one},{three}", "waiting for member 1"),  # it finds nobody of that id where it looks
    ],
)
def test_members_with_differing_lists_create_nothing_and_say_why(tmp_path: Path, third: str, says: str) -> None:
    """Node 3 was told another list: one too few, one too many, two mixed up."""
    with Cluster(tmp_path) as cluster:
        one, two, three = (node.peer_url for node in cluster.nodes.values())
        cluster.start(1, 2)
        node = cluster.nodes[3]
        node.start(*node.flags(third.format(one=one, two=two, three=three)))
        for id in (1, 2):
            cluster.nodes[id].wait_says("member 3 was started with another --cluster")
        node.wait_says(says)
        check_nobody_leads(cluster)


def test_two_wiped_disks_of_three_are_refused_with_words_and_the_survivors_posts_stay(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "kept").status == 201
        assert cluster.post(1, "general", "the last one").status == 201
        cluster.wait_ready()
        cluster.kill()
        for id in (2, 3):
            shutil.rmtree(cluster.nodes[id].data_dir)
            cluster.nodes[id].log_file.unlink()

        cluster.start()
        for id in (2, 3):
            assert cluster.nodes[id].wait_exit() == 1
            assert "this data directory is new" in cluster.nodes[id].log()
        wait_until(cluster.nodes[1].status, READY_S, "the survivor answers")
        check_nobody_leads(cluster)

        # It was started without a majority, so it does not know whether there is a login by now, and shows nothing.
        assert cluster.request(1, "GET", "/rooms/general?consistency=stale").status == 503
        log = b"".join(segment.read_bytes() for segment in cluster.nodes[1].data_dir.glob("log-*.jsonl"))
        assert b'"kept"' in log and b"the last one" in log
        refused = cluster.post(1, "general", "no majority remembers")
        assert refused.status == 503
        assert refused.headers["Retry-After"]


def test_one_wiped_disk_of_three_leaves_the_others_at_work_and_gets_no_vote(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "kept").status == 201
        cluster.kill(3)
        shutil.rmtree(cluster.nodes[3].data_dir)
        cluster.nodes[3].log_file.unlink()
        cluster.start(3)
        assert cluster.nodes[3].wait_exit() == 1
        assert "this data directory is new" in cluster.nodes[3].log()
        assert cluster.post(1, "general", "still at work").status == 201

        cluster.kill(2)
        cluster.start(3)  # nodes 1 and 3 would be a majority, had 3 a vote
        refused = cluster.post(1, "general", "no majority remembers")
        assert refused.status in {503, 504}, refused


def test_a_member_of_one_cluster_is_not_taken_into_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Cluster(tmp_path / "a", 1) as one, Cluster(tmp_path / "b", 1) as other:
        one.start_ready()
        other.start_ready()
        assert one.nodes[1].status()["ClusterId"] != other.nodes[1].status()["ClusterId"]
        stranger = other.nodes[1].peer_url
        one.request(1, "POST", "/raft/2?voting=false", stranger)
        assert one.post(1, "general", "ours").status == 201
        assert other.post(1, "general", "theirs").status == 201
        assert [post["Message"] for post in read_room(other.nodes[1].port, "general")] == ["theirs"]
