"""How long `/readyz` takes to turn false and true again, at each node, when something happens to the leader.

The nodes are in network namespaces (`tests/faults`).  Each is asked again and again, on a connection of its own; a node
that does not answer within ASK_S is not ready.  A time counts from the fault, a disk's from the first write that hangs:
until the first question that was not answered with 200, and until the first one since when all were.

On a busy machine questions are far apart, and the first one that is not answered with 200 comes late.  So a bound is
for the last question before it: a node that still says that it is ready is late by itself.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

from tests.faults.disks import injected
from tests.faults.world import World
from tests.monitoring.traffic import Place, traffic
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

ASK_S = 0.2
PAUSE_S = 0.005
ELECTION_TIMEOUT_S = 0.3
LASTS_S = 2.0  # the fault
AGAIN_S = 30.0  # until all nodes are ready once more
SETTLED_S = 1.0  # for which all have to be ready before the next fault
TOKEN = "t" * 32  # that reads the metrics


@dataclass(slots=True)
class Watch:
    """What one node answered, over time."""

    place: Place
    changes: list[tuple[float, bool, str]] = field(default_factory=list)  # when, whether ready, and what failed
    last_ready: list[float] = field(default_factory=list)  # before each time that it was not: the last question
    _ready_s: float = 0.0

    @property
    def is_ready(self) -> bool:
        return bool(self.changes) and self.changes[-1][1]

    def ready_for(self) -> float:
        """How long it has been ready now, in seconds."""
        return monotonic() - self.changes[-1][0] if self.is_ready else 0.0

    def note(self, asked_s: float, ready: bool, why: str) -> None:
        if not ready and self.is_ready:
            self.last_ready.append(self._ready_s)
        if ready:
            self._ready_s = asked_s
        if not self.changes or self.changes[-1][1] is not ready:
            self.changes.append((asked_s, ready, why))
        elif why and why not in self.changes[-1][2]:
            self.changes[-1] = (*self.changes[-1][:2], f"{self.changes[-1][2]}; {why}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; None: it was ready all the time.

    `last_ready_s`: when it was last asked, and said that it was ready, before it was not.
    """

    fault: str
    role: str
    last_ready_s: float | None
    false_s: float | None
    true_s: float | None
    why: str


def _ask(watch: Watch, stopping: threading.Event) -> None:
    host, port = watch.place
    client = HttpClient(port, ASK_S, host)
    while not stopping.wait(PAUSE_S):
        asked_s = monotonic()
        try:
            answer = client.request("GET", "/readyz")
        except OSError:
            watch.note(asked_s, False, "no answer")
            continue
        failed = [line[3:].partition(" ")[0] for line in answer.body.decode().splitlines() if line.startswith("[-]")]
        watch.note(asked_s, answer.status == 200, ", ".join(failed))
    client.close()


@contextmanager
def watched(places: Sequence[Place]) -> Iterator[list[Watch]]:
    """Ask these nodes while the block runs."""
    watches, stopping = [Watch(place) for place in places], threading.Event()
    threads = [threading.Thread(target=_ask, args=(watch, stopping)) for watch in watches]
    for thread in threads:
        thread.start()
    try:
        yield watches
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


class Scene:
    """Three nodes, and what may happen to their leader."""

    def __init__(self, world: World, token: Path) -> None:
        """`token`: the file of the metrics token."""
        self.world = world
        self.token = token
        self.cluster = world.cluster
        self._pause = threading.Event()
        self._began_s: float | None = None  # of the last fault, where it began later than it was made

    @property
    def places(self) -> list[Place]:
        return [(node.host, node.port) for node in self.cluster.nodes.values()]

    def last(self, seconds: float) -> None:
        """The fault lasts; nobody sets the event."""
        self._pause.wait(seconds)

    def killed(self, leader: int) -> Iterator[None]:
        self.cluster.kill(leader)
        yield
        self.cluster.start(leader)

    def told_to_stop(self, leader: int) -> Iterator[None]:
        self.cluster.nodes[leader].signal(signal.SIGTERM)
        yield
        self.cluster.nodes[leader].wait_exit()
        self.cluster.start(leader)

    def paused(self, leader: int) -> Iterator[None]:
        self.cluster.nodes[leader].signal(signal.SIGSTOP)
        yield
        self.cluster.nodes[leader].signal(signal.SIGCONT)

    def cut_off(self, leader: int) -> Iterator[None]:
        others = [id for id in self.cluster.nodes if id != leader]
        self.world.network.shape({link for id in others for link in ((id, leader), (leader, id))})
        yield
        self.world.network.shape()

    def without_a_disk(self, leader: int) -> Iterator[None]:
        node = self.cluster.nodes[leader]
        trace = node.log_file.with_suffix(".trace")
        with injected(node, f"delay_enter={int(LASTS_S * 1_000_000)}", trace=trace):
            yield
        first = re.search(r"^\d+ +(\d+\.\d+) fdatasync", trace.read_text(), re.MULTILINE)
        assert first is not None, "nothing was written"
        self._began_s = float(first[1]) - time() + monotonic()

    def measure(
        self,
        fault: str,
        happen: Callable[[int], Iterator[None]],
        lasts_s: float = LASTS_S,
        settled_s: float = SETTLED_S,
    ) -> list[Row]:
        """Let it happen to the leader, and undo it; what each node's `/readyz` did.

        `settled_s`: for so long all have to be ready, before and after.
        """
        leader = self.cluster.wait_ready()
        with ExitStack() as stack:
            stack.enter_context(traffic(self.places, websockets=False))
            watches = stack.enter_context(watched(self.places))
            wait_until(lambda: all(w.ready_for() > settled_s for w in watches), AGAIN_S, "all are ready")
            began, self._began_s = monotonic(), None
            steps = happen(leader)
            next(steps)
            self.last(max(0.0, began + lasts_s - monotonic()))
            next(steps, None)
            wait_until(lambda: all(w.ready_for() > settled_s for w in watches), AGAIN_S, "all are ready again")
        return [
            _row(fault, "leader" if id == leader else "follower", self._began_s or began, watch)
            for id, watch in zip(self.cluster.nodes, watches, strict=True)
        ]


def _row(fault: str, role: str, began: float, watch: Watch) -> Row:
    since = [change for change in watch.changes if change[0] >= began - ASK_S]
    lost = [(at, why) for at, ready, why in since if not ready]
    if not lost:
        return Row(fault, role, None, None, None, "")
    last_ready_s = next((at for at in watch.last_ready if at >= began - ASK_S), began) - began
    why = ", ".join(dict.fromkeys(word for _, words in lost for word in words.replace("; ", ", ").split(", ")))
    return Row(fault, role, last_ready_s, max(0.0, lost[0][0] - began), since[-1][0] - began, why)


def all_faults(scene: Scene) -> Iterator[Row]:
    """The rows of the table, each fault once; the roles as they were before it."""
    for fault, happen in (
        ("told to stop", scene.told_to_stop),
        ("killed", scene.killed),
        ("paused", scene.paused),
        ("cut off", scene.cut_off),
        ("its disk hangs", scene.without_a_disk),
    ):
        yield from sorted(scene.measure(fault, happen), key=lambda row: row.role, reverse=True)


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Three fresh nodes in namespaces, which show their metrics to who has the token."""
    token = directory / "metrics-token"
    token.write_text(f"{TOKEN}\n")
    with World(directory, 3, flags=("--metrics-token-file", str(token))) as world:
        yield Scene(world, token)
