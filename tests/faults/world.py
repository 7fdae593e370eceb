"""A cluster on a network of its own, made to be as wrong as the faults that last say, and whole again without them.

The faults are told (`begin`), the world follows (`step`): what is to be dead is killed, what is not is started, and so
on, whatever it was before.  Only the main thread may call: a node dies with the thread that started it, so that a run
that is killed leaves none behind.
"""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from tests.faults.actors import Place
from tests.faults.network import Network
from tests.faults.schedule import Fault
from tests.faults.tools import LIBFAKETIME
from tests.support.cluster import COMMAND, Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.secrets import secret_file

PORTS = (12380, 12379)
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
WHOLE_S = 90  # five nodes that start at once on two cores, which they may share with others
LOOK_S = 0.3  # for a node's status
PAGE = 1000
LOG_SAYS_NEVER = ("Traceback", "AssertionError", "Fatal Python error")


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault and its time, in monotonic seconds."""

    fault: Fault
    began: float

    def is_over(self, now: float) -> bool:
        return now >= self.began + self.fault.seconds


class World:
    """The nodes, the network and what is wrong with them; use it as a context manager."""

    def __init__(self, directory: Path, size: int, *, clocks: bool = False, flags: Sequence[str] = ()) -> None:
        """`clocks`: they can be set.  `flags`: of every node, beside those that all need."""
        self.directory = directory
        self.ids = tuple(range(1, size + 1))
        self.lasting: list[Lasting] = []
        self.begun: Counter[str] = Counter()  # faults by kind
        self.died: list[str] = []  # nodes that ended though nobody killed them
        self.contact: list[tuple[float, bool]] = []  # from when on a majority was, or was not, in contact
        self.network = Network(self.ids)
        self._clocks = clocks
        self._flags = flags
        self._clocks_s: dict[int, float] = {}
        self._paused: frozenset[int] = frozenset()
        self._ready: set[int] = set()  # have taken part since they were started
        self._killed: set[int] = set()
        self._closing = ExitStack()

    def __enter__(self) -> "World":
        with ExitStack() as opening:
            opening.enter_context(self.network)
            for id in self.ids:
                self._set_clock(id, 0)
            nodes = [
                NodeProcess(
                    id,
                    self.directory,
                    command=self._command(id),
                    host=self.network.address(id),
                    ports=PORTS,
                )
                for id in self.ids
            ]
            flags = ("--cluster-secret-file", str(secret_file(self.directory)), *self._flags)
            self.cluster = opening.enter_context(Cluster(self.directory, flags=flags, nodes=nodes))
            self.cluster.start_ready()
            self._ready = set(self.ids)
            self._closing = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for id in self._paused:
            self.cluster.nodes[id].signal(signal.SIGCONT)
        self._closing.__exit__(kind, error, at)

    @property
    def places(self) -> list[Place]:
        return [Place(node.host, node.port) for node in self.cluster.nodes.values()]

    def _command(self, id: int) -> tuple[str, ...]:
        """What runs node `id`: one process all the way, so that what is sent to it reaches Python."""
        faked = (
            "env", f"LD_PRELOAD={LIBFAKETIME}", f"FAKETIME_TIMESTAMP_FILE={self._clock_file(id)}",
            "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1",
        )  # fmt: skip
        return (*DIES_WITH_US, *self.network.inside(id), *(faked if self._clocks else ()), *COMMAND)

    def _clock_file(self, id: int) -> Path:
        return self.directory / f"clock-{id}"

    def _set_clock(self, id: int, offset_s: float) -> None:
        if self._clocks_s.get(id) != offset_s:
            self._clocks_s[id] = offset_s
            written = self._clock_file(id).with_suffix(".new")
            written.write_text(f"{offset_s:+.0f}\n")
            os.replace(written, self._clock_file(id))

    # --- faults ---

    def begin(self, fault: Fault) -> None:
        self.lasting.append(Lasting(fault, monotonic()))
        self.begun[fault.kind] += 1

    def heal(self) -> None:
        """End all faults, and wait until all nodes are one cluster again."""
        self.lasting.clear()
        self.step()
        self.cluster.wait_ready(WHOLE_S)
        self.step()

    def step(self) -> None:
        """Bring the world to what the faults say that last now."""
        now = monotonic()
        self.lasting = [lasting for lasting in self.lasting if not lasting.is_over(now)]
        on = [lasting.fault for lasting in self.lasting if lasting.fault.is_on(now - lasting.began)]
        dead = frozenset(id for fault in on for id in fault.dead)
        blocked = {link for fault in on for link in fault.blocked}
        loss = max((fault.loss for fault in on), default=0.0)
        self._notice_deaths()
        self._kill(dead)
        self._pause(frozenset(id for fault in on for id in fault.paused) - dead)
        self.network.shape(blocked, loss)
        clocks_s = {id: offset_s for fault in on for id, offset_s in fault.clocks_s.items()}
        for id in self.ids:
            self._set_clock(id, clocks_s.get(id, 0))
        self._start(set(self.ids) - dead - self._paused)
        self._note_contact(blocked, loss)

    def _notice_deaths(self) -> None:
        for node in self.cluster.nodes.values():
            if node.process is not None and not node.running and node.id not in self._killed:
                self.died.append(f"node {node.id} ended by itself with {node.process.returncode}")
                self._killed.add(node.id)

    def _kill(self, dead: frozenset[int]) -> None:
        doomed = [id for id in dead if self.cluster.nodes[id].running]
        if doomed:
            self._killed.update(doomed)
            self._paused -= frozenset(doomed)
            self._ready -= set(doomed)
            self.cluster.kill(*doomed)

    def _pause(self, paused: frozenset[int]) -> None:
        running = {node.id for node in self.cluster.running()}
        for id in (paused - self._paused) & running:
            self.cluster.nodes[id].signal(signal.SIGSTOP)
        for id in (self._paused - paused) & running:
            self.cluster.nodes[id].signal(signal.SIGCONT)
        self._paused = paused & running

    def _start(self, alive: set[int]) -> None:
        for id in alive & self._killed:
            self._killed.discard(id)
            self.cluster.start(id)

    # --- what it is like now ---

    def _note_contact(self, blocked: set[tuple[int, int]], loss: float) -> None:
        """Whether some majority runs, is awake, and each of it hears each; where packets are lost, nobody does."""
        for id in set(self.ids) - self._ready - self._paused:
            status = self._status(id)
            if status and status["ClusterId"]:  # before that it only tells that it reads its log
                self._ready.add(id)
        up = [id for id in self.ids if id in self._ready and id not in self._paused and id not in self._killed]
        majority = len(self.ids) // 2 + 1
        contact = not loss and any(
            all((one, other) not in blocked and (other, one) not in blocked for one, other in combinations(some, 2))
            for some in combinations(up, majority)
        )
        if not self.contact or self.contact[-1][1] != contact:
            self.contact.append((monotonic(), contact))

    def _status(self, id: int) -> dict[str, Any] | None:
        node = self.cluster.nodes[id]
        try:
            return node.status(LOOK_S) if node.running else None
        except OSError:
            return None

    def leader(self) -> int:
        """Who leads, as far as those that can be asked know; 0 for nobody."""
        told = [status for id in sorted(self._ready - self._paused) if (status := self._status(id))]
        return max(((s["Term"], s["Id"]) for s in told if s["Leader"] == s["Id"]), default=(0, 0))[1]

    def tracebacks(self) -> list[str]:
        return [
            f"node {node.id} says {words!r}: see {node.log_file}"
            for node in self.cluster.nodes.values()
            for words in LOG_SAYS_NEVER
            if words in node.log()
        ]


def read_pages(place: Place, room: str, deadline_s: float = 15) -> list[bytes]:
    """A room as one node tells it: the bytes of its pages, from the first post on."""
    pages: list[bytes] = []
    with HttpClient(place.port, deadline_s, place.host) as client:
        while True:
            answer = client.request("GET", f"/rooms/{room}?after={PAGE * len(pages)}&limit={PAGE}")
            assert answer.status == 200, answer
            if answer.body in (b"[]", b"[]\n"):
                return pages
            pages.append(answer.body)
