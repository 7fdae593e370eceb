"""What the rounds came to: medians, ratios and goals, as JSON and back.

A ratio is that of one round, ours by the peer's, where both ran within the same minute; the median of those is told,
which is not always the ratio of the medians beside it.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.benchmarks.framework import Benchmark, Figure, Point, Round


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one benchmark.  Without a peer `theirs` is empty and `ratio` None."""

    figure: str
    unit: str
    ours: tuple[float, ...]  # a round each
    theirs: tuple[float, ...]
    ours_told: float  # the median, or the worst
    theirs_told: float | None
    ratio: float | None
    goal: str  # "" for none
    met: bool | None  # None where there is no goal, or this was --quick, which proves nothing

    @classmethod
    def of(cls, figure: Figure, ours: Sequence[Round], theirs: Sequence[Round], *, judged: bool) -> "Line":
        a, b = (tuple(round.figures[figure.name] for round in rounds) for rounds in (ours, theirs))
        told = max if figure.worst else statistics.median
        ratios = [x / y for x, y in zip(a, b, strict=False) if y]
        ratio = statistics.median(ratios) if ratios else None
        met = figure.goal.met(told(a), ratio) if figure.goal and judged else None
        goal = str(figure.goal or "")
        return cls(figure.name, figure.unit, a, b, told(a), told(b) if b else None, ratio, goal, met)


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark, run.  `failed` says what went wrong; then there are no lines."""

    name: str
    what: str
    peer: str
    lines: tuple[Line, ...]
    series: Mapping[str, Mapping[str, Sequence[Point]]]  # "ours" and "theirs": those of the last round
    run: Mapping[str, str]  # the machine, and how it was run
    failed: str = ""

    @classmethod
    def of(
        cls, made: Benchmark, ours: Sequence[Round], theirs: Sequence[Round], run: Mapping[str, str], *, judged: bool
    ) -> "Result":
        lines = tuple(Line.of(figure, ours, theirs, judged=judged) for figure in made.figures)
        sides = {"ours": ours, "theirs": theirs}
        series = {side: rounds[-1].series for side, rounds in sides.items() if rounds and rounds[-1].series}
        return cls(made.name, made.what, made.peer, lines, series, run)


def _to_json(value: object) -> object:
    """Members are named as everywhere in the API: `ours_told` is OursTold."""
    if isinstance(value, Line | Result):
        return {_member(field.name): _to_json(getattr(value, field.name)) for field in fields(value)}
    return list(map(_to_json, value)) if isinstance(value, tuple) else value


def _from_json(kind: type[Line] | type[Result], found: Mapping[str, Any]) -> dict[str, Any]:
    values = {field.name: found[_member(field.name)] for field in fields(kind)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _member(name: str) -> str:
    return name.title().replace("_", "")


def _result(found: Mapping[str, Any]) -> Result:
    values = _from_json(Result, found)
    values["lines"] = tuple(Line(**_from_json(Line, line)) for line in values["lines"])
    values["series"] = {
        side: {name: [(x, y) for x, y in points] for name, points in series.items()}
        for side, series in values["series"].items()
    }
    return Result(**values)


def read(file: Path) -> list[Result]:
    return [_result(found) for found in json.loads(file.read_text(encoding="utf-8"))["Benchmarks"]]


def write(file: Path, results: Sequence[Result], order: Sequence[str]) -> None:
    """Write all of them, and what the file held of benchmarks that were not run now.

    `order` is that of the names; what has none any more goes out.  A line each: so a difference shows what changed.
    """
    known = {result.name: result for result in (read(file) if file.exists() else [])}
    known |= {result.name: result for result in results}
    held = [known[name] for name in order if name in known]
    lines = ",\n".join(json.dumps(_to_json(result), ensure_ascii=False) for result in held)
    file.write_text(f'{{"Benchmarks": [\n{lines}\n]}}\n', encoding="utf-8")
