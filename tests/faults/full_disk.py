"""Disks that fill up, run out of names, or turn read-only, under real nodes: a table of what was lost, read and freed.

  python -m tests.faults.full_disk          all of it, some minutes; exit code 1 where something is amiss

A node has a tmpfs of 3 MiB and is sent posts until they are refused.  Then it must read, take a deletion, take posts
again without a restart, and, full once more and killed, start.  Needs root.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic

from raft.storage.disk import RealDisk
from raft.storage.reserve import held_in
from tests.cluster.writers import read_room
from tests.faults.disks import injected
from tests.faults.leftovers import new_directory, sweep
from tests.faults.tools import DISK, missing, run
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import wait_until

SMALL_BYTES = 3 << 20
LARGE_BYTES = 64 << 20
NAMES = 40  # files that the file system without names has, directories too
DEADLINE_S = 40.0
FULL_S = 60.0
MESSAGE = "full " * 800  # 4 KB
ROOM, KEPT = "filling", "kept"
REFUSED = 507


@dataclass(slots=True)
class Row:
    """One scenario and what was seen."""

    name: str
    acknowledged: int = 0
    lost: int = 0
    checks: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_met(self) -> bool:
        return bool(self.acknowledged) and not self.lost and all(self.checks.values())

    def __str__(self) -> str:
        said = "  ".join(f"{name}: {'yes' if held else 'NO'}" for name, held in self.checks.items())
        return f"{self.name:<28} acknowledged {self.acknowledged:>4}  lost {self.lost}  {said}  ({self.seconds:.1f} s)"


class SmallDisks(Cluster):
    """Nodes of which some have a small file system of their own."""

    def __init__(self, directory: Path, size: int, *, names: int = 0, flags: tuple[str, ...] = ()) -> None:
        sweep()
        super().__init__(directory, size, flags=flags)
        self._top = new_directory()
        self._names = names
        self._closing = ExitStack()
        for node in self.nodes.values():
            node.data_dir = self._top / str(node.id) / node.data_dir.name

    def __enter__(self) -> "SmallDisks":
        self._closing.callback(self._top.rmdir)
        for node in self.nodes.values():
            disk = node.data_dir.parent
            disk.mkdir()
            self._closing.callback(disk.rmdir)
            names = f",nr_inodes={self._names}" if self._names else ""
            run("mount", "-t", "tmpfs", "-o", f"size={LARGE_BYTES}{names}", "tmpfs", str(disk))
            self._closing.callback(run, "umount", str(disk))
        return self

    def __exit__(self, *how: object) -> None:
        with self._closing:
            super().__exit__(*how)  # type: ignore[arg-type]

    def shrink(self, id: int) -> None:
        """Leave the disk of a node 3 MiB."""
        run("mount", "-o", f"remount,size={SMALL_BYTES}", str(self.nodes[id].data_dir.parent))


class Filler:
    """Posts until it is told not to, and remembers what was acknowledged."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._numbers = count(1)
        self.acknowledged: dict[str, int] = {}  # ClientId -> Id, of what was not deleted

    def post(self, client: HttpClient, room: str = ROOM) -> Answer:
        client_id = f"{room}-{next(self._numbers)}"
        answer = client.post(room, MESSAGE if room == ROOM else "kept", client_id=client_id)
        if answer.status in (200, 201):
            self.acknowledged[client_id] = answer.json()["Id"]
            self._row.acknowledged += 1
        return answer

    def fill(self, node: NodeProcess, is_full: Callable[[Answer], bool]) -> Answer:
        """Post at `node` until that is so."""
        deadline_s = monotonic() + FULL_S
        with HttpClient(node.port) as client:
            while monotonic() < deadline_s:
                answer = self.post(client)
                if is_full(answer):
                    return answer
        raise AssertionError("the disk does not get full")

    def delete(self, node: NodeProcess) -> Answer:
        """Delete the room that fills the disk."""
        answer = node.request("DELETE", f"/rooms/{ROOM}")
        if answer.status in (200, 204, 404):  # 404: a try before, whose outcome was unknown, has deleted it
            self.acknowledged = {name: id for name, id in self.acknowledged.items() if not name.startswith(f"{ROOM}-")}
        return answer

    def check(self, ports: list[int]) -> None:
        """Count what was acknowledged and is not there."""
        for port in ports:
            found = {post["ClientId"]: post["Id"] for room in (ROOM, KEPT) for post in _posts(port, room)}
            self._row.lost += sum(found.get(name) != id for name, id in self.acknowledged.items())


