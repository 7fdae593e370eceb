"""Which tests run beside each other where there is more than one worker (pytest-xdist, `-n auto --dist loadgroup`).

Those that start nodes, browsers or disks of their own have deadlines that are meant for a machine: they follow each
other in one worker.  All others are single processes that compute, and fill the other cores meanwhile.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
OF_MACHINES = frozenset({"benchmarks", "cluster", "contract", "faults", "page"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in OF_MACHINES:
            item.add_marker(pytest.mark.xdist_group("machines"))
