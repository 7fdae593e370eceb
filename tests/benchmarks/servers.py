"""Posts beside what a program in Python would be built on without ours: Werkzeug as it comes, and PySyncObj."""

import socket

from tests.benchmarks import ours, posts, werkzeug_server
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, times_at_least
from tests.benchmarks.posts import CONNECTIONS


def ours_alone(setting: Setting) -> Round:
    """A single node, which acknowledges a post once its own disk has it."""
    with ours.running(setting.directory, 1) as running:
        return posts.measured([ours.room_url(running.leader)], ours.BODY, CONNECTIONS, setting)


def werkzeug(setting: Setting) -> Round:
    with werkzeug_server.running(setting.directory) as url:
        return posts.measured([url], ours.BODY, CONNECTIONS, setting)


def our_leader(setting: Setting) -> Round:
    with ours.running(setting.directory) as running:
        found = posts.measured([ours.room_url(running.leader)], ours.BODY, CONNECTIONS, setting)
    return Round({"posts/s": found.figures["posts/s"]})


def pysyncobj(setting: Setting) -> Round:
    # Imported here: it is of an extra, and without it the other benchmarks run all the same.
    inet_ntop = socket.inet_ntop
    from tests.benchmarks import pysyncobj_node

    socket.inet_ntop = inet_ntop  # PySyncObj puts one for Windows in its place
    return Round({"posts/s": pysyncobj_node.calls_per_second(setting.directory, setting.seconds)})


BENCHMARKS = (
    Benchmark(
        "single",
        f"a single node, {CONNECTIONS} connections, beside Werkzeug's own server answering a constant",
        (Figure("posts/s", "/s", times_at_least(4)), posts.P50_TOLD, posts.P99_TOLD),
        ours_alone,
        werkzeug,
        peer="Werkzeug",
        needs=("wrk",),
    ),
    Benchmark(
        "pysyncobj",
        f"{CONNECTIONS} posting over HTTP, beside as many threads in PySyncObj's leader that call it with sync=True",
        (Figure("posts/s", "/s", times_at_least(10)),),
        our_leader,
        pysyncobj,
        peer="PySyncObj",
        needs=("wrk", "pysyncobj"),
    ),
)
