"""A member that hears no leader asks whether it is still a member, and believes only its own cluster."""

import random
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node, Settings
from raft.core.raft_messages import AppendEntries, HardState
from raft.engine.node_lock import NodeLock
from raft.engine.removal_check import SILENT_TIMEOUTS, RemovalCheck
from raft.errors import RefusedPeer
from raft.rpc.calls import HelloReply, Sender
from raft.rpc.endpoint import Endpoint
from tests.raft.peer_port import PeerPort

DEADLINE_S = 10.0
OWN, OTHER = 4, 2


class Watched:
    """The removal check of learner 4, and member 2, which it may ask."""

    def __init__(self) -> None:
        self.port = PeerPort("other")
        self.cluster_id = "c1"
        self.refuses: RefusedPeer | None = None
        self.removed: tuple[int, ...] = (OWN,)
        self.asked: SimpleQueue[None] = SimpleQueue()
        self.told: SimpleQueue[str] = SimpleQueue()
        self.heard: list[Sender] = []
        self.port.open(Endpoint(self._other, self._hello))
        members = {
            OTHER: Member(OTHER, self.port.url, True),
            3: Member(3, "http://127.0.0.1:9", True),
            OWN: Member(OWN, "http://127.0.0.1:9", False),
        }
        configuration = Configuration(members, cluster_id="c1")
        self.node = Node(
            OWN, log=Log(), hard_state=HardState(), configurations=[(0, configuration)], rng=random.Random(1)
        )
        own = Sender(OWN, "dd", "c1", "")
        node_lock = NodeLock(self.node, lambda before, after: None, lambda error: None)
        self.removal_check = RemovalCheck(OWN, node_lock, lambda: own, self.heard.append, self.told.put, timeout_s=0.3)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.removal_check.run, args=(self.stopping,), name="raft-removal")

    def _other(self) -> Sender:
        return Sender(OTHER, "bb", self.cluster_id, "")

    def _hello(self) -> HelloReply:
        self.asked.put(None)
        if self.refuses is not None:
            raise self.refuses
        return HelloReply({}, {}, self.removed)

    def hears_a_leader(self) -> None:
        self.node.step(AppendEntries(OTHER, OWN, 1, 0, 0, (), 0, 0, heartbeat=True))

    def passes(self, ms: float) -> None:
        for passed in range(0, int(ms) + 50, 50):
            self.node.tick(float(passed), 0)

    def close(self) -> None:
        self.stopping.set()
        if self.thread.ident is not None:
            self.thread.join(DEADLINE_S)
            assert not self.thread.is_alive()
        self.port.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr("raft.engine.removal_check.ASK_EVERY_S", 0.01)
    watched = Watched()
    yield watched
    watched.close()


def test_a_removed_member_is_told_once_also_where_another_one_does_not_answer(watched: Watched) -> None:
    watched.thread.start()
    assert watched.told.get(timeout=DEADLINE_S) == (
        "it was removed from the cluster while it was down, as member 2 says"
    )
    watched.thread.join(DEADLINE_S)
    assert (watched.thread.is_alive(), watched.told.empty()) == (False, True)
    assert watched.node.current_term == 0


@pytest.mark.parametrize(("cluster_id", "removed"), [("c2", (OWN,)), ("", (OWN,)), ("c1", (3,)), ("c1", ())])
def test_what_another_cluster_removed_or_who_is_still_a_member_goes_on_asking(
    watched: Watched, cluster_id: str, removed: tuple[int, ...]
) -> None:
    watched.cluster_id, watched.removed = cluster_id, removed
    watched.thread.start()
    for _ in range(3):
        watched.asked.get(timeout=DEADLINE_S)
    assert watched.told.empty()


@pytest.mark.parametrize(
    ("cluster_id", "code", "ends"), [("c1", "removed", True), ("c2", "removed", False), ("c1", "not_ready", False)]
)
def test_a_member_that_gets_no_answer_but_that_it_was_removed_ends(
    watched: Watched, cluster_id: str, code: str, ends: bool
) -> None:
    """With certificates a member that was removed gets nothing else."""
    watched.cluster_id, watched.refuses = cluster_id, RefusedPeer(code, "in words")
    watched.thread.start()
    if ends:
        assert "as member 2 says" in watched.told.get(timeout=DEADLINE_S)
        watched.thread.join(DEADLINE_S)
        return
    for _ in range(3):
        watched.asked.get(timeout=DEADLINE_S)
    assert watched.told.empty()


def test_who_hears_a_leader_asks_nobody(watched: Watched) -> None:
    assert [member.id for member in watched.removal_check._to_ask_locked(watched.node)] == [OTHER, 3]
    watched.hears_a_leader()
    assert watched.removal_check._to_ask_locked(watched.node) == []
    watched.passes((SILENT_TIMEOUTS - 1) * Settings().election_timeout_ms)
    assert watched.removal_check._to_ask_locked(watched.node) == []
    watched.passes(2 * Settings().election_timeout_ms + SILENT_TIMEOUTS * Settings().election_timeout_ms)
    assert [member.id for member in watched.removal_check._to_ask_locked(watched.node)] == [OTHER, 3]
