"""A room that keeps little of much, on three nodes: `python -m tests.cluster.retention --messages 100000`.

Told of each node: how much its files in force take beside what is live, which is what its newest snapshot takes: the
posts that are left, and the state.  Checked: never more than three times as much once the load is over, the Ids that
are left have no gap, what is gone answers 410, and all nodes serve the same, byte for byte.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.compacting import COMPACT_S, SMALL, fill
from tests.cluster.joining import compactions, digest
from tests.cluster.writers import read_room
from tests.support.cluster import NODE, READY_S, Cluster, NodeProcess, Program
from tests.support.waiting import wait_until

ROOM, KEPT = "general", 1_000
BOUND = 3


@dataclass(frozen=True, slots=True)
class OnDisk:
    """One node's directory, once nothing is written any more."""

    node: int
    live: int  # bytes of the newest snapshot
    in_force: int  # bytes of it and of the log after it; what was replaced lingers and is not in it

    @property
    def ratio(self) -> float:
        return self.in_force / self.live


def measure(directory: Path, messages: int, length: int, *, kept: int = KEPT, command: Program = NODE) -> list[OnDisk]:
    """Fill the room and look at every node."""
    with Cluster(directory, flags=SMALL, command=command) as cluster:
        leader = cluster.start_ready().wait_leader()
        assert cluster.post(leader, ROOM, "the first").status == 201
        retention = f'{{"Retention": {{"MaxMessages": {kept}}}}}'
        wait_until(
            lambda: cluster.request(leader, "PATCH", f"/rooms/{ROOM}", retention).status == 200, READY_S, "all know it"
        )
        fill(cluster.nodes[leader], messages - 1, [ROOM], "x" * length)
        newest = cluster.post(leader, ROOM, "the last").json()["Id"]
        _check_posts(cluster, newest, kept)
        return [_at_rest(node) for node in cluster.running()]


def _check_posts(cluster: Cluster, newest: int, kept: int) -> None:
    assert len({digest(node, [ROOM]) for node in cluster.running()}) == 1
    for node in cluster.running():
        ids = [post["Id"] for post in read_room(node.port, ROOM)]
        assert ids == list(range(newest - kept + 1, newest + 1))
        assert cluster.request(node.id, "GET", f"/rooms/{ROOM}/messages/{ids[0] - 1}").status == 410


def _at_rest(node: NodeProcess) -> OnDisk:
    """Once a compaction that was due at the end is through."""
    wait_until(lambda: bool(compactions(node)), COMPACT_S, "the log was compacted")
    return wait_until(
        lambda: found if (found := _on_disk(node)).ratio <= BOUND else None,
        COMPACT_S, f"node {node.id} takes at most {BOUND} times what is live",
    )  # fmt: skip


def _on_disk(node: NodeProcess) -> OnDisk:
    snapshot = max(node.data_dir.glob("snapshot-*.jsonl"))
    base_index = int(snapshot.stem.removeprefix("snapshot-"))
    live = in_force = snapshot.stat().st_size
    above = base_index + 1  # nothing of what follows begins below
    for segment in sorted(node.data_dir.glob("log-*.jsonl"), reverse=True):
        in_force += segment.stat().st_size
        if int(segment.stem.split("-")[2]) <= above:
            break
    return OnDisk(node.id, live, in_force)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--length", type=int, default=200, help="of a message")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raft-chat-retention-") as directory:
        for found in measure(Path(directory), options.messages, options.length):
            print(f"node {found.node}: {found.in_force} bytes of files, {found.live} live: {found.ratio:.2f} x")


if __name__ == "__main__":
    main()
