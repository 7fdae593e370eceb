"""What was acknowledged is there for ever: once, in one order, on every node, whatever is killed."""

from pathlib import Path

from tests.cluster.clients import Acknowledged, Writer, acknowledged_by, check_history, load, read_room
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until

ROOMS = ("general", "random")

# Enough that a kill hits batches in flight, few enough that a round is over in a second or two.
POSTS_BEFORE_A_KILL = 200


def wait_for_posts(writers: list[Writer], count: int) -> None:
    wait_until(
        lambda: sum(len(writer.acknowledged) for writer in writers) >= count, 30, f"{count} posts are acknowledged"
    )


def check_every_node(cluster: Cluster, acknowledged: list[Acknowledged]) -> None:
    """Every node tells the same history, and it holds all that was acknowledged."""
    told = [{room: read_room(port, room) for room in ROOMS} for port in cluster.ports()]
    assert all(history == told[0] for history in told), "the nodes tell different histories"
    check_history(acknowledged, told[0])


def test_killing_all_nodes_under_load_three_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), rooms=ROOMS) as writers:
            for round in (1, 2, 3):
                wait_for_posts(writers, round * POSTS_BEFORE_A_KILL)
                cluster.kill()
                cluster.restart()
            wait_for_posts(writers, 4 * POSTS_BEFORE_A_KILL)
        check_every_node(cluster, acknowledged_by(writers))


def test_stopping_the_leader_politely_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        with load(cluster.ports(), rooms=ROOMS) as writers:
            wait_for_posts(writers, POSTS_BEFORE_A_KILL)
            assert cluster.terminate(leader) == 0
            wait_for_posts(writers, 2 * POSTS_BEFORE_A_KILL)
            cluster.restart(leader)
        check_every_node(cluster, acknowledged_by(writers))
