"""The command line: what is chosen, what is refused, and what the exit code says."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import table
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting
from tests.benchmarks.results import read

Run = Callable[..., int]


def fine(setting: Setting) -> Round:
    return Round({"posts/s": 5})


def counted(setting: Setting) -> Round:
    return Round({"posts/s": setting.messages})


def broken(setting: Setting) -> Round:
    raise AssertionError("17 posts failed")


MADE = (
    Benchmark("short", "takes seconds", (Figure("posts/s", "/s"),), fine),
    Benchmark("long", "takes minutes", (Figure("posts/s", "/s"),), fine, long=True),
    Benchmark("vast", "takes half an hour", (Figure("posts/s", "/s"),), counted, long=True, huge=True, messages=700),
    Benchmark("broken", "fails", (Figure("posts/s", "/s"),), broken, long=True),
    Benchmark("needy", "lacks something", (Figure("posts/s", "/s"),), fine, needs=("wrk",), long=True),
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with these arguments, on benchmarks that do nothing and a machine that has nothing."""
    monkeypatch.setattr(command, "BENCHMARKS", MADE)
    monkeypatch.setattr(command, "BY_NAME", {benchmark.name: benchmark for benchmark in MADE})
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)

    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        return command.main()

    return main


def test_what_takes_minutes_runs_where_it_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "short 1/3" in (said := capsys.readouterr().out) and "long" not in said
    assert run("long", "--rounds", "2") == 0
    assert "long 2/2" in (said := capsys.readouterr().out) and "short" not in said


def test_what_takes_half_an_hour_runs_where_it_is_named_and_not_with_all(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--all")
    assert "long 3/3" in (said := capsys.readouterr().out) and "vast" not in said
    assert run("vast") == 0
    assert "vast 3/3" in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "messages"), [((), "700"), (("--messages", "900"), "900")])
def test_a_benchmark_makes_so_many_messages_as_it_says_or_the_command_line(
    run: Run, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], messages: str
) -> None:
    assert run("vast", *flags) == 0
    assert f"posts/s {messages}" in capsys.readouterr().out


def test_an_unknown_name_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("short", "shrot") == 2
    assert "no such benchmark: shrot" in capsys.readouterr().out


def test_one_that_fails_is_told_and_the_others_run_all_the_same(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("broken", "short") == 1
    said = capsys.readouterr().out
    assert "broken failed: 17 posts failed" in said and "short 1/3" in said


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_what_is_lacking_is_told_and_with_ci_it_is_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    assert run("needy") == code
    assert "needy is not run: it needs wrk (apt-get install wrk)" in capsys.readouterr().out


def test_the_page_shows_what_the_file_holds_after_this_run(run: Run, tmp_path: Path) -> None:
    page, file = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text(f"{table.BEGIN.format(file.name)}\n{table.END}\n")
    assert run("long", "--json", str(file)) == 0
    assert run("short", "--json", str(file), "--page", str(page)) == 0
    assert [result.name for result in read(file)] == ["short", "long"]
    assert "takes seconds" in page.read_text() and "takes minutes" in page.read_text()


def test_a_page_without_a_file_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--page", "page.md")
    assert "name it by --json or --show" in capsys.readouterr().err
