"""Three nodes that hold many messages beside three that hold next to none: posts, the newest page, pages in the middle.

The pages in the middle are others each time, drawn from the middle fifth of the room, so that no cache has them.
"""

from tests.benchmarks import filling, ours, posts, wrk
from tests.benchmarks.filling import START_S
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, times_at_least, times_at_most
from tests.benchmarks.posts import CONNECTIONS
from tests.support.cluster import NodeProcess
from tests.support.http_client import HttpClient

PAGE = 50
FEW = 1_000  # what an "empty" room holds, so that there are pages to read
NEWEST, MIDDLE = "p50 of a newest page", "p50 of a page in the middle"

_MIDDLE = """
math.randomseed(os.time())
request = function()
  return wrk.format(nil, "/rooms/ROOM?limit=PAGE&before=" .. math.random(FIRST, LAST))
end
"""


def measured(running: ours.Ours, setting: Setting) -> Round:
    rate = posts.measured([ours.room_url(running.leader)], ours.BODY, CONNECTIONS, setting).figures["posts/s"]
    return Round({"posts/s": rate} | pages(running.leader, setting))


def pages(node: NodeProcess, setting: Setting) -> dict[str, float]:
    """The p50 of both kinds, in ms; AssertionError where a request failed."""
    (newest,) = node.request("GET", f"/rooms/{ours.ROOM}?limit=1").json()
    middle = _MIDDLE.replace("ROOM", ours.ROOM).replace("PAGE", str(PAGE))
    first, last = (str(newest["Id"] * tenths // 10) for tenths in (4, 6))
    found = {
        NEWEST: wrk.get(f"{ours.room_url(node)}?limit={PAGE}", connections=1, seconds=setting.seconds),
        MIDDLE: wrk.run(
            node.url, middle.replace("FIRST", first).replace("LAST", last), connections=1, seconds=setting.seconds
        ),
    }
    assert not any(figures.failed for figures in found.values()), f"requests failed: {found}"
    return {name: figures.p50_ms for name, figures in found.items()}


def filled(setting: Setting) -> Round:
    held = filling.three_nodes(setting)
    held.cluster.start()
    try:
        with ours.led(held.cluster, START_S) as running:
            found = measured(running, setting)
    finally:
        held.cluster.kill()
    return Round(found.figures, {"posts/s": held.rate, "resident bytes": held.resident})


def empty(setting: Setting) -> Round:
    with ours.running(setting.directory) as running:
        with HttpClient(running.leader.port) as client:
            for _ in range(2 * PAGE if setting.quick else FEW):
                assert client.post(ours.ROOM, ours.MESSAGE).status == 201
        return measured(running, setting)


BENCHMARKS = (
    Benchmark(
        "growth",
        f"three filled nodes beside three with {FEW:,} messages; pages of {PAGE} over one connection",
        (
            Figure("posts/s", "/s", times_at_least(0.95)),
            Figure(NEWEST, "ms", times_at_most(1.1)),
            Figure(MIDDLE, "ms", times_at_most(2)),
        ),
        filled,
        empty,
        peer="empty",
        needs=("wrk",),
        long=True,
    ),
)
