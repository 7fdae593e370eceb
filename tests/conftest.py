"""Which tests run beside each other where there is more than one worker (pytest-xdist, `-n auto --dist loadgroup`).

Those that start nodes, browsers or disks of their own have deadlines that are meant for a machine: at most two of them
run at a time, those of clusters in one worker, the rest in another, and they begin.  All others are single processes
that compute, and fill the cores where those have an end; what two of them would compute both is a group too.

An example that hypothesis draws may take as long as a busy machine needs for it: how fast something is, is not for it
to say.

Compiled files are kept, also where the environment says otherwise: a node starts in half the time from them, and the
tests start hundreds.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("raft-chat", deadline=None)
settings.load_profile("raft-chat")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS = Path(__file__).parent
OF_MACHINES = frozenset({"benchmarks", "contract", "faults", "page"})


COMPUTED_ONCE = frozenset({"test_mutants.py", "test_simulator.py"})


def _group(item: pytest.Item) -> str:
    """The group that the test is in; "" for none."""
    part = item.path.relative_to(TESTS).parts[0]
    return part if part == "cluster" or part in COMPUTED_ONCE else "machines" if part in OF_MACHINES else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):  # with more than one worker the two long groups begin, and the rest fills up
        items.sort(key=lambda item: not _group(item))
