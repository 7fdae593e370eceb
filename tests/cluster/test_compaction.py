"""Real nodes whose log is compacted while posts go on: space comes back, and nobody who was there or away loses a post.

Each of these clusters is given more entries than a compaction keeps (compacting.py).
"""

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from tests.cluster.compacting import COMPACT_S, KEPT_ENTRIES, SMALL, SOON, fill
from tests.cluster.joining import compactions, digest
from tests.cluster.writers import acknowledged_by, check_history, load, read_room, wait_for_posts
from tests.support.cluster import EXIT_S, READY_S, Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

LIVE, KEPT = "live", 20
GONE, LONG = 1_600, "x" * 800  # several times as many bytes as what stays, which is more entries
STAYING, SHORT = KEPT_ENTRIES + 800, "x"
DOOMED = "doomed"
CHECKPOINTED = 1_200  # more than a quarter of 1 MiB, which a node writes down when it has nothing to do


def let_go(cluster: Cluster, id: int, rooms: Sequence[str]) -> None:
    """Of the rooms little is left; one is deleted."""
    for room in rooms:
        answer = cluster.request(id, "PATCH", f"/rooms/{room}", f'{{"Retention": {{"MaxMessages": {KEPT}}}}}')
        assert answer.status == 200
    assert cluster.request(id, "DELETE", f"/rooms/{DOOMED}").status == 204


def compacted_up_to(node: NodeProcess) -> int:
    return max((int(match[1]) for match in compactions(node)), default=0)


def retried(cluster: Cluster, id: int, client_id: str, message: str) -> dict[str, Any]:
    """What the same post as before is answered, on any node: 200, and the first one."""
    with HttpClient(cluster.nodes[id].port) as client:
        answer = client.post(LIVE, message, "ann", client_id)
        assert answer.status == 200, answer
        found = answer.json()
        assert isinstance(found, dict)
        return found


def test_a_log_is_compacted_while_posts_go_on_and_nobody_loses_one(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=SOON, flags=SMALL) as cluster:
        leader = cluster.start_ready().wait_leader()
        away = next(id for id in cluster.nodes if id != leader)
        term = cluster.nodes[leader].status()["Term"]
        with HttpClient(cluster.nodes[leader].port) as client:
            first = client.post(LIVE, "the first", "ann", "c-1").json()
        with cluster.subscribed(leader) as (_, cursor):
            pass
        fill(cluster.nodes[leader], GONE, [DOOMED, "trimmed"], LONG)
        cluster.kill(away)
        held = cluster.nodes[leader].status()["LastIndex"]
        let_go(cluster, leader, ["trimmed"])
        with load(cluster.ports([leader]), writers=2, rooms=[LIVE]) as writers:
            fill(cluster.nodes[leader], STAYING, ["trimmed"], SHORT)
            for node in cluster.running():
                wait_until(lambda node=node: compacted_up_to(node) > held, COMPACT_S, "compacted")  # type: ignore[misc]
            wait_for_posts(writers, sum(len(writer.acknowledged) for writer in writers) + 50)
            cluster.restart(away)
            wait_for_posts(writers, sum(len(writer.acknowledged) for writer in writers) + 50)
        acknowledged = acknowledged_by(writers)
        assert f"member {away} is sent the snapshot" in cluster.nodes[leader].log()
        assert cluster.nodes[leader].status()["Term"] == term
        cluster.wait_ready()

        rooms = [LIVE, "trimmed", DOOMED]
        pages = {digest(node, rooms) for node in cluster.nodes.values()}
        assert len(pages) == 1
        check_history(acknowledged, {LIVE: read_room(cluster.nodes[away].port, LIVE)})
        cluster.kill()
        cluster.restart()
        assert {digest(node, rooms) for node in cluster.nodes.values()} == pages
        for id in cluster.nodes:
            assert retried(cluster, id, "c-1", "the first") == first
        _check_resumed(cluster, away, cursor, len(acknowledged))


def _check_resumed(cluster: Cluster, id: int, cursor: str, posts: int) -> None:
    """From before the compaction: each post of the room that was kept, in order, or where it is to be read by pages."""
    with cluster.subscribed(id, cursor) as (websocket, _):
        seen: list[int] = []
        limited: set[str] = set()
        while len(seen) < posts and LIVE not in limited:
            frame = websocket.hear_any()
            if "Limited" in frame:
                limited.add(frame["Limited"]["RoomName"])
            elif frame.get("RoomName") == LIVE:
                seen.append(frame["Post"]["Id"])
    if LIVE not in limited:
        assert seen == list(range(2, posts + 2))


