"""A copied data directory is not the member that it was copied from, unless the operator says so."""

import shutil
from pathlib import Path

from tests.cluster.clients import read_room
from tests.cluster.harness import READY_S, Cluster, refused_start
from tests.cluster.waiting import wait_until


def copy_of(data_dir: Path) -> Path:
    copy = data_dir.with_name(data_dir.name + "-copy")
    shutil.copytree(data_dir, copy)
    return copy


def test_a_copied_member_of_three_is_refused_until_it_is_said_to_have_moved(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        assert cluster.terminate(3) == 0
        node = cluster.nodes[3]
        node.data_dir = copy_of(node.data_dir)
        for _ in range(2):
            line = refused_start(node, *node.flags(cluster.url_list))
            assert str(node.data_dir) in line
            assert "--moved" in line
        node.start(*node.flags(cluster.url_list, "--moved"))
        cluster.wait_ready()
        assert cluster.post(3, "general", "two").status == 201

        cluster.kill(3)
        cluster.restart(3)  # it lives there now
        assert [post["Message"] for post in read_room(node.port, "general")] == ["one", "two"]


def test_a_renamed_directory_starts_as_itself(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        cluster.kill(3)
        node = cluster.nodes[3]
        node.data_dir = node.data_dir.rename(tmp_path / "renamed")
        node.data_dir.chmod(0o755)
        cluster.restart(3)


def test_a_copy_of_a_member_that_waits_for_its_cluster_is_refused_too(tmp_path: Path) -> None:
    """The original may have voted since."""
    with Cluster(tmp_path) as cluster:
        cluster.start(1, 2)
        wait_until(lambda: cluster.nodes[1].status()["Role"] == "starting", READY_S, "node 1 waits for node 3")
        cluster.kill(1)
        node = cluster.nodes[1]
        node.data_dir = copy_of(node.data_dir)
        assert "--moved" in refused_start(node, *node.flags(cluster.url_list))


def test_a_copied_single_node_runs(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        assert cluster.terminate(1) == 0
        node = cluster.nodes[1]
        node.data_dir = copy_of(node.data_dir)
        cluster.restart(1)
        assert [post["Message"] for post in read_room(node.port, "general")] == ["one"]
