"""docs/security.md names a test for each attack, and the tests exist."""

import re

from tests.architecture import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| .+ \| .+ \| (.+) \|$", re.MULTILINE)


def named() -> list[list[str]]:
    """The tests in the last cell of each row of a table with tests."""
    tables = re.findall(r"^\| attack \|.*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [re.findall(r"`(test_\w+)`", cell) for table in tables for cell in ROW.findall(table)]


def test_every_attack_has_a_test() -> None:
    rows = named()
    assert len(rows) > 10
    assert all(rows)


def test_every_test_that_the_page_names_exists() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    assert {name for row in named() for name in row} - there == set()
