"""Ten million messages posted to three nodes without a break, and whether the last ones cost what the first ones did.

They go over websockets on the leader, to a few rooms at once (`pipelined.py` says why), in stretches; between two of
them all nodes are looked at.  The first thousand go to one of the rooms alone, and its pages are timed then and at the
end.  Before that a follower is stopped and started, and all nodes are held to tell the same of every room.

An error ends it: a post that is refused, not acknowledged, or acknowledged twice.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks import growth, holding, ours
from tests.benchmarks.framework import Benchmark, Figure, Point, Round, Setting, at_least, at_most
from tests.benchmarks.growth import FEW, MIDDLE, NEWEST
from tests.benchmarks.pipelined import Pipeline, Stretch
from tests.benchmarks.watching import Watch
from tests.cluster.writers import PAGE
from tests.support.cluster import NodeProcess
from tests.support.http_client import Answer, HttpClient

NODES = 3
# 256 posts under way.  Measured with three nodes on two cores: 16 sockets with 8 rooms 6,500 posts/s, 64 with 4 7,200,
# 32 with 8 8,000 with a p99 of 92 ms, 64 with 8 8,300 with one of 147 ms.
SOCKETS = 32
ROOMS = (ours.ROOM, *(f"{ours.ROOM}-{number}" for number in range(2, 9)))
STRETCHES = 100  # the points of a picture; a multiple of ten
WARM_SHARE = 20  # this part of the messages fills caches and buffers, and is not counted as what messages need
DISK_BYTES = 400  # a message and node, at most: what is looked for before anything is begun
LOOKED_AT = 9  # pages of each room, beside the newest one, that the nodes are compared by
LAST_BY_FIRST = "last tenth by the first"
START = "start after a stop"


def posted(setting: Setting) -> Round:
    _find_space(setting)
    with ours.cluster_of(setting.directory, NODES) as cluster:
        leader = cluster.nodes[cluster.start_ready().wait_ready()]
        follower = next(node for node in cluster.nodes.values() if node is not leader)
        with Pipeline(leader.port, SOCKETS, ROOMS[:1], ours.BODY, "a") as first:
            first.post(FEW)
        before = growth.pages(leader, setting)
        load = Load(Watch(cluster), setting)
        load.run(leader)
        assert cluster.terminate(follower.id) == 0, follower.log()
        start_s = holding.ready_s(cluster, follower)
        _compare(list(cluster.nodes.values()), setting.messages)
        after = growth.pages(leader, setting)  # last: what the load left to be done beside is done, as it was before it
        load.watch.look_for_leaders()
        page = leader.request("GET", f"/rooms/{ours.ROOM}?limit={PAGE}").json()
        cluster.kill()
        figures = load.figures() | holding.disk_figures(leader, page, setting.messages)
    for name, value in after.items():
        figures |= {name: value, _by_first(name): value / before[name]}
    return Round(figures | {START: start_s}, {"posts/s": load.rate} | load.watch.series)


def _by_first(name: str) -> str:
    return f"{name.removeprefix('p50 of a ')} by that of the first {FEW:,}"


def _find_space(setting: Setting) -> None:
    needed, free = setting.messages * NODES * DISK_BYTES, shutil.disk_usage(setting.directory).free
    words = f"{needed / 1e9:,.1f} GB of disk may be needed in {setting.directory.parent}, {free / 1e9:,.1f} GB are free"
    assert needed < free, f"{words} (TMPDIR names another directory)"
    setting.say(words)


@dataclass(slots=True)
class Load:
    """All posts but the first thousand, and what was seen meanwhile."""

    watch: Watch
    setting: Setting
    made: int = FEW
    stretches: list[Stretch] = field(default_factory=list)
    rate: list[Point] = field(default_factory=list)  # (messages, posts/s)
    p50_p99_ms: tuple[float, float] = (0.0, 0.0)

    def run(self, leader: NodeProcess) -> None:
        rest = self.setting.messages - FEW
        with Pipeline(leader.port, SOCKETS, ROOMS, ours.BODY, "b") as pipeline:
            for number in range(1, STRETCHES + 1):
                self._post(pipeline, FEW + rest * number // STRETCHES)
            self.p50_p99_ms = pipeline.p50_p99_ms()

    def _post(self, pipeline: Pipeline, goal: int) -> None:
        """One stretch."""
        stretch = pipeline.post(goal - self.made)
        self.made = goal
        self.stretches.append(stretch)
        self.rate.append((goal, stretch.per_second))
        self.watch.look(goal)
        if not self.setting.quick:
            resident = ", ".join(f"{points[-1][1] / 1e6:,.0f}" for points in self.watch.resident.values())
            minutes = (self.setting.messages - goal) / stretch.per_second / 60
            self.setting.say(
                f"posted: {goal:,} of {self.setting.messages:,} messages, {stretch.per_second:,.0f}/s, "
                f"resident {resident} MB, leader changes {self.watch.leader_changes}, {minutes:,.1f} minutes left"
            )

    def figures(self) -> dict[str, float]:
        warm = next(made for made, _ in self.rate if made >= self.setting.messages / WARM_SHARE)
        tenth = STRETCHES // 10
        return {
            "posts/s": _per_second(self.stretches),
            LAST_BY_FIRST: _per_second(self.stretches[-tenth:]) / _per_second(self.stretches[:tenth]),
            "p50": self.p50_p99_ms[0],
            "p99": self.p50_p99_ms[1],
            "leader changes": self.watch.leader_changes,
            holding.MEMORY: self.watch.grown_bytes(warm) / (self.made - warm),
        }


def _per_second(stretches: Sequence[Stretch]) -> float:
    return sum(stretch.count for stretch in stretches) / sum(stretch.seconds for stretch in stretches)


def _compare(nodes: Sequence[NodeProcess], messages: int) -> None:
    """AssertionError where two nodes differ in what they tell of the rooms, or there are more or fewer posts."""
    told = {node.id: _told_by(node) for node in nodes}
    assert len({said.digest for said in told.values()}) == 1, f"the nodes differ: {told}"
    counts = {said.posts for said in told.values()}
    assert counts == {messages}, f"{messages} posts were acknowledged, and there are {counts}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a node says of all rooms."""

    posts: int  # by the newest Ids: there is no Id without a post
    digest: str  # of the list of rooms with its details, and of each room's pages that were looked at


