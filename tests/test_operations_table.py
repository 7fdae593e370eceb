"""docs/operations.md lists every line that a node logs, under its level, and no other.

A line that is a reason and nothing else ("%s") is listed by its reasons: REASONS says who makes them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tests.architecture import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SOURCES = [
    *ROOT.glob("raft_chat*.py"),
    *(path for top in ("raft", "chat") for path in sorted((ROOT / top).rglob("*.py"))),
]
LEVELS = ("ERROR", "WARNING", "INFO")
TRACEBACK = "A traceback"  # the table of lines that come with one, which are errors
METHODS = {"error": "ERROR", "warning": "WARNING", "info": "INFO", "exception": TRACEBACK}
REASON_ONLY = "%s"

# Of each line that is a reason and nothing else: the calls that make the reason, by file and function, and which
# argument of theirs it is.  An error of its own file is made by the text that it hands to its base.
REASONS = {
    ("raft/rpc/peer_auth.py", "note"): ("raft/rpc/peer_auth.py", "OlderCopy", 2),
    ("raft/rpc/peer_ports.py", "_warn_once"): ("raft/rpc/peer_ports.py", "_warn_once", 1),
    ("raft/cluster/bootstrap.py", "_warn_once"): ("raft/cluster/bootstrap.py", "_warn_once", 0),
    ("chat/services/startup_messages.py", "_warn"): ("chat/services/startup_messages.py", "_say", 0),
    ("raft_chat_node.py", "__init__"): ("raft/storage/recovery.py", "append", 0),
}


class Line(NamedTuple):
    file: str
    function: str
    level: str
    text: str  # with `…` for what is filled in; REASON_ONLY


def told(level: str) -> set[str]:
    """The lines of the page's table for this level."""
    table = PAGE[PAGE.index("## Log lines") :].split(f"### {level}")[1].split("\n#")[0]
    return set(re.findall(r"^\| `(.+)` \| .+ \|$", table, re.MULTILINE))


@cache
def trees() -> dict[str, ast.Module]:
    """Of the files that log or make reasons: no file logs without a word of it."""
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in SOURCES}
    makers = {file for file, _, _ in REASONS.values()}
    return {file: ast.parse(text) for file, text in texts.items() if "logg" in text or file in makers}


def functions(file: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(trees()[file]) if isinstance(node, ast.FunctionDef))


def calls(function: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a function, with the last part of their names."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                yield name, node


@cache
def logged() -> tuple[Line, ...]:
    """All lines, of all functions; a text that is no literal raises."""
    return tuple(
        Line(file, function.name, METHODS[name], filled_in(ast.literal_eval(call.args[0])))
        for file in trees()
        for function in functions(file)
        for name, call in calls(function)
        if name in METHODS and is_of_logger(call.func)
    )


def is_of_logger(value: ast.AST) -> bool:
    """Whether this is a method of the module's logger."""
    return isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "logger"


def filled_in(text: str) -> str:
    return text if text == REASON_ONLY else re.sub(r"%(?:\.\d+)?[sdrf]", "…", text).replace("%%", "%")


def template(value: ast.expr) -> str:
    """A text that is put together, with `…` for what is filled in."""
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub("…+", "…", "".join(map(template, parts)))
        case ast.BinOp(left=left, right=right):
            return re.sub("…+", "…", template(left) + template(right))
    return "…"


def reasons(line: Line) -> set[str]:
    """The reasons of a line that is nothing else, by what makes them."""
    file, name, place = REASONS[line.file, line.function]
    own = [node for node in ast.walk(trees()[file]) if isinstance(node, ast.ClassDef) and node.name == name]
    found = {
        template(call.args[place])
        for scope in own or functions(file)
        for called, call in calls(scope)
        if called == ("__init__" if own else name)
        and len(call.args) > place
        and (name != "append" or "reports" in ast.unparse(call.func))
    }
    return {text for text in found if text != "…"}


def test_every_line_of_the_log_is_listed_under_its_level() -> None:
    lines = {(line.level, line.text) for line in logged() if line.text != REASON_ONLY}
    assert len(lines) > 80
    assert {line.file.partition("/")[0] for line in logged()} == {"raft", "chat", "raft_chat_node.py"}
    assert {(level, text) for level, text in lines if text not in told(level)} == set()


def test_every_reason_that_is_a_line_of_its_own_is_listed_under_its_level() -> None:
    lines = [line for line in logged() if line.text == REASON_ONLY]
    assert {(line.file, line.function) for line in lines} == set(REASONS)
    for line in lines:
        made = reasons(line)
        assert made
        listed = [re.compile(".+".join(map(re.escape, row.split("…")))) for row in told(line.level)]
        assert {text for text in made if not any(row.fullmatch(text) for row in listed)} == set()


def test_nothing_is_logged_in_another_way() -> None:
    """Levels are methods of each module's `logger`, so that the tests above see every line."""
    others = [
        (file, ast.unparse(node))
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {*METHODS, "debug", "critical", "fatal", "warn", "log", "getChild", "makeRecord"}
        and re.fullmatch(r"(?:.*\.)?_?log(?:ger|ging)?", ast.unparse(node.value))
        and not (ast.unparse(node.value) == "logger" and node.attr in METHODS)
    ]
    assert [found for found in others if found[1] != "request_log.log"] == []
    # A method that is passed on or kept would be called where no test sees it.
    kept = [
        (file, ast.unparse(node))
        for file, tree in trees().items()
        for called in [{id(call.func) for _, call in calls(tree)}]
        for node in ast.walk(tree)
        if is_of_logger(node) and id(node) not in called
    ]
    assert kept == []


def test_no_line_is_listed_that_nothing_logs() -> None:
    known = {level: {line.text for line in logged() if line.level == level} for level in (*LEVELS, TRACEBACK)}
    made = {line.level: set[str]() for line in logged()}
    for line in logged():
        if line.text == REASON_ONLY:
            made[line.level] |= reasons(line)
    for level, texts in known.items():
        for row in told(level) - texts:
            pattern = re.compile(".+".join(map(re.escape, row.split("…"))))
            parts = [part.strip() for part in row.split("…") if len(part) > 8]
            said = any(pattern.fullmatch(text) for text in made.get(level, ())) or is_in_a_source(parts)
            assert said, f"{level}: {row}"


@cache
def all_sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)


def is_in_a_source(parts: list[str]) -> bool:
    """Whether a row is one of several reasons of a listed line, word for word."""
    return bool(parts) and all(part in all_sources() for part in parts)


def test_each_row_says_what_to_do() -> None:
    section = PAGE[PAGE.index("## Log lines") :]
    rows = re.findall(r"^\| `.+` \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) > 60
    assert all(len(row) > 4 and row.endswith(".") for row in rows)
