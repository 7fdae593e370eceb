"""Three nodes under load whose disks rot, one act of damage a second, and the check of what became of each.

At work meanwhile: writers, readers of old pages, exports, a room whose old messages are removed (so that the log is
compacted), a follower that is restarted now and then, and a node that joins and leaves.

What must hold: each answer is right or says that nothing was done; no read is refused for damage, since another node
has the record; nothing acknowledged is lost; every node runs; each snapshot that a node makes is whole, and the same
records are in all of them; in the end no file of a node is damaged, and each act of damage is accounted for
(accounts.py).

Only one node rots at a time, and what it lost is mended before the next one does.  Or all of them rot at once, each
where the others hold what it loses: a record that no node has is another test's.
"""

import json
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.cluster.compacting import AT_ONCE
from tests.cluster.writers import Writer, acknowledged_by, check_every_node, load
from tests.faults.rot.accounts import Snapshots, counting, settle
from tests.faults.rot.decay import KINDS, Hit, damage, is_whole, targets
from tests.support.cluster import Cluster, Forked, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

ROOMS = ("general", "random")
SCRATCH = "scratch"  # its old messages are removed
SCRATCH_KEPT = 20
FLAGS = ("--compact-mib", "1", "--scrub-mb-per-s", "2")
ACT_S = 1.0  # between two acts of damage
NODE_ACTS = 8  # before another node's disk rots
RESTART_S, JOIN_S = 15.0, 25.0
MEND_S = 60.0
LONG = "x" * 600  # in each message, so that files grow and are compacted
PROGRAM = Forked(f"""{AT_ONCE}
from raft.compaction import policy
policy.KEEP_ENTRIES, policy.MARK_ENTRIES, policy.CONTACT_MS = 300, 100, 1_000
""")


@dataclass(slots=True)
class Report:
    """What was seen."""

    hits: list[Hit] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0  # reads refused as damaged_record: each is wrong
    reads: int = 0
    exports: int = 0
    restarts: int = 0
    joins: int = 0
    posts: int = 0
    settled: Counter[str] = field(default_factory=Counter)  # what became of the hits
    snapshots: int = 0  # that were looked at
    compactions: int = 0

    def __str__(self) -> str:
        kinds = ", ".join(f"{sum(hit.kind == kind for hit in self.hits)} {kind}" for kind in KINDS)
        return (
            f"{len(self.hits)} acts of damage ({kinds}): "
            f"{', '.join(f'{count} {what}' for what, count in self.settled.most_common())}; "
            f"{self.posts} posts, {self.reads} reads, {self.exports} exports, "
            f"{self.restarts} restarts, {self.joins} joins, {self.compactions} compactions, "
            f"{self.snapshots} snapshots looked at; "
            f"refused as damaged: {self.refused}; wrong: {len(self.wrong)}"
        )


