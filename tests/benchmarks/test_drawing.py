"""The pictures.  Not collected where the extra 'bench' is not installed (conftest.py); .ci/run installs it for this."""

from pathlib import Path

from tests.benchmarks import drawing, table
from tests.benchmarks.framework import Benchmark, Figure, Round, times_at_least
from tests.benchmarks.results import Result
from tests.benchmarks.rows import BENCHMARKS

FILE = Path("figures.json")
RUN = {"Measured": "today"}
SERIES = {
    name: [(1.0, 2.0), (3.0, 5.0)] for name in ("posts/s", "resident bytes", "missed ms", "resident bytes of node 1")
}


def results() -> list[Result]:
    """Of every benchmark, as if each figure had been 2 and the peer's 1."""
    found = []
    for benchmark in BENCHMARKS:
        ours = Round({figure.name: 2 for figure in benchmark.figures}, SERIES)
        theirs = [Round({figure.name: 1 for figure in benchmark.figures})] if benchmark.theirs else []
        found.append(Result.of(benchmark, [ours], theirs, RUN, judged=True))
    return found


def test_every_picture_is_drawn_and_drawn_the_same_again(tmp_path: Path) -> None:
    drawn = drawing.draw(tmp_path, FILE, results())
    assert drawing.PICTURES.keys() == table.CAPTIONS.keys()
    assert {file.stem for file in drawn} == {f"figures-{name}" for name in drawing.PICTURES}
    before = [file.read_bytes() for file in drawn]
    assert [file.read_bytes() for file in drawing.draw(tmp_path, FILE, results())] == before


def test_a_bar_for_each_figure_that_is_held_against_a_peer(tmp_path: Path) -> None:
    (ratios,) = (file for file in drawing.draw(tmp_path, FILE, results()) if file.stem == "figures-ratios")
    text = ratios.read_text(encoding="utf-8")
    goals = [
        f"{benchmark.name}: {figure.name}, {figure.goal} {benchmark.peer}"
        for benchmark in BENCHMARKS
        for figure in benchmark.figures
        if figure.goal and figure.goal.times
    ]
    assert len(goals) >= 10
    assert [goal for goal in goals if goal not in text] == []


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    figure = Figure("posts/s", "/s", times_at_least(2))
    alone = Benchmark("posts", "", (figure,), lambda setting: Round({}), peer="etcd")
    result = Result.of(alone, [Round({"posts/s": 2})], [Round({"posts/s": 1})], RUN, judged=True)
    assert [file.stem for file in drawing.draw(tmp_path, FILE, [result])] == ["figures-ratios"]
