"""What must not happen: a leader missed for long when it is killed, and anything but posts in ten busy minutes."""

import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from tests.benchmarks import filling, ours, wrk
from tests.benchmarks.filling import START_S, resident_bytes
from tests.benchmarks.framework import Benchmark, Figure, Point, Round, Setting, at_most
from tests.cluster import failover
from tests.cluster.harness import Cluster, Node

KILLS = 20
CONNECTIONS = 256
MINUTES = 10
LOOK_S = 5.0
SETTLED = 0.1  # of the time; until then caches and buffers fill


def killed(setting: Setting) -> Round:
    """kill -9 of the leader, again and again, to the next post that a client gets acknowledged on another node."""
    held = filling.three_nodes(setting)
    held.cluster.start()
    try:
        held.cluster.wait_ready(START_S)
        missed = []
        for number in range(1, setting.scaled(KILLS) + 1):
            missed.append(1000 * failover.one_round(held.cluster, number, START_S))
            setting.say(f"killed {number}: missed for {missed[-1]:.0f} ms")
    finally:
        held.cluster.kill()
    points = [(float(number), one) for number, one in enumerate(missed, 1)]
    return Round({"median": statistics.median(missed), "worst": max(missed)}, {"missed ms": points})


@dataclass(slots=True)
class Watch:
    """A look at all nodes every few seconds, from a thread of its own, until it is told to stop."""

    cluster: Cluster
    began: float = field(default_factory=monotonic)
    led: list[tuple[int, int]] = field(default_factory=list)  # (term, leader) as they followed each other
    resident: dict[int, list[Point]] = field(default_factory=dict)  # of a node: (seconds, bytes)
    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        for node in self.cluster.nodes.values():
            self._look_at(node)

    def _look_at(self, node: Node) -> None:
        point = (monotonic() - self.began, float(resident_bytes(node)))
        self.resident.setdefault(node.id, []).append(point)
        try:
            status = node.status()
        except OSError:
            return  # too busy to answer within its time; it is asked again, and a change shows then too
        found = (status["Term"], status["Leader"])
        if status["Leader"] and found > (self.led[-1] if self.led else (0, 0)):
            self.led.append(found)

    def run(self) -> None:
        while not self.done.is_set():
            self.look()
            self.done.wait(LOOK_S)
        self.look()


def busy(setting: Setting) -> Round:
    seconds = setting.seconds if setting.quick else MINUTES * 60
    with Cluster(setting.directory) as cluster, ThreadPoolExecutor(1, "watch") as pool:
        leader = cluster.nodes[cluster.start_ready().wait_ready()]
        watch = Watch(cluster)
        watching = pool.submit(watch.run)
        try:
            found = wrk.post(ours.room_url(leader), ours.BODY, connections=CONNECTIONS, seconds=seconds)
        finally:
            watch.done.set()
        watching.result()
    grown = max(
        points[-1][1] - next(bytes for at, bytes in points if at >= SETTLED * seconds)
        for points in watch.resident.values()
    )
    figures = {
        "errors": found.failed,
        "leader changes": len(watch.led) - 1,
        "posts/s": found.per_second,
        "p99": found.p99_ms,
        "memory a post": grown / (found.per_second * seconds * (1 - SETTLED)),
    }
    return Round(figures, {f"resident bytes of node {id}": points for id, points in watch.resident.items()})


BENCHMARKS = (
    Benchmark(
        "kill",
        f"kill -9 of the leader to the next acknowledged post, {KILLS} times, with filled nodes",
        (Figure("median", "ms", at_most(450)), Figure("worst", "ms", at_most(1000), worst=True)),
        killed,
        needs=("wrk",),
        long=True,
        rounds=1,
    ),
    Benchmark(
        "busy",
        f"{MINUTES} minutes of posts over {CONNECTIONS} connections on the leader of three nodes",
        (
            Figure("errors", "", at_most(0), worst=True),
            Figure("leader changes", "", at_most(0), worst=True),
            Figure("posts/s", "/s"),
            Figure("p99", "ms"),
            # Flat but for what each message may cost, a ClientId included.
            Figure("memory a post", "bytes", at_most(48), worst=True),
        ),
        busy,
        needs=("wrk",),
        long=True,
        rounds=1,
    ),
)
