"""The simulator's command line: one seed, or many.

    python -m tests.simulator --seed N [--trace]                      one run, its steps printed
    python -m tests.simulator --seeds N [--first N] [--jobs J]        many, and at the end what they held

A seed that fails ends the command with what does not hold and how to see it again.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

from tests.simulation.invariants import Violation
from tests.simulation.world import Report, run

PROGRESS_S = 10.0
CHUNK = 8  # seeds a job is given at a time


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one only")
    parser.add_argument("--trace", action="store_true", help="print the steps of --seed")
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _run_one(options.seed, trace=options.trace)
    return _run_many(range(options.first, options.first + options.seeds), options.jobs)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _run_one(seed: int, *, trace: bool) -> int:
    try:
        report = run(seed, _say if trace else None)
    except Violation as violation:
        _say(describe(violation))
        return 1
    _say(summary([report]))
    _say(f"trace {report.digest & (1 << 64) - 1:016x}")
    return 0


def _run_many(seeds: range, jobs: int) -> int:
    began_s = said_s = time.monotonic()
    reports: list[Report] = []
    for outcome in _outcomes(seeds, jobs):
        if isinstance(outcome, str):
            _say(outcome)
            return 1
        reports.append(outcome)
        if time.monotonic() - said_s >= PROGRESS_S:
            said_s = time.monotonic()
            _say(f"{len(reports)} of {len(seeds)} seeds in {said_s - began_s:.0f} s")
    _say(summary(reports))
    _say(f"{time.monotonic() - began_s:.0f} s in all")
    return 0


def _outcomes(seeds: range, jobs: int) -> Iterator[Report | str]:
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        yield from pool.map(outcome_of, seeds, chunksize=CHUNK) if pool else map(outcome_of, seeds)


def outcome_of(seed: int) -> Report | str:
    """The seed's report, or in words what does not hold."""
    try:
        return run(seed)
    except Violation as violation:
        return describe(violation)


def describe(violation: Violation) -> str:
    """What does not hold, where, and how to see it again."""
    return "\n".join([f"VIOLATION {violation}", *violation.__notes__])


def summary(reports: Sequence[Report]) -> str:
    """What the runs held."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    cpu_s = sum(report.cpu_s for report in reports)
    inputs = sum(report.inputs for report in reports)
    simulated_s = sum(report.simulated_ms for report in reports) / 1000
    lines = [f"{name:>24} {count}" for name, count in sorted(counts.items())]
    return "\n".join(
        [
            *lines,
            f"{len(reports)} seeds held, {simulated_s:.0f} simulated seconds, {inputs} inputs to Node; "
            f"{cpu_s:.0f} s of one core, {inputs / cpu_s:.0f} inputs a second",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
