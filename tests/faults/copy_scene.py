"""A cluster that people write to and read, one or more of whose nodes come back on an older copy of their data.

A way of coming back is told in steps (`old_copies.py`): copy, post, put the copy back, start, see what comes of it.
What was answered and what was shown is kept, and held against what stands in the end:

- wrong: a 201 that was answered after a copy came back and whose message does not stand, and an Id that was answered
  twice with different text;
- lost: an acknowledged post that does not stand, or not once, or not where it was told.  Of a single node only what
  the copy had counts: what came after the copy was made is gone, and its clients are told to start over;
- two histories: an Id at which nodes have shown different messages, in stale reads too;
- untold: posts that a client misses, or shows twice or for nothing, though nobody told it to start over.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Self

from raft.errors import ADVICE
from tests.cluster.writers import PAGE, Acknowledged, Writer, acknowledged_by, load, wait_for_posts
from tests.faults.leftovers import new_directory, sweep
from tests.faults.power import Disk
from tests.faults.reading_clients import ROOM, IndexReader, ReadingClient, SocketClient, StreamClient, wrongly_shown
from tests.faults.tools import run
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

HERE = "refused here"
CLUSTER = "refused by the cluster"
HARMLESS = "harmless"

POSTS = 12  # in a stretch
PAUSE_S = 0.02  # of a writer, whose rate is not what is looked at
SEEN_S = 25  # for a node to be refused, or to be one of the cluster
STAYS_S = 1.0  # so long a node is one of the cluster before it counts as taken in
READ_S = 6  # a node without a majority answers 503 within five
RECORDED_S = 5
WRITERS = 2


@dataclass
class Seen:
    """What came of one way."""

    outcomes: dict[int, str] = field(default_factory=dict)  # of the nodes that came back, by id
    named_by: set[int] = field(default_factory=set)  # in whose logs stands that one is an older copy
    words: str = ""  # of the last refusal
    wrong: int = 0
    lost: int = 0
    not_in_copy: int = 0  # of a single node
    two_histories: int = 0
    untold: dict[str, int] = field(default_factory=dict)
    started_over: int = 0
    acknowledged: int = 0


class Scene(Cluster):
    """Use it as a context manager: whatever happens inside, no process, mount or loop device is left."""

    def __init__(self, size: int, on_volumes: str = "") -> None:
        """`on_volumes`: "at" or "below" the mount points of ext4 images that the data directories are on; "": no."""
        sweep()
        self.top = new_directory()
        super().__init__(self.top, size)
        self.disks: dict[int, Disk] = {}
        self.on_volumes = on_volumes
        self.seen = Seen()
        self.victims: list[int] = []
        self.clients: list[ReadingClient] = []
        self._era = 0
        self._answers: list[tuple[int, Acknowledged]] = []
        self._shown: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        self._stretches = 0
        self._came_back_at = self._copied_at = float("inf")
        self._log_starts: dict[int, int] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(shutil.rmtree, self.top)
            opening.callback(lambda: super(Scene, self).__exit__(None, None, None))
            for node in self.nodes.values() if self.on_volumes else ():
                disk = self.disks[node.id] = Disk(self.top / f"disk-{node.id}")
                opening.callback(disk.unmount)
                disk.mount()
                node.data_dir = disk.mounted_at if self.on_volumes == "at" else disk.mounted_at / "data"
            # What is closed first stands last: clients, nodes, mounts, files.
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *how: object) -> None:
        if how[0] is not None:
            self._show_logs()
        with ExitStack() as closing:
            closing.push(self._closing)
            closing.callback(self.kill)
            for client in self.clients:
                closing.callback(client.close)

    # --- people ---

    def attach(self, id: int) -> None:
        """Clients of all kinds at this node, each of which has been told of a post; and one that leaves again."""
        leaves = SocketClient("websocket that comes back late")
        self.clients = [SocketClient("websocket"), StreamClient("events"), IndexReader("min_index"), leaves]
        self.post_some(1, first=[id])
        for client in self.clients:
            client.follow(lambda: [self.nodes[id]], "")
        self._told(id, self.clients)
        leaves.close()

    def _told(self, id: int, clients: Sequence[ReadingClient]) -> None:
        """Each shows what is posted now."""
        newest = self.post_some(first=[id])
        for client in clients:
            client.follow(lambda: [self.nodes[id]], newest)

    def go_on(self) -> None:
        """Post at all nodes; the clients show it, but one that left, and it is read at each node."""
        self.post_some()
        self._told(self.victims[0], self.clients[:3])
        self.look(stale=False)

    @contextmanager
    def posting(self, ids: Sequence[int] = ()) -> Iterator[list[Writer]]:
        """Writers at work at these nodes, at all where none is named, while the block runs."""
        self._stretches += 1
        with load(self.ports(ids), writers=WRITERS, prefix=f"s{self._stretches}-", pause_s=PAUSE_S) as writers:
            yield writers
        self._answers += [(self._era, told) for told in acknowledged_by(writers)]

    def post_some(self, count: int = POSTS, first: Sequence[int] = ()) -> str:
        """The newest text, once so many more are acknowledged by the nodes that run."""
        with self.posting(first or [node.id for node in self.running()]) as writers:
            wait_for_posts(writers, count)
        return max(acknowledged_by(writers), key=lambda told: told.id).message

    def retry(self, ids: Sequence[int]) -> None:
        """Send what was acknowledged since the copy once more, with its ClientId, to these nodes."""
        for era, told in list(self._answers):
            for id in ids if era == self._era and told.at > self._copied_at else ():
                began = monotonic()
                with suppress(OSError), HttpClient(self.nodes[id].port, READ_S) as client:
                    answer = client.post(told.room, told.message, told.user, told.client_id)
                    if answer.status in (200, 201):
                        found = answer.json()["Id"]
                        again = Acknowledged(
                            told.room, told.user, told.client_id, told.message, found, began, monotonic()
                        )
                        self._answers.append((self._era, again))

    def look(self, *, stale: bool = True) -> list[list[dict[str, Any]]]:
        """What each running node shows of the room, [] for one that does not answer."""
        found = []
        for node in self.running():
            posts = _read(node, stale)
            found.append(posts)
            for post in posts:
                self._shown[self._era, post["Id"]].add(
                    json.dumps([post["User"], post.get("ClientId"), post["Message"]])
                )
        return found

    # --- copies ---

    def choose(self, who: str) -> list[int]:
        """The nodes that are to come back: "single", "follower", "leader", "majority"."""
        leader = self.wait_settled()
        followers = [id for id in self.nodes if id != leader]
        self.victims = {"follower": followers[:1], "majority": followers[:2]}.get(who, [leader])
        return self.victims

    def copy(self, *, running: bool = True) -> None:
        """Copy the data of each node that is to come back; of one that runs, of a moment of it."""
        for id in self.victims:
            with self.paused(id) if running else ExitStack():
                self._copy(self.nodes[id])
        self._copied_at = monotonic()

    def _copy(self, node: NodeProcess) -> None:
        if node.id in self.disks:
            run("sync", "-f", str(self.disks[node.id].mounted_at))
            self.disks[node.id].copy()
        run("cp", "-a", str(node.data_dir), str(self._copy_of(node)))
        run("tar", "-C", str(node.data_dir), "-cf", f"{self._copy_of(node)}.tar", ".")

    def _copy_of(self, node: NodeProcess) -> Path:
        return self.top / f"copy-{node.id}"

    def start_again(self) -> None:
        """A start that the cluster records, of each node that is to come back."""
        for id in self.victims:
            assert self.terminate(id) == 0
            self.restart(id)
            self._wait_recorded(id)

    def _wait_recorded(self, id: int) -> None:
        """Every other running node has the start in its log."""
        boot = json.loads((self.nodes[id].data_dir / "identity.json").read_text())["Boot"]
        others = [node for node in self.running() if node.id != id]
        word = str(boot).encode()
        wait_until(
            lambda: all(any(word in file.read_bytes() for file in node.data_dir.glob("log-*")) for node in others),
            RECORDED_S,
            f"the start {boot} of node {id} is recorded",
        )

    def put_back(self, how: str) -> None:
        """Put the older copy in the place of what each of them has; none of them runs, but where files are swapped."""
        for node in (self.nodes[id] for id in self.victims):
            copy, data = str(self._copy_of(node)), str(node.data_dir)
            match how:
                case "cp -r":
                    node.data_dir = self.top / f"elsewhere-{node.id}"
                    run("cp", "-r", copy, str(node.data_dir))
                case "cp -a":
                    run("find", data, "-mindepth", "1", "-delete")
                    run("cp", "-a", f"{copy}/.", data)
                case "cp -a over":  # onto the very files that are there, and beside those that came since
                    run("cp", "-a", f"{copy}/.", data)
                case "mv, cp -a":
                    run("mv", data, f"{data}-away")
                    run("cp", "-a", copy, data)
                case "rsync":
                    run("rsync", "-a", "--delete", f"{copy}/", f"{data}/")
                case "tar":
                    self.disks[node.id].remake()
                    node.data_dir.mkdir(exist_ok=True)
                    run("tar", "-C", data, "-xf", f"{copy}.tar")
                case "rollback":
                    self.disks[node.id].change_to_copy()

    # --- what comes of it ---

    def come_back(self, *flags: str, with_them: Sequence[int] = ()) -> None:
        """Start the nodes on their copies, others too, while people post to all; see what comes of each."""
        self._came_back_at = monotonic()
        if len(self.nodes) == 1:
            self._era += 1
        self._log_starts = {node.id: len(node.log()) for node in self.nodes.values()}
        with self.posting() as writers:
            for id in self.victims:
                node = self.nodes[id]
                node.start(*node.flags(self.url_list, *flags))
            if with_them:
                self.start(*with_them)
            self._see()
            if self._majority_runs():
                wait_for_posts(writers, POSTS)
        self.look()
        self.retry(self.victims)

    def _majority_runs(self) -> bool:
        return len(self.running()) > len(self.nodes) // 2

    def _see(self) -> None:
        since: dict[int, float] = {}

        def decided() -> bool:
            self.look()
            for id in self.victims:
                node = self.nodes[id]
                if not node.running:
                    self.seen.outcomes[id] = self._refusal(id)
                elif not self._is_taken_in(id):
                    since.pop(id, None)
                elif monotonic() - since.setdefault(id, monotonic()) > STAYS_S:
                    self.seen.outcomes[id] = HARMLESS
            return all(id in self.seen.outcomes for id in self.victims)

        with suppress(AssertionError):
            wait_until(decided, SEEN_S, "each node that came back is refused or taken in")
        for id in self.victims:
            self.seen.outcomes.setdefault(id, "stuck")
        self._see_names()

    def _is_taken_in(self, id: int) -> bool:
        """Whether it follows a leader that counts it, or leads."""
        found = self.nodes[id].status()
        leader = found["Leader"]
        if not leader or not self.nodes[leader].running:
            return False
        counted = {member["Id"]: member for member in self.nodes[leader].status()["Members"]}[id]["MatchIndex"]
        return leader == id or bool(counted >= found["CommitIndex"] > 0)

    def new_log(self, id: int) -> str:
        """What a node has logged since the copies came back."""
        return self.nodes[id].log()[self._log_starts.get(id, 0) :]

    def _refusal(self, id: int) -> str:
        process = self.nodes[id].process
        assert process is not None
        log = self.new_log(id).strip()
        self.seen.words = log.splitlines()[-1] if log else ""
        if process.returncode != 1:
            return f"ended with {process.returncode}"
        if "was copied or restored" in log or ADVICE in self.seen.words:  # or a log of two copies, which no start reads
            return HERE
        return CLUSTER if "older copy" in log or "older copies" in log else f"ended: {self.seen.words[-80:]}"

    def _see_names(self) -> None:
        for id in self.nodes:
            lines = [line for line in self.new_log(id).splitlines() if "older copy" in line or "older copies" in line]
            if any(f"member {victim}" in line for line in lines for victim in self.victims):
                self.seen.named_by.add(id)

    def started_once_more(self) -> None:
        """Start those that the cluster refused once more, by --moved too: each stays refused."""
        for id in [id for id, outcome in self.seen.outcomes.items() if outcome == CLUSTER]:
            node = self.nodes[id]
            for flags in ((), ("--moved",)):
                node.start(*node.flags(self.url_list, *flags))
                code = node.wait_exit()
                if code != 1 or "older copy" not in node.log().strip().splitlines()[-1]:
                    self.seen.outcomes[id] = f"started again with {code}"

    def have_lead(self, id: int = 0) -> None:
        """Have this node lead; 0: another one than leads, of those that run."""
        leader = self.wait_ready()
        id = id or next(node.id for node in self.running() if node.id != leader)
        if id != leader:
            assert self.request(leader, "POST", f"/raft/{id}/lead").status == 204
            self.wait_ready()

    def lose_the_leader(self) -> None:
        """Kill the leader, see that the others have everything, and start it again."""
        leader = self.wait_leader()
        self.kill(leader)
        self.wait_leader()
        self.post_some()
        self.look()
        self.restart(leader)

    def finish(self) -> Seen:
        """Everything is up that may be: what stands, and what everybody was told and shown."""
        for id in self.victims:  # one that was taken in may have been refused since
            if not self.nodes[id].running and self.seen.outcomes.get(id) == HARMLESS:
                self.seen.outcomes[id] = self._refusal(id)
        refused = {id for id, outcome in self.seen.outcomes.items() if outcome != HARMLESS}
        down = [id for id, node in self.nodes.items() if not node.running and id not in refused]
        if down:
            self.start(*down)
        served = len(self.nodes) - len(refused) > len(self.nodes) // 2
        if len(self.nodes) == len(refused):
            return self.seen
        if served:
            self.wait_ready()
        newest = self.post_some(1) if served else ""
        histories = self.look(stale=not served)
        self.look()
        history = max(histories, key=len, default=[])
        assert history, f"no node shows anything: {self.seen.outcomes}; {self.seen.words}"
        for client in self.clients:
            client.follow(self.running, newest or history[-1]["Message"])
            if wrong := wrongly_shown(client, history):
                self.seen.untold[client.name] = wrong
            self.seen.started_over += client.started_over
        for number, other in enumerate(histories):
            assert other == history, f"the {number + 1}th node that runs shows {len(other)} posts of {len(history)}"
        self._judge(history)
        self._see_names()
        return self.seen

    def _judge(self, history: Sequence[dict[str, Any]]) -> None:
        seen = self.seen
        stands: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for post in history:
            stands[post["User"], post["ClientId"]].append((post["Id"], post["Message"]))
        answered: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for era, told in self._answers:
            answered[era, told.id].add(told.message)
            seen.acknowledged += 1
            if stands[told.user, told.client_id] == [(told.id, told.message)]:
                continue
            if told.at >= self._came_back_at:
                seen.wrong += 1
            elif era == self._era or told.at < self._copied_at:
                seen.lost += 1
            else:
                seen.not_in_copy += 1
        seen.wrong += sum(len(texts) > 1 for texts in answered.values())
        seen.two_histories = sum(len(posts) > 1 for posts in self._shown.values())


def _read(node: NodeProcess, stale: bool) -> list[dict[str, Any]]:
    consistency = "&consistency=stale" if stale else ""
    with suppress(OSError):
        answer = node.request("GET", f"/rooms/{ROOM}?after=0&limit={PAGE}{consistency}", timeout_s=READ_S)
        if answer.status == 200:
            found = answer.json()
            assert isinstance(found, list)
            return found
    return []
