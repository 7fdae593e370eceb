"""What must hold under load, whatever the figures are: every kind of benchmark, for a second, on real processes."""

import math
import os

import pytest

from tests.benchmarks.framework import Benchmark, Kept
from tests.benchmarks.rows import BENCHMARKS
from tests.benchmarks.running import Plan, missing, one_round

# These are `posts` with other connections and `memory` with more rooms: they run when they are asked for by name.
THE_SAME = {"spread", "one", "memory-rooms"}
SLICE = [benchmark for benchmark in BENCHMARKS if benchmark.name not in THE_SAME]


@pytest.mark.parametrize("benchmark", SLICE, ids=[benchmark.name for benchmark in SLICE])
def test_it_runs_without_an_error_and_tells_every_figure(benchmark: Benchmark) -> None:
    if lacking := missing(benchmark):
        words = f"this needs {', '.join(lacking)}"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    sides = [benchmark.ours] + ([benchmark.theirs] if benchmark.theirs else [])
    with Kept() as kept:
        rounds = [one_round(benchmark, side, Plan.quickly(), kept, print) for side in sides]
    wrong = [value for found in rounds for value in found.figures.values() if not math.isfinite(value)]
    assert wrong == []
