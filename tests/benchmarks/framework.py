"""What a benchmark is; how one is added stands in this package's own docstring.

Nothing here starts or measures anything.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

Point = tuple[float, float]

QUICK_SHARE = 50  # --quick takes this part of what is counted: sockets, rooms, kills


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to come to: by itself, or as a multiple of the peer's."""

    bound: float
    least: bool  # at least the bound, else at most
    times: bool  # the bound is a multiple of the peer's figure

    def met(self, ours: float, ratio: float | None) -> bool:
        """`ratio` is ours by the peer's, None where there is no peer or its figure is 0."""
        value = ratio if self.times else ours
        assert value is not None, "a goal in multiples of a peer that has no figure"
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:,g}{' ×' if self.times else ''}"


def at_least(bound: float) -> Goal:
    return Goal(bound, least=True, times=False)


def at_most(bound: float) -> Goal:
    return Goal(bound, least=False, times=False)


def times_at_least(bound: float) -> Goal:
    return Goal(bound, least=True, times=True)


def times_at_most(bound: float) -> Goal:
    return Goal(bound, least=False, times=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str  # the key in a Round
    unit: str
    goal: Goal | None = None
    worst: bool = False  # the highest of the rounds is told, not their median: for what must never happen


@dataclass(frozen=True, slots=True)
class Round:
    """What one side came to in one round: the same keys every time, and points (x, y) of what changed meanwhile."""

    figures: Mapping[str, float]
    series: Mapping[str, Sequence[Point]] = field(default_factory=dict)


class Kept:
    """What outlives a round, because making it takes minutes: a filled cluster, say.  All of it goes with the run.

    Who takes something out leaves it stopped again: it must cost nothing while others are measured.
    """

    def __init__(self) -> None:
        self._made: dict[str, object] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def get(self, name: str, make: Callable[[], AbstractContextManager[T]], kind: type[T]) -> T:
        """What `make` made when it was first asked for under this name."""
        if name not in self._made:
            self._made[name] = self._closing.enter_context(make())
        made = self._made[name]
        assert isinstance(made, kind)
        return made


@dataclass(frozen=True, slots=True)
class Setting:
    """What a round is given."""

    directory: Path  # empty, this round's alone, and removed after it
    seconds: int  # to measure for
    messages: int  # that a filled cluster holds
    kept: Kept
    say: Callable[[str], None]  # how far it is, where it takes long
    quick: bool = False

    def scaled(self, count: int) -> int:
        """So many, or with --quick a small part of it."""
        return max(1, count // QUICK_SHARE) if self.quick else count


Measure = Callable[[Setting], Round]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Ours and a peer, measured in the same way."""

    name: str  # on the command line
    what: str  # one line for people
    figures: Sequence[Figure]
    ours: Measure
    theirs: Measure | None = None
    peer: str = ""  # what it is called in the table
    needs: Sequence[str] = ()  # programs in the PATH, and Python packages that are no dependency: see running.NEEDED
    long: bool = False  # minutes: not among those that run where none is named
    huge: bool = False  # half an hour and a disk's worth: not among those of --all either
    messages: int = 1_000_000  # that Setting.messages is where the command line does not say
    rounds: int | None = None  # always so many, for one that repeats within its round
