"""Clusters that hold many messages, and how they get them.

They are posted over HTTP like any others, by wrk over 256 connections, in stretches of some seconds: what a cluster
then holds was made by itself, and the rate of each stretch tells whether it gets slower.  wrk knows a time and no
number, so it gets up to a stretch more than asked for.  A million takes minutes; therefore what is filled is kept.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import wrk
from tests.benchmarks.framework import Point, Setting
from tests.benchmarks.ours import BODY, ROOM, cluster_of, room_url
from tests.benchmarks.watching import resident_bytes
from tests.support.cluster import Cluster, NodeProcess

# What fills fastest here: 64 wrote a fifth less, and requests or frames sent ahead of their answers (16 sockets with 16
# each) a third less, for one socket's posts to a room follow one another.
CONNECTIONS = 256
STRETCHES = 40  # about: the points of a picture
PER_SECOND = 5_000  # about: it only decides how long a stretch is
WARM_SHARE = 20  # this part of the messages goes first into another room, and fills caches and buffers
START_S = 600.0  # for hopeless cases: a start that has no index files reads everything
MANY_ROOMS = 10_000

# Scripts for wrk that say what a request is.
TO_ONE_ROOM = wrk.posting(BODY)
TO_MANY_ROOMS = f"""
local n = 0
wrk.method = "POST"
wrk.body = {json.dumps(BODY)}
request = function()
  n = n + 1
  return wrk.format(nil, "/rooms/{ROOM}-" .. n % {MANY_ROOMS})
end
"""


@dataclass(slots=True)
class Filled:
    """A cluster that was filled, and what was seen meanwhile.  Its nodes are stopped unless somebody uses it."""

    cluster: Cluster
    directory: Path
    messages: int = 0  # entries of the log that are applied, which is a handful more
    rate: list[Point] = field(default_factory=list)  # (messages, posts/s)
    resident: list[Point] = field(
        default_factory=list
    )  # (messages, bytes) of the leader, the first one when it is warm

    @property
    def bytes_a_message(self) -> float:
        (first, before), (last, after) = self.resident[0], self.resident[-1]
        return (after - before) / (last - first)


def fill(filled: Filled, leader: NodeProcess, setting: Setting, script: str) -> None:
    """Post `setting.messages`, the first of them to a room beside; AssertionError where a post failed."""
    warm = setting.messages // WARM_SHARE
    _post_until(filled, leader, warm, setting, "warm", TO_ONE_ROOM)
    del filled.rate[:], filled.resident[:-1]
    _post_until(filled, leader, setting.messages, setting, ROOM, script)


def _post_until(filled: Filled, leader: NodeProcess, goal: int, setting: Setting, room: str, script: str) -> None:
    """At least one stretch, however many there are already."""
    stretch_s = max(1, setting.messages // PER_SECOND // STRETCHES)
    while True:
        found = wrk.run(room_url(leader, room), script, connections=CONNECTIONS, seconds=stretch_s)
        assert found.failed == 0, f"{found.failed} posts failed"
        filled.messages = leader.status()["LastApplied"]
        filled.rate.append((filled.messages, found.per_second))
        filled.resident.append((filled.messages, resident_bytes(leader)))
        if not setting.quick:
            setting.say(f"filling: {filled.messages:,} of {goal:,} messages, {found.per_second:,.0f}/s")
        if filled.messages >= goal:
            return


@contextmanager
def filled_cluster(setting: Setting, size: int, script: str) -> Iterator[Filled]:
    """So many nodes in a directory of their own, with `setting.messages`, stopped by kill -9."""
    with (
        tempfile.TemporaryDirectory(prefix="raft-chat-filled-") as name,
        cluster_of(Path(name), size) as cluster,
    ):
        filled = Filled(cluster, Path(name))
        leader = cluster.nodes[cluster.start_ready().wait_ready()]
        fill(filled, leader, setting, script)
        cluster.kill()
        yield filled


def three_nodes(setting: Setting) -> Filled:
    return setting.kept.get("three filled nodes", lambda: filled_cluster(setting, 3, TO_ONE_ROOM), Filled)


def single_node(setting: Setting) -> Filled:
    return setting.kept.get("a filled node", lambda: filled_cluster(setting, 1, TO_ONE_ROOM), Filled)
