"""Posts that are acknowledged, beside etcd's puts: on the leader, on all nodes, over one connection.

etcd puts one and the same key, which is what it does fastest; ours goes to one room.  Both answer after an fsync on a
majority.
"""

from collections.abc import Callable, Sequence

from tests.benchmarks import etcd, ours, wrk
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, times_at_least, times_at_most

CONNECTIONS = 64
WARM_UP_S = 1

RATE = Figure("posts/s", "/s", times_at_least(2.0))
SPREAD_RATE = Figure("posts/s", "/s", times_at_least(1.5))
P50 = Figure("p50", "ms", times_at_most(1.0))
P50_TOLD = Figure("p50", "ms")
P99 = Figure("p99", "ms", times_at_most(1.0))
P99_TOLD = Figure("p99", "ms")


def measured(urls: Sequence[str], body: str, connections: int, setting: Setting) -> Round:
    """Warm up, then post to these URLs at once; AssertionError where an answer was an error."""

    def load(seconds: int) -> wrk.Figures:
        return wrk.post_to_all(urls, body, connections=connections, seconds=seconds)

    if not setting.quick:
        load(WARM_UP_S)
    figures = load(setting.seconds)
    assert figures.failed == 0, f"{figures.failed} requests failed"
    return Round({"posts/s": figures.per_second, "p50": figures.p50_ms, "p99": figures.p99_ms})


def on_ours(connections: int, urls: Callable[[ours.Ours], Sequence[str]]) -> Callable[[Setting], Round]:
    def measure(setting: Setting) -> Round:
        with ours.running(setting.directory) as running:
            return measured(urls(running), ours.BODY, connections, setting)

    return measure


def on_etcd(connections: int, ports: Callable[[etcd.Etcd], Sequence[int]]) -> Callable[[Setting], Round]:
    def measure(setting: Setting) -> Round:
        with etcd.running(setting.directory) as running:
            body = etcd.put_body(ours.ROOM, ours.MESSAGE)
            return measured(list(map(etcd.put_url, ports(running))), body, connections, setting)

    return measure


def _our_leader(running: ours.Ours) -> list[str]:
    return [ours.room_url(running.leader)]


def _our_nodes(running: ours.Ours) -> list[str]:
    return list(map(ours.room_url, running.nodes))


def _etcds_leader(running: etcd.Etcd) -> list[int]:
    return [running.leader]


def _etcds_nodes(running: etcd.Etcd) -> list[int]:
    return running.ports


BENCHMARKS = (
    Benchmark(
        "posts",
        f"acknowledged posts, three nodes, {CONNECTIONS} connections on the leader",
        (RATE, P50_TOLD, P99),
        on_ours(CONNECTIONS, _our_leader),
        on_etcd(CONNECTIONS, _etcds_leader),
        peer="etcd",
        needs=("wrk", "etcd"),
    ),
    Benchmark(
        "spread",
        f"the same, {CONNECTIONS} connections spread over the three nodes, the slowest node's times",
        (SPREAD_RATE, P50_TOLD, P99_TOLD),
        on_ours(CONNECTIONS, _our_nodes),
        on_etcd(CONNECTIONS, _etcds_nodes),
        peer="etcd",
        needs=("wrk", "etcd"),
    ),
    Benchmark(
        "one",
        "the same, one connection on the leader",
        (Figure("posts/s", "/s"), P50, P99_TOLD),
        on_ours(1, _our_leader),
        on_etcd(1, _etcds_leader),
        peer="etcd",
        needs=("wrk", "etcd"),
    ),
)
