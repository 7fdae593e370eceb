"""The results for people: in a terminal, and as the table of docs/performance.md between its two markers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.results import Line, Result

BEGIN, END = "<!-- figures: written by python -m tests.benchmarks -->", "<!-- end of the figures -->"
VERDICTS = {True: "met", False: "not met", None: ""}
HEADINGS = ("benchmark", "figure", "unit", "raft-chat", "peer", "", "ratio", "goal", "")
TEXT_COLUMNS = 3  # the first ones; what follows is set to the right


def number(value: float | None) -> str:
    """Three digits that say something, whatever its size."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _cells(result: Result, line: Line) -> tuple[str, ...]:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    ours, theirs = number(line.ours_told), number(line.theirs_told)
    verdict = VERDICTS[line.met]
    return result.name, line.figure, line.unit, ours, theirs, result.peer if theirs else "", ratio, line.goal, verdict


def _rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    for result in results:
        if result.failed:
            yield (result.name, f"failed: {result.failed}", *[""] * (len(HEADINGS) - 2))
        yield from (_cells(result, line) for line in result.lines)


def for_a_terminal(results: Sequence[Result]) -> str:
    rows = [HEADINGS, *_rows(results)]
    # A failure's words are as long as they are, and make no column wide.
    fitting = [row for row in rows if any(row[2:])]
    widths = [max(len(row[column]) for row in fitting) for column in range(len(HEADINGS))]

    def padded(row: tuple[str, ...]) -> str:
        cells = [
            cell.ljust(width) if column < TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(map(padded, rows))


def markdown(results: Sequence[Result]) -> str:
    """The table, and under it on what and when each benchmark was run."""
    lines = ["| what | raft-chat | peer | ratio | goal | |", "|---|--:|--:|--:|--:|---|"]
    for result in results:
        for line in result.lines:
            peer = f"{number(line.theirs_told)} ({result.peer})" if line.theirs else ""
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            ours = f"{number(line.ours_told)} {line.unit}".strip()
            cells = (f"`{result.name}`: {line.figure}", ours, peer, ratio, line.goal, VERDICTS[line.met])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_runs(results)])


def _runs(results: Sequence[Result]) -> Iterator[str]:
    """A line for each machine and commit, with the benchmarks that were run so."""
    runs: dict[str, list[str]] = {}
    for result in results:
        told = ", ".join(f"{name.lower()} {words}" for name, words in result.run.items() if name != "Measured")
        runs.setdefault(told, []).append(f"`{result.name}` ({result.run['Measured']})")
    for told, names in runs.items():
        yield f"Measured: {', '.join(names)}, with {told}."


def rewrite(page: Path, results: Sequence[Result]) -> None:
    """Put the table between the markers of this page.  AssertionError where it has no such markers."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{page} does not have the lines {BEGIN!r} and {END!r}"
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")
