"""Clocks that are wrong, on real nodes: `python -m tests.clocks` has more of them."""

from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from tests.clocks import FakeClock, rows
from tests.faults.tools import LIBFAKETIME
from tests.support.cluster import READY_S, Cluster, NodeProcess
from tests.support.tools import require
from tests.support.waiting import wait_until

NEAR_S = 20.0  # ten that a clock may be off, and a busy machine
OFF_S = 3600


@pytest.fixture(autouse=True)
def _faketime() -> None:
    require([] if Path(LIBFAKETIME).exists() else ["faketime"])


def _lead(cluster: Cluster, id: int) -> None:
    assert cluster.request(id, "POST", f"/raft/{id}/lead").status == 204
    wait_until(lambda: cluster.leader() == id, READY_S, f"node {id} leads")


def _posted(cluster: Cluster, id: int, room: str) -> datetime:
    """Post by a node; the post's time, which is about the right one."""
    answer = cluster.post(id, room, "hello")
    assert answer.status == 201, answer
    posted_at = datetime.fromisoformat(answer.json()["PostedAt"])
    assert abs((datetime.now(UTC) - posted_at).total_seconds()) < NEAR_S
    return posted_at


@pytest.mark.parametrize(("off_s", "way"), [(-OFF_S, "behind"), (OFF_S, "ahead of")])
def test_a_leader_whose_clock_is_off_goes_by_those_of_the_others(tmp_path: Path, off_s: int, way: str) -> None:
    clock, said = FakeClock(tmp_path / "clock-1", off_s), f"this node's clock is {OFF_S} s {way} that of most members"
    nodes = [NodeProcess(1, tmp_path, command=clock.command), NodeProcess(2, tmp_path), NodeProcess(3, tmp_path)]
    with Cluster(tmp_path, nodes=nodes) as cluster:
        cluster.start_ready()
        _lead(cluster, 1)
        nodes[0].wait_says(said)  # it knows the others' clocks: in doubt the own one counts
        for id in (1, 2, 3):
            _posted(cluster, id, "kept")
            _posted(cluster, id, "short")
        wait_until(
            lambda: all(
                cluster.request(1, "PATCH", f"/rooms/{room}", f'{{"Retention": {{"MaxAgeSeconds": {age_s}}}}}').status
                == 200
                for room, age_s in (("kept", OFF_S // 2), ("short", 3))
            ),
            READY_S,
            "all know ages",
        )
        for leader in (1, 2):  # what goes by its age does so by either, and what is younger stays
            _lead(cluster, leader)
            posted_at, began_s = _posted(cluster, 3, "short"), monotonic()
            wait_until(lambda: cluster.request(3, "GET", "/rooms/short").json() == [], READY_S, "it goes")
            passed_s = monotonic() - began_s
            assert (_posted(cluster, leader, "kept") - posted_at).total_seconds() > passed_s - 1.0, "it stands still"
            assert len(cluster.request(3, "GET", "/rooms/kept").json()) == 3 + leader
        assert nodes[0].log().count(said) == 1
        clock.set(0)
        nodes[0].wait_says("this node's clock agrees with that of most members again")
        assert nodes[0].log().count("this node's clock") == 2
        assert "this node's clock" not in nodes[1].log() + nodes[2].log()


def test_a_clock_that_was_a_year_ahead_is_accepted_and_one_that_leaps_changes_nothing(tmp_path: Path) -> None:
    (row,) = rows("in-short", tmp_path)
    assert row.faults() == [], row
