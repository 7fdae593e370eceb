"""The tests against a fault: pytest in a copy of the tree in which the fault is written down, up to the first failure.

So real processes that a test starts have the fault too.  A copy is 8 MB and is gone afterwards.
"""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from tests.mutation.mutant import Mutant
from tests.mutation.patching import Edit, changed_source, edited_function

ROOT = Path(__file__).parents[2]
_LEFT_OUT = ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "*.egg-info")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def first_failure(mutant: Mutant, tests: Sequence[str], timeout_s: float) -> str:
    """The first of these tests (files, folders, names of tests) that fails; "" where all of them pass."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        tree = Path(directory) / "tree"
        copytree(ROOT, tree, ignore=_LEFT_OUT)
        for edit in mutant.edits:
            write(edit, tree)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-rfE", *tests]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        try:
            done = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"these tests are not through after {timeout_s:.0f} s"
        if done.returncode == 0:
            return ""
        failed = _FAILED.search(done.stdout)
        return failed[1] if failed else f"pytest ends with {done.returncode}: {(done.stdout + done.stderr)[-2_000:]}"


def write(edit: Edit, tree: Path) -> None:
    """Put the edit into the tree's file."""
    function = edited_function(edit)
    source = inspect.getsource(function)
    indent = source[: len(source) - len(source.lstrip())]
    path = tree / Path(inspect.getsourcefile(function) or "").resolve().relative_to(ROOT)
    text = path.read_text()
    if text.count(source) != 1:
        raise LookupError(f"{path} has {function.__qualname__} {text.count(source)} times")
    path.write_text(text.replace(source, textwrap.indent(changed_source(edit), indent)))
