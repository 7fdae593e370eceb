"""What is committed reaches the state machine in order and once, and then those who wait for it are told."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.entries import command_entry, configuration_entry, noop_entry
from raft.core.log import Log
from raft.core.node import Node, Random
from raft.core.raft_messages import Entry, HardState, ProposalId, SnapshotMeta
from raft.engine.applier import FEW, Applier, Read
from raft.engine.proposals import Proposals
from raft.errors import CorruptLog, RaftError, StartRefused, Unavailable
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Document
from tests.raft.alone import DEADLINE_S, Alone, FakeStorage
from tests.raft.memory import Memory


def turn(applier: Applier) -> None:
    """Let the apply thread do what there is to do, and end."""
    applier.stop()
    applier.run()


def read(told: list[RaftError | None], since_s: float = 1e12) -> Read:
    """A read that is never overdue, unless it is said since when it waits."""
    return Read(lambda error, index: told.append(error), since_s)


def leading() -> Alone:
    alone = Alone()
    alone.lead()
    return alone


def test_commands_are_applied_in_order_and_the_engines_own_entries_are_not_commands() -> None:
    alone = leading()
    alone.commit(b"1", b"2")
    alone.commit(b"3")
    turn(alone.applier)
    assert alone.memory.commands == [b"1", b"2", b"3"]
    assert alone.applier.last_applied == alone.node_lock.read(lambda node: node.commit_index)
    assert alone.memory.told[-1] == alone.applier.last_applied


def test_committed_configurations_are_told() -> None:
    alone = leading()
    turn(alone.applier)
    [configuration] = alone.configurations
    assert configuration.cluster_id != ""


def test_who_proposed_gets_the_result_once_it_can_be_read() -> None:
    alone = leading()
    seen: list[tuple[object, int]] = []
    waiting = alone.proposals.admit(b"1", lambda result: seen.append((result, alone.applier.last_applied)), 0.0)
    alone.group_commit.put(waiting)
    alone.group_commit.flush()
    turn(alone.applier)
    assert seen == [(1, alone.applier.last_applied)]


def test_a_proposal_that_is_in_the_log_twice_is_applied_and_answered_once() -> None:
    alone = leading()
    told: list[object] = []
    waiting = alone.waiting(b'"twice"', told)
    proposals = alone.proposals.hand_over([waiting, waiting])
    alone.node_lock.act(lambda node: node.propose(proposals, 1))
    alone.group_commit.flush()
    turn(alone.applier)
    assert (alone.memory.commands, told) == ([b'"twice"'], [1])


def test_what_another_member_proposed_is_applied_and_answers_nobody_here() -> None:
    alone = leading()
    told: list[object] = []
    own = alone.waiting(b'"own"', told)
    foreign = [(ProposalId(2, 1, own.sequence, own.sequence), b'"foreign"')]
    alone.node_lock.act(lambda node: node.propose(foreign, 1))
    alone.group_commit.flush()
    turn(alone.applier)
    assert (alone.memory.commands, told) == ([b'"foreign"'], [])


# Documents of the state


def test_a_document_is_of_one_moment_whatever_is_applied_while_it_is_read() -> None:
    alone = leading()
    assert alone.applier.document() is None, "nothing has been applied"
    alone.commit(b"1", b"2")
    turn(alone.applier)
    index = alone.applier.last_applied
    document = alone.applier.document()
    assert document is not None
    alone.commit(b"3")
    turn(alone.applier)
    assert (document.meta.index, document.meta.term) == (index, 1)
    assert [json.loads(line)["command"] for line in list(document.lines)[1:]] == [1, 2]
    assert alone.memory.commands == [b"1", b"2", b"3"]


def test_there_is_no_document_while_somebody_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = leading()
    seen: list[Document | None] = []

    def apply(entry: Entry) -> None:
        seen.append(alone.applier.document())

    monkeypatch.setattr("raft.engine.applier.DOCUMENT_TIMEOUT_S", 0.0)
    monkeypatch.setattr(alone.memory, "apply", apply)
    alone.commit(b"1")
    turn(alone.applier)
    assert seen == [None]
    assert alone.applier.document() is not None


# Few at once


def test_a_few_are_applied_by_the_thread_that_learned_of_them() -> None:
    alone = leading()
    turn(alone.applier)
    alone.commit(*[b"1"] * FEW)
    alone.applier.apply_few()
    assert len(alone.memory.commands) == FEW


def test_many_are_left_to_the_apply_thread() -> None:
    alone = leading()
    turn(alone.applier)
    alone.commit(*[b"1"] * (FEW + 1))
    alone.applier.apply_few()
    assert alone.memory.commands == []
    turn(alone.applier)
    assert len(alone.memory.commands) == FEW + 1


def test_threads_that_apply_at_once_keep_the_order_and_apply_nothing_twice() -> None:
    alone = leading()
    thread = threading.Thread(target=alone.applier.run, name="apply", daemon=True)
    thread.start()
    commands = [b"%d" % n for n in range(300)]

    def apply_few_often() -> None:
        for _ in range(500):
            alone.applier.apply_few()

    others = [threading.Thread(target=apply_few_often, name=f"few-{n}") for n in range(3)]
    for other in others:
        other.start()
    for command in commands:
        alone.commit(command)
    for other in others:
        other.join(DEADLINE_S)
    assert alone.applier.wait_applied(alone.node_lock.read(lambda node: node.commit_index), DEADLINE_S)
    alone.applier.stop()
    thread.join(DEADLINE_S)
    assert alone.memory.commands == commands
    assert alone.memory.told == sorted(alone.memory.told)


# From disk


def restarted(count: int) -> tuple[Alone, Applier, Memory]:
    """An applier over a log of `count` commands that are on disk, and not in memory."""
    alone, memory = Alone(), Memory()
    entries = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b"%d" % n) for n in range(1, count + 1)]
    alone.storage.records = {entry.index: entry.record for entry in entries}
    configuration = Configuration({1: Member(1, "http://127.0.0.1:1", voting=True)})
    node = Node(
        1, log=Log([(1, 1)], count), hard_state=HardState(1, 1, count), configurations=[(0, configuration)],
        rng=cast(Random, _Middle()),
    )  # fmt: skip
    alone.node_lock._node = node
    applier = Applier(
        alone.node_lock, cast(Storage, alone.storage), memory, Proposals(1, 2), lambda configuration: None
    )
    return alone, applier, memory


class _Middle:
    """No chance."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


