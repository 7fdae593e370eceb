"""A node behind a slow line catches up, and little goes over the line twice."""

from pathlib import Path

from tests.cluster import slow_line


def test_a_node_behind_a_slow_line_catches_up_without_waste(tmp_path: Path) -> None:
    result = slow_line.measure(tmp_path, kib_s=100, lack_kib=150, most_s=20)
    assert result.caught_up and not result.elections
    assert result.carried_kib < 2 * result.lacked_kib
