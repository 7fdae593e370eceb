"""docs/api.md tells every route there is, and no other: what it is for, who may ask for it, and by which curl.

And every frame that the program sends.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from chat.api.router import Route, RouteTable
from chat.app import RESERVED, ROUTES
from tests.support.cluster import ROOT

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
    return route.method, route.path, f"{route.access}{', with sign-in' if route.login else ''}", route.summary


def test_the_table_has_each_route_once_with_who_may_ask_for_it() -> None:
    assert sorted(each[:4] for each in ROWS) == sorted(map(row, ROUTES))


def test_each_example_asks_for_the_route_in_its_row() -> None:
    table = RouteTable(ROUTES, RESERVED)
    for each in ROWS:
        words = shlex.split(each.example)
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
        (url,) = [word for word in words if word.startswith("http://127.0.0.1:12380/")]
        methods, _ = table.find(urlsplit(url).path.split("/")[1:]) or ({}, ())
        assert (method, methods[method].path) == (each.method, each.path), each.example


# What makes frames; a one-member object that begins with a capital is one, in JSON or on its way to it.
REALTIME = ROOT / "chat" / "realtime"
SENDERS = ("actions", "authentication", "channels", "majority", "presence", "protocol", "replies", "subscription")
FRAME = re.compile(r'^\{"([A-Z]\w*)":')
EVENT = re.compile(r'^"(\w+)","RoomName"')


def constants(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def objects(tree: ast.AST) -> Iterator[dict[str, ast.expr]]:
    """The members of each dict that is not the value of another one's."""
    dicts = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    inner = {id(value) for node in dicts for value in node.values}
    for node in dicts:
        members = zip(node.keys, node.values, strict=True)
        named = {key.value: value for key, value in members if isinstance(key, ast.Constant)}
        if id(node) not in inner or "Type" in named:
            yield {str(name): value for name, value in named.items()}


def sent_by(source: str) -> Iterator[str]:
    """The kinds of frames, and the types of events, that a module builds."""
    tree = ast.parse(source)
    for text in constants(tree):
        yield from FRAME.findall(text)
        yield from (f"Event {found[1]}" for found in EVENT.finditer(text))
    for members in objects(tree):
        (name, *others) = members or [""]
        if name == "Type":
            yield f"Event {ast.literal_eval(members[name])}"
        elif name[:1].isupper() and not others:
            yield name


def kind_of(row: str) -> str:
    """The frame of a row of the table."""
    event = re.search(r'"Type": "(\w+)"', row)
    return f"Event {event[1]}" if event else FRAME.findall(row)[0]


def test_the_frames_are_told_that_the_program_sends_and_no_others() -> None:
    told = PAGE.partition("## Frames")[2].partition("| action |")[0]
    rows = re.findall(r"^\| `(\{.*?\})` \| .* \|$", told, re.MULTILINE)
    sent = {kind for name in SENDERS for kind in sent_by((REALTIME / f"{name}.py").read_text(encoding="utf-8"))}
    assert sent - {"Event"} == {kind_of(row) for row in rows}
    assert len(rows) == len({kind_of(row) for row in rows})


def test_the_actions_are_told_that_a_client_may_send_and_no_others() -> None:
    tree = ast.parse((REALTIME / "protocol.py").read_text(encoding="utf-8"))
    (act,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_act"]
    known = [node.value for node in ast.walk(act) if isinstance(node, ast.MatchValue)]
    rows = re.findall(r'^\| `\{"Action": "(\w+)".*\}` \| .* \|$', PAGE, re.MULTILINE)
    assert sorted(ast.literal_eval(name) for name in known) == sorted(rows)