def test_entries_that_have_left_memory_are_read_from_disk() -> None:
    _, applier, memory = restarted(10)
    assert applier.commit(10)
    applier.wake()
    turn(applier)
    assert memory.commands == [b"%d" % n for n in range(1, 11)]


def test_a_start_applies_what_was_committed_and_then_what_comes() -> None:
    _, applier, memory = restarted(10)
    for committed in (7, 10):
        assert applier.commit(committed)
        applier.wake()
        turn(applier)
        assert memory.commands == [b"%d" % n for n in range(1, committed + 1)]
        assert applier.last_applied == memory.told[-1] == committed


def test_the_memory_of_what_was_applied_comes_back_with_a_start() -> None:
    """A proposal that is in the log again after a restart is still applied once."""
    alone, applier, memory = restarted(3)
    again = command_entry(4, 1, 4, ProposalId(1, 1, 2, 0), b"2")
    alone.storage.records[4] = again.record
    alone.node_lock._node.log.last_index = 4
    applier.commit(4)
    applier.wake()
    turn(applier)
    assert memory.commands == [b"1", b"2", b"3"]
    assert applier.last_applied == 4


@pytest.mark.parametrize(
    "record", [noop_entry(1, 1, 1).record, configuration_entry(1, 1, 1, Configuration({}).encode()).record]
)
def test_a_start_passes_over_the_engines_own_entries(record: bytes) -> None:
    alone, applier, memory = restarted(1)
    alone.storage.records[1] = record
    applier.commit(1)
    applier.wake()
    turn(applier)
    assert (applier.last_applied, memory.commands) == (1, [])


