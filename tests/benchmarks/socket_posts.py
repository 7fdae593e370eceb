"""Posts over websockets with acknowledgements, beside the same posts over HTTP, from one load program."""

from collections.abc import Callable

from tests.benchmarks import closed_loop, ours
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, times_at_least

CONNECTIONS = 64
WARM_UP_S = 1.0

Load = Callable[[int, str, int, float, float], closed_loop.Posted]


def measured(load: Load) -> Callable[[Setting], Round]:
    def measure(setting: Setting) -> Round:
        with ours.running(setting.directory) as running:
            leader = running.leader
            found = load(leader.port, ours.BODY, CONNECTIONS, 0.0 if setting.quick else WARM_UP_S, setting.seconds)
            (newest,) = leader.request("GET", f"/rooms/{ours.ROOM}?limit=1").json()
            assert newest["Id"] == found.answers, f"{found.answers} answers, {newest['Id']} posts"
        return Round({"posts/s": found.per_second, "p50": found.p50_ms, "p99": found.p99_ms})

    return measure


BENCHMARKS = (
    Benchmark(
        "sockets",
        f"posts over {CONNECTIONS} websockets, three nodes, on the leader, beside the same over HTTP",
        (Figure("posts/s", "/s", times_at_least(1.0)), Figure("p50", "ms"), Figure("p99", "ms")),
        measured(closed_loop.over_websockets),
        measured(closed_loop.over_http),
        peer="HTTP",
    ),
)
