"""200 websockets whose node is killed go on at the others: nothing missed, nothing twice, and soon."""

from pathlib import Path

import pytest

from tests.cluster import resuming


@pytest.mark.parametrize("kill_leader", [True, False], ids=["leader", "follower"])
def test_two_hundred_sockets_whose_node_is_killed_miss_nothing_and_are_back_within_two_seconds(
    tmp_path: Path, *, kill_leader: bool
) -> None:
    seen = resuming.measure(tmp_path, kill_leader=kill_leader)
    assert (seen.missed, seen.repeated) == (0, 0)
    assert len(seen.caught_up_s) == 200
    assert seen.within(2) >= 0.95, seen.caught_up_s
