"""A backup of a large chat under load: `python -m tests.cluster.backup_load --messages 1000000`.

The log of one node is written as a node would write it, restored on one node, and grown to three: that takes a minute
where posting a million takes ten.  Then posts are sent as fast as they are answered, in stretches: without a backup,
with backups of a follower one after the other, and so on.  At the end one more backup is made under load, restored on
one node, and grown to three.  Every message that was acknowledged before that backup began has to be on all three,
byte for byte.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic

from chat.commands import Post, encode
from raft.core.configuration import Configuration, Member
from raft.core.entries import command_entry, configuration_entry
from raft.core.raft_messages import Entry, HardState, ProposalId
from raft.storage.identity import Identity, save
from raft.storage.log_store import Storage
from tests.cluster.writers import PAGE
from tests.raft.disks import UnsyncedDisk
from tests.support.cluster import COMMAND, READY_S, ROOT, Cluster, NodeProcess, environment
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

ROOMS = 4
CONNECTIONS = 64
BATCH = 64  # entries of one write of the log: as many as connections post at once
START = 1_795_428_000_000_000  # of the log's times, in microseconds since 1970
WORDS = "lorem ipsum dolor sit amet consetetur sadipscing elitr sed diam"
STRETCH_S = 15.0
ROUNDS = 2
SHARE_MIN = 0.9  # of the posts a second, beside a backup
RESTORE_S = 1800


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--stretch", type=float, default=STRETCH_S)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raft-chat-backup-") as name:
        return _Run(Path(name), given.messages, given.rounds, given.stretch).run()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Run:
    def __init__(self, directory: Path, messages: int, rounds: int, stretch_s: float) -> None:
        self._directory = directory
        self._messages = messages
        self._rounds = rounds
        self._stretch_s = stretch_s

    def run(self) -> int:
        with Cluster(self._directory, 3, command=COMMAND) as cluster:
            self._fill(cluster)
            leader = cluster.nodes[cluster.wait_leader()]
            follower = cluster.nodes[leader.id % 3 + 1]
            term = leader.status()["Term"]
            share = self._measure(leader, follower)
            path, before = self._last_backup(leader, follower)
            after = leader.status()
            stayed = (after["Term"], after["Leader"]) == (term, leader.id)
            say(f"elections meanwhile: {0 if stayed else 'there were some'}")
            cluster.kill()
            lost = self._restore(cluster, path, before)
        is_good = share >= SHARE_MIN and not lost and stayed
        say("good" if is_good else "NOT GOOD")
        return 0 if is_good else 1

    def _fill(self, cluster: Cluster) -> None:
        began, made = monotonic(), self._directory / "made"
        write_log(made, self._messages)
        say(f"a log of {self._messages:,} messages was written in {monotonic() - began:.1f} s")
        self._grow(cluster, made, "filled")
        shutil.rmtree(made)

    def _measure(self, leader: NodeProcess, follower: NodeProcess) -> float:
        """Return the posts a second beside backups as a share of those without."""
        without, beside = [], []
        for number in range(self._rounds):
            with posting(leader, self._stretch_s) as alone:
                pass
            without.append(alone.per_second)
            took: list[tuple[float, int]] = []
            with posting(leader, self._stretch_s) as busy:
                while busy.is_running():
                    took.append(self._backup(follower, self._directory / f"{number}.backup"))
            beside.append(busy.per_second)
            for seconds, size in took:
                say(f"a backup: {size / 1e6:.1f} MB in {seconds:.1f} s, {size / 1e6 / seconds:.1f} MB/s")
            say(f"posts/s: {alone.per_second:,.0f} without, {busy.per_second:,.0f} beside {len(took)} backups")
        share = statistics.mean(beside) / statistics.mean(without)
        say(f"posts/s beside backups: {share:.3f} of those without")
        return share

    def _backup(self, node: NodeProcess, path: Path) -> tuple[float, int]:
        began = monotonic()
        command("backup", "--data-dir", str(node.data_dir), "--output", str(path))
        return monotonic() - began, path.stat().st_size

    def _last_backup(self, leader: NodeProcess, follower: NodeProcess) -> tuple[Path, dict[str, list[str]]]:
        path = self._directory / "last.backup"
        with posting(leader, self._stretch_s) as load:
            before = digests(leader)
            seconds, size = self._backup(follower, path)
        say(f"the last backup: {size / 1e6:.1f} MB in {seconds:.1f} s beside {load.per_second:,.0f} posts/s")
        say(command("verify", str(path)).strip())
        return path, before

    def _restore(self, cluster: Cluster, path: Path, before: dict[str, list[str]]) -> int:
        """Restore on one node, grow to three; return how many pages differ on any of them."""
        self._grow(cluster, path, "restored")
        differing = 0
        for node in cluster.nodes.values():
            now = digests(node, {room: len(pages) for room, pages in before.items()})
            pages = sum(len(found) for found in before.values())
            wrong = sum(a != b for room in before for a, b in zip(before[room], now[room], strict=True))
            differing += wrong
            say(f"node {node.id}: {pages - wrong} of {pages} pages of {PAGE} messages are the same, byte for byte")
        return differing

    def _grow(self, cluster: Cluster, source: Path, name: str) -> None:
        """Restore a backup or a directory on one node, and grow to three."""
        first = cluster.nodes[1]
        began = monotonic()
        first.data_dir = self._directory / f"{name}-1"
        say(command("restore", str(source), "--data-dir", str(first.data_dir), "--cluster", first.peer_url).strip())
        say(f"restored in {monotonic() - began:.1f} s")
        began = monotonic()
        first.start(*first.flags(f"1={first.peer_url}"))
        wait_until(lambda: is_ready(first), RESTORE_S, "the restored node serves")
        say(f"it serves after {monotonic() - began:.1f} s")
        for id in (2, 3):
            began, node = monotonic(), cluster.nodes[id]
            node.data_dir = self._directory / f"{name}-{id}"
            command("member", "add", str(id), node.peer_url, "--data-dir", str(first.data_dir))
            node.start(*node.flags(f"1={first.peer_url},{id}={node.peer_url}", "--join"))
            wait_until(lambda id=id: votes(first, id), RESTORE_S, f"node {id} votes")  # type: ignore[misc]
            say(f"node {id} votes after {monotonic() - began:.1f} s")


def write_log(directory: Path, messages: int) -> None:
    """Write the log of a member alone, with so many messages."""
    disk = UnsyncedDisk()
    directory.mkdir(mode=0o700)
    save(disk, directory, Identity(1, "cd" * 8, 0, "ab" * 8))
    storage = Storage.open(disk, directory)
    storage.set_cluster_id("ab" * 8)
    member = Member(1, "http://127.0.0.1:12379", True, incarnation="cd" * 8)
    configuration = Configuration({1: member}, frozenset(), "ab" * 8, 1, "")
    storage.append(HardState(1, 1, 0), [configuration_entry(1, 1, START, configuration.encode())])
    for first in range(2, messages + 2, BATCH):
        entries = [posted(index) for index in range(first, min(first + BATCH, messages + 2))]
        storage.append(HardState(1, 1, first - 1), entries)
        storage.keep_indexes()
    storage.append(HardState(1, 1, messages + 1), ())
    storage.close()


def posted(index: int) -> Entry:
    text = f"{WORDS[index % 16 :]} {index}"
    post = Post(f"room-{index % ROOMS}", f"user-{index % 97}", text, f"{index * 0x9E3779B97F4A7C15 % (1 << 64):032x}")
    id = ProposalId(1, 1, index, BATCH)
    return command_entry(index, 1, START + 2_000 * index, id, encode(post))


def is_ready(node: NodeProcess) -> bool:
    try:
        return node.request("GET", "/readyz").status == 200
    except OSError:
        return False


def votes(node: NodeProcess, id: int) -> bool:
    return any(member["Id"] == id and member["Voting"] for member in node.status()["Members"])


def digests(node: NodeProcess, counts: dict[str, int] | None = None) -> dict[str, list[str]]:
    """The digest of each page of each room: of all messages that are acknowledged by now, or of as many pages."""
    found: dict[str, list[str]] = {}
    with HttpClient(node.port, timeout_s=READY_S) as client:
        rooms = sorted(counts) if counts is not None else client.request("GET", "/rooms").json()
        for room in rooms:
            newest = client.request("GET", f"/rooms/{room}?limit=1").json()[-1]["Id"]
            pages = counts[room] if counts is not None else newest // PAGE  # whole ones: the last one grows
            found[room] = [
                sha256(client.request("GET", f"/rooms/{room}?after={page * PAGE}&limit={PAGE}").body).hexdigest()
                for page in range(pages)
            ]
    return found


def command(*arguments: str) -> str:
    """Run a sub-command as people do."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=RESTORE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Posting:
    """Posts that another process sends."""

    def __init__(self, node: NodeProcess, seconds: float) -> None:
        words = [str(node.port), str(CONNECTIONS), str(ROOMS), str(int(seconds))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.closed_loop", *words],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.answers, self.per_second = 0, 0.0

    def is_running(self) -> bool:
        return self._process.poll() is None

    def finish(self) -> None:
        out, _ = self._process.communicate()
        value = json.loads(out.splitlines()[-1])
        self.answers, self.per_second = value["answers"], value["per_second"]


@contextmanager
def posting(node: NodeProcess, seconds: float) -> Iterator[Posting]:
    load = Posting(node, seconds)
    try:
        yield load
    finally:
        load.finish()


if __name__ == "__main__":
    sys.exit(main())
