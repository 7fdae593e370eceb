"""A member that comes late, while clients post: `python -m tests.cluster.joining --messages 200000`.

Two clusters of three are filled with that many posts.

    a long log      a fourth node joins, and is sent all of the log
    a compacted one one follower is stopped and slept through a compaction, later one is killed and missed another, and
                    a fourth node joins: each comes by a snapshot

All the time a client posts to the leader over one connection, one post after the other, and some others to all nodes.
Told of each stretch: the longest gap between two of that client's acknowledgements, how long its posts took, and how
late a follower's answer to the heartbeats got, beside the same of a stretch in which nothing happened.  Checked: the
term is the same all the time, so that nobody lost its leadership, and all nodes show the same pages, byte for byte.
"""

import argparse
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from tests.benchmarks import wrk
from tests.cluster.writers import PAGE, Writer, acknowledged_by, check_history, load, read_room
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

STEADY, BESIDE = "steady", "beside"
ROOMS = tuple(f"room{n}" for n in range(8))
TRIMMED = ROOMS[:-1]  # what is left of the others is garbage
MAX_MESSAGES = 1_000
KEPT_ENTRIES = 10_000  # by every compaction: who lacks no more needs no snapshot
BESIDE_WRITERS = 4
FILL_CONNECTIONS = 64
FILL_S = 2  # at a time
BODY = '{"Message": "a message of a length that is usual in a chat, or a bit more than that", "User": "ann"}'
QUIET_S = 10  # the stretch to compare with
POLL_S = 0.05
LONG_S = 600.0  # for hopeless cases
COMPACTED = re.compile(r"compacted the log up to index ([0-9]+) in ([0-9.]+) s, from ([0-9]+) to ([0-9]+) bytes")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the steady client and the leader saw while something went on."""

    what: str
    seconds: float
    posts: int
    gap_ms: float  # the longest between two acknowledgements, those around the stretch counted in
    p50_ms: float
    p99_ms: float
    contact_ms: float  # the longest that the leader was without an answer of a follower that was there

    def __str__(self) -> str:
        return (
            f"{self.what:48} {self.seconds:6.1f} s {self.posts:6} posts  longest gap {self.gap_ms:5.0f} ms  "
            f"p50 {self.p50_ms:5.1f}  p99 {self.p99_ms:6.1f} ms  contact within {self.contact_ms:4.0f} ms"
        )


class Watch:
    """The steady client, the load beside it, and a look at the leader now and then."""

    def __init__(self, cluster: Cluster, leader: int, steady: Writer) -> None:
        self.cluster = cluster
        self.leader = leader
        self._steady = steady
        self._term = cluster.nodes[leader].status()["Term"]
        self._contacts: list[tuple[float, int, float]] = []  # when, of whom, ms
        self._done = Event()
        self._thread = Thread(target=self._look, name="watch")

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *how: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(POLL_S):
            members = self.cluster.nodes[self.leader].status(timeout_s=10)["Members"]
            now = monotonic()
            self._contacts += [(now, member["Id"], member.get("LastContactMs", 0)) for member in members]

    @contextmanager
    def stretch(self, what: str, into: list[Stretch], *away: int) -> Iterator[None]:
        """Adds what was seen while the block ran; members that were `away` in it are not expected to answer."""
        began = monotonic()
        yield
        ended = monotonic()
        count = len(self._steady.acknowledged)
        wait_until(lambda: len(self._steady.acknowledged) > count, LONG_S, "the gap that is open is seen to its end")
        posts = [post for post in self._steady.acknowledged if post.at >= began - 1]
        inside = [post for post in posts if began <= post.at and post.began <= ended]
        times = [max((post.at for post in posts if post.at < began), default=began), *(post.at for post in inside)]
        took = sorted(1000 * (post.at - post.began) for post in inside)
        contacts = [ms for at, id, ms in self._contacts if began <= at <= ended and id not in away]
        into.append(
            Stretch(
                what,
                ended - began,
                len(took),
                1000 * max(later - earlier for earlier, later in pairwise(times)),
                took[len(took) // 2],
                took[len(took) * 99 // 100],
                max(contacts, default=0),
            )
        )
        status = self.cluster.nodes[self.leader].status()
        assert (status["Leader"], status["Term"]) == (self.leader, self._term), f"{what}: there was an election"


@contextmanager
def watched(cluster: Cluster) -> Iterator[Watch]:
    """Posts go on while the block runs; those of the steady client stand in the end."""
    leader = cluster.wait_leader()
    ports = [cluster.nodes[leader].port]
    with (
        load(ports, writers=1, rooms=[STEADY], prefix=STEADY) as steady,
        load(ports, writers=BESIDE_WRITERS, rooms=[BESIDE], prefix=BESIDE) as beside,
    ):
        wait_until(lambda: len(steady[0].acknowledged) > 10, LONG_S, "posts go on")
        with Watch(cluster, leader, steady[0]) as watch:
            yield watch
    told = acknowledged_by([*steady, *beside])
    check_history(told, {room: read_room(ports[0], room) for room in (STEADY, BESIDE)})


def fill(cluster: Cluster, leader: int, messages: int) -> None:
    """Post at least so many to the leader, from many connections at once."""
    node = cluster.nodes[leader]
    for room in ROOMS:
        assert node.request("POST", f"/rooms/{room}", BODY).status == 201
    began = node.status()["LastApplied"]
    while (done := node.status()["LastApplied"] - began) < messages:
        room = ROOMS[done * len(ROOMS) // messages]
        wrk.post(f"{node.url}/rooms/{room}", BODY, connections=FILL_CONNECTIONS, seconds=FILL_S)


def digest(node: NodeProcess, rooms: Sequence[str]) -> str:
    """Over all pages of these rooms, byte for byte as they are sent."""
    taken = sha256()
    with HttpClient(node.port) as client:
        for room in rooms:
            last = 0
            while True:
                answer = client.request("GET", f"/rooms/{room}?after={last}&limit={PAGE}")
                assert answer.status == 200, answer
                taken.update(answer.body)
                posts = answer.json()
                if not posts:
                    break
                last = posts[-1]["Id"]
    return taken.hexdigest()


def check_same_pages(cluster: Cluster) -> None:
    """AssertionError where two nodes show anything else."""
    found = {node.id: digest(node, [*ROOMS, STEADY, BESIDE]) for node in cluster.running()}
    assert len(set(found.values())) == 1, found


def bytes_in(node: NodeProcess) -> int:
    """The size of all that is in its data directory."""
    return sum(file.stat().st_size for file in node.data_dir.iterdir())


def compactions(node: NodeProcess) -> list[re.Match[str]]:
    """What it said of each."""
    return list(COMPACTED.finditer(node.log()))


def caught_up(cluster: Cluster, leader: int, id: int) -> bool:
    """Whether member `id` votes and has applied all that was committed when it was first seen to vote."""
    if not cluster.members(leader).get(id, {}).get("Voting"):
        return False
    goal = cluster.nodes[leader].status()["CommitIndex"]
    wait_until(lambda: cluster.nodes[id].status()["LastApplied"] >= goal, LONG_S, f"member {id} has everything")
    return True


def join(watch: Watch, what: str, into: list[Stretch]) -> None:
    """A fourth node becomes a voter that has everything."""
    cluster, leader = watch.cluster, watch.leader
    node = cluster.new_node(4)
    with watch.stretch(what, into, 4):
        assert cluster.request(leader, "POST", "/raft/4", node.peer_url).status == 204
        cluster.join(4)
        wait_until(lambda: caught_up(cluster, leader, 4), LONG_S, "the new node has caught up")


def come_back(watch: Watch, what: str, id: int, into: list[Stretch]) -> None:
    """A member that was away is started, and has what was committed."""
    cluster, leader = watch.cluster, watch.leader
    sent = f"member {id} is sent the snapshot"
    before = cluster.nodes[leader].log().count(sent)
    with watch.stretch(what, into, id):
        cluster.start(id)
        wait_until(lambda: cluster.nodes[id].status()["Leader"] == leader, LONG_S, "it follows")
        assert caught_up(cluster, leader, id)
    assert cluster.nodes[leader].log().count(sent) > before, f"member {id} did not come by a snapshot"


def long_log(directory: Path, messages: int) -> list[Stretch]:
    """A new node is sent the whole log."""
    seen: list[Stretch] = []
    with Cluster(directory) as cluster:
        leader = cluster.start_ready().wait_leader()
        fill(cluster, leader, messages)
        with watched(cluster) as watch:
            with watch.stretch("nothing happens", seen):
                Event().wait(QUIET_S)
            join(watch, f"a new node gets a log of {cluster.nodes[leader].status()['LastIndex']} entries", seen)
        cluster.wait_ready()
        check_same_pages(cluster)
    return seen


def compacted_log(directory: Path, messages: int) -> list[Stretch]:
    """Two that were away and a new node come by snapshots."""
    seen: list[Stretch] = []
    with Cluster(directory, flags=("--compact-mib", "1")) as cluster:
        leader = cluster.start_ready().wait_leader()
        stopped, killed = (id for id in cluster.nodes if id != leader)
        fill(cluster, leader, messages)
        assert cluster.terminate(stopped) == 0
        _compact(cluster, leader, seen, "while the log is compacted", stopped)
        with watched(cluster) as watch:
            come_back(watch, "one that was stopped comes by snapshot", stopped, seen)
        cluster.kill(killed)
        fill(cluster, leader, messages * 3 // 4)  # so that the log is twice what would be left of it
        _compact(cluster, leader, seen, "while it is compacted again", killed)
        with watched(cluster) as watch:
            come_back(watch, "one that was killed comes by snapshot", killed, seen)
            with watch.stretch("nothing happens", seen):
                Event().wait(QUIET_S)
            join(watch, "a new node comes by snapshot", seen)
        cluster.wait_ready()
        check_same_pages(cluster)
        for node in cluster.nodes.values():
            said = [f"{int(m[3]) / 1e6:.1f} MB are {int(m[4]) / 1e6:.1f}" for m in compactions(node)]
            print(f"node {node.id}: {', then '.join(said) or 'nothing compacted'}; with what lingers for an hour "
                  f"{bytes_in(node) / 1e6:.1f} MB on the disk")  # fmt: skip
    return seen


def _compact(cluster: Cluster, leader: int, seen: list[Stretch], what: str, away: int) -> None:
    """Have the leader compact its log beyond what the member that is away has."""
    node = cluster.nodes[leader]
    held = cluster.members(leader)[away]["MatchIndex"]
    for room in TRIMMED:
        body = f'{{"Retention": {{"MaxMessages": {MAX_MESSAGES}}}}}'
        assert cluster.request(leader, "PATCH", f"/rooms/{room}", body).status == 200
    end = node.status()["LastApplied"] + KEPT_ENTRIES
    with watched(cluster) as watch:
        wait_until(lambda: node.status()["LastApplied"] >= end, LONG_S, "the deletion is old enough")
        with watch.stretch(what, seen, away):
            wait_until(lambda: any(int(match[1]) > held for match in compactions(node)), LONG_S, "the log is compacted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    messages: int = parser.parse_args().messages
    with tempfile.TemporaryDirectory(prefix="raft-chat-joining-") as directory:
        for name, scenario in (("a long log", long_log), ("a compacted log", compacted_log)):
            print(f"{name}; load {os.getloadavg()[0]:.1f}")
            place = Path(directory, scenario.__name__)
            place.mkdir()
            for stretch in scenario(place, messages):
                print(stretch)
            print("no election, the same pages on all nodes", flush=True)


if __name__ == "__main__":
    main()
