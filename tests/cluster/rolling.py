"""Nodes stopped politely, one after the other, under load: `python -m tests.cluster.rolling --rounds 10`.

A round is a restart of all three: SIGTERM, exit code 0, start, ready, the next one.  A client tries again with the same
ClientId on the next node when it is told 503 or 504 or loses its connection; a post that is not acknowledged within
FAILED_S all the same has failed.  A gap is the longest time between two acknowledged posts, of whichever writers, from
SIGTERM until the node has ended.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic

from tests.cluster.writers import (
    Acknowledged,
    Writer,
    acknowledged_by,
    check_every_node,
    count_posts,
    load,
    wait_for_posts,
)
from tests.support.cluster import Cluster

FAILED_S = 10.0
WRITERS = 8
ROOMS = ("general", "random")
POSTS_BETWEEN = 50  # from a node being ready to the next one being stopped, and after the last


@dataclass(frozen=True, slots=True)
class Stop:
    """One SIGTERM; monotonic seconds."""

    id: int
    was_leader: bool
    began: float
    ended: float
    gap_s: float


@dataclass(slots=True)
class Result:
    """What came of some rounds."""

    stops: list[Stop] = field(default_factory=list)
    posts: int = 0
    slowest_s: float = 0.0  # from a post's first try to its acknowledgement

    def gaps_ms(self, *, of_leader: bool) -> list[float]:
        return [1000 * stop.gap_s for stop in self.stops if stop.was_leader == of_leader]


def measure(directory: Path, rounds: int) -> Result:
    """AssertionError where a post failed, was lost or doubled, or a node did not end with 0."""
    result = Result()
    with Cluster(directory) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), writers=WRITERS, rooms=ROOMS) as writers:
            for id in (id for _ in range(rounds) for id in cluster.nodes):
                wait_for_posts(writers, count_posts(writers) + POSTS_BETWEEN)
                result.stops.append(_stop(cluster, id, writers))
                cluster.restart(id)
            wait_for_posts(writers, count_posts(writers) + POSTS_BETWEEN)
        acknowledged = acknowledged_by(writers)
        check_every_node(cluster.ports(), ROOMS, acknowledged)
    result.posts = len(acknowledged)
    result.slowest_s = max(post.at - post.began for post in acknowledged)
    assert result.slowest_s <= FAILED_S, f"a post took {result.slowest_s:.1f} s"
    return result


def _stop(cluster: Cluster, id: int, writers: Sequence[Writer]) -> Stop:
    was_leader = cluster.wait_leader() == id
    began = monotonic()
    exit_code = cluster.terminate(id)
    ended = monotonic()
    assert exit_code == 0, f"node {id} ended with {exit_code}"
    wait_for_posts(writers, count_posts(writers) + WRITERS)  # so that a gap that is open now is seen to its end
    return Stop(id, was_leader, began, ended, _gap_s(acknowledged_by(writers), began, ended))


def _gap_s(acknowledged: Sequence[Acknowledged], began: float, ended: float) -> float:
    """The longest time between two acknowledged posts that has to do with the stretch from `began` to `ended`."""
    times = sorted(post.at for post in acknowledged)
    last_before = max((at for at in times if at <= began), default=began)
    first_after = min((at for at in times if at >= ended), default=ended)
    marks = [last_before, *(at for at in times if began < at < ended), first_after]
    return max(later - earlier for earlier, later in pairwise(marks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="raft-chat-rolling-") as directory:
        result = measure(Path(directory), rounds)
    for of_leader, who in ((True, "the leader"), (False, "a follower")):
        gaps_ms = sorted(result.gaps_ms(of_leader=of_leader))
        if gaps_ms:
            print(f"longest gap between acknowledged posts while {who} stops, ms:")
            print(" ".join(f"{gap_ms:.0f}" for gap_ms in gaps_ms))
            print(f"median {statistics.median(gaps_ms):.0f}, worst {max(gaps_ms):.0f}, stops {len(gaps_ms)}")
    took_s = [stop.ended - stop.began for stop in result.stops]
    print(f"from SIGTERM to the end of a node: median {statistics.median(took_s):.2f} s, worst {max(took_s):.2f} s")
    print(
        f"{result.posts} posts, none failed, lost or doubled; the slowest took {result.slowest_s:.2f} s, tries and all"
    )


if __name__ == "__main__":
    main()
