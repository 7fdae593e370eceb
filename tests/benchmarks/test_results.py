"""What is told of the rounds: medians, ratios, goals, and the same again from JSON."""

from pathlib import Path

import pytest

from tests.benchmarks import table
from tests.benchmarks.framework import (
    Benchmark,
    Figure,
    Goal,
    Kept,
    Measure,
    Round,
    Setting,
    at_least,
    at_most,
    times_at_least,
    times_at_most,
)
from tests.benchmarks.results import Result, read, write
from tests.benchmarks.running import Plan, missing, run

RATE = Figure("posts/s", "/s", times_at_least(2))
PAUSE = Figure("pause", "ms", at_most(100), worst=True)
RUN = {"Measured": "today", "Cores": "2"}


def rounds(rates: list[float], pauses: list[float]) -> list[Round]:
    series = {"posts/s over messages": [(0.0, 1.5), (10.0, 2.5)]}
    return [Round({"posts/s": rate, "pause": pause}, series) for rate, pause in zip(rates, pauses, strict=True)]


def unused(setting: Setting) -> Round:
    raise AssertionError("is not run")


def benchmark(ours: Measure = unused, theirs: Measure | None = unused) -> Benchmark:
    return Benchmark("posts", "posts and pauses", (RATE, PAUSE), ours, theirs, peer="etcd")


def result(name: str = "posts", *, judged: bool = True) -> Result:
    ours = rounds([300, 200, 90], [10, 120, 20])
    theirs = rounds([100, 100, 50], [1, 1, 1])
    told = Result.of(benchmark(), ours, theirs, RUN, judged=judged)
    return Result(name, told.what, told.peer, told.lines, told.series, told.run)


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    rate, _ = result().lines
    assert (rate.ours_told, rate.theirs_told, rate.ratio, rate.met) == (200, 100, 2, True)


def test_of_what_must_never_happen_the_worst_is_told() -> None:
    _, pause = result().lines
    assert (pause.ours_told, pause.met) == (120, False)


def test_a_quick_run_judges_nothing() -> None:
    assert [line.met for line in result(judged=False).lines] == [None, None]


@pytest.mark.parametrize(
    ("goal", "ours", "ratio", "met"),
    [
        (at_least(5), 5, None, True),
        (at_least(5), 4, 9, False),
        (at_most(5), 5, 9, True),
        (at_most(5), 6, None, False),
        (times_at_least(2), 0, 2, True),
        (times_at_least(2), 9, 1.9, False),
        (times_at_most(1), 9, 1, True),
        (times_at_most(1), 0, 1.1, False),
    ],
)
def test_a_goal_is_met_from_its_bound_on(goal: Goal, ours: float, ratio: float | None, met: bool) -> None:
    assert goal.met(ours, ratio) is met


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    write(file, [result()], ["posts"])
    assert read(file) == [result()]


def test_benchmarks_that_were_not_run_now_stay_in_the_file_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    write(file, [result("first"), result("last"), result("given up")], ["first", "last", "given up"])
    write(file, [result("first", judged=False)], ["last", "first"])
    assert read(file) == [result("last"), result("first", judged=False)]


def test_only_what_stands_between_the_markers_of_a_page_is_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin = table.BEGIN.format("figures.json")
    others = f"{table.BEGIN.format('others.json')}\nothers\n{table.END}\n"
    page.write_text(f"{others}{begin}\nold\n{table.END}\nafter\n")
    table.rewrite(page, tmp_path / "figures.json", [result()])
    text = page.read_text()
    assert text.startswith(f"{others}{begin}\n") and text.endswith(f"{table.END}\nafter\n")
    assert "| posts/s | 200 /s | 100 (etcd) | 2.00 | ≥ 2 × | met |" in text
    assert "| pause | 120 ms | 1 (etcd) | 20.00 | ≤ 100 | **not met** |" in text
    assert "old" not in text


def test_a_page_shows_the_pictures_of_its_figures_that_lie_beside_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{table.BEGIN.format('figures.json')}\n{table.END}\n")
    for name in ("figures-growth.svg", "others-kills.svg"):
        (tmp_path / name).touch()
    table.rewrite(page, tmp_path / "figures.json", [result()])
    assert page.read_text().count("![") == page.read_text().count("](figures-growth.svg)") == 1


def test_a_page_without_the_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing to see")
    with pytest.raises(AssertionError, match="does not have the lines"):
        table.rewrite(page, tmp_path / "figures.json", [result()])


def test_ours_and_the_peer_run_in_turn_each_in_an_empty_directory() -> None:
    order: list[str] = []

    def side(name: str) -> Measure:
        def measure(setting: Setting) -> Round:
            assert list(setting.directory.iterdir()) == []
            (setting.directory / "left").touch()
            order.append(name)
            return Round({"posts/s": 1, "pause": 1})

        return measure

    with Kept() as kept:
        run(benchmark(side("ours"), side("theirs")), Plan(rounds=2), kept, lambda line: None)
    assert order == ["ours", "theirs", "ours", "theirs"]


@pytest.mark.parametrize(
    ("ours", "words"),
    [(unused, "is not run"), (lambda setting: Round({"posts/s": 1}), "posts gave")],
    ids=["fails", "tells other figures"],
)
def test_a_benchmark_that_goes_wrong_tells_so_and_has_no_figures(ours: Measure, words: str) -> None:
    with Kept() as kept:
        found = run(benchmark(ours), Plan(), kept, lambda line: None)
    assert words in found.failed
    assert found.lines == ()


def test_what_a_machine_lacks_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    needy = Benchmark("posts", "", (), unused, needs=("etcd", "websockets"))
    assert missing(needy) == ["etcd (apt-get install etcd-server)"]
