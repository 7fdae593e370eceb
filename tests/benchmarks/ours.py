"""Clusters of ours to be measured: started afresh, and held to keep their leader."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import COMMAND, READY_S, Cluster, NodeProcess, Program

ROOM = "general"
# What is posted everywhere, to ours and, as a value, to others.
MESSAGE = "The quick brown fox jumps over the lazy dog, and then it does so once more, for the length."
BODY = f'{{"Message": "{MESSAGE}", "User": "ann"}}'
# What is measured has an interpreter of its own, as people start it.
PROGRAM: Program = COMMAND


@dataclass(frozen=True, slots=True)
class Ours:
    """A running cluster whose nodes follow one leader."""

    cluster: Cluster
    leader: NodeProcess

    @property
    def followers(self) -> list[NodeProcess]:
        return [node for node in self.cluster.nodes.values() if node is not self.leader]

    @property
    def nodes(self) -> list[NodeProcess]:
        return list(self.cluster.nodes.values())


def room_url(node: NodeProcess, room: str = ROOM) -> str:
    return f"{node.url}/rooms/{room}"


def cluster_of(directory: Path, size: int = 3) -> Cluster:
    """So many nodes that are not started."""
    return Cluster(directory, size, command=PROGRAM)


@contextmanager
def running(directory: Path, size: int = 3) -> Iterator[Ours]:
    """So many nodes, fresh; AssertionError where the leader changes while the block runs."""
    with cluster_of(directory, size) as cluster:
        cluster.start()
        with led(cluster) as ours:
            yield ours


@contextmanager
def led(cluster: Cluster, deadline_s: float = READY_S) -> Iterator[Ours]:
    """The same for nodes that were started already, and are ready within so long."""
    leader = cluster.nodes[cluster.wait_ready(deadline_s)]
    before = leader.status()
    yield Ours(cluster, leader)
    after = leader.status()
    changed = [f"{status['Leader']} in term {status['Term']}" for status in (before, after)]
    assert changed[0] == changed[1], f"the leader changed: {changed[0]}, then {changed[1]}"
