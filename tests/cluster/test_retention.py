"""A slice of tests/cluster/retention.py."""

from pathlib import Path

from tests.cluster.compacting import AT_ONCE
from tests.cluster.retention import BOUND, measure
from tests.support.cluster import Forked


def test_disk_is_at_most_three_times_what_a_room_that_keeps_little_of_much_keeps(tmp_path: Path) -> None:
    found = measure(tmp_path, messages=1_600, length=5_000, kept=250, command=Forked(AT_ONCE))
    assert len(found) == 3
    assert all(node.ratio <= BOUND for node in found)
