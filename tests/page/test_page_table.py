"""docs/page.md has every route of the API: a place on the page and a test that is there, or why a person finds none."""

import ast
import re
from functools import cache
from pathlib import Path

from chat.app import ROUTES
from tests.support.cluster import ROOT

HERE = Path(__file__).parent
ROW = re.compile(r"^\| `(\w+ /\S*)` \| (.+?) \|(?: `(test_\w+\.py)::(test_\w+)`)? \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "page.md").read_text(encoding="utf-8"))
REASON = re.compile(r"(no|not yet): .+")


@cache
def names_in(name: str) -> set[str]:
    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_table_has_each_route_once() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(f"{route.method} {route.path}" for route in ROUTES)


def test_each_row_has_a_test_that_is_there_or_a_reason() -> None:
    for route, where, file, test in ROWS:
        assert (REASON.fullmatch(where) is not None) is (file == ""), route
        assert file == "" or test in names_in(file), route
