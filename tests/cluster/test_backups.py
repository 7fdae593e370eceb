"""Backups of running clusters, and the new clusters that are made of them and of what is left of old ones."""

import gzip
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, People, operator
from tests.cluster.test_operator_commands import command, done, failed
from tests.support.cluster import READY_S, ROOT, Cluster, Forked, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient

ROOMS = ("general", "späti")
POSTS = 12
DRILL = (ROOT / "docs" / "operations.md").read_text().partition("## The majority is lost for good")[2]
# The child that makes a backup has no low priority: beside tests that keep all cores busy it would hardly get on.
AT_ONCE = """
import sys
import raft_chat_node
CHILD = "import sys, raft_chat; from raft.backup import writer; writer.NICENESS = 0; sys.exit(raft_chat.main())"
class AtOnce(raft_chat_node.ChildRunner):
    def __init__(self, command, data_dir, what):
        super().__init__([sys.executable, "-c", CHILD, raft_chat_node.BACK_UP], data_dir, what)
raft_chat_node.ChildRunner = AtOnce
"""
# A node that makes its backups in its own process, which is sooner.
IN_PROCESS = """
import contextlib, io, os
import raft_chat_node
from chat.state.machine import ChatState
from raft.backup.writer import main as back_up
os.nice = int
class InProcess:
    def __init__(self, command, data_dir, what):
        self.directory = str(data_dir)
    def run(self, arguments, meanwhile=None):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert back_up([self.directory, *arguments], ChatState, "its version") == 0
        return out.getvalue()
    def stop(self):
        pass
raft_chat_node.ChildRunner = InProcess
"""
PORT = re.compile(r"\b([1-9])23(79|80)\b")


def fill(client: HttpClient, user: str, last: int = POSTS) -> None:
    """Post to the rooms; each message has a ClientId of its own."""
    for number in range(1, last + 1):
        for room in ROOMS:
            fields = {"User": user, "Message": f"{room} {number}", "ClientId": f"{room}-{number}"}
            answer = client.request("POST", f"/rooms/{quoted(room)}", json.dumps(fields))
            assert answer.status == 201, answer


def quoted(room: str) -> str:
    return room.replace("ä", "%C3%A4")


def posts(node: NodeProcess) -> dict[str, bytes]:
    """Every message of the rooms, byte for byte, as the operator reads them."""
    with operator(node) as client:
        found = {room: client.request("GET", f"/rooms/{quoted(room)}?limit=1000") for room in ROOMS}
    assert all(answer.status == 200 for answer in found.values()), found
    return {room: answer.body for room, answer in found.items()}


def join(cluster: Cluster, first: NodeProcess, *ids: int) -> None:
    """Add new nodes to the cluster of `first`, with ids that its old one had, and wait for their votes."""
    for id in ids:
        node = cluster.nodes[id]
        node.data_dir = node.data_dir.with_name(f"new-{id}")
        added = done("member", "add", str(id), node.peer_url, "--data-dir", str(first.data_dir))
        assert "--join" in added
        listed = f"{first.id}={first.peer_url},{id}={node.peer_url}"
        node.start(*node.flags(listed, "--join"))
        wait_until(lambda id=id: votes(first, id), READY_S, f"node {id} votes")  # type: ignore[misc]


def votes(node: NodeProcess, id: int) -> bool:
    return any(member["Id"] == id and member["Voting"] for member in node.status()["Members"])


def test_a_backup_of_a_follower_becomes_another_cluster_that_grows_to_three(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, command=Forked(AT_ONCE)) as cluster:
        follower = cluster.nodes[cluster.start_ready().wait_leader() % 3 + 1]
        with HttpClient(cluster.nodes[1].port) as client:
            fill(client, "ann")
        with WebSocketClient(cluster.nodes[1].port) as socket:
            cursor = socket.subscribe()
        before, index = posts(cluster.nodes[1]), cluster.post(1, "general", "one more").headers["X-Raft-Index"]
        path = tmp_path / "chat.backup"
        urls = f"http://127.0.0.1:1,{follower.url}"
        assert f"a backup of index {index}" in done("backup", "--from", urls, "--output", str(path))
        shutil.copytree(follower.data_dir, tmp_path / "copied")  # it runs
        assert cluster.post(1, "general", "after the backup").status == 201
        check_files(tmp_path, path, follower)
        old_cluster = follower.status()["ClusterId"]
        cluster.kill()

        first = cluster.nodes[1]
        first.data_dir, old_dir = tmp_path / "restored", first.data_dir
        where = ["--data-dir", str(first.data_dir), "--cluster", first.peer_url]
        assert f"up to index {index}" in done("restore", str(path), *where)
        assert "is not empty" in failed(1, "restore", str(path), *where)
        first.start(*first.flags(f"1={first.peer_url}"))
        cluster.wait_ready()
        status = first.status()
        assert status["ClusterId"] != old_cluster
        assert [member["Id"] for member in status["Members"]] == [1]
        again = posts(first)
        assert again["späti"] == before["späti"]
        assert again["general"].startswith(before["general"].removesuffix(b"]\n"))
        check_clients(first, cursor, index)
        check_old_member_is_refused(cluster, 2)
        join(cluster, first, 2, 3)
        cluster.wait_ready()
        now = posts(first)
        for node in cluster.nodes.values():
            assert posts(node) == now

        assert str(old_dir) in failed(1, "restore", str(tmp_path / "copied"), "--data-dir", str(old_dir))
        said = done("restore", str(tmp_path / "copied"), "--data-dir", str(tmp_path / "from-copy"))
        assert f"restored cluster {old_cluster} up to index {index}" in said


