"""Thousands of websockets of one node dropped at once and back by their cursors, while others go on posting.

All are the leader's, which is the worst for its heartbeats.  How late those are is seen from outside (`heartbeats.py`):
the gap between two that a follower has answered, less the interval, from the drop until five seconds later.
"""

import json

from tests.benchmarks import closed_loop, ours, programs
from tests.benchmarks.broadcast import allow_descriptors
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, at_most
from tests.benchmarks.heartbeats import ANSWERED, SENT, Heartbeats

SOCKETS = 3_000
ROOMS = 300  # a post reaches ten sockets: the load is to be the cluster's, not the client's
CONNECTIONS = 32  # that post
HANDSHAKES = 1_000  # under way at a time, of sockets that come back: what a listen queue holds
BACK_S = 5.0
BEFORE_S = 2.0
AFTER_S = 3.0  # the load goes on
QUICK_S = 1.0  # each of these, with --quick
SETTLE_S = 30.0
HEARTBEAT_MS = 60  # as a node comes


def dropped(setting: Setting) -> Round:
    allow_descriptors()
    rooms = closed_loop.room_names(ROOMS)
    before_s, hear_s, after_s = [QUICK_S] * 3 if setting.quick else (BEFORE_S, BACK_S, AFTER_S)
    seconds = before_s + hear_s + after_s
    log = setting.directory / "load.log"
    with (
        ours.running(setting.directory) as running,
        Fleet(running.leader.port, rooms, setting.scaled(SOCKETS)) as fleet,
    ):
        fleet.join(HANDSHAKES, SETTLE_S)
        arguments = map(str, (running.leader.port, CONNECTIONS, ROOMS, int(seconds)))
        with (
            programs.python("tests.benchmarks.closed_loop", *arguments, log=log) as load,
            Heartbeats([node.peer_port for node in running.followers]) as heartbeats,
        ):
            assert programs.line_of(load, log) == "posting"
            fleet.hear(before_s)
            usual = heartbeats.take_late_ms(HEARTBEAT_MS)
            fleet.drop()
            back_s = fleet.join(HANDSHAKES, SETTLE_S)
            fleet.hear(hear_s - back_s)
            late = heartbeats.take_late_ms(HEARTBEAT_MS)
            fleet.hear(seconds - before_s - max(hear_s, back_s))
            posted = closed_loop.Posted(**json.loads(programs.line_of(load, log)))
        newest = {room: running.leader.request("GET", f"/rooms/{room}?limit=1").json()[0]["Id"] for room in rooms}
        behind = fleet.hear_until(newest, SETTLE_S)
        assert not behind, f"{len(behind)} sockets did not get their room's last post"
    return Round(
        {
            "back": back_s,
            "heartbeats late, p99": _p99(late[ANSWERED]),
            "heartbeats sent late, p99": _p99(late[SENT]),
            "late before that, p99": _p99(usual[ANSWERED]),
            "posts/s": posted.per_second,
        }
    )


def _p99(ascending: list[float]) -> float:
    assert ascending, "no heartbeat was seen"
    return ascending[len(ascending) * 99 // 100]


BENCHMARKS = (
    Benchmark(
        "reconnect",
        f"{SOCKETS:,} websockets of the leader dropped and back, with {CONNECTIONS} connections posting",
        (
            Figure("back", "s", at_most(BACK_S), worst=True),
            Figure("heartbeats late, p99", "ms", at_most(50)),
            Figure("heartbeats sent late, p99", "ms"),
            Figure("late before that, p99", "ms"),
            Figure("posts/s", "/s"),
        ),
        dropped,
        needs=("packet sockets",),
    ),
)
