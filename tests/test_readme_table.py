"""What tests/README.md says is there: every test and every script that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
TEXT = (TESTS / "README.md").read_text(encoding="utf-8")
SCENARIOS = TEXT.partition("## What a Raft is tested on")[2].partition("\n## ")[0]

LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
NAMED = re.compile(r"([\w/]+\.py)::(test_\w+)")


@cache
def named_in(path: Path) -> set[str]:
    """The names of a file's tests; none where there is no such file."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def rows() -> list[tuple[str, str]]:
    """(scenario, what shows it) of each row."""
    lines = [line for line in SCENARIOS.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [(first, second) for first, second in cells if first != "scenario"]


@pytest.mark.parametrize(("scenario", "shown_by"), rows(), ids=[scenario for scenario, _ in rows()])
def test_each_scenario_names_tests_that_are_there(scenario: str, shown_by: str) -> None:
    links = [LINK.fullmatch(part) for part in shown_by.split("<br>")]
    for link in links:
        assert link is not None, f"{scenario}: {shown_by}"
        text, target = link.groups()
        if target.startswith("scripts/"):
            assert (TESTS / target).exists() and target == f"scripts/{text}.txt"
        else:
            path, _, name = text.partition("::")
            assert path == target
            assert name in named_in(TESTS / path)


def test_every_other_test_that_is_named_is_there_too() -> None:
    def is_there(path: str, name: str) -> bool:
        return any(name in named_in(folder / path) for folder in (TESTS, TESTS / "faults", TESTS / "cluster"))

    assert [named for named in NAMED.findall(TEXT) if not is_there(*named)] == []


def test_no_scenario_has_lost_its_row() -> None:
    assert len(rows()) >= 74
