"""What must hold under load, whatever the figures are: every kind of benchmark, for a second, on real processes."""

import math
from collections.abc import Iterator

import pytest

from tests.benchmarks import ours
from tests.benchmarks.framework import Benchmark, Kept
from tests.benchmarks.rows import BENCHMARKS
from tests.benchmarks.running import Plan, missing, one_round
from tests.support.cluster import NODE
from tests.support.tools import require

# These are `posts` with other connections and `memory` with more rooms: they run when they are asked for by name.
THE_SAME = {"spread", "one", "memory-rooms"}
SLICE = [benchmark for benchmark in BENCHMARKS if benchmark.name not in THE_SAME]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """What several benchmarks use, as where one command names them: three filled nodes, and one."""
    with Kept() as kept:
        yield kept


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "PROGRAM", NODE)


@pytest.mark.parametrize("benchmark", SLICE, ids=[benchmark.name for benchmark in SLICE])
def test_it_runs_without_an_error_and_tells_every_figure(benchmark: Benchmark, kept: Kept) -> None:
    require(missing(benchmark))
    sides = [benchmark.ours] + ([benchmark.theirs] if benchmark.theirs else [])
    rounds = [one_round(benchmark, side, Plan.quickly(), kept, print) for side in sides]
    wrong = [value for found in rounds for value in found.figures.values() if not math.isfinite(value)]
    assert wrong == []