class Replaced:
    """A disk on which a snapshot takes the place of the log as soon as some of that has been read."""

    def __init__(self, log: FakeStorage, index: int) -> None:
        self._log = log
        self._index = index
        self.base_index = 0

    @property
    def reader(self) -> "Replaced":
        return self

    def read_entries(self, first: int, last: int, bytes_max: int) -> list[Entry]:
        if self.base_index:
            raise LookupError(f"the log does not hold entries {first} to {last}")
        self.base_index = self._index
        return self._log.read_entries(first, last, bytes_max)

    def documents(self, commit_index: int) -> Document | None:
        if not self.base_index:
            return None
        assert self.base_index <= commit_index
        lines = [b'{"sessions":[]}', b'{"index":%d,"command":"of the snapshot"}' % self._index]
        return Document(SnapshotMeta(self._index, 1, 0, 0, b"{}"), iter(lines))


def test_a_snapshot_that_takes_the_place_of_what_is_being_applied_is_gone_on_from() -> None:
    alone, _, memory = restarted(10)
    storage = Replaced(alone.storage, 10)
    applier = Applier(alone.node_lock, cast(Storage, storage), memory, Proposals(1, 2), lambda configuration: None)
    assert applier.commit(8)
    applier.wake()
    turn(applier)
    assert (applier.last_applied, memory.commands) == (3, [b"1", b"2", b"3"])  # of its commit nothing is known yet
    assert applier.commit(10)
    applier.wake()
    turn(applier)
    assert (applier.last_applied, memory.commands) == (10, [b'"of the snapshot"'])


def test_a_state_that_cannot_be_read_ends_the_member_with_words() -> None:
    alone, _, memory = restarted(10)
    storage = Replaced(alone.storage, 10)
    storage.base_index = 10
    unreadable = Document(SnapshotMeta(10, 1, 0, 0, b"{}"), iter([b"{}"]))
    storage.documents = lambda commit_index: unreadable  # type: ignore[method-assign]
    applier = Applier(alone.node_lock, cast(Storage, storage), memory, Proposals(1, 2), lambda configuration: None)
    assert applier.commit(10)
    applier.wake()
    applier.stop()
    with pytest.raises(StartRefused, match=r"^the snapshot at index 10 cannot be read: .* another version"):
        applier.run()


class Damaged:
    """A disk on which some entries are damaged."""

    base_index = 0

    def __init__(self, log: FakeStorage, *damaged: int) -> None:
        self._log = log
        self.damaged = set(damaged)

    @property
    def reader(self) -> "Damaged":
        return self

    def read_entries(self, first: int, last: int, bytes_max: int) -> list[Entry]:
        if damaged := sorted(self.damaged.intersection(range(first, last + 1))):
            raise CorruptLog("log-1", 7, f"entry {damaged[0]} is damaged", "act", damaged)
        return self._log.read_entries(first, last, bytes_max)

    def documents(self, commit_index: int) -> None:
        return None


def test_entries_before_a_damaged_one_are_applied_and_it_is_waited_for() -> None:
    alone, _, memory = restarted(10)
    disk, applied = Damaged(alone.storage, 5, 7), list[int]()

    def mended(damage: CorruptLog, timeout_s: float) -> bool:
        applied.append(applier.last_applied)
        disk.damaged -= set(damage.indexes)
        return True

    applier = Applier(
        alone.node_lock, cast(Storage, disk), memory, Proposals(1, 2), lambda configuration: None, mended=mended
    )
    assert applier.commit(10)
    applier.wake()
    turn(applier)
    assert applied == [4] and applier.last_applied == 10
    assert memory.commands == [b"%d" % number for number in range(1, 11)]


def test_a_member_without_others_ends_at_a_damaged_entry_that_it_has_to_apply() -> None:
    alone, _, memory = restarted(10)
    disk = Damaged(alone.storage, 5)
    applier = Applier(alone.node_lock, cast(Storage, disk), memory, Proposals(1, 2), lambda configuration: None)
    assert applier.commit(10)
    applier.wake()
    with pytest.raises(CorruptLog, match="entry 5 is damaged"):
        applier.run()
    assert applier.last_applied == 4


def test_a_stop_ends_the_wait_for_an_entry_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.engine.applier._is_alone", lambda node: False)
    alone, _, memory = restarted(10)
    disk, tried = Damaged(alone.storage, 5), threading.Event()

    def mended(damage: CorruptLog, timeout_s: float) -> bool:
        tried.set()
        return False

    applier = Applier(
        alone.node_lock, cast(Storage, disk), memory, Proposals(1, 2), lambda configuration: None, mended=mended
    )
    assert applier.commit(10)
    applier.wake()
    thread = threading.Thread(target=applier.run)
    thread.start()
    assert tried.wait(5)
    applier.stop()
    thread.join(5)
    assert not thread.is_alive() and applier.last_applied == 4