class Rot:
    """One run."""

    def __init__(
        self, cluster: Cluster, seed: int, say: Callable[[str], None] = lambda line: None, *, all_at_once: bool = False
    ) -> None:
        self._cluster = cluster
        self._all_at_once = all_at_once
        self._lost: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}  # by node: entries not known to be mended
        self._rng = random.Random(seed)
        self._say = say
        self._ending = threading.Event()
        self._steady = threading.Lock()  # held by whoever starts and stops nodes, and while a repair is waited for
        self._snapshots = Snapshots()
        self.report = Report()

    def run(self, seconds: float) -> Report:
        """Let the disks rot for so long, then see that all is mended."""
        self._prepare()
        with load(self._cluster.ports([1, 2, 3]), writers=3, rooms=ROOMS, pause_s=0.02, prefix="rot") as writers:
            others = [
                threading.Thread(target=self._guarded, args=(work,), name=work.__name__)
                for work in (self._read_old_pages, self._export, self._fill_scratch, self._come_and_go)
            ]
            for thread in others:
                thread.start()
            try:
                self._decay(monotonic() + seconds)
            finally:
                self._ending.set()
                for thread in others:
                    thread.join()
        self._finish(writers)
        return self.report

    def _prepare(self) -> None:
        with HttpClient(self._cluster.nodes[1].port) as client:
            for room in (*ROOMS, SCRATCH):
                for number in range(60):
                    answer = client.post(room, f"old {room} {number} {LONG}", "old")
                    assert answer.status == 201, answer
            answer = client.request(
                "PATCH", f"/rooms/{SCRATCH}", json.dumps({"Retention": {"MaxMessages": SCRATCH_KEPT}})
            )
            assert answer.status == 200, answer

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  a thread's own failure is a finding too
            self.report.wrong.append(f"{threading.current_thread().name}: {error!r}")

    # The damage

    def _decay(self, until_s: float) -> None:
        acts = 0
        node = self._rng.choice([1, 2, 3])
        while monotonic() < until_s:
            self._check_all_run()
            if self._all_at_once:
                node = self._rng.choice([1, 2, 3])
            rotting = self._cluster.nodes[node]
            for id in (1, 2, 3):
                self._snapshots.look_at(id, self._cluster.nodes[id].data_dir)
            hit = damage(
                node, rotting.data_dir, self._rng.choice(KINDS), self._rng, rotting.log_file.stat().st_size,
                lambda path, id=node: self._snapshots.look(id, path),  # type: ignore[misc]
                self._others_have,
            )  # fmt: skip
            if hit is not None:
                self.report.hits.append(hit)
                self._lost[node].update(hit.indexes)
                acts += 1
            if acts and acts % NODE_ACTS == 0:
                self._wait_all_mended(node)
                node, acts = self._rng.choice([id for id in (1, 2, 3) if id != node]), 0
            self._ending.wait(ACT_S)
        self._wait_all_mended(node)

    def _others_have(self, hit: Hit) -> bool:
        """Return whether none of the entries that it hits may be lost on another node."""
        return all(lost.isdisjoint(hit.indexes) for id, lost in self._lost.items() if id != hit.node)

    def _wait_all_mended(self, node: int) -> None:
        with self._steady:
            for id in (1, 2, 3) if self._all_at_once else (node,):
                self._wait_mended(id)
                self._lost[id].clear()

    def _wait_mended(self, id: int) -> None:
        node = self._cluster.nodes[id]

        def is_reading() -> bool:
            return bool(node.status().get("Scrub", {"Running": False})["Running"])

        # one that runs already may be behind the damage; a node that was restarted a moment ago says 503
        wait_until(lambda: not is_reading(), MEND_S, f"node {id} looks for nothing")
        wait_until(lambda: node.request("POST", "/raft/scrub").status == 202, MEND_S, f"node {id} looks for damage")

        def is_mended() -> bool:
            status = node.status()
            scrub = status.get("Scrub", {"Running": True})
            return not status.get("Damage") and not scrub["Running"]

        wait_until(is_mended, MEND_S, f"node {id} has mended all that it lost")

    def _check_all_run(self) -> None:
        with self._steady:
            for node in [self._cluster.nodes[id] for id in (1, 2, 3)]:  # others come and go meanwhile
                if not node.running:
                    raise AssertionError(f"node {node.id} is down")

    # The load

    def _get(self, node: NodeProcess, path: str) -> bytes | None:
        """The body of an answer; None: the node is away, or says that it cannot answer now."""
        try:
            answer = node.request("GET", path)
        except OSError:
            return None
        if answer.status == 200:
            return answer.body
        if answer.status == 500 and answer.json()["code"] == "damaged_record":
            self.report.refused += 1
            self.report.wrong.append(f"GET {path} from node {node.id} was refused: {answer.body[:300]!r}")
        elif answer.status != 503:
            self.report.wrong.append(f"GET {path} from node {node.id}: {answer.status} {answer.body[:300]!r}")
        return None

    def _check(self, posts: list[dict[str, str]], where: str) -> None:
        for post in posts:
            said, user = post["Message"], post["User"]
            if not said.startswith("old ") if user == "old" else said != words_of(user, post["ClientId"]):
                self.report.wrong.append(f"{where}: {post}")

    def _read_old_pages(self) -> None:
        rng = random.Random(1)
        while not self._ending.is_set():
            node, room = self._cluster.nodes[rng.choice([1, 2, 3])], rng.choice(ROOMS)
            body = self._get(node, f"/rooms/{room}?after={rng.randrange(200)}&limit=50")
            if body is not None:
                self.report.reads += 1
                self._check(json.loads(body), f"a page of {room} from node {node.id}")
            self._ending.wait(0.02)

    def _export(self) -> None:
        rng = random.Random(2)
        while not self._ending.is_set():
            node = self._cluster.nodes[rng.choice([1, 2, 3])]
            body = self._get(node, f"/rooms/{ROOMS[0]}/export")
            if body is not None:
                self.report.exports += 1
                posts = [json.loads(line) for line in body.splitlines()]
                self._check(posts, f"an export from node {node.id}")
                if [post["Id"] for post in posts] != list(range(1, len(posts) + 1)):
                    self.report.wrong.append(f"an export from node {node.id} has a gap")
            self._ending.wait(1.0)

    def _fill_scratch(self) -> None:
        number = 0
        while not self._ending.is_set():
            try:
                with HttpClient(self._cluster.nodes[number % 3 + 1].port) as client:
                    for _ in range(20):
                        number += 1
                        client.post(SCRATCH, f"old scratch {number} {LONG * 8}", "old")
                        self._ending.wait(0.01)
            except OSError:
                self._ending.wait(0.2)

    def _come_and_go(self) -> None:
        rng = random.Random(3)
        restart_s, join_s = monotonic() + RESTART_S / 3, monotonic() + JOIN_S / 2
        while not self._ending.wait(0.2):
            if monotonic() >= restart_s:
                with self._steady:
                    self._restart_a_follower(rng)
                restart_s = monotonic() + RESTART_S
            if monotonic() >= join_s:
                self._join_and_leave()
                join_s = monotonic() + JOIN_S

    def _restart_a_follower(self, rng: random.Random) -> None:
        leader = self._cluster.wait_leader()
        id = rng.choice([id for id in (1, 2, 3) if id != leader])
        node = self._cluster.nodes[id]
        node.signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        node.wait_exit()
        self._cluster.start(id)
        wait_until(lambda: node.request("GET", "/readyz").status in (200, 503), 30, f"node {id} is back")
        wait_until(lambda: node.status()["Leader"], 30, f"node {id} follows a leader")
        self.report.restarts += 1

    def _join_and_leave(self) -> None:
        id = 4 + self.report.joins
        newcomer = self._cluster.new_node(id)
        newcomer.program = PROGRAM
        leader = self._cluster.nodes[1]
        path = f"/raft/{id}?voting=false"
        wait_until(lambda: leader.request("POST", path, newcomer.peer_url).status == 204, 30, f"node {id} is added")
        self._cluster.join(id)
        wait_until(lambda: newcomer.status()["LastApplied"] > 100, 60, f"node {id} has caught up")
        wait_until(lambda: leader.request("DELETE", f"/raft/{id}").status == 204, 30, f"node {id} is removed")
        newcomer.wait_exit()
        del self._cluster.nodes[id]
        newcomer.close()
        self.report.joins += 1

    # The end

    def _finish(self, writers: list[Writer]) -> None:
        acknowledged = acknowledged_by(writers)
        self.report.posts = len(acknowledged)
        self._cluster.wait_ready()
        for id in (1, 2, 3):
            self._wait_mended(id)
        check_every_node(self._cluster.ports([1, 2, 3]), ROOMS, acknowledged)
        logs = [self._cluster.nodes[id].log() for id in (1, 2, 3)]
        self.report.compactions = sum(log.count("compacted the log") for log in logs)
        for id in (1, 2, 3):
            self._snapshots.look_at(id, self._cluster.nodes[id].data_dir)
        self.report.snapshots = self._snapshots.seen
        self.report.wrong += self._snapshots.wrong
        for hit in self.report.hits:
            self._settle(hit)
        for id in (1, 2, 3):
            for path in targets(self._cluster.nodes[id].data_dir, "bit"):
                if not is_whole(path):
                    self.report.wrong.append(f"node {id}: {path.name} is still damaged")

    def _settle(self, hit: Hit) -> None:
        """Find out what became of a hit."""
        node = self._cluster.nodes[hit.node]
        log = node.log_file.read_bytes()[hit.log_bytes :].decode(errors="replace")
        all_logs = "".join(self._cluster.nodes[id].log() for id in (1, 2, 3))
        counted = counting(node.data_dir)
        what = settle(hit, log, all_logs, counted.__contains__)
        self.report.settled[what or "not accounted for"] += 1
        if not what:
            self.report.wrong.append(f"not accounted for: {hit}")


def words_of(user: str, client_id: str) -> str:
    """What a writer said with this ClientId."""
    return f"{user} says {client_id.rpartition('-')[2]}"


def run(
    directory: Path,
    seconds: float,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
    *,
    all_at_once: bool = False,
) -> Report:
    """A whole run in a new cluster."""
    with Cluster(directory, command=PROGRAM, flags=FLAGS) as cluster:
        cluster.start_ready()
        report = Rot(cluster, seed, say, all_at_once=all_at_once).run(seconds)
        for finding in report.wrong:
            say(f"WRONG: {finding}")
        return report
