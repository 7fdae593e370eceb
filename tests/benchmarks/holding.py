"""What a single node needs for its messages: memory, disk, and time to start.

Memory is what the process has more of the machine's after a million messages than when it was warm, by their number.
It was filled in that same process; a start finds its own way to the same state, and is told beside it.  Each message
has a ClientId, whether the client sent one or the node made it, so there is nothing to measure without.

One node is filled for `memory`, `disk` and `start`, where one command names them.
"""

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.benchmarks import filling
from tests.benchmarks.filling import START_S, filled_cluster
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, at_most
from tests.benchmarks.ours import ROOM
from tests.benchmarks.watching import resident_bytes
from tests.support.cluster import Cluster, NodeProcess
from tests.support.waiting import wait_until

PAGE = 1000
CACHES = ("*.idx", "checkpoint-*")  # what a data directory does without

MEMORY = "memory a message"
WITHOUT = Figure(MEMORY, "bytes", at_most(32))
WITH = Figure(MEMORY, "bytes", at_most(48))
DISK = (
    Figure("its JSON", "bytes"),
    Figure("on disk", "bytes"),
    Figure("of that index files", "bytes"),
    Figure("over its JSON", "bytes", at_most(90)),
)


def in_one_room(setting: Setting) -> Round:
    held = filling.single_node(setting)
    return Round({MEMORY: held.bytes_a_message}, {"posts/s": held.rate, "resident bytes": held.resident})


def in_many_rooms(setting: Setting) -> Round:
    with filled_cluster(setting, 1, filling.TO_MANY_ROOMS) as held:
        return Round({MEMORY: held.bytes_a_message}, {"resident bytes": held.resident})


def ready_s(cluster: Cluster, node: NodeProcess) -> float:
    """Start it; the seconds until it has answered a linearizable read."""
    began = monotonic()
    cluster.start(node.id)
    path = f"/rooms/{ROOM}?limit=1"
    wait_until(lambda: node.request("GET", path).status == 200, START_S, "the node answers a read")
    return monotonic() - began


def start(setting: Setting) -> Round:
    """After a kill -9; after a stop; and after a kill -9 without the files that only make it quick."""
    held = filling.single_node(setting)
    (node,) = held.cluster.nodes.values()
    try:
        after_kill = ready_s(held.cluster, node)
        resident = resident_bytes(node) / held.messages
        node.signal(signal.SIGTERM)
        assert node.wait_exit() == 0
        after_stop = ready_s(held.cluster, node)
        node.kill()
        # Put back afterwards: the next round begins as this one did, and they take a while to be made again.
        for file in _caches(node):
            shutil.move(file, setting.directory)
        without = ready_s(held.cluster, node)
    finally:
        held.cluster.kill()
    for file in setting.directory.iterdir():
        shutil.copy(file, node.data_dir)
    return Round(
        {"after a stop": after_stop, "after kill -9": after_kill, "without index files": without, "resident": resident}
    )


def _caches(node: NodeProcess) -> list[Path]:
    return [file for pattern in CACHES for file in node.data_dir.glob(pattern)]


def disk(setting: Setting) -> Round:
    """All that is in the data directory, beside the JSON of the posts as it is answered."""
    held = filling.single_node(setting)
    (node,) = held.cluster.nodes.values()
    try:
        ready_s(held.cluster, node)
        middle = held.messages // 2
        posts = node.request("GET", f"/rooms/{ROOM}?around={middle}&limit={PAGE}").json()
    finally:
        held.cluster.kill()
    return Round(disk_figures(node, posts, held.messages))


def disk_figures(node: NodeProcess, posts: Sequence[object], messages: int) -> dict[str, float]:
    """In bytes a message, of a node that is stopped and holds so many like these."""
    as_json = sum(len(json.dumps(post, separators=(",", ":"))) for post in posts) / len(posts)
    on_disk, caches = (
        sum(file.stat().st_size for file in files) / messages for files in (node.data_dir.iterdir(), _caches(node))
    )
    return {"its JSON": as_json, "on disk": on_disk, "of that index files": caches, "over its JSON": on_disk - as_json}


BENCHMARKS = (
    Benchmark(
        "memory",
        "a single node's memory while it is filled, messages in one room",
        (WITHOUT,),
        in_one_room,
        needs=("wrk",),
        long=True,
        rounds=1,
    ),
    Benchmark(
        "memory-rooms",
        f"the same in {filling.MANY_ROOMS:,} rooms",
        (WITHOUT,),
        in_many_rooms,
        needs=("wrk",),
        long=True,
        rounds=1,
    ),
    Benchmark(
        "disk",
        "a single node's disk for a message, all files of its data directory",
        DISK,
        disk,
        needs=("wrk",),
        long=True,
        rounds=1,
    ),
    Benchmark(
        "start",
        "the start of a filled single node, to its first answer to a linearizable read",
        (
            Figure("after a stop", "s", at_most(2)),
            Figure("after kill -9", "s", at_most(2)),
            Figure("without index files", "s", at_most(30)),
            Figure("resident", "bytes a message"),
        ),
        start,
        needs=("wrk",),
        long=True,
    ),
)
