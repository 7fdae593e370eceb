"""Which tests run beside each other where there is more than one worker (pytest-xdist, `-n auto --dist loadgroup`).

Those that start nodes, browsers or disks of their own have deadlines that are meant for a machine: at most two of them
run at a time, those of clusters in one worker, the rest in another.  All others are single processes that compute, and
fill the cores where those have an end.

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        part = item.path.relative_to(TESTS).parts[0]
        if part == "cluster" or part in OF_MACHINES:
            item.add_marker(pytest.mark.xdist_group("machines" if part in OF_MACHINES else part))
