"""A follower that asks its leader's port when the leader's connection ends: a refusal counts, and nothing else does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import SimpleQueue
from random import Random

import pytest

from raft.cluster.leader_watch import LeaderWatch, is_refused
from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node, Settings
from raft.core.raft_messages import AppendEntries, HardState
from raft.engine.node_lock import NodeLock
from raft.rpc.peer_client import Addresses
from tests.support.ports import Port

DEADLINE_S = 10.0
LEADER, OWN = 1, 2


@pytest.fixture
def shut() -> Iterator[str]:
    """The URL of a port at which nobody listens."""
    port = Port()
    yield f"http://127.0.0.1:{port.number}"
    port.release()


@pytest.fixture
def open_() -> Iterator[str]:
    """The URL of a port at which somebody listens who never accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """The URL of a port that answers no connection: its queue of connections to accept is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_at_which_nobody_listens_is_refused(shut: str) -> None:
    assert is_refused(shut, DEADLINE_S)


def test_a_port_that_accepts_or_is_mute_is_not_refused(open_: str, mute: str) -> None:
    assert not is_refused(open_, DEADLINE_S)
    assert not is_refused(mute, 0.02)


@pytest.mark.parametrize("url", ["http://no-such-host.invalid:1", "http://127.0.0.1", ""])
def test_a_name_that_is_unknown_and_what_is_no_url_are_not_refused(url: str) -> None:
    assert not is_refused(url, DEADLINE_S)


def test_all_addresses_of_a_name_have_to_refuse(monkeypatch: pytest.MonkeyPatch, shut: str, open_: str) -> None:
    def found(*ports: int) -> None:
        tcp = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        addresses = [(*tcp, ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: addresses)

    refusing, accepting = (int(url.rpartition(":")[2]) for url in (shut, open_))
    found(refusing, refusing)
    assert is_refused("http://many:1", DEADLINE_S)
    found(refusing, accepting)
    assert not is_refused("http://many:1", DEADLINE_S)
    found()
    assert not is_refused("http://many:1", DEADLINE_S)


class Watching:
    """Member 2 of three, which follows member 1 in term 1, and its watch."""

    def __init__(self, url: str, earlier: str = "") -> None:
        members = {id: Member(id, url, True) for id in (LEADER, OWN, 3)}
        configurations = [(0, Configuration(members, cluster_id="c1"))]
        self.node = Node(OWN, log=Log(), hard_state=HardState(), configurations=configurations, rng=Random(1))
        self.lock = NodeLock(self.node, lambda before, after: None, lambda error: None)
        self.ticked: SimpleQueue[None] = SimpleQueue()
        settings = Settings()
        self.watch = LeaderWatch(
            self.lock, Addresses({LEADER: earlier} if earlier else {}), self._tick,
            heartbeat_ms=settings.heartbeat_ms, election_timeout_ms=settings.election_timeout_ms,
        )  # fmt: skip
        self.stopping = threading.Event()
        self.hear()

    def _tick(self) -> bool:
        self.ticked.put(None)
        return True

    def hear(self, leader: int = LEADER) -> None:
        """The leader sends a heartbeat."""
        heartbeat = AppendEntries(leader, OWN, leader, 0, 0, (), 0, 0, heartbeat=True)
        self.lock.act(lambda node: node.step(heartbeat))

    def run_until_stopped(self) -> None:
        """Handle all that was noted, in this thread."""
        self.watch.stop()
        self.watch.run(self.stopping)


def questions(monkeypatch: pytest.MonkeyPatch, *, refused: bool) -> list[str]:
    """The URLs that are asked from now on, with the same answer each time."""
    asked: list[str] = []

    def answer(url: str, timeout_s: float) -> bool:
        asked.append(url)
        return refused

    monkeypatch.setattr("raft.cluster.leader_watch.is_refused", answer)
    return asked


def test_a_leader_whose_port_refuses_is_forgotten_and_the_node_is_ticked(shut: str) -> None:
    watching = Watching(shut)
    watching.watch.connection_ended(LEADER)
    watching.run_until_stopped()
    assert watching.node.leader_id == 0
    assert watching.ticked.get(timeout=DEADLINE_S) is None


def test_a_leader_whose_port_answers_is_followed_as_before(open_: str) -> None:
    watching = Watching(open_)
    watching.watch.connection_ended(LEADER)
    watching.run_until_stopped()
    assert watching.node.leader_id == LEADER
    assert watching.ticked.empty()


def test_a_leader_that_moved_is_asked_at_both_its_urls(shut: str, open_: str) -> None:
    for urls, leader in (((shut, open_), LEADER), ((open_, shut), LEADER), ((shut, shut), 0)):
        watching = Watching(*urls)
        watching.watch.connection_ended(LEADER)
        watching.run_until_stopped()
        assert watching.node.leader_id == leader


def test_the_end_of_another_members_connection_asks_nobody(monkeypatch: pytest.MonkeyPatch, shut: str) -> None:
    asked = questions(monkeypatch, refused=True)
    watching = Watching(shut)
    watching.watch.connection_ended(3)  # a member that does not lead
    watching.watch.connection_ended(LEADER)
    watching.hear(leader=3)  # before the question is asked
    watching.run_until_stopped()
    assert (asked, watching.node.leader_id) == ([], 3)


def test_one_ended_connection_is_one_question(monkeypatch: pytest.MonkeyPatch, shut: str) -> None:
    asked = questions(monkeypatch, refused=False)
    watching = Watching(shut)
    for _ in range(3):
        watching.watch.connection_ended(LEADER)
    watching.run_until_stopped()
    assert (asked, watching.node.leader_id) == ([shut] * 3, LEADER)


def test_an_answer_that_comes_after_another_leader_changes_nothing(monkeypatch: pytest.MonkeyPatch, shut: str) -> None:
    watching = Watching(shut)

    def refused(url: str, timeout_s: float) -> bool:
        watching.hear(leader=3)
        return True

    monkeypatch.setattr("raft.cluster.leader_watch.is_refused", refused)
    watching.watch.connection_ended(LEADER)
    watching.run_until_stopped()
    assert watching.node.leader_id == 3
    assert watching.ticked.empty()
