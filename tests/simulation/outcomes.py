"""The outcomes of seeds, for tests: no seed is lived twice in one process, whichever test asks first."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.world import Report
from tests.simulator import outcome_of

PROCESSES = 2
NICENESS = 5  # lives have no deadlines; what runs beside them has

_known: dict[int, Report | str] = {}


def computing() -> ProcessPoolExecutor:
    """Processes that live seeds, and give way to others."""
    return ProcessPoolExecutor(PROCESSES, initializer=os.nice, initargs=(NICENESS,))


def outcomes_of(seeds: Sequence[int]) -> list[Report | str]:
    """Each seed's report, or in words what does not hold; those that nobody has asked for yet are lived now."""
    new = [seed for seed in seeds if seed not in _known]
    if new:
        with computing() as pool:
            _known.update(zip(new, pool.map(outcome_of, new), strict=True))
    return [_known[seed] for seed in seeds]