def _posts(port: int, room: str) -> list[dict[str, object]]:
    with HttpClient(port) as client:
        is_there = client.request("GET", f"/rooms/{room}?limit=1").status == 200
    return read_room(port, room) if is_there else []


def _refused(answer: Answer) -> bool:
    return answer.status == REFUSED


def _reads(node: NodeProcess, *, stale: bool = False) -> bool:
    how = "&consistency=stale" if stale else ""
    return node.request("GET", f"/rooms/{KEPT}?limit=10{how}").status == 200


def _takes(node: NodeProcess, filler: Filler) -> bool:
    """Whether posts are taken again, within the deadline."""
    with HttpClient(node.port) as client:
        try:
            wait_until(lambda: filler.post(client, KEPT).status == 201, DEADLINE_S, "posts are taken again")
        except AssertionError:
            return False
    return True


def _soon(held: Callable[[], bool], what: str) -> bool:
    try:
        wait_until(lambda: held() or None, DEADLINE_S, what)
    except AssertionError:
        return False
    return True


def single(row: Row, directory: Path, *, restart: bool = True) -> None:
    """A node that is alone."""
    with SmallDisks(directory, 1) as cluster:
        cluster.shrink(1)
        cluster.start_ready()
        node, filler = cluster.nodes[1], Filler(row)
        with HttpClient(node.port) as client:
            filler.post(client, KEPT)
        filler.fill(node, _refused)
        row.checks["reads"] = _reads(node) and len(_posts(node.port, ROOM)) > 0
        filler.check([node.port])
        row.checks["deletion"] = filler.delete(node).status in (200, 204)
        row.checks["freed"] = _takes(node, filler)
        row.checks["no restart"] = node.running
        if restart:
            filler.fill(node, _refused)
            cluster.kill(1)
            cluster.restart(1)
            row.checks["start"] = _reads(node)
            filler.check([node.port])
            row.checks["deletion after it"] = filler.delete(node).status in (200, 204) and _takes(node, filler)
        filler.check([node.port])


def follower(row: Row, directory: Path) -> None:
    """One of three that follows."""
    _one_of_three(row, directory, leads=False)


def leader(row: Row, directory: Path) -> None:
    """One of three that leads."""
    _one_of_three(row, directory, leads=True)


def _one_of_three(row: Row, directory: Path, *, leads: bool) -> None:
    with SmallDisks(directory, 3) as cluster:
        cluster.start_ready()
        leader = cluster.wait_ready()
        full = cluster.nodes[leader if leads else next(id for id in cluster.nodes if id != leader)]
        others = [node for node in cluster.nodes.values() if node is not full]
        cluster.shrink(full.id)
        filler = Filler(row)
        with HttpClient(others[0].port) as client:
            filler.post(client, KEPT)
        filler.fill(others[0], lambda answer: "has no room" in full.log())
        before = row.acknowledged
        row.checks["others take posts"] = _soon(lambda: _more(filler, row, others[0], before + 20), "more posts")
        row.checks["another leads"] = _soon(lambda: others[0].status()["Leader"] not in (0, full.id), "another leads")
        row.checks["reads"] = _reads(others[0]) and _reads(full, stale=True)
        row.checks["deletion"] = filler.delete(others[0]).status in (200, 204)
        row.checks["freed"] = _soon(lambda: _takes_briefly(full, filler), "the full node takes posts")
        row.checks["no restart"] = all(node.running for node in cluster.nodes.values())
        cluster.wait_ready()
        filler.check(cluster.ports())


def all_three(row: Row, directory: Path) -> None:
    """Every node of three: no majority has room."""
    with SmallDisks(directory, 3) as cluster:
        for id in cluster.nodes:
            cluster.shrink(id)
        cluster.start_ready()
        nodes, filler = [*cluster.nodes.values()], Filler(row)
        with HttpClient(nodes[0].port) as client:
            filler.post(client, KEPT)
        filler.fill(nodes[0], _refused)
        row.checks["reads"] = all(_reads(node, stale=True) for node in nodes)
        row.checks["deletion"] = _soon(lambda: filler.delete(nodes[1]).status in (200, 204, 404), "it is deleted")
        row.checks["freed"] = all(_takes(node, filler) for node in nodes)
        row.checks["no restart"] = all(node.running for node in nodes)
        filler.fill(nodes[0], _refused)
        cluster.kill()
        cluster.start_ready()
        filler.check(cluster.ports())
        row.checks["start"] = all(_reads(node) for node in nodes)
        row.checks["deletion after it"] = _soon(lambda: filler.delete(nodes[2]).status in (200, 204, 404), "deleted")
        row.checks["freed after it"] = _takes(nodes[0], filler)
        cluster.wait_ready()
        filler.check(cluster.ports())