def test_a_leader_asks_for_a_snapshot_too_when_nobody_has_the_entry_that_it_has_to_apply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raft.engine.applier._is_alone", lambda node: False)
    monkeypatch.setattr("raft.engine.applier.MEND_S", 0.0)
    alone, _, memory = restarted(10)
    asked, is_asked = list[int](), threading.Event()

    def lost_state(damage: CorruptLog) -> bool:
        asked.append(applier.last_applied)
        is_asked.set()
        return True

    applier = Applier(
        alone.node_lock, cast(Storage, Damaged(alone.storage, 5)), memory, Proposals(1, 2),
        lambda configuration: None, lost_state=lost_state,
    )  # fmt: skip
    alone.node_lock.act(lambda node: setattr(node, "leader_id", node.id))
    assert applier.commit(10)
    applier.wake()
    thread = threading.Thread(target=applier.run)
    thread.start()
    assert is_asked.wait(5)
    applier.stop()
    thread.join(5)
    assert asked[0] == 4 and not thread.is_alive()


def test_a_thread_that_applies_a_few_leaves_a_damaged_entry_to_the_one_that_may_wait() -> None:
    alone, _, memory = restarted(3)
    disk, threads = Damaged(alone.storage, 2), list[str]()

    def mended(damage: CorruptLog, timeout_s: float) -> bool:
        threads.append("it waits")
        disk.damaged.clear()
        return True

    applier = Applier(
        alone.node_lock, cast(Storage, disk), memory, Proposals(1, 2), lambda configuration: None, mended=mended
    )
    assert applier.commit(2)
    applier.apply_few()
    applier.apply_few()
    assert threads == [] and applier.last_applied == 1
    turn(applier)
    assert threads == ["it waits"] and applier.last_applied == 2


def test_an_entry_that_is_missing_without_a_snapshot_in_its_place_is_not_passed_over() -> None:
    alone, applier, memory = restarted(10)
    del alone.storage.records[5]
    assert applier.commit(10)
    applier.wake()
    applier.stop()
    with pytest.raises(LookupError):
        applier.run()
    assert memory.commands == [b"1", b"2", b"3"]


# Reads


def test_a_read_is_confirmed_once_its_index_is_applied() -> None:
    alone = leading()
    turn(alone.applier)
    told: list[RaftError | None] = []
    alone.applier.read_at(alone.applier.last_applied + 1, [read(told)])
    turn(alone.applier)
    assert told == []
    alone.commit(b"1")
    turn(alone.applier)
    assert told == [None]


def test_a_read_is_confirmed_where_another_thread_applies_its_index_in_passing() -> None:
    _, applier, _ = restarted(1)
    told = threading.Event()
    applier.read_at(1, [Read(lambda error, index: told.set(), 1e12)])
    turn(applier)
    assert applier.commit(1)
    applier.apply_few()
    thread = in_thread(applier.run)  # it has no other reason to look
    try:
        assert told.wait(DEADLINE_S)
    finally:
        applier.stop()
        thread.join(DEADLINE_S)


def test_a_read_of_what_is_applied_is_confirmed_at_once() -> None:
    alone = leading()
    turn(alone.applier)
    told: list[RaftError | None] = []
    alone.applier.read_at(alone.applier.last_applied, [read(told), read(told)])
    turn(alone.applier)
    assert told == [None, None]


def test_a_read_waits_for_the_index_that_it_is_to_show_and_holds_up_no_other() -> None:
    alone = leading()
    turn(alone.applier)
    applied = alone.applier.last_applied
    told: list[RaftError | None] = []
    others: list[RaftError | None] = []
    alone.applier.read_at(applied, [replace(read(told), min_index=applied + 1), read(others)])
    turn(alone.applier)
    assert (told, others) == ([], [None])
    alone.commit(b"1")
    turn(alone.applier)
    assert told == [None]