def check_files(directory: Path, path: Path, node: NodeProcess) -> None:
    """The file is sound and its owner's alone; a directory of backups gets another one only when something changes."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "is a sound backup" in done("verify", str(path))
    shown = json.loads(done("verify", str(path), "--json"))
    assert (shown["Messages"], shown["Rooms"], shown["Users"]) == (2 * POSTS + 1, 2, 0)
    assert not [name for name in os.listdir(directory) if ".part" in name]
    backups = directory / "backups"
    backups.mkdir()
    arguments = ["backup", "--data-dir", str(node.data_dir), "--output", str(backups), "--gzip", "--keep", "1"]
    assert "a backup of index" in done(*arguments)
    assert "nothing has changed" in done(*arguments)
    (kept,) = backups.iterdir()
    assert gzip.decompress(kept.read_bytes())[:20].find(b'{"backup":1') > 0
    with HttpClient(node.port) as client:
        assert client.post("general", "and a change").status == 201
    assert "a backup of index" in done(*arguments)
    (newer,) = backups.iterdir()
    assert newer.name > kept.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = directory / "damaged"
    damaged.write_bytes(data)
    assert "is no sound backup" in failed(1, "verify", str(damaged))
    assert "Nothing was restored" in failed(1, "restore", str(damaged), "--data-dir", str(directory / "none"))
    assert not (directory / "none").exists()


def check_clients(node: NodeProcess, cursor: str, index: str) -> None:
    """Old cursors start over, a retry is posted once, and the next Id is a new one."""
    with WebSocketClient(node.port) as socket:
        socket.say(Action="subscribe", Rooms="*", Cursor=cursor)
        assert socket.hear()["Error"]["code"] == "start_over"
    assert node.request("GET", f"/rooms/general?min_index={index}").status == 410
    fields = {"User": "ann", "Message": f"general {POSTS}", "ClientId": f"general-{POSTS}"}
    retried = node.request("POST", "/rooms/general", json.dumps(fields))
    assert (retried.status, retried.json()["Id"]) == (200, POSTS)
    with HttpClient(node.port) as client:
        assert client.post("general", "new").json()["Id"] == POSTS + 2


def check_old_member_is_refused(cluster: Cluster, id: int) -> None:
    """A member of the old cluster that comes back changes nothing in the new one."""
    node, new = cluster.nodes[id], cluster.nodes[1]
    before = new.status()
    node.start(*node.flags(cluster.url_list))
    node.wait_says(f"this is {before['ClusterId']}")
    after = new.status()
    assert (after["ClusterId"], after["Term"], after["Leader"]) == (before["ClusterId"], before["Term"], 1)
    assert [member["Id"] for member in after["Members"]] == [1]
    cluster.kill(id)


def drill(is_login: bool) -> Iterator[list[str]]:
    """The commands of the drill in docs/operations.md, as words."""
    for block in re.findall(r"^```bash\n(.*?)^```$", DRILL.partition("\n## ")[0], re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield shlex.split(line)[1:]


@pytest.mark.parametrize("is_login", [False, True], ids=["open", "login"])
def test_the_drill_for_a_lost_majority_makes_a_cluster_of_three_of_what_a_survivor_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_login: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    program = Forked(IN_PROCESS + (QUICK_PASSWORDS.setup if is_login else ""))
    with Cluster(tmp_path, 3, flags=FLAGS if is_login else (), command=program) as cluster:
        cluster.start_ready()
        people = People(cluster) if is_login else None
        with people.client("ann") if people else HttpClient(cluster.nodes[1].port) as client:
            fill(client, "ann")
        before = posts(cluster.nodes[1])
        cluster.kill(2, 3)
        for id in (2, 3):
            shutil.rmtree(cluster.nodes[id].data_dir)
        assert "a backup of index" in done("backup", "--data-dir", "raft-chat-1", "--output", "last", "--stale")
        cluster.kill(1)
        for words in drill(is_login):
            carry_out(cluster, words)
        cluster.wait_ready()
        for node in cluster.nodes.values():
            found = posts(node)
            assert found == before
        if people is not None:
            people.token["ann"] = people.log_in("ann", 2, PASSWORD)
            assert people.post("ann", 3, "again").json()["Id"] == POSTS + 1
        else:
            assert cluster.post(3, "general", "again").json()["Id"] == POSTS + 1


def carry_out(cluster: Cluster, words: list[str]) -> None:
    """One command of the drill, with the ports that the cluster has."""

    def port(found: re.Match[str]) -> str:
        node = cluster.nodes[int(found[1])]
        return str(node.peer_port if found[2] == "79" else node.port)

    here = [PORT.sub(port, word) for word in words]
    if not here[0].startswith("--"):
        code, out, error = command(*here)
        assert (code, error) == (0, ""), error
        if here[0] == "restore":
            assert "as the new cluster" in out
        return
    id = int(here[1])
    node = cluster.nodes[id]
    node.data_dir = Path(here[here.index("--data-dir") + 1])
    node.start(*here)
    if id == 1:
        wait_until(lambda: node.request("GET", "/readyz").status == 200, READY_S, "it serves alone")
    else:
        wait_until(lambda: votes(cluster.nodes[1], id), READY_S, f"node {id} votes")


def test_a_backup_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=Forked(AT_ONCE)) as cluster:
        node = cluster.start_ready().nodes[1]
        old = os.umask(0)
        try:
            for flags in ([], ["--gzip"]):
                path = tmp_path / f"b{len(flags)}"
                done("backup", "--data-dir", str(node.data_dir), "--output", str(path), *flags)
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
            (spool,) = node.data_dir.glob("*.spool")
            assert stat.S_IMODE(spool.stat().st_mode) == 0o600
        finally:
            os.umask(old)
