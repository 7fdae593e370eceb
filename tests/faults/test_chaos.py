"""A slice of `python -m tests.faults`: everything at once for a while, and one cut that is looked at closely."""

from pathlib import Path

from tests.faults import chaos
from tests.faults.schedule import KINDS
from tests.faults.tools import NETWORK, need
from tests.faults.world import World
from tests.support.waiting import wait_until

SECONDS = 20

# What a run of this length brings forth on two busy cores, several times over; below it, it would have shown nothing.
POSTS_MIN = 50
READS_MIN = 20
FAULTS_MIN = 8


def test_three_nodes_under_all_faults_at_once_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    need((*NETWORK, "faketime"))
    report = chaos.run(chaos.Plan(SECONDS, 3, 20261123, list(KINDS)), tmp_path)
    assert report.violations == [], str(report)
    assert report.acknowledged >= POSTS_MIN, str(report)
    assert report.counts["reads"] >= READS_MIN, str(report)
    assert report.counts["frames"] >= 3 * report.acknowledged, str(report)
    assert sum(report.faults.values()) >= FAULTS_MIN, str(report)


def test_a_leader_that_hears_nobody_is_replaced_and_a_reader_on_it_reads_nothing_stale(tmp_path: Path) -> None:
    need(NETWORK)
    with World(tmp_path, 3) as world:
        leader = world.cluster.wait_ready()
        rest = [id for id in world.ids if id != leader]
        assert world.cluster.post(leader, "general", "one").status == 201
        world.network.shape((other, leader) for other in rest)  # what it sends arrives

        def replaced() -> bool:
            return world.cluster.post(rest[0], "general", "two", ClientId="two").status in {200, 201}

        wait_until(replaced, 10, "the other two take a post")
        assert world.cluster.request(leader, "GET", "/rooms/general").status == 503
        world.network.shape()
        world.cluster.wait_ready()
        read = world.cluster.request(leader, "GET", "/rooms/general").json()
        assert [post["Message"] for post in read] == ["one", "two"]