def test_a_read_that_has_waited_too_long_is_refused_once() -> None:
    alone = leading()
    told: list[RaftError | None] = []
    alone.applier.read_at(1_000, [read(told, since_s=-1e12)])
    turn(alone.applier)
    alone.applier.expire_reads(0.0)
    turn(alone.applier)
    assert [type(error) for error in told] == [Unavailable]


def asked(alone: Alone, told: list[RaftError | None], token: int = 7) -> None:
    def act(node: Node) -> None:
        node.read_index(token)
        alone.applier.register(token, [read(told)])

    alone.node_lock.act(act)


def test_a_read_that_the_node_confirms_is_told() -> None:
    alone = leading()
    told: list[RaftError | None] = []
    asked(alone, told)
    turn(alone.applier)
    assert told == [None]


def test_a_read_that_is_lost_with_the_leadership_is_handed_back_and_told_nothing() -> None:
    alone = leading()
    told: list[RaftError | None] = []
    lost = read(told)
    alone.applier.register(7, [lost])
    alone.applier.lost([7])
    turn(alone.applier)
    assert (alone.applier.take_lost(), told) == ([lost], [])
    assert alone.applier.take_lost() == []


# Waiting


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, name="waits", daemon=True)
    thread.start()
    return thread


def test_who_waits_for_an_index_is_woken_when_it_is_applied() -> None:
    alone = leading()
    turn(alone.applier)
    wanted = alone.applier.last_applied + 1
    seen: list[bool] = []
    thread = in_thread(lambda: seen.append(alone.applier.wait_applied(wanted, DEADLINE_S)))
    alone.commit(b"1")
    turn(alone.applier)
    thread.join(DEADLINE_S)
    assert seen == [True]


class Slow(Memory):
    """It takes as long as a test lets it to apply an entry, or to go on from a document."""

    def __init__(self) -> None:
        super().__init__()
        self.is_at_it, self.may_go_on = threading.Event(), threading.Event()

    def apply(self, entry: Entry) -> object:
        self._take_long()
        return super().apply(entry)

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        self._take_long()
        super().restore(index, lines)

    def _take_long(self) -> None:
        self.is_at_it.set()
        assert self.may_go_on.wait(DEADLINE_S)


@pytest.mark.parametrize("source", ["entries", "document"])
def test_nothing_counts_as_applied_before_the_state_is_there(source: str) -> None:
    """What another thread reads meanwhile is from before."""
    alone, _, _ = restarted(3)
    storage, machine, told = Replaced(alone.storage, 3), Slow(), list[RaftError | None]()
    storage.base_index = 3 if source == "document" else 0
    applier = Applier(alone.node_lock, cast(Storage, storage), machine, Proposals(1, 2), lambda configuration: None)
    assert applier.commit(3)
    applier.wake()
    applying = in_thread(lambda: turn(applier))
    assert machine.is_at_it.wait(DEADLINE_S)
    applier.read_at(3, [read(told)])
    meanwhile = applier.last_applied, list(told), applier.wait_applied(3, 0.0)
    machine.may_go_on.set()
    applying.join(DEADLINE_S)
    assert meanwhile == (0, [], False)
    assert not applying.is_alive()
    assert (applier.last_applied, told) == (3, [None])


def test_waiting_for_what_is_applied_takes_no_time_and_for_what_is_not_no_longer_than_said() -> None:
    alone = leading()
    turn(alone.applier)
    assert alone.applier.wait_applied(alone.applier.last_applied, 0.0)
    assert not alone.applier.wait_applied(alone.applier.last_applied + 1, 0.01)


def test_once_given_up_what_is_committed_is_left_to_the_next_start() -> None:
    alone = leading()
    turn(alone.applier)
    applied = alone.applier.last_applied
    alone.commit(b"1")
    alone.applier.give_up()
    turn(alone.applier)
    assert alone.applier.last_applied == applied


def test_nobody_waits_for_an_index_once_waiting_is_given_up() -> None:
    alone = leading()
    seen: list[bool] = []
    thread = in_thread(lambda: seen.append(alone.applier.wait_applied(1_000, DEADLINE_S)))
    alone.applier.give_up()
    thread.join(DEADLINE_S)
    assert seen == [False]
    assert not alone.applier.wait_applied(1_000, DEADLINE_S)
