"""The cost of a commit round: processor time and switches of all nodes and threads, at several numbers of connections.

A round is one sync of the leader's log: all posts that came together are appended by one, sent by one request to each
follower, and committed by one answer.  Its cost is `fixed + posts × each`; a line through the loads' points gives both.
Each thread's share is printed, since that is what an idea about a cheaper round is found by.
"""

import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.benchmarks import ours, wrk
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, at_most
from tests.support.cluster import COMMAND, Cluster, NodeProcess

CONNECTIONS = (1, 8, 64, 256)
QUICK_CONNECTIONS = (1, 64)
NAMED = (sys.executable, str(Path(__file__).with_name("named_threads.py")), *COMMAND[1:])
TOLD_SHARE = 0.01  # threads that cost less of a round are not printed
WARM_UP_S = 1


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time in µs, and how often a thread gave the processor up to wait."""

    processor_us: float = 0.0
    switches: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.processor_us + other.processor_us, self.switches + other.switches)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.processor_us - other.processor_us, self.switches - other.switches)

    def __truediv__(self, count: float) -> "Spent":
        return Spent(self.processor_us / count, self.switches / count)


@dataclass(frozen=True, slots=True)
class Load:
    """One number of connections: posts a round, and what a round cost, by role and thread."""

    connections: int
    rounds_per_s: float
    posts: float
    threads: Mapping[tuple[str, str], Spent]

    @property
    def total(self) -> Spent:
        return sum(self.threads.values(), Spent())

    def lines(self) -> Iterator[str]:
        """A line for the whole, and one for each thread that matters."""
        total = self.total
        yield (
            f"{self.connections} connections: {self.rounds_per_s:,.0f} rounds/s of {self.posts:.1f} posts, "
            f"{total.processor_us:,.0f} µs and {total.switches:.1f} switches a round"
        )
        for (role, thread), spent in sorted(self.threads.items(), key=lambda item: -item[1].processor_us):
            if spent.processor_us >= TOLD_SHARE * total.processor_us:
                yield f"  {role:9} {thread:15} {spent.processor_us:8,.0f} µs {spent.switches:6.1f} switches"


def measure(setting: Setting) -> Round:
    """Go through the loads on one cluster, from few connections to many."""
    with _named_cluster(setting.directory) as running:
        loads = [
            _measured(running, number, setting) for number in (QUICK_CONNECTIONS if setting.quick else CONNECTIONS)
        ]
    for load in loads:
        for line in load.lines():
            setting.say(line)
    each_us, fixed_us = statistics.linear_regression(
        [load.posts for load in loads], [load.total.processor_us for load in loads]
    )
    alone, busy = loads[0], next(load for load in loads if load.connections == 64)
    return Round(
        {
            "fixed, a round": fixed_us,
            "each post": each_us,
            "one post alone": alone.total.processor_us,
            "its switches": alone.total.switches,
            "rounds/s at 64": busy.rounds_per_s,
            "posts a round at 64": busy.posts,
        }
    )


@contextmanager
def _named_cluster(directory: Path) -> Iterator[ours.Ours]:
    with Cluster(directory, 3, command=NAMED) as cluster:
        cluster.start()
        with ours.led(cluster) as running:
            yield running


def _measured(running: ours.Ours, connections: int, setting: Setting) -> Load:
    def post(seconds: int) -> float:
        found = wrk.post(ours.room_url(running.leader), ours.BODY, connections=connections, seconds=seconds)
        assert found.failed == 0, f"{found.failed} requests failed"
        return found.per_second

    if not setting.quick:
        post(WARM_UP_S)
    rounds, before = _rounds_of(running.leader), _spent(running)
    per_second = post(setting.seconds)
    after, rounds = _spent(running), _rounds_of(running.leader) - rounds
    assert rounds > 0, "the leader synced nothing"
    threads = {name: (spent - before.get(name, Spent())) / rounds for name, spent in after.items()}
    return Load(connections, rounds / setting.seconds, per_second * setting.seconds / rounds, threads)


def _rounds_of(leader: NodeProcess) -> float:
    """Return how often the leader has synced its log."""
    text = leader.request("GET", "/metrics").body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "raft_log_fsync_duration_seconds_count":
                return sample.value
    raise AssertionError("no metric tells of the log's syncs")


def _spent(running: ours.Ours) -> dict[tuple[str, str], Spent]:
    """Return what has been spent so far, by (role, thread's name); threads of one name are added up."""
    found: Counter[tuple[str, str]] = Counter()
    switches: Counter[tuple[str, str]] = Counter()
    for node in running.nodes:
        assert node.process is not None
        role = "leader" if node is running.leader else "followers"
        for task in Path(f"/proc/{node.process.pid}/task").iterdir():
            try:
                name = (role, (task / "comm").read_text().strip())
                found[name] += int((task / "schedstat").read_text().split()[0])
                switches[name] += _voluntary(task)
            except OSError:
                continue  # it has ended meanwhile
    return {name: Spent(nanoseconds / 1000, switches[name]) for name, nanoseconds in found.items()}


def _voluntary(task: Path) -> int:
    lines: Sequence[str] = (task / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


BENCHMARKS = (
    Benchmark(
        "rounds",
        f"the cost of a commit round of three nodes, at {', '.join(map(str, CONNECTIONS))} connections on the leader",
        (
            Figure("fixed, a round", "µs", at_most(750)),
            Figure("each post", "µs"),
            Figure("one post alone", "µs"),
            Figure("its switches", ""),
            Figure("rounds/s at 64", "/s"),
            Figure("posts a round at 64", ""),
        ),
        measure,
        needs=("wrk",),
    ),
)
