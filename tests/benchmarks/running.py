"""The rounds: ours, the peer, ours, the peer …, each with a directory of its own; and what has to be there for that."""

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import heartbeats, machine
from tests.benchmarks.framework import Benchmark, Kept, Measure, Round, Setting
from tests.benchmarks.results import Result

# What a benchmark may need, and what brings it.
NEEDED = {
    "wrk": "apt-get install wrk",
    "etcd": "apt-get install etcd-server",
    "pysyncobj": "pip install '.[bench]'",
    "websockets": "pip install '.[bench]'",
    "packet sockets": "to be run as root",
}
PACKAGES = {"pysyncobj", "websockets"}

QUICK_S, QUICK_MESSAGES = 1, 2_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line says of how to run them."""

    rounds: int = 3
    seconds: int = 8
    messages: int | None = None  # each benchmark's own
    quick: bool = False

    @classmethod
    def quickly(cls) -> "Plan":
        """Proof that it runs, not a measurement."""
        return cls(rounds=1, seconds=QUICK_S, messages=QUICK_MESSAGES, quick=True)

    def messages_of(self, benchmark: Benchmark) -> int:
        """How many it is to make."""
        return self.messages or benchmark.messages


def missing(benchmark: Benchmark) -> list[str]:
    """What this machine lacks for it, each with what brings it."""

    def is_there(name: str) -> bool:
        if name == "packet sockets":
            return heartbeats.may_listen()
        return (importlib.util.find_spec(name) if name in PACKAGES else shutil.which(name)) is not None

    return [f"{name} ({NEEDED[name]})" for name in benchmark.needs if not is_there(name)]


def one_round(benchmark: Benchmark, measure: Measure, plan: Plan, kept: Kept, say: Callable[[str], None]) -> Round:
    """One side of one round.  AssertionError or OSError where something went wrong in it."""
    with tempfile.TemporaryDirectory(prefix="raft-chat-bench-") as directory:
        found = measure(Setting(Path(directory), plan.seconds, plan.messages_of(benchmark), kept, say, plan.quick))
    declared = {figure.name for figure in benchmark.figures}
    assert found.figures.keys() == declared, f"{benchmark.name} gave {sorted(found.figures)}, not {sorted(declared)}"
    return found


def run(benchmark: Benchmark, plan: Plan, kept: Kept, say: Callable[[str], None]) -> Result:
    """All its rounds.  What fails is told in the result: the others are worth having all the same."""
    sides = {"raft-chat": benchmark.ours} | ({benchmark.peer: benchmark.theirs} if benchmark.theirs else {})
    rounds: dict[str, list[Round]] = {side: [] for side in sides}
    count = 1 if plan.quick else benchmark.rounds or plan.rounds
    described = machine.described() | {
        "Rounds": str(count),
        "Seconds": str(plan.seconds),
        "Messages": f"{plan.messages_of(benchmark):,}",
    }
    try:
        for number in range(1, count + 1):
            for side, measure in sides.items():
                found = one_round(benchmark, measure, plan, kept, say)
                rounds[side].append(found)
                told = ", ".join(f"{name} {value:,.4g}" for name, value in found.figures.items())
                say(f"{benchmark.name} {number}/{count}, {side}: {told}")
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        say(f"{benchmark.name} failed: {error}")
        return Result(benchmark.name, benchmark.what, benchmark.peer, (), {}, described, failed=str(error))
    theirs: Sequence[Round] = rounds[benchmark.peer] if benchmark.theirs else ()
    return Result.of(benchmark, rounds["raft-chat"], theirs, described, judged=not plan.quick)
