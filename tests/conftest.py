"""Which tests run beside each other where there is more than one worker (pytest-xdist, `-n auto --dist loadgroup`).

Those that start nodes, browsers or disks of their own have deadlines that are meant for a machine: two of them run at a
time, one file in each of two workers, while the others compute.  One worker begins with the files of clusters, the
other with those that need the machine for themselves: services, networks, disks and measurements, of which no two run
at a time.  The pages come last.  Each of the two goes on with what is left, and so do the others when nothing is left
to compute: no worker ends long before another one.  What two tests would compute both is a group.

`-n auto` takes one worker more than there are cores: the two of machines wait for half of their time, and the third
computes meanwhile.

An example that hypothesis draws may take as long as a busy machine needs for it: how fast something is, is not for it
to say.

What is there once the tests are collected stays to the end, so the garbage collector is not to look at it again and
again: a fifth of the time that the simulator took went into that, and a fifth of the time of the collection.

`--slice` is for another Python than the one that runs all: a fifth of the examples, of a test that is marked `repeated`
only the first parameters, and of the places that a test tries in a loop every seventh (tests/support/slicing.py).  What
more of them would find does not depend on the interpreter.

Compiled files are kept, also where the environment says otherwise: a node starts in half the time from them, and the
tests start hundreds.
"""

import gc
import os
import sys
from collections import defaultdict, deque
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.support import slicing

settings.register_profile("raft-chat", deadline=None)
settings.register_profile("slice", deadline=None, max_examples=20)
settings.load_profile("raft-chat")

gc.disable()  # until the tests are collected
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS = Path(__file__).parent
OF_MACHINES = frozenset({"benchmarks", "contract", "deploy", "faults"})

COMPUTED_ONCE = frozenset({"test_mutants.py", "test_simulator.py"})  # together: they ask for the same seeds


def _kind(file: Path) -> str:
    """The kind of the tests of a file: "cluster", "page" and "machine" start processes, the others compute."""
    part = file.relative_to(TESTS).parts[0]
    if part in COMPUTED_ONCE:
        return "computed once"
    return part if part in ("cluster", "page") else "machine" if part in OF_MACHINES else ""


# The kinds that a worker takes, the first one first: the first worker, the second, and all others.
KINDS = (
    ("cluster", "page", "computed once", ""),
    ("machine", "page", "cluster", "computed once", ""),
    ("computed once", "", "page", "cluster"),
)


class _ByKind(LoadScopeScheduling):  # type: ignore[misc]
    """A unit of work is a file of tests that start processes, all that is computed once, or a single test.

    pytest-xdist's own `loadgroup` writes the group into a test's id, which has no effect in pytest 9.2: there every
    test would be on its own.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        self._queues: defaultdict[str, deque[str]] = defaultdict(deque)  # of workqueue, by kind

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        kind = self._kind_of(nodeid)
        return kind if kind == "computed once" else file if kind else nodeid

    def _kind_of(self, scope: str) -> str:
        return scope if scope == "computed once" else _kind(self.config.rootpath / scope.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Have the worker take the next unit of the kind that it prefers, if it may take any."""
        scope = self._next_for(self._number_of(node))
        if scope is None:
            node.shutdown()  # what is left needs the machine for itself, and another worker is at it
            return
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _number_of(self, node: WorkerController) -> int:
        return sorted(self.nodes, key=lambda each: int(each.gateway.id.removeprefix("gw"))).index(node)

    def _next_for(self, number: int) -> str | None:
        if sum(map(len, self._queues.values())) != len(self.workqueue):  # at first, and where a worker has crashed
            self._queues = defaultdict(deque)
            for scope in self.workqueue:
                self._queues[self._kind_of(scope)].append(scope)
        kinds = KINDS[min(number, len(KINDS) - 1)] if len(self.nodes) > 1 else KINDS[0] + KINDS[1]
        queue = next((self._queues[kind] for kind in kinds if self._queues[kind]), None)
        return queue.popleft() if queue else None


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    return (yield) + int(config.getvalue("dist") == "loadgroup")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return _ByKind(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice", action="store_true", help="run few examples, seeds and places of what is repeated")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("slice"):
        settings.load_profile("slice")
        slicing.is_slice = True


def _is_first(item: pytest.Item, seen: set[str]) -> bool:
    """Whether no test of the same function, repeated with other parameters, was seen."""
    function = item.nodeid.partition("[")[0]
    is_first = function not in seen
    seen.add(function)
    return is_first


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("slice"):
        seen: set[str] = set()
        left_out = {i for i in items if i.get_closest_marker("repeated") and not _is_first(i, seen)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
