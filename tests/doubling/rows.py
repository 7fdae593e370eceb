"""What a row of the sweep is, how it is measured, and what fails it.

Rules
- A row feeds one parser, check or answer its longest legal input, and half of it, in a shape that is the worst known.
- Time is the processor's, the least of some repeats: others on the machine can only add to it.  What fails is measured
  again before it counts.
- The longest input may take RATIO_MAX times what half of it takes, and one request, frame or piece BOUND_MS.
"""

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chat.errors import Problem
from chat.server.http import HttpError
from raft.errors import InvalidMessage

# Beside another worker of the tests, which may have the other half of the same core and its caches, a processor's
# second does half, and a long input is slower by more than a short one.  The command, alone, holds what is promised.
IS_SHARED = "PYTEST_XDIST_WORKER" in os.environ
RATIO_MAX = 3.7 if IS_SHARED else 3.0  # what is quadratic has 4
BOUND_MS = 100.0 if IS_SHARED else 50.0
QUICK_MS = 1.0  # what takes no longer, whole, may take it in any way: on a busy machine the ratio would be noise
TRIES = 8  # of a row that fails

REFUSALS = (Problem, HttpError, InvalidMessage, ValueError)


@dataclass(frozen=True, slots=True)
class Effort:
    """How often a case is measured: at least, at most, and until the repeats have taken so long."""

    least: int
    most: int
    enough_s: float


THOROUGH = Effort(3, 12, 0.06)
BRIEF = Effort(2, 5, 0.002)  # for every run of the tests; what fails is measured again THOROUGH


@dataclass(frozen=True, slots=True)
class Case:
    """An input, and what is done with it.  `prepare` makes anew, unmeasured, what `run` gets."""

    size: int  # in bytes, or what the row's name says
    run: Callable[[Any], object]
    prepare: Callable[[], object] = lambda: None
    pieces: int = 1  # it is so many requests, frames or pieces of an answer
    clock: Callable[[], float] = time.thread_time


@dataclass(frozen=True, slots=True)
class Row:
    """`make(1.0)` is the longest legal input, `make(0.5)` half of it."""

    name: str
    make: Callable[[float], Case]
    is_bounded: bool = True  # False: no request, frame or piece, but a file that is read once in a start
    takes_long: bool = False  # to make its input: for the command, not for every run of the tests


@dataclass(slots=True)
class Measured:
    """What a row came to."""

    row: Row
    size: int
    pieces: int
    full_ms: float
    half_ms: float
    outcome: object = None
    tries: int = field(default=1)

    @property
    def ratio(self) -> float:
        """How many times longer the whole input takes than half of it."""
        return self.full_ms / max(self.half_ms, 1e-6)

    @property
    def piece_ms(self) -> float:
        """What one request, frame or piece takes."""
        return self.full_ms / self.pieces

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words."""
        found = []
        if self.full_ms > QUICK_MS and self.ratio > RATIO_MAX:
            found.append(f"{self.ratio:.1f} times as long for twice the size (at most {RATIO_MAX})")
        if self.row.is_bounded and self.piece_ms > BOUND_MS:
            found.append(f"{self.piece_ms:.1f} ms of the processor (at most {BOUND_MS:.0f})")
        return [f"{self.row.name}: {fault}" for fault in found]


def outcome(case: Case) -> object:
    """What one run comes to; a refusal is as good as any."""
    made = case.prepare()
    with suppress(*REFUSALS):
        return case.run(made)
    return None


def measured(row: Row, effort: Effort = THOROUGH) -> Measured:
    """Measure a row; again, as long as it fails, TRIES times."""
    full, half = row.make(1.0), row.make(0.5)
    full_ms, half_ms = _milliseconds(full, effort), _milliseconds(half, effort)
    found = Measured(row, full.size, full.pieces, full_ms, half_ms)
    while found.faults and found.tries < TRIES:
        found.full_ms = min(found.full_ms, _milliseconds(full, THOROUGH))
        found.half_ms = min(found.half_ms, _milliseconds(half, THOROUGH))
        found.tries += 1
    if effort is THOROUGH:
        found.outcome = outcome(full)
    return found


def _milliseconds(case: Case, effort: Effort) -> float:
    """The least of some repeats, without the collector, whose turns fall into one repeat and not into another."""
    gc.disable()
    try:
        least, total, repeats = float("inf"), 0.0, 0
        while repeats < effort.least or (total < effort.enough_s and repeats < effort.most):
            made = case.prepare()
            began = case.clock()
            with suppress(*REFUSALS):
                case.run(made)
            took = case.clock() - began
            least, total, repeats = min(least, took), total + took, repeats + 1
    finally:
        gc.enable()
    return least * 1000
