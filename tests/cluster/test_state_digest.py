"""Three real nodes, one of which applies one command wrongly: it is named, answers nobody, and comes back by itself."""

from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.support.cluster import Cluster, Forked, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

DEADLINE_S = 20.0
WORD = "applied wrongly"  # a post with this text is, by the one node that does so
# Compare much more often than a cluster in use.
OFTEN = """
from raft.core import digest_points
from raft.digest import set_aside, watch
from raft.engine import gossip
digest_points.FINE_US, digest_points.COARSE_US = 100_000, 400_000
watch.LOOK_S, watch.QUIET_S, watch.QUIET_AGAIN_S = 0.05, 0.2, 0.2
set_aside.ASK_S, gossip.REFRESH_S = 0.5, 0.3
"""
# The memory of the process is changed; its log is not.
WRONGLY = f"""
import os
from chat.state.machine import ChatState
rightly, left = ChatState.apply, [1]
def apply(self, entry):
    result = rightly(self, entry)
    if b"{WORD}" in entry.body and left:
        left.pop()
        self._tables.rooms.by_name["general"].newest_id += 7
    return result
ChatState.apply = apply
ask = set_aside.SetAside._ask
set_aside.SetAside._ask = lambda self: ask(self) if os.path.exists("go-on") else None
"""


class Posting:
    """Posts by one node, one after the other, each acknowledged."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self.acknowledged: list[str] = []
        self.failed: list[object] = []
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="posting")

    def __enter__(self) -> "Posting":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with HttpClient(self._node.port) as client:
            while not self._stopping.wait(0.01):
                text = f"meanwhile {len(self.acknowledged)}"
                answer = client.post("general", text, "ann", text)
                if answer.status in (200, 201):
                    self.acknowledged.append(text)
                else:
                    self.failed.append(answer)


def texts(node: NodeProcess) -> list[str]:
    """All messages of the room, as this node shows them."""
    answer = node.request("GET", "/rooms/general/export")
    assert answer.status == 200, answer
    return [line for line in answer.body.decode().splitlines() if line]


def rooms(node: NodeProcess) -> bytes:
    return node.request("GET", "/rooms").body


def is_named(node: NodeProcess, id: int) -> bool:
    return bool(node.status().get("StateDigest", {}).get("Differing") == [id])


@pytest.mark.xdist_group("state-digest")
def test_a_node_that_applied_a_command_wrongly_is_named_answers_nobody_and_serves_again(tmp_path: Path) -> None:
    nodes = [NodeProcess(id, tmp_path, command=Forked(OFTEN + (WRONGLY if id == 3 else ""))) for id in (1, 2, 3)]
    with Cluster(tmp_path, nodes=nodes) as cluster:
        cluster.start_ready()
        if cluster.wait_leader() == 3:
            assert cluster.request(1, "POST", "/raft/1/lead").status == 204
        first, second, third = nodes
        with Posting(first) as posting:
            wait_until(lambda: len(posting.acknowledged) > 10, DEADLINE_S, "some posts")
            with HttpClient(second.port) as client:
                assert client.post("general", WORD, "bob", "wrong").status == 201
            third.wait_says("it serves nobody until it has a new state", DEADLINE_S)
            for node in nodes:
                node.wait_says("the state of member 3 at index", DEADLINE_S)
                wait_until(partial(is_named, node, 3), DEADLINE_S, f"node {node.id} shows it")
            assert third.status()["Leader"] != 3
            for path in ("/rooms", "/rooms?consistency=stale", "/rooms/general?consistency=stale"):
                assert third.request("GET", path).status == 503
            assert third.request("POST", "/rooms/general", '{"User":"ann","Message":"no"}').status == 503
            ready = third.request("GET", "/readyz")
            assert ready.status == 503 and b"[-]state failed" in ready.body
            assert b'raft_state_digest_mismatch{member="3"} 1' in third.request("GET", "/metrics").body
            (tmp_path / "go-on").touch()
            third.wait_says("it serves again", DEADLINE_S)
        assert not posting.failed
        assert third.request("GET", "/readyz").status == 200
        assert texts(third) == texts(first)
        assert rooms(third) == rooms(first)
        said = "\n".join(texts(third))
        assert all(f'"{text}"' in said for text in posting.acknowledged)
