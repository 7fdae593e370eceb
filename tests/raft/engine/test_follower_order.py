"""A follower writes and answers, which its leader waits for, before it applies, unless a client waits here."""

import threading
from collections.abc import Iterator
from typing import cast

import pytest

from raft.core.entries import command_entry
from raft.core.node import Node
from raft.core.raft_messages import AppendEntries, AppendEntriesReply, Entry, ProposalId
from raft.engine.applier import Read
from raft.engine.clocks import Clocks
from raft.engine.driver import Driver
from raft.engine.leader_contact import LeaderContact
from raft.engine.replication import Peers
from raft.errors import RaftError
from raft.rpc.codec import Answer
from raft.storage.log_store import Storage
from tests.raft.alone import DEADLINE_S, Alone

LEADER = 2


class Follower:
    """Member 1 of three, driven by appends of member 2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = engine = Alone(voters=3)
        self.driver = Driver(
            engine.node_lock, cast(Storage, engine.storage), engine.applier, cast(Peers, None), engine.proposals,
            LeaderContact(), Clocks(1), heartbeat_ms=60, on_tick=lambda: None, on_broken=engine.failures.append,
        )  # fmt: skip
        apply = engine.memory.apply

        def noted(entry: Entry) -> object:
            engine.happened.append(f"apply {entry.index}")
            return apply(entry)

        monkeypatch.setattr(engine.memory, "apply", noted)

    def append(self, index: int, committed: int) -> None:
        """One entry, and the news of what is committed."""
        entry = command_entry(index, 1, index, ProposalId(LEADER, 1, index, 0), b'"%d"' % index)
        message = AppendEntries(LEADER, 1, 1, index - 1, int(index > 1), (entry,), committed, round=0, request=index)
        self.driver.serve(index, message, self._answered)

    def _answered(self, answer: Answer) -> None:
        assert isinstance(answer, AppendEntriesReply) and answer.success
        self.engine.happened.append(f"answer {answer.match_index}")

    def turn_apply_thread(self) -> None:
        self.engine.applier.stop()
        self.engine.applier.run()


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Follower:
    return Follower(monkeypatch)


@pytest.fixture
def hanging(follower: Follower) -> Iterator[threading.Thread]:
    """A second append, not begun, whose write hangs; it brings the news that the first one is committed."""
    follower.append(1, 0)
    follower.engine.storage.writing.clear()
    follower.engine.storage.may_write.clear()
    thread = threading.Thread(target=follower.append, args=(2, 1), name="append")
    yield thread
    follower.engine.storage.may_write.set()
    thread.join(DEADLINE_S)
    assert follower.engine.happened[-1] != "append", "it was answered"


def begin(follower: Follower, thread: threading.Thread) -> None:
    thread.start()
    assert follower.engine.storage.writing.wait(DEADLINE_S)


def test_an_append_is_written_and_answered_before_what_it_commits_is_applied(follower: Follower) -> None:
    follower.append(1, 0)
    follower.append(2, 1)
    follower.append(3, 2)
    assert follower.engine.happened == [
        "append", "answer 1", "append", "answer 2", "apply 1", "append", "answer 3", "apply 2",
    ]  # fmt: skip


def test_it_is_applied_during_the_write_if_a_client_here_waits_for_it(
    follower: Follower, hanging: threading.Thread
) -> None:
    follower.engine.waiting(b'"own"')
    begin(follower, hanging)
    follower.turn_apply_thread()
    assert follower.engine.happened == ["append", "answer 1", "apply 1"]


def test_a_read_that_comes_during_the_write_has_it_applied(follower: Follower, hanging: threading.Thread) -> None:
    begin(follower, hanging)
    told: list[RaftError | None] = []
    follower.engine.applier.read_at(1, [Read(lambda error, index: told.append(error), 1e12)])
    follower.turn_apply_thread()
    assert (follower.engine.happened[-1], told) == ("apply 1", [None])


def test_a_tick_has_it_applied_while_the_disk_hangs(follower: Follower, hanging: threading.Thread) -> None:
    begin(follower, hanging)
    stopping = threading.Event()

    def tick(node: Node, *_: object) -> bool:
        stopping.set()  # after this one
        return True

    follower.driver._tick = tick  # type: ignore[method-assign]
    follower.driver.run_ticks(stopping)
    follower.turn_apply_thread()
    assert follower.engine.happened == ["append", "answer 1", "apply 1"]


def test_a_failure_to_apply_ends_the_process(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(entry: Entry) -> object:
        raise ValueError("a bug")

    monkeypatch.setattr(follower.engine.memory, "apply", fail)
    follower.append(1, 0)
    with pytest.raises(ValueError, match="a bug"):
        follower.append(2, 1)
    assert [str(error) for error in follower.engine.failures] == ["a bug"]
