"""Nodes that move, one after the other, under load: `python -m tests.cluster.moving`.

Each node goes to a new port, to a new address and to a host name, in each of four orders: `PUT /raft/{id}` and then a
restart with the new --cluster, the restart first, PUT while the node is down, and PUT alone.  Clients try again with
the same ClientId, as in rolling.py; a post that is not acknowledged within FAILED_S all the same has failed.  A gap is
the longest time between two acknowledged posts, of whichever writers, while a node moved.
"""

import argparse
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from tests.cluster.writers import (
    TRY_AGAIN,
    Writer,
    acknowledged_by,
    check_every_node,
    count_posts,
    load,
    wait_for_posts,
)
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import Answer
from tests.support.ports import Port
from tests.support.waiting import wait_until

FAILED_S = 10.0
MOVED_S = 20.0
WRITERS = 4
ROOMS = ("general",)
POSTS_BETWEEN = 20

# Where to: the host for the node with this id.
HOSTS: dict[str, Callable[[int], str]] = {
    "new port": lambda id: "127.0.0.1",
    "new address": lambda id: f"127.0.0.{10 + id}",
    "host name": lambda id: "localhost",
}
ORDERS = ("PUT, restart", "restart, PUT", "stop, PUT, start", "PUT only")


@dataclass(frozen=True, slots=True)
class Move:
    """One node that has moved."""

    where: str
    order: str
    id: int
    led: bool
    took_s: float
    gap_s: float


def measure(directory: Path, wheres: Sequence[str], orders: Sequence[str]) -> tuple[list[Move], int, float]:
    """Return the moves, how many posts were acknowledged, and the slowest one's seconds.

    AssertionError where a post failed, was lost or doubled, or a node is not reached where it moved to.
    """
    moves = []
    with ExitStack() as ports, Cluster(directory) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), writers=WRITERS, rooms=ROOMS) as writers:
            for where, order in ((where, order) for where in wheres for order in orders):
                for node in cluster.nodes.values():
                    port = Port()
                    ports.callback(port.release)
                    url = f"http://{HOSTS[where](node.id)}:{port.number}"
                    moves.append(_move(cluster, node, url, where, order, writers))
        acknowledged = acknowledged_by(writers)
        check_every_node(cluster.ports(), ROOMS, acknowledged)
    slowest_s = max(post.at - post.began for post in acknowledged)
    assert slowest_s <= FAILED_S, f"a post took {slowest_s:.1f} s"
    return moves, len(acknowledged), slowest_s


def _move(cluster: Cluster, node: NodeProcess, url: str, where: str, order: str, writers: Sequence[Writer]) -> Move:
    led, old = cluster.wait_ready() == node.id, node.peer_url
    wait_for_posts(writers, count_posts(writers) + POSTS_BETWEEN)
    began = monotonic()
    for step in order.removesuffix(" only").split(", "):
        if step == "PUT":
            _put(cluster, node.id, url)
        if step in ("stop", "restart"):
            assert cluster.terminate(node.id) == 0
        if step in ("start", "restart"):
            _start(cluster, node, url)
    cluster.wait_ready(MOVED_S)
    _check_reached(cluster, node, url)
    if "start" in order:
        wait_until(lambda: not _answers(old), MOVED_S, f"node {node.id} listens no longer at {old}")
    ended = monotonic()
    wait_for_posts(writers, count_posts(writers) + POSTS_BETWEEN)
    return Move(where, order, node.id, led, ended - began, _gap_s(writers, began, ended))


def _put(cluster: Cluster, id: int, url: str) -> None:
    """Asked of another node, again and again while there is no leader."""
    asked = next(other for other in cluster.nodes if other != id and cluster.nodes[other].running)

    def told() -> Answer | None:
        answer = cluster.request(asked, "PUT", f"/raft/{id}", url)
        return None if answer.status in TRY_AGAIN else answer

    answer = wait_until(told, MOVED_S, f"node {asked} is told that node {id} moves")
    assert answer.status == 204, answer


def _start(cluster: Cluster, node: NodeProcess, url: str) -> None:
    node.peer_url = url
    cluster.url_list = ",".join(node.peer_url for node in cluster.nodes.values())
    cluster.start(node.id)


def _check_reached(cluster: Cluster, node: NodeProcess, url: str) -> None:
    """The node answers at its new URL, is there in the membership, and takes a post."""
    assert cluster.members(node.id)[node.id]["Url"] == url
    wait_until(lambda: _answers(url), MOVED_S, f"node {node.id} listens at {url}")
    node.peer_url = url
    wait_until(lambda: cluster.post(node.id, "moved", url).status == 201, MOVED_S, f"node {node.id} takes a post")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with closing(socket.create_connection((parts.hostname or "", parts.port or 0), 1.0)):
            return True
    except OSError:
        return False


def _gap_s(writers: Sequence[Writer], began: float, ended: float) -> float:
    times = sorted(post.at for post in acknowledged_by(writers))
    before = max((at for at in times if at <= began), default=began)
    after = min((at for at in times if at >= ended), default=ended)
    return max(
        later - earlier for earlier, later in pairwise([before, *(t for t in times if began < t < ended), after])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raft-chat-moving-") as directory:
        moves, posts, slowest_s = measure(Path(directory), list(HOSTS), ORDERS)
    print(f"{'where to':12} {'order':17} {'moves':>5} {'leaders':>7} {'took, s':>14} {'gap, ms':>15} {'failed':>6}")
    for where, order in ((where, order) for where in HOSTS for order in ORDERS):
        these = [move for move in moves if (move.where, move.order) == (where, order)]
        took = f"{min(move.took_s for move in these):.2f} to {max(move.took_s for move in these):.2f}"
        gap_ms = 1000 * max(move.gap_s for move in these)
        print(f"{where:12} {order:17} {len(these):5} {sum(m.led for m in these):7} {took:>14} {gap_ms:15.0f} {0:6}")
    print(f"{posts} posts, none failed, lost or doubled; the slowest took {slowest_s:.2f} s, tries and all")


if __name__ == "__main__":
    main()
