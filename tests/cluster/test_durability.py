"""What was acknowledged is there for ever: once, in one order, on every node, whatever is killed."""

from pathlib import Path

from tests.cluster.writers import acknowledged_by, check_every_node, load, wait_for_posts
from tests.support.cluster import Cluster

ROOMS = ("general", "random")

# Enough that a kill hits batches in flight, few enough that a round is over in a second or two.
POSTS_BEFORE_A_KILL = 200


def test_killing_all_nodes_under_load_three_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), rooms=ROOMS) as writers:
            for round in (1, 2, 3):
                wait_for_posts(writers, round * POSTS_BEFORE_A_KILL)
                cluster.kill()
                cluster.restart()
            wait_for_posts(writers, 4 * POSTS_BEFORE_A_KILL)
        check_every_node(cluster.ports(), ROOMS, acknowledged_by(writers))


def test_stopping_the_leader_politely_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        with load(cluster.ports(), rooms=ROOMS) as writers:
            wait_for_posts(writers, POSTS_BEFORE_A_KILL)
            assert cluster.terminate(leader) == 0
            wait_for_posts(writers, 2 * POSTS_BEFORE_A_KILL)
            cluster.restart(leader)
        check_every_node(cluster.ports(), ROOMS, acknowledged_by(writers))
