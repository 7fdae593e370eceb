"""What must not happen: a leader missed for long when it is killed, and anything but posts in ten busy minutes."""

import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from tests.benchmarks import filling, ours, wrk
from tests.benchmarks.filling import START_S
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, at_most
from tests.benchmarks.watching import Watch
from tests.cluster import failover

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


def _watch(watch: Watch, done: threading.Event) -> None:
    """Until it is told to stop, and once more then."""
    began = monotonic()
    while True:
        watch.look(monotonic() - began)
        if done.is_set():
            return
        done.wait(LOOK_S)


def busy(setting: Setting) -> Round:
    seconds = setting.seconds if setting.quick else MINUTES * 60
    with ours.cluster_of(setting.directory) as cluster, ThreadPoolExecutor(1, "watch") as pool:
        leader = cluster.nodes[cluster.start_ready().wait_ready()]
        watch, done = Watch(cluster), threading.Event()
        watching = pool.submit(_watch, watch, done)
        try:
            found = wrk.post(ours.room_url(leader), ours.BODY, connections=CONNECTIONS, seconds=seconds)
        finally:
            done.set()
        watching.result()
    grown = watch.grown_bytes(SETTLED * seconds)
    figures = {
        "errors": found.failed,
        "leader changes": watch.leader_changes,
        "posts/s": found.per_second,
        "p99": found.p99_ms,
        "memory a post": grown / (found.per_second * seconds * (1 - SETTLED)),
    }
    return Round(figures, watch.series)


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
