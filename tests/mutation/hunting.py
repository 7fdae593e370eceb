"""Seed after seed with a fault in the engine, until an invariant does not hold.

A fault counts as caught where an invariant that has a name says what is wrong, or where a golden script shows what
should have been otherwise; where the table names a test, if that fails.  A program error, and a member that refuses
what another one sent, do not count: that the engine stumbles over its own fault is luck, and says nothing about what
is watched.
"""

import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from traceback import extract_tb
from unittest.mock import patch

import pytest

from tests.mutation.mutant import Mutant
from tests.mutation.patching import edited
from tests.raft.script import SCRIPTS, played
from tests.simulation.invariants import Violation
from tests.simulation.world import run
from tests.support import waiting

TESTS = Path(__file__).parents[1]
DEADLINE_SHARE = 0.2  # of what a test waits for at most: many a fault is seen by what never comes
STUMBLED = "believable"  # the invariant that tells of program errors and refusals


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a hunt."""

    mutant: str
    caught_by: str  # an invariant, a script or a test; "" where it got away
    seed: int | None  # None: of a script or a test
    tried: int
    stumbled: int  # seeds that ended with a program error or a refusal
    cpu_s: float
    detail: str


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Outcome:
    """Run the mutant's test or play its script, or else live these seeds, up to the first that catches it."""
    began_s = time.process_time()
    tried = stumbled = 0
    detail = "nothing was found"
    with edited(mutant.edits):
        if mutant.test:
            is_caught = fails(mutant.test)
            cpu_s = time.process_time() - began_s
            return Outcome(mutant.name, mutant.test if is_caught else "", None, 1, 0, cpu_s, detail)
        if mutant.script:
            try:
                shown = difference(mutant.script)
            except Exception as error:  # noqa: BLE001 - told: a program error
                return Outcome(mutant.name, "", None, 1, 1, time.process_time() - began_s, repr(error))
            caught_by = f"script {mutant.script}" if shown else ""
            return Outcome(mutant.name, caught_by, None, 1, 0, time.process_time() - began_s, shown or detail)
        for seed in seeds:
            tried += 1
            violation = violation_of(seed)
            if violation is None:
                continue
            detail = violation.detail
            if violation.name != STUMBLED:
                cpu_s = time.process_time() - began_s
                return Outcome(mutant.name, violation.name, seed, tried, stumbled, cpu_s, detail)
            stumbled += 1
    return Outcome(mutant.name, "", None, tried, stumbled, time.process_time() - began_s, detail)


class _Failures:
    """A plugin of pytest that counts tests which fail while they run; not while they are looked for or prepared."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.failed and report.when == "call"


def fails(test: str) -> bool:
    """Whether that test, a name below tests/, fails in this process as the program is now."""
    failures = _Failures()
    without = ("cacheprovider", "threadexception", "unraisableexception")  # of these tests nothing is left or told
    options = [part for name in without for part in ("-p", f"no:{name}")]
    with redirect_stdout(StringIO()), patch.object(waiting, "deadline_share", DEADLINE_SHARE):
        pytest.main(["-q", *options, str(TESTS / test)], plugins=[failures])
    return failures.count > 0


def violation_of(seed: int) -> Violation | None:
    """What does not hold in that seed, as the engine is now."""
    try:
        run(seed)
    except Violation as violation:
        return violation
    except Exception as error:  # noqa: BLE001 - told: the fault led to a program error outside of the members
        return Violation(STUMBLED, repr(error))
    return None


def difference(script: str) -> str:
    """The first line that plays otherwise than it stands in a golden script; "" where none does."""
    text = (SCRIPTS / f"{script}.txt").read_text()
    try:
        wanted, shown = text.splitlines(), played(text).splitlines()
    except AssertionError as error:
        if not extract_tb(error.__traceback__)[-1].filename.endswith("tests/raft/invariants.py"):
            raise  # the engine's own
        return f"the scripts' invariants: {error}"
    for want, show in zip(wanted, shown, strict=False):
        if want != show:
            return f"{show.strip()!r} in the place of {want.strip()!r}"
    return "" if len(wanted) == len(shown) else "it is of another length"
