"""A small hostile crowd: what the whole of it does is measured by `python -m tests.cluster.hostile_crowd`."""

from pathlib import Path

from tests.cluster.hostile_crowd import GROWTH_MAX_MB, Crowd, measure

HALF_WAITS_MS = 3_000  # it is about 10 ms; on a machine that is very busy, with a post each 20 ms, nearly a second


def test_a_small_hostile_crowd_holds_nobody_up(tmp_path: Path) -> None:
    result = measure(tmp_path, Crowd(idle=200, readers=30, frames=12), seconds=0.6, big_posts=100)
    assert result.at_leader.failed == 0
    assert result.at_leader.percentile(0.5) < HALF_WAITS_MS + result.at_sink.percentile(0.5)
    assert result.terms[0] == result.terms[1]
    assert result.grown_mb < GROWTH_MAX_MB / 2
