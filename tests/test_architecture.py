"""docs/architecture.md names files, packages and threads that are there, and its drawing is the newest."""

import ast
import re
from collections.abc import Iterator

from tests.architecture import DRAWING, ROOT, STEPS, drawn

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCES = [
    *ROOT.glob("raft_chat*.py"),
    *(path for top in ("raft", "chat") for path in sorted((ROOT / top).rglob("*.py"))),
]


def test_the_drawing_is_what_its_steps_say() -> None:
    assert DRAWING.read_text(encoding="utf-8") == drawn(STEPS), "python -m tests.architecture draws it anew"


def test_every_file_of_a_step_is_there() -> None:
    assert [step.file for step in STEPS if not (ROOT / step.file).exists()] == []


def test_every_path_on_the_page_is_there() -> None:
    paths = re.findall(r"`((?:raft|chat|static|tests)(?:/[\w.]+)+/?)`", PAGE)
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_function_of_a_question_is_in_its_file() -> None:
    questions = PAGE.partition("## Where is it?")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w/]+\.(?:py|js))`, `(\w+)`", questions)
    assert len(named) > 15
    assert [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text("utf-8")] == []


def test_every_package_has_its_row() -> None:
    packages = {
        f"{path.parent.relative_to(ROOT)}" for top in ("raft", "chat") for path in (ROOT / top).glob("*/__init__.py")
    }
    assert {package for package in packages if f"| `{package}` |" not in PAGE} == set()


def _thread_names() -> Iterator[str]:
    """Of each Thread that the program makes, the name without what is filled in."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or "Thread" not in ast.unparse(node.func):
                continue
            for keyword in node.keywords:
                if keyword.arg == "name":
                    parts = keyword.value.values if isinstance(keyword.value, ast.JoinedStr) else [keyword.value]
                    yield from (
                        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    )


def test_every_thread_with_a_name_of_its_own_has_its_row() -> None:
    rows = PAGE[PAGE.index("## Threads") :]
    names = set(_thread_names())
    member = (ROOT / "raft" / "cluster" / "member.py").read_text(encoding="utf-8")
    names |= set(re.findall(r'\("(raft-[a-z]+)", ', member))  # their Thread is made in a loop
    assert len(names) > 8
    assert {name for name in names if name.strip("-") not in rows} == set()
