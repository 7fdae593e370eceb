"""Does the simulator find what it is there to find?  Each deliberate fault of the engine, and what catches it.

    python -m tests.mutants [NAME ...] [--seeds 300] [--jobs 2]    a line for each fault: caught by what, at which seed
    python -m tests.mutants --none [--seeds 300] [--jobs 2]        the same seeds without any: nothing is found
    python -m tests.mutants --list                                 what is broken in each, and what forbids it
    python -m tests.mutants [NAME ...] --tests TEST [TEST ...]     what pytest says of each, and which test fails first

The seeds are those from 0 on, up to the first that catches the fault; so the same seed catches it each time.  What
counts as caught, `tests/mutation/hunting.py` says.  The command is 1 where a fault gets away, or where --none does
not.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

from tests.mutation.hunting import Outcome, hunt, violation_of
from tests.mutation.mutant import Mutant
from tests.mutation.table import MUTANTS
from tests.mutation.trying import first_failure
from tests.simulator import describe

TESTS_TIMEOUT_S = 1_200.0  # for all tests that are run against one fault


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see above."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only")
    parser.add_argument("--seeds", type=int, default=300, help="how many, at most")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--none", action="store_true", help="without a fault")
    parser.add_argument("--list", action="store_true", help="only tell what they are")
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="run these tests (files, folders) against them")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"there is no {', '.join(unknown)}")
    chosen = [known[name] for name in options.names] or list(MUTANTS)
    if options.list:
        for mutant in chosen:
            _say(f"{mutant.name}: {mutant.broken} ({mutant.forbidden_by})")
        return 0
    if options.tests:
        return _against(chosen, options.tests)
    return _none(options.seeds, options.jobs) if options.none else _all(chosen, options.seeds, options.jobs)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _all(mutants: Sequence[Mutant], seeds: int, jobs: int) -> int:
    _say(f"{'mutant':44} {'caught by':56} {'at seed':>12} {'CPU s':>6}")
    got_away = by_simulator = 0
    for outcome in _outcomes(mutants, seeds, jobs):
        _say(_line(outcome, seeds))
        got_away += not outcome.caught_by
        by_simulator += outcome.seed is not None
    others = len(mutants) - by_simulator - got_away
    _say(f"{len(mutants)} mutants: {by_simulator} caught by the simulator, {others} by others, {got_away} got away")
    return 1 if got_away else 0


def _against(mutants: Sequence[Mutant], tests: Sequence[str]) -> int:
    got_away = 0
    for mutant in mutants:
        began_s = time.monotonic()
        failed = first_failure(mutant, tests, TESTS_TIMEOUT_S)
        _say(f"{mutant.name:44} {failed or 'NOTHING'} ({time.monotonic() - began_s:.0f} s)")
        got_away += not failed
    return 1 if got_away else 0


def _outcomes(mutants: Sequence[Mutant], seeds: int, jobs: int) -> Iterator[Outcome]:
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        yield from (pool.map if pool else map)(partial(hunt, seeds=range(seeds)), mutants)


def _line(outcome: Outcome, seeds: int) -> str:
    where = f"{outcome.seed} of {seeds}" if outcome.seed is not None else ""
    caught_by = outcome.caught_by or f"NOTHING: {outcome.stumbled} seeds stumbled; {outcome.detail}"
    return f"{outcome.mutant:44} {caught_by:56} {where:>12} {outcome.cpu_s:6.1f}"


def _none(seeds: int, jobs: int) -> int:
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        for violation in (pool.map if pool else map)(violation_of, range(seeds)):
            if violation is not None:
                _say(describe(violation))
                return 1
    _say(f"{seeds} seeds without a fault: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
