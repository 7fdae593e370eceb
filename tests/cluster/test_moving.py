"""A node moves while clients write, whether the cluster or the node is told first."""

from pathlib import Path

from tests.cluster import moving


def test_every_node_in_turn_moves_under_load_before_or_after_the_cluster_is_told(tmp_path: Path) -> None:
    moves, posts, _ = moving.measure(tmp_path, ["new address"], ["PUT only", "restart, PUT"])
    assert len(moves) == 6 and posts
