"""What watching costs: posts with and without a scrape each second, and an idle node's processor and memory."""

import os
import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.benchmarks import ours, wrk
from tests.chat.metrics.pages import value
from tests.monitoring.traffic import running
from tests.support.cluster import NodeProcess

CONNECTIONS = 64
IDLE_BEFORE_S = 5.0  # of a fresh cluster, before it is measured


class Window(NamedTuple):
    """What was seen in some seconds."""

    per_second: float  # posts
    processor_us: float  # of all nodes, for each post: other programs on the machine change it less than the rate


class Cost(NamedTuple):
    """Windows in pairs, without and with a scrape each second."""

    without: list[Window]
    scraped: list[Window]

    @property
    def rate(self) -> float:
        """The median of what the scrapes take of the rate."""
        return 1 - statistics.median(
            b.per_second / a.per_second for a, b in zip(self.without, self.scraped, strict=True)
        )

    @property
    def processor(self) -> float:
        """The median of what the scrapes add to the processor's time for a post."""
        return (
            statistics.median(b.processor_us / a.processor_us for a, b in zip(self.without, self.scraped, strict=True))
            - 1
        )


class Idle(NamedTuple):
    """One node that nobody uses."""

    node: int
    processor: float  # of a core
    memory_bytes: float
    threads: float


def page(node: NodeProcess) -> str:
    """A node's metrics."""
    answer = node.request("GET", "/metrics")
    assert answer.status == 200, answer
    return answer.body.decode()


@contextmanager
def scraped(nodes: list[NodeProcess]) -> Iterator[None]:
    """Read the metrics of each node once a second while the block runs, as Prometheus does."""
    stopping = threading.Event()

    def scrape(node: NodeProcess) -> None:
        with socket.create_connection((node.host, node.port)) as client:  # as cheap as Prometheus, which is no Python
            while not stopping.wait(1.0):
                client.sendall(f"GET /metrics HTTP/1.1\r\nHost: {node.host}:{node.port}\r\n\r\n".encode())
                client.recv(1 << 20)

    with running([threading.Thread(target=scrape, args=(node,)) for node in nodes], stopping):
        yield


def of_scrapes(directory: Path, rounds: int, seconds: int) -> Cost:
    """Windows of `seconds` without and with scrapes, in the order A B B A, so many rounds."""
    cost = Cost([], [])
    with ours.running(directory) as cluster:

        def window(is_scraped: bool) -> Window:
            before = sum(map(_processor_s, cluster.nodes))
            with scraped(cluster.nodes if is_scraped else []):
                found = wrk.post_to_all(
                    [ours.room_url(cluster.leader)], ours.BODY, connections=CONNECTIONS, seconds=seconds
                )
            assert found.failed == 0
            used_s = sum(map(_processor_s, cluster.nodes)) - before
            return Window(found.per_second, used_s / (found.per_second * seconds) * 1e6)

        window(False)
        for _ in range(rounds):
            rates = [window(False), window(True), window(True), window(False)]
            cost.without.append(_mean(rates[0], rates[3]))
            cost.scraped.append(_mean(rates[1], rates[2]))
    return cost


def _mean(one: Window, other: Window) -> Window:
    return Window((one.per_second + other.per_second) / 2, (one.processor_us + other.processor_us) / 2)


def _processor_s(node: NodeProcess) -> float:
    """The processor time that a node has used."""
    assert node.process is not None
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_idleness(directory: Path, seconds: float) -> list[Idle]:
    """Each of three nodes that were started and are left alone."""
    pause = threading.Event()
    with ours.running(directory) as cluster:
        pause.wait(IDLE_BEFORE_S)
        name = "process_cpu_seconds_total"
        before, began = [value(page(node), name) for node in cluster.nodes], monotonic()
        pause.wait(seconds)
        passed_s = monotonic() - began
        pages = [page(node) for node in cluster.nodes]
        return [
            Idle(
                node.id, (value(text, name) - used_s) / passed_s, value(text, "process_resident_memory_bytes"),
                value(text, "process_threads"),
            )
            for node, used_s, text in zip(cluster.nodes, before, pages, strict=True)
        ]  # fmt: skip
