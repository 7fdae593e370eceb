"""The pictures of docs/performance.md, as SVG.  The only file that imports matplotlib, and only drawing imports it.

The same results give the same bytes: no date, no random ids, and the text stays text in the reader's own font.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks import table
from tests.benchmarks.framework import Point
from tests.benchmarks.results import Line, Result

matplotlib.rcParams |= {"svg.hashsalt": "raft-chat", "svg.fonttype": "none", "font.family": "sans-serif"}

WIDTH_IN, ROW_IN, PLOT_IN = 9.0, 0.36, 3.2
OURS, THEIRS, BEYOND, GOAL = "#1f6feb", "#8c959f", "#cf222e", "#1a7f37"
LINES = (OURS, "#bf8700", "#8250df")
MIB = 1 << 20

Picture = Callable[[Mapping[str, Result]], Figure | None]


def ratios(results: Mapping[str, Result]) -> Figure | None:
    """A bar for each figure that has a goal in multiples of a peer's; a green mark where the goal lies."""
    bars = [
        (f"{result.name}: {line.figure}, {line.goal} {result.peer}", line)
        for result in results.values()
        for line in result.lines
        if line.ratio and line.goal.endswith("×")
    ]
    if not bars:
        return None
    figure, axes = _plot("how many times the peer's figure ours is; green: the goal", ROW_IN * len(bars) + 0.9)
    for height, (_, line) in enumerate(reversed(bars)):
        assert line.ratio
        axes.barh(height, line.ratio, left=0, height=0.6, color=BEYOND if line.met is False else OURS)
        axes.vlines(_bound(line), height - 0.42, height + 0.42, color=GOAL, linewidth=2.5)
        axes.text(line.ratio, height, f" {line.ratio:.2f} ", va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [label for label, _ in reversed(bars)], fontsize=9)
    axes.axvline(1, color=THEIRS, linewidth=1)
    axes.margins(x=0.1)
    return figure


def _bound(line: Line) -> float:
    return float(line.goal.split()[1].replace(",", ""))


def growth(results: Mapping[str, Result]) -> Figure | None:
    """Posts a second while a cluster is filled."""
    return _rate(_series(results, "growth", "posts/s"))


def rate(results: Mapping[str, Result]) -> Figure | None:
    """The same while it gets ten million."""
    return _rate(_series(results, "ten-million", "posts/s"))


def _rate(points: Sequence[Point]) -> Figure | None:
    if not points:
        return None
    figure, axes = _plot("acknowledged posts/s, three nodes, as the messages that they hold grow in number")
    _line(axes, "", [(messages / 1e6, rate) for messages, rate in points], OURS)
    _named(axes, "million messages", "posts/s")
    return figure


def memory(results: Mapping[str, Result]) -> Figure | None:
    """What a single node's process has of the machine's memory while it is filled."""
    kinds = {"memory": "one room", "memory-rooms": "10,000 rooms"}
    found = {words: points for name, words in kinds.items() if (points := _series(results, name, "resident bytes"))}
    if not found:
        return None
    figure, axes = _plot("resident memory of a single node")
    for (words, points), colour in zip(found.items(), LINES, strict=False):
        _line(axes, words, [(messages / 1e6, bytes / MIB) for messages, bytes in points], colour)
    _named(axes, "million messages", "MiB")
    axes.legend(frameon=False)
    return figure


def kills(results: Mapping[str, Result]) -> Figure | None:
    """How long a killed leader was missed, kill by kill."""
    points = _series(results, "kill", "missed ms")
    if not points:
        return None
    figure, axes = _plot("kill -9 of the leader to the next acknowledged post")
    axes.bar([f"{number:.0f}" for number, _ in points], [ms for _, ms in points], color=OURS, width=0.6)
    _named(axes, "kill", "ms")
    return figure


def busy(results: Mapping[str, Result]) -> Figure | None:
    """What the processes have of the machine's memory in ten busy minutes."""
    return _resident(results, "busy", "under posts over 256 connections", "minutes", 60)


def resident(results: Mapping[str, Result]) -> Figure | None:
    """The same while they get ten million messages."""
    return _resident(results, "ten-million", "as the messages that they hold grow in number", "million messages", 1e6)


def _resident(results: Mapping[str, Result], name: str, when: str, unit: str, a_unit: float) -> Figure | None:
    prefix = "resident bytes of node "
    found = results[name].series.get("ours", {}) if name in results else {}
    lines = {name.removeprefix(prefix): points for name, points in found.items() if name.startswith(prefix)}
    if not lines:
        return None
    figure, axes = _plot(f"resident memory of three nodes {when}")
    for (id, points), colour in zip(sorted(lines.items()), LINES, strict=False):
        _line(axes, f"node {id}", [(x / a_unit, bytes / MIB) for x, bytes in points], colour)
    _named(axes, unit, "MiB")
    axes.legend(frameon=False)
    return figure


# Under the names of table.CAPTIONS.
PICTURES: Mapping[str, Picture] = {
    "ratios": ratios,
    "growth": growth,
    "memory": memory,
    "kills": kills,
    "busy": busy,
    "rate": rate,
    "resident": resident,
}


def draw(directory: Path, file: Path, results: Iterable[Result]) -> list[Path]:
    """Write <the file's stem>-<name>.svg for each picture that its results have figures for; what was written."""
    by_name = {result.name: result for result in results}
    drawn = []
    for name, picture in PICTURES.items():
        figure = picture(by_name)
        if figure is not None:
            drawn.append(table.picture(directory, file, name))
            figure.savefig(drawn[-1], format="svg", metadata={"Date": None})
    return drawn


def _series(results: Mapping[str, Result], name: str, series: str) -> Sequence[Point]:
    return results[name].series.get("ours", {}).get(series, ()) if name in results else ()


def _plot(title: str, height: float = PLOT_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(axes: Axes, label: str, points: Sequence[Point], colour: str) -> None:
    axes.plot([x for x, _ in points], [y for _, y in points], label=label, color=colour)


def _named(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