def test_space_comes_back_and_what_was_replaced_lingers(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=SOON, flags=SMALL) as cluster:
        node = cluster.nodes[cluster.start_ready().wait_leader()]
        fill(node, GONE, [DOOMED, "trimmed"], LONG)
        let_go(cluster, node.id, ["trimmed"])
        fill(node, STAYING, ["trimmed"], SHORT)
        match = wait_until(lambda: next(iter(compactions(node)), None), COMPACT_S, "the log is compacted")
        before, after = int(match[3]), int(match[4])
        assert after < before / 2
        on_disk = sum(file.stat().st_size for file in node.data_dir.glob("log-*.jsonl"))
        assert on_disk > after, "a copy of the directory that was under way would have lost a file"


def test_a_start_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=SOON, flags=SMALL) as cluster:
        node = cluster.nodes[cluster.start_ready().wait_leader()]
        fill(node, CHECKPOINTED, ["general"])
        found = wait_until(
            lambda: [*node.data_dir.glob("checkpoint-*.jsonl")] or None, COMPACT_S, "there is a checkpoint"
        )
        for _ in range(2):  # the second one's record says that the first is committed, and so is all before it
            assert cluster.post(node.id, "general", "after it").status == 201
        told = digest(node, ["general"])
        cluster.kill()
        cluster.restart()
        said = re.findall(r"restored the state from the checkpoint at index ([0-9]+); ([0-9]+) entries", node.log())
        assert len(said) == 1, node.log()
        index, left = map(int, said[0])
        assert index >= int(found[0].name[11:26])
        assert left < CHECKPOINTED
        assert digest(node, ["general"]) == told
        fill(node, CHECKPOINTED, ["general"])
        told = digest(node, ["general"])
        assert cluster.terminate(node.id) == 0
        cluster.restart()
        said = re.findall(r"restored the state from the checkpoint at index ([0-9]+); ([0-9]+) entries", node.log())
        assert int(said[-1][1]) == 0, "a stop writes the state down"
        assert digest(node, ["general"]) == told


def _child_of(node: NodeProcess) -> int:
    """The process that rewrites this node's log; 0 while there is none.

    A child that does not run its own program yet holds the thread that made it (vfork): to stop it would stop the node.
    """
    assert node.process is not None
    children = Path(f"/proc/{node.process.pid}/task").glob("*/children")
    found = [int(child) for file in children for child in file.read_text().split()]
    return next((child for child in found if b"rewrite-log" in Path(f"/proc/{child}/cmdline").read_bytes()), 0)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "Z"
    except OSError:
        return True


def _with_a_child_at_work(cluster: Cluster) -> tuple[NodeProcess, int]:
    """A node that has begun to rewrite its log, by a child that stands still."""
    node = cluster.nodes[cluster.start_ready().wait_leader()]
    fill(node, GONE, [DOOMED, "general"], LONG)
    let_go(cluster, node.id, ["general"])
    filling = Thread(target=fill, args=(node, STAYING, ["general"], SHORT), name="filling")
    filling.start()
    try:
        child = wait_until(lambda: _child_of(node) or None, COMPACT_S, "there is a child")
        os.kill(child, signal.SIGSTOP)
    finally:
        filling.join()
    return node, child


def test_a_child_that_is_killed_costs_a_warning_and_no_post(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=SOON, flags=SMALL) as cluster:
        node, child = _with_a_child_at_work(cluster)
        assert cluster.post(node.id, "general", "while it stands still").status == 201
        os.kill(child, signal.SIGKILL)
        node.wait_says("the log was not rewritten; next try in 60 s")
        assert cluster.post(node.id, "general", "after it was killed").status == 201
        assert list(node.data_dir.glob(f"*.{child}.tmp")) == []


def test_a_stop_does_not_wait_for_a_child(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=SOON, flags=SMALL) as cluster:
        node, child = _with_a_child_at_work(cluster)
        began = monotonic()
        assert cluster.terminate(node.id) == 0
        assert monotonic() - began < EXIT_S / 3
        assert _gone(child)
        assert "not rewritten" not in node.log()


def test_a_child_ends_when_its_node_is_killed_and_the_next_start_is_clean(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=SOON, flags=SMALL) as cluster:
        node, child = _with_a_child_at_work(cluster)
        told = digest(node, ["general"])
        cluster.kill()
        os.kill(child, signal.SIGCONT)
        wait_until(lambda: _gone(child), READY_S, "the child has ended")
        cluster.restart()
        assert digest(node, ["general"]) == told
        assert list(node.data_dir.glob(f"*.{child}.tmp")) == []  # a checkpoint of its own may be under way
