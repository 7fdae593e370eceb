"""docs/api.md tells every route there is, and no other: what it is for, who may ask for it, and by which curl."""

import re
import shlex
from typing import NamedTuple
from urllib.parse import urlsplit

from chat.app import RESERVED, ROUTES
from chat.routing import Route, Table
from tests.cluster.harness import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+) (/\S*)` \| (.*) \| (.*) \| `(curl .*)` \|$", re.MULTILINE)


class Row(NamedTuple):
    method: str
    path: str
    who: str
    what: str
    example: str


ROWS = [Row(*found.groups()) for found in ROW.finditer(PAGE)]


def row(route: Route) -> tuple[str, ...]:
    return route.method, route.path, f"{route.who}{', under a login' if route.login else ''}", route.summary


def test_the_table_has_each_route_once_with_who_may_ask_for_it() -> None:
    assert sorted(each[:4] for each in ROWS) == sorted(map(row, ROUTES))


def test_each_example_asks_for_the_route_in_its_row() -> None:
    table = Table(ROUTES, RESERVED)
    for each in ROWS:
        words = shlex.split(each.example)
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
        (url,) = [word for word in words if word.startswith("http://127.0.0.1:12380/")]
        methods, _ = table.find(urlsplit(url).path.split("/")[1:]) or ({}, ())
        assert (method, methods[method].path) == (each.method, each.path), each.example
