"""The results for people: in a terminal, and as the tables of docs/performance.md, each between two markers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.results import Line, Result

BEGIN, END = "<!-- figures of {}: written by python -m tests.benchmarks -->", "<!-- end of the figures -->"
# What drawing.py draws, in words for who does not see it.
CAPTIONS = {
    "ratios": "Each figure that is held against a peer's, as a multiple of it",
    "growth": "Posts a second while messages come in",
    "memory": "Resident memory of a node while messages come in",
    "kills": "How long a killed leader is missed, kill by kill",
    "busy": "Resident memory of three nodes in ten busy minutes",
    "rate": "Posts a second while ten million messages come in",
    "resident": "Resident memory of three nodes while ten million messages come in",
}
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
    """The table, a heading line for each benchmark, and under it when and on what they were run."""
    lines = ["| what | raft-chat | peer | ratio | goal | |", "|---|--:|--:|--:|--:|---|"]
    for result in results:
        lines.append(f"| **`{result.name}`** {result.what} | | | | | |")
        if result.failed:
            lines.append(f"| failed: {result.failed} | | | | | |")
        lines += [f"| {' | '.join(_markdown_cells(result, line))} |" for line in result.lines]
    return "\n".join([*lines, "", *_runs(results)])


def _markdown_cells(result: Result, line: Line) -> tuple[str, ...]:
    peer = f"{number(line.theirs_told)} ({result.peer})" if line.theirs else ""
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    ours = f"{number(line.ours_told)} {line.unit}".strip()
    verdict = f"**{VERDICTS[False]}**" if line.met is False else VERDICTS[line.met]
    return line.figure, ours, peer, ratio, line.goal, verdict


def _runs(results: Sequence[Result]) -> Iterator[str]:
    """A line for each machine, commit and length of the run, with the benchmarks that were run so."""
    runs: dict[str, list[Result]] = {}
    for result in results:
        told = ", ".join(f"{name.lower()} {words}" for name, words in result.run.items() if name != "Measured")
        runs.setdefault(told, []).append(result)
    for told, same in runs.items():
        names = ", ".join(f"`{result.name}`" for result in same)
        times = [result.run["Measured"] for result in same]
        when = min(times) if len(set(times)) == 1 else f"{min(times)} to {max(times)}"
        yield f"- {names}: {when}, {told}."


def picture(directory: Path, file: Path, name: str) -> Path:
    """Where the picture of this name, of that file's figures, lies in a directory."""
    return directory / f"{file.stem}-{name}.svg"


def rewrite(page: Path, file: Path, results: Sequence[Result]) -> None:
    """Put the table, and the pictures that lie beside the page, between its markers for that file's figures.

    AssertionError where it has none.
    """
    marker = BEGIN.format(file.name)
    pictures = {name: picture(page.parent, file, name) for name in CAPTIONS}
    shown = [f"![{CAPTIONS[name]}]({found.name})" for name, found in pictures.items() if found.exists()]
    written = "\n\n".join([marker, markdown(results), *shown, END])
    before, begin, rest = page.read_text(encoding="utf-8").partition(marker)
    _, end, after = rest.partition(END)
    assert begin and end, f"{page} does not have the lines {marker!r} and {END!r}"
    page.write_text(f"{before}{written}{after}", encoding="utf-8")