def _more(filler: Filler, row: Row, node: NodeProcess, goal: int) -> bool:
    with HttpClient(node.port) as client:
        filler.post(client)
    return row.acknowledged >= goal


def _takes_briefly(node: NodeProcess, filler: Filler) -> bool:
    with HttpClient(node.port) as client:
        return filler.post(client, KEPT).status == 201


def no_names(row: Row, directory: Path) -> None:
    """A file system that has blocks left, but no inodes."""
    with SmallDisks(directory, 1, names=NAMES, flags=("--compact-mib", "1")) as cluster:
        cluster.start_ready()
        node, filler = cluster.nodes[1], Filler(row)
        with HttpClient(node.port) as client:
            filler.post(client, KEPT)
        wait_until(lambda: held_in(RealDisk(), node.data_dir), DEADLINE_S, "the node has its reserve")
        used_up = node.data_dir.parent / "used-up"
        used_up.mkdir()
        try:
            for number in count(1):
                (used_up / str(number)).touch()
        except OSError:
            pass
        filler.fill(node, _refused)
        row.checks["reads"] = _reads(node)
        filler.check([node.port])
        row.checks["deletion"] = filler.delete(node).status in (200, 204)
        row.checks["freed"] = _takes(node, filler)
        row.checks["no restart"] = node.running
        filler.check([node.port])
        shutil.rmtree(used_up)


def _strace(error: str) -> Callable[[Row, Path], None]:
    def scenario(row: Row, directory: Path) -> None:
        with SmallDisks(directory, 1) as cluster:
            cluster.start_ready()
            node, filler = cluster.nodes[1], Filler(row)
            with HttpClient(node.port) as client:
                filler.post(client, KEPT)
                with injected(node, f"error={error}", "write"):
                    wait_until(lambda: _refused(filler.post(client, KEPT)), DEADLINE_S, "posts are refused")
                    row.checks["reads"] = _reads(node)
            row.checks["takes posts after it"] = _takes(node, filler)
            row.checks["no restart"] = node.running
            filler.check([node.port])

    return scenario


def _strace_leader(error: str) -> Callable[[Row, Path], None]:
    def scenario(row: Row, directory: Path) -> None:
        with SmallDisks(directory, 3) as cluster:
            cluster.start_ready()
            leader = cluster.nodes[cluster.wait_ready()]
            others = [node for node in cluster.nodes.values() if node is not leader]
            filler = Filler(row)
            with HttpClient(others[0].port) as client:
                filler.post(client, KEPT)
            with injected(leader, f"error={error}", "write"):
                row.checks["others take posts"] = _soon(lambda: _takes_briefly(others[0], filler), "posts are taken")
                row.checks["another leads"] = _soon(
                    lambda: others[0].status()["Leader"] not in (0, leader.id), "another leads"
                )
                row.checks["reads"] = _reads(others[0]) and _reads(leader, stale=True)
            row.checks["takes posts after it"] = _soon(lambda: _takes_briefly(leader, filler), "posts are taken")
            row.checks["no restart"] = leader.running
            cluster.wait_ready()
            filler.check(cluster.ports())

    return scenario


SCENARIOS: dict[str, Callable[[Row, Path], None]] = {
    "3 MiB, a single node": single,
    "3 MiB, a follower of three": follower,
    "3 MiB, the leader of three": leader,
    "3 MiB, all of three": all_three,
    "no inodes, a single node": no_names,
    "EROFS, a single node": _strace("EROFS"),
    "EDQUOT, a single node": _strace("EDQUOT"),
    "EROFS, the leader of three": _strace_leader("EROFS"),
    "EDQUOT, the leader of three": _strace_leader("EDQUOT"),
}


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-full-disk-"))
    yield directory
    shutil.rmtree(directory)


def see(name: str, scenario: Callable[[Row, Path], None], directory: Path) -> Row:
    """Play one scenario."""
    row, began_s = Row(name), monotonic()
    scenario(row, directory)
    row.seconds = monotonic() - began_s
    return row


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    if lacking := missing(DISK):
        say(f"this needs {', '.join(lacking)}")
        return 2
    rows = []
    for name, scenario in SCENARIOS.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        with _directory() as directory:
            rows.append(see(name, scenario, directory))
            say(str(rows[-1]))
    met = sum(row.is_met for row in rows)
    say(f"{met} of {len(rows)} are as they must be")
    return 0 if met == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
