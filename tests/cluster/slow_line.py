"""A follower behind a slow line: `python -m tests.cluster.slow_line --kib-s 200 60`.

Everything that the others send to node 3 goes through a line of so many KiB a second, all connections together.  The
node is down while the others take posts of some kilobytes; then it is started, and is to catch up.  What goes over the
line is counted, and compared with the bytes of the log that the node lacked.  `--program` measures another program.
"""

import argparse
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from tests.support.cluster import COMMAND, Cluster
from tests.support.waiting import wait_until

SLICE_BYTES = 2048  # of each connection in turn
BUFFER_BYTES = 8192  # little waits in the line itself
MESSAGE = "x" * 4000


class SlowLine:
    """A TCP proxy to a port of this machine; what goes there is slowed down, what comes back is not."""

    def __init__(self, target: int, bytes_s: float) -> None:
        self.bytes_s = bytes_s
        self.carried = 0  # bytes that went over the line, useful or not
        self._target = target
        self._free_s = 0.0  # when the line has carried what was given to it
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, name="slow-line", daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._end(self._listener)
        self._threads[0].join(10)
        self._end(*self._sockets)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            try:
                node = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                caller.close()
                continue
            node.settimeout(None)
            node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets |= {caller, node}
            for run in (lambda a=caller, b=node: self._carry(a, b), lambda a=caller, b=node: self._return(b, a)):
                thread = threading.Thread(target=run, name="slow-line-connection", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(SLICE_BYTES):
                with self._turn:  # whoever waits longest is next: the connections share the line
                    now = monotonic()
                    self._free_s = max(self._free_s, now) + len(data) / self.bytes_s
                    self.carried += len(data)
                    self._stopped.wait(self._free_s - now)
                target.sendall(data)
        except OSError:
            pass
        self._end(source, target)

    def _return(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        self._end(source, target)

    def _end(self, *both: socket.socket) -> None:
        for one in both:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one catching up."""

    kib_s: float
    lacked_kib: float  # of the log
    carried_kib: float
    took_s: float
    caught_up: bool
    flaps: int  # lines of the leader's log that call the node unreachable
    elections: int


def measure(directory: Path, kib_s: float, lack_kib: float, most_s: float, command: Sequence[str] = COMMAND) -> Result:
    """Have node 3 lack so much of the log, and catch up within `most_s`."""
    with Cluster(directory, command=command) as cluster:
        slow = cluster.nodes[3]
        with SlowLine(slow.peer_port, 1e9) as line:
            listens = f"127.0.0.1:{slow.peer_port}"
            slow.peer_url = line.url
            cluster.url_list = ",".join(node.peer_url for node in cluster.nodes.values())
            cluster.start(1, 2)
            slow.start(*slow.flags(cluster.url_list, "--peer-host", listens))
            cluster.wait_ready()
            cluster.kill(3)
            before = _log_bytes(cluster)
            while _log_bytes(cluster) - before < lack_kib * 1024:
                assert cluster.post(1, "general", MESSAGE).status in (201, 503, 504)
            leader = cluster.wait_leader()
            lacked, goal, term = _log_bytes(cluster) - before, *_state(cluster, leader)
            said = cluster.nodes[leader].log().count("is not reachable")
            line.carried, line.bytes_s = 0, kib_s * 1024
            began = monotonic()
            slow.start(*slow.flags(cluster.url_list, "--peer-host", listens))
            try:
                wait_until(lambda: slow.status()["LastApplied"] >= goal, most_s, "node 3 has caught up")
                caught_up = True
            except AssertionError:
                caught_up = False
            took_s = monotonic() - began
            flaps = cluster.nodes[leader].log().count("is not reachable") - said
            return Result(
                kib_s, lacked / 1024, line.carried / 1024, took_s, caught_up, flaps, _state(cluster, leader)[1] - term
            )


def _state(cluster: Cluster, id: int) -> tuple[int, int]:
    status = cluster.nodes[id].status()
    return int(status["CommitIndex"]), int(status["Term"])


def _log_bytes(cluster: Cluster) -> int:
    return sum(path.stat().st_size for path in cluster.nodes[1].data_dir.glob("log-*.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kib-s", type=float, nargs="+", default=[200, 60])
    parser.add_argument("--lack-kib", type=float, default=1500)
    parser.add_argument("--most-s", type=float, default=60)
    parser.add_argument("--program", default=COMMAND[1])
    given = parser.parse_args()
    print(
        f"{'KiB/s':>6} {'lacked KiB':>11} {'sent KiB':>9} {'useful':>7} {'took, s':>8} {'flaps':>6} {'elections':>10}"
    )
    for kib_s in given.kib_s:
        with tempfile.TemporaryDirectory(prefix="raft-chat-slow-line-") as directory:
            result = measure(Path(directory), kib_s, given.lack_kib, given.most_s, (sys.executable, given.program))
        useful = f"{100 * result.lacked_kib / result.carried_kib:.0f} %" if result.caught_up else "-"
        took = f"{result.took_s:.1f}" if result.caught_up else "never"
        print(
            f"{kib_s:6.0f} {result.lacked_kib:11.0f} {result.carried_kib:9.0f} {useful:>7} {took:>8} "
            f"{result.flaps:6} {result.elections:10}"
        )


if __name__ == "__main__":
    main()
