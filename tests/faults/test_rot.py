"""A record that is damaged on all disks."""

from pathlib import Path

from tests.faults.rot import all_copies
from tests.support.cluster import Cluster


def test_a_record_that_no_node_has_is_a_clear_problem_and_all_else_is_served(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        outcome = all_copies.run(cluster.start_ready())
        assert outcome.is_right, str(outcome)
