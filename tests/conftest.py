"""Which tests run beside each other where there is more than one worker (pytest-xdist, `-n auto --dist loadgroup`).

Those that start nodes, browsers or disks of their own have deadlines that are meant for a machine: at most two of them
run at a time, those of clusters in one worker, the rest in another, and they begin.  All others are single processes
that compute, and fill the cores where those have an end; what two of them would compute both is a group too.

An example that hypothesis draws may take as long as a busy machine needs for it: how fast something is, is not for it
to say.

What is there once the tests are collected stays to the end, so the garbage collector is not to look at it again and
again: a fifth of the time that the simulator took went into that.

Compiled files are kept, also where the environment says otherwise: a node starts in half the time from them, and the
tests start hundreds.
"""

import gc
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

COMPUTED_ONCE = frozenset({"test_mutants.py", "test_simulator.py"})  # together: they ask for the same seeds


def _group(item: pytest.Item) -> str:
    """The group that the test is in; "" for none."""
    part = item.path.relative_to(TESTS).parts[0]
    if part in COMPUTED_ONCE:
        return "computed once"
    return part if part == "cluster" else "machines" if part in OF_MACHINES else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):  # with more than one worker the two long groups begin, and the rest fills up
        items.sort(key=lambda item: not _group(item))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
