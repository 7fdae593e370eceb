"""What a hostile crowd does to everybody else: `python -m tests.cluster.hostile_crowd`.

Three nodes and a client that behaves, at an address of its own.  It posts at a steady pace to the leader: alone, beside
the crowd (`crowd.py`) at a sink, which is what the crowd costs the machine by itself, and beside the crowd at the
leader.  Its first post, with which it connects, is told by itself.  The crowd has the lowest priority, so that what is
measured is what it has the node do.  Exit code 1 unless the p99 beside the crowd at the leader is at most three times
that beside the sink, the leader has not changed, and its process has grown by no more than 200 MB.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.support.cluster import ROOT, Cluster, NodeProcess
from tests.support.http_client import HttpClient

WELL_BEHAVED = "127.0.0.3"
RATIO_MAX = 3.0
GROWTH_MAX_MB = 200.0
POSTS_S = 50  # of the client that behaves
LOOK_S = 0.1  # at the process's memory
BIG_POSTS, BIG_TEXT = 1_500, "x" * 8_000  # what the readers export: more than any socket's buffer holds


@dataclass(frozen=True)
class Crowd:
    """How many of each kind."""

    idle: int = 4_200
    readers: int = 60
    frames: int = 12
    reacting: int = 1

    def flags(self) -> list[str]:
        return [f"--{name}={count}" for name, count in vars(self).items()]


@dataclass(frozen=True)
class Phase:
    """What the client that behaves met."""

    name: str
    first_ms: float
    latencies_ms: list[float]
    failed: int

    def percentile(self, share: float) -> float:
        return sorted(self.latencies_ms)[min(len(self.latencies_ms) - 1, int(share * len(self.latencies_ms)))]


@dataclass(frozen=True)
class Result:
    """All three phases, and what became of the leader."""

    alone: Phase
    at_sink: Phase
    at_leader: Phase
    terms: tuple[int, int]
    before_mb: float
    top_mb: float

    @property
    def ratio(self) -> float:
        return self.at_leader.percentile(0.99) / self.at_sink.percentile(0.99)

    @property
    def grown_mb(self) -> float:
        return self.top_mb - self.before_mb

    def unmet(self) -> list[str]:
        """What was to be and is not, in words."""
        rules = {
            f"p99 beside the crowd is {self.ratio:.1f} x what it is beside the sink": self.ratio <= RATIO_MAX,
            f"{self.at_leader.failed} posts failed": not self.at_leader.failed,
            f"the term went from {self.terms[0]} to {self.terms[1]}": self.terms[0] == self.terms[1],
            f"the leader grew by {self.grown_mb:.0f} MB": self.grown_mb <= GROWTH_MAX_MB,
        }
        return [words for words, is_met in rules.items() if not is_met]


def measure(directory: Path, crowd: Crowd, seconds: float, big_posts: int = BIG_POSTS) -> Result:
    """Run the three phases, each for so long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the crowd inherits it
    try:
        with Cluster(directory) as cluster:
            leader = cluster.nodes[cluster.start_ready().wait_ready()]
            fill(leader, big_posts)
            post_for(leader, min(1.0, seconds / 4), "warm-up")
            alone = post_for(leader, seconds, "alone")
            with attacked_sink(crowd):
                at_sink = post_for(leader, seconds, "beside the crowd at a sink")
            term, before_mb = leader.status()["Term"], resident_mb(leader)
            with watched_memory(leader) as sizes, attackers(leader.port, crowd):
                at_leader = post_for(leader, seconds, "beside the crowd at the leader")
            terms = term, max(node.status(15)["Term"] for node in cluster.nodes.values())
        return Result(alone, at_sink, at_leader, terms, before_mb, max(sizes))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def fill(node: NodeProcess, posts: int) -> None:
    """Make the room that the readers export."""
    with HttpClient(node.port) as client:
        for number in range(posts):
            body = json.dumps({"Message": BIG_TEXT, "User": "ann", "ClientId": f"big-{number}"})
            assert client.request("POST", "/rooms/big", body).status == 201


def post_for(node: NodeProcess, seconds: float, name: str) -> Phase:
    """Post at a steady pace; a post that is late is timed from when it was due."""
    latencies, failed = list[float](), 0
    pause = threading.Event()
    with HttpClient(node.port, address=WELL_BEHAVED) as client:
        began = monotonic()
        failed += not is_posted(client, f"{name}-first")
        first_ms = 1000 * (monotonic() - began)
        began = monotonic()
        for number in range(int(seconds * POSTS_S)):
            due = began + number / POSTS_S
            pause.wait(max(0.0, due - monotonic()))
            failed += not is_posted(client, f"{name}-{number}")
            latencies.append(1000 * (monotonic() - due))
    return Phase(name, first_ms, latencies, failed)


def is_posted(client: HttpClient, client_id: str) -> bool:
    body = json.dumps({"Message": "hello", "User": "bob", "ClientId": client_id})
    try:
        return client.request("POST", "/rooms/general", body).status == 201
    except OSError:
        return False


@contextmanager
def attackers(port: int, crowd: Crowd) -> Iterator[None]:
    """The crowd, from when all of it has been opened."""
    with program("crowd", f"--port={port}", *crowd.flags()):
        yield


@contextmanager
def attacked_sink(crowd: Crowd) -> Iterator[None]:
    with program("sink") as first_line, attackers(int(first_line), crowd):
        yield


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """Run `crowd.py`; its first line."""
    command = [sys.executable, "-m", "tests.cluster.crowd", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def resident_mb(node: NodeProcess) -> float:
    assert node.process is not None
    pages = int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def watched_memory(node: NodeProcess) -> Iterator[list[float]]:
    """The node's resident memory, looked at again and again."""
    sizes = [resident_mb(node)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            sizes.append(resident_mb(node))

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def table(result: Result) -> str:
    lines = [
        "| client that behaves | posts | failed | first ms | p50 ms | p99 ms | worst ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for phase in (result.alone, result.at_sink, result.at_leader):
        shares = (phase.percentile(share) for share in (0.5, 0.99, 1.0))
        figures = " | ".join(f"{figure:.1f}" for figure in (phase.first_ms, *shares))
        lines.append(f"| {phase.name} | {len(phase.latencies_ms)} | {phase.failed} | {figures} |")
    alone = result.at_leader.percentile(0.99) / result.alone.percentile(0.99)
    lines.append("")
    lines.append(f"p99 at the leader: {result.ratio:.2f} x beside the sink, {alone:.2f} x alone")
    lines.append(f"leader: term {result.terms[0]} -> {result.terms[1]}")
    lines.append(f"resident: {result.before_mb:.0f} MB before, {result.top_mb:.0f} MB at most")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.hostile_crowd", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each phase")
    for name, count in vars(Crowd()).items():
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args(arguments)
    crowd = Crowd(given.idle, given.readers, given.frames, given.reacting)
    with tempfile.TemporaryDirectory(prefix="hostile-crowd-") as directory:
        result = measure(Path(directory), crowd, given.seconds)
    print(table(result))
    for words in result.unmet():
        print(f"NOT MET: {words}")
    return 1 if result.unmet() else 0


if __name__ == "__main__":
    sys.exit(main())
