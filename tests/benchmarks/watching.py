"""A look at all nodes of a cluster now and then: who leads them, and what they have of the machine's memory."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.framework import Point
from tests.support.cluster import Cluster, NodeProcess


def resident_bytes(node: NodeProcess) -> int:
    """What it has of the machine's memory."""
    assert node.process is not None
    return resident_bytes_of(node.process.pid)


def resident_bytes_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kib) * 1024


@dataclass(slots=True)
class Watch:
    """What was seen so far."""

    cluster: Cluster
    led: list[tuple[int, int]] = field(default_factory=list)  # (term, leader) as they followed each other
    resident: dict[int, list[Point]] = field(default_factory=dict)  # of a node: (when, bytes)

    @property
    def leader_changes(self) -> int:
        return len(self.led) - 1

    @property
    def series(self) -> dict[str, list[Point]]:
        """For a Round."""
        return {f"resident bytes of node {id}": points for id, points in self.resident.items()}

    def look(self, when: float) -> None:
        """`when` in whatever grows from look to look: seconds, messages."""
        for node in self.cluster.nodes.values():
            self.resident.setdefault(node.id, []).append((when, float(resident_bytes(node))))
        self.look_for_leaders()

    def look_for_leaders(self) -> None:
        """And for nothing else."""
        for node in self.cluster.nodes.values():
            try:
                status = node.status()
            except OSError:
                continue  # too busy to answer within its time; it is asked again, and a change shows then too
            found = (status["Term"], status["Leader"])
            if status["Leader"] and found > (self.led[-1] if self.led else (0, 0)):
                self.led.append(found)

    def grown_bytes(self, since: float) -> float:
        """By how much that node has grown that has grown most, from the first look at or after `since`."""
        return max(
            points[-1][1] - next(bytes for when, bytes in points if when >= since) for points in self.resident.values()
        )
