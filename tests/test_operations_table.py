"""docs/operations.md lists every line that a node logs, under its level."""

import ast
import re
from collections.abc import Iterator

from tests.architecture import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SOURCES = [ROOT / "raft_chat.py", *(path for top in ("raft", "chat") for path in sorted((ROOT / top).rglob("*.py")))]
LEVELS = ("ERROR", "WARNING", "INFO")


def told(level: str) -> set[str]:
    """The lines of the page's table for this level."""
    table = PAGE[PAGE.index("## Log lines") :].split(f"### {level}")[1].split("\n#")[0]
    return set(re.findall(r"^\| `(.+)` \| .+ \|$", table, re.MULTILINE))


def logged() -> Iterator[tuple[str, str]]:
    """Level and text of each line, with `…` for what is filled in; without those that are a reason and nothing else.

    A traceback's line is left out: it is a fault of the program, whatever it says.
    """
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.upper() in LEVELS:
                if ast.unparse(node.func.value) != "logger":
                    continue
                text = ast.literal_eval(node.args[0])
                if text != "%s":
                    yield node.func.attr.upper(), re.sub(r"%(?:\.\d+)?[sdrf]", "…", text).replace("%%", "%")


def test_every_line_of_the_log_is_listed_under_its_level() -> None:
    lines = set(logged())
    assert len(lines) > 40
    assert {(level, text) for level, text in lines if text not in told(level)} == set()


def test_no_line_is_listed_that_nothing_logs() -> None:
    texts = {text for _, text in logged()}
    # These are a reason, word for word: whoever has the reason makes the line.
    reasons = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    parts = {line: [part for part in line.split("…") if len(part) > 8] for level in LEVELS for line in told(level)}
    unknown = {
        line for line, found in parts.items() if line not in texts and not all(p.strip() in reasons for p in found)
    }
    assert unknown == set()