def _told_by(node: NodeProcess) -> Told:
    posts, digest = 0, hashlib.sha256()
    with HttpClient(node.port) as client:
        digest.update(_get(client, "/rooms?details=true").body)
        for room in ROOMS:
            newest = _get(client, f"/rooms/{room}?limit={PAGE}")
            last_id = newest.json()[-1]["Id"]
            posts += last_id
            digest.update(newest.body)
            for number in range(1, LOOKED_AT + 1):
                before = last_id * number // (LOOKED_AT + 1) + 2  # never 1: there is nothing before it
                digest.update(_get(client, f"/rooms/{room}?limit={PAGE}&before={before}").body)
    return Told(posts, digest.hexdigest())


def _get(client: HttpClient, path: str) -> Answer:
    answer = client.request("GET", path)
    assert answer.status == 200, answer
    return answer


BENCHMARKS = (
    Benchmark(
        "ten-million",
        f"so many posts over {SOCKETS} websockets, each with one under way to each of {len(ROOMS)} rooms, three nodes",
        (
            Figure("posts/s", "/s"),
            Figure(LAST_BY_FIRST, "×", at_least(0.95)),
            Figure("p50", "ms"),
            Figure("p99", "ms"),
            Figure("leader changes", "", at_most(0), worst=True),
            Figure(NEWEST, "ms"),
            Figure(_by_first(NEWEST), "×", at_most(1.1)),
            Figure(MIDDLE, "ms"),
            Figure(_by_first(MIDDLE), "×", at_most(2)),
            holding.WITH,
            *holding.DISK,
            Figure(START, "s"),
        ),
        posted,
        needs=("wrk",),
        long=True,
        huge=True,
        rounds=1,
        messages=10_000_000,
    ),
)
