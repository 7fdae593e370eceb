"""What a disk does to a node: calls that fail or take long, a file system that is full, a death amid a sync.

strace reaches into a node that runs already, so that it is known who leads; the node is slower while it is watched.
Its counters are a thread's own, so "the next" is the first of each thread.  The death at the Nth sync of the whole
process is therefore the work of `dying.py`, which counts them all.
"""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.cluster.writers import Writer, acknowledged_by, check_every_node, count_posts, load, wait_for_posts
from tests.faults.leftovers import new_directory, sweep
from tests.faults.tools import run
from tests.faults.world import DIES_WITH_US
from tests.support.cluster import Cluster, Forked, NodeProcess
from tests.support.waiting import wait_until

ROOMS = ("general", "random")
ATTACH_S = 15
SOME_POSTS = 100  # enough to know that posts go on, few enough for a second or two
EMPTY_BYTES = 8 << 20
FULL_BYTES = 64 << 10  # left over when a disk is about to be full
DEATH_S = 60


@contextmanager
def injected(
    node: NodeProcess, what: str, calls: str = "fdatasync", trace: Path = Path("/dev/null"), path: Path | None = None
) -> Iterator[None]:
    """While the block runs, these system calls of a running node meet with `what`, in the words of strace.

    `path`: only calls on this file.  `trace` then has a line for each of them, with the time in seconds since 1970 at
    which it began.
    """
    assert node.process is not None
    command = ("strace", "-f", "-p", str(node.process.pid), "-e", f"trace={calls}", "-e", f"inject={calls}:{what}",
               "-ttt", "-o", str(trace), *(("-P", str(path)) if path else ()))  # fmt: skip
    said = node.log_file.with_suffix(".strace")
    with said.open("wb") as errors, subprocess.Popen((*DIES_WITH_US, *command), stderr=errors) as strace:
        try:
            wait_until(lambda: "attached" in said.read_text(), ATTACH_S, f"strace is attached to node {node.id}")
            yield
        finally:
            strace.send_signal(signal.SIGTERM)


class DiskCluster(Cluster):
    """Three nodes, each with a small file system of its own for its data directory where `tmpfs` is asked for."""

    def __init__(self, directory: Path, *, tmpfs: bool = False) -> None:
        sweep()
        super().__init__(directory)
        self.disks: dict[int, Path] = {}
        self._top = new_directory() if tmpfs else None
        if self._top:
            for node in self.nodes.values():
                self.disks[node.id] = self._top / str(node.id)
                node.data_dir = self.disks[node.id] / node.data_dir.name

    def __enter__(self) -> Self:
        for disk in self.disks.values():
            disk.mkdir()
            run("mount", "-t", "tmpfs", "-o", f"size={EMPTY_BYTES}", "tmpfs", str(disk))
        return self

    def __exit__(self, *how: object) -> None:
        with ExitStack() as closing:
            if self._top:
                closing.callback(self._top.rmdir)
            for disk in self.disks.values():
                closing.callback(disk.rmdir)
                closing.callback(run, "umount", str(disk))
            closing.callback(super().__exit__, *how)  # type: ignore[arg-type]

    def leave(self, id: int, free_bytes: int) -> None:
        """Let the disk of node `id` have room for so much more, and nothing beyond."""
        disk = self.disks[id]
        used = int(run("df", "--output=used", "-B1", str(disk)).split()[-1])
        run("mount", "-o", f"remount,size={used + free_bytes}", str(disk))

    def follower(self) -> int:
        leader = self.wait_ready()
        return next(id for id in self.nodes if id != leader)


def go_on(writers: Sequence[Writer], deadline_s: float = 30) -> None:
    """Wait until posts are acknowledged that were not before."""
    wait_for_posts(writers, count_posts(writers) + SOME_POSTS, deadline_s)


def check(cluster: Cluster, writers: Sequence[Writer]) -> None:
    check_every_node(cluster.ports(), ROOMS, acknowledged_by(writers))


# --- death at the Nth sync ---


class DyingCluster(Cluster):
    """Three nodes that kill themselves at a chosen sync; see `dying.py`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for node in self.nodes.values():
            order = str(self._order(node))
            node.program = Forked(
                f"from pathlib import Path; from tests.faults import dying; dying.install(Path({order!r}))"
            )

    @staticmethod
    def _order(node: NodeProcess) -> Path:
        return node.log_file.with_suffix(".dies-at")

    def start_to_die(self, id: int, nth: int) -> None:
        """Start a node that does not run, and see it die at the `nth` sync after its start."""
        self._order(self.nodes[id]).write_text(str(nth))
        self.start(id)
        self._see_death(id)

    def tell_to_die(self, id: int, nth: int) -> None:
        """See a running node die at the `nth` sync from now on."""
        self._order(self.nodes[id]).write_text(str(nth))
        self.nodes[id].signal(signal.SIGUSR1)
        self._see_death(id)

    def _see_death(self, id: int) -> None:
        node = self.nodes[id]
        assert node.wait_exit(DEATH_S) == -signal.SIGKILL, node.log()[-2000:]
        self._order(node).unlink()


def kill_at_syncs(directory: Path, follower: Sequence[int], leader: Sequence[int]) -> int:
    """Kill node 1 at each of these syncs after a start, and the leader at these from some moment on; under load.

    How many posts were acknowledged.  Every death is followed by a start that must go well, and in the end every node
    must hold everything.
    """
    with DyingCluster(directory) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), rooms=ROOMS) as writers:
            cluster.kill(1)
            for nth in follower:
                cluster.start_to_die(1, nth)
            cluster.restart(1)
            for nth in leader:
                doomed = cluster.wait_leader()
                cluster.tell_to_die(doomed, nth)
                go_on(writers)
                cluster.restart(doomed)
            go_on(writers)
        cluster.wait_ready()
        check(cluster, writers)
        return len(acknowledged_by(writers))
