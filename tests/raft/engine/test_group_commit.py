"""Group commit: one write for all that is pending, by whoever is there, and by one at a time."""

import threading
from collections.abc import Callable, Sequence

import pytest

from raft.core.node import Settings
from raft.core.raft_messages import Entry, HardState, Kind, ProposalId, RequestVote
from raft.engine.proposals import UNPROPOSED_TIMEOUT_S
from raft.errors import DiskFailed, Unavailable
from tests.raft.alone import DEADLINE_S, Alone


def started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name="flush", daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(DEADLINE_S)
    return not thread.is_alive()


def commands_in(alone: Alone, batch: int = -1) -> list[bytes]:
    return [entry.body for entry in alone.storage.batches[batch][1] if entry.kind is Kind.COMMAND]


def test_all_that_is_pending_is_one_batch_and_one_write() -> None:
    alone = Alone()
    alone.lead()
    writes = len(alone.storage.batches)
    alone.commit(b"1", b"2", b"3")
    assert len(alone.storage.batches) == writes + 1
    assert commands_in(alone) == [b"1", b"2", b"3"]


def test_what_is_flushed_is_durable_and_with_a_single_voter_committed() -> None:
    alone = Alone()
    alone.lead()
    alone.commit(b"1")
    last, durable, committed = alone.node_lock.read(
        lambda node: (node.log.last_index, node.durable_index, node.commit_index)
    )
    assert last == durable == committed


def test_with_nothing_pending_nothing_is_written() -> None:
    alone = Alone()
    alone.group_commit.flush()
    assert alone.storage.batches == []


def test_what_must_wait_for_the_disk_is_sent_after_it() -> None:
    alone = Alone(voters=2)
    alone.node_lock.act(lambda node: node.step(RequestVote(2, 1, 5, 0, 0)))
    assert alone.happened == []
    alone.group_commit.flush()
    assert alone.happened == ["append", "send"]
    assert [message.term for message in alone.sent] == [5]


def test_what_is_proposed_where_nobody_leads_is_handed_back_and_was_not_proposed() -> None:
    alone = Alone(voters=2)
    told: list[object] = []
    waiting = alone.waiting(b"1", told)
    alone.group_commit.put(waiting)
    alone.group_commit.flush()
    assert alone.group_commit.refused() == [waiting]
    assert alone.group_commit.refused() == []
    alone.proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert [type(said) for said in told] == [Unavailable]


def test_what_a_leader_has_no_room_for_is_handed_back_and_was_not_proposed() -> None:
    alone = Alone()
    alone.lead()
    alone.node_lock.read(lambda node: setattr(node, "settings", Settings(uncommitted_bytes_max=100)))
    first = [(ProposalId(2, 1, 1, 0), b'"%b"' % bytes(100).hex().encode())]
    alone.node_lock.act(lambda node: node.propose(first, 1))
    told: list[object] = []
    waiting = alone.waiting(b"1", told)
    alone.group_commit.put(waiting)
    alone.group_commit.flush()  # the first is committed by this, and takes no room any more
    assert (alone.group_commit.refused(), alone.failures) == ([waiting], [])
    alone.group_commit.put(waiting)
    alone.group_commit.flush()
    assert commands_in(alone) == [b"1"]


def test_a_disk_that_fails_is_told_and_nothing_is_acknowledged() -> None:
    alone = Alone(voters=2)
    alone.node_lock.act(lambda node: node.step(RequestVote(2, 1, 5, 0, 0)))
    alone.storage.fails = True
    with pytest.raises(DiskFailed):
        alone.group_commit.flush()
    assert len(alone.failures) == 1
    assert alone.sent == []


def test_who_finds_another_one_writing_does_not_wait_and_what_it_brought_is_not_left() -> None:
    alone = Alone()
    alone.lead()
    alone.storage.writing.clear()
    alone.storage.may_write.clear()
    alone.group_commit.put(alone.waiting(b"1"))
    busy = started(alone.group_commit.flush)
    assert alone.storage.writing.wait(DEADLINE_S)
    alone.group_commit.put(alone.waiting(b"2"))
    alone.group_commit.flush()  # returns though the disk stands still
    thread = started(alone.group_commit.run)
    alone.storage.may_write.set()
    assert ended(busy)
    alone.group_commit.stop()
    assert ended(thread)
    assert (commands_in(alone, -2), commands_in(alone, -1)) == ([b"1"], [b"2"])


def test_who_must_not_wait_wakes_the_flush_thread() -> None:
    alone = Alone()
    alone.lead()
    thread = started(alone.group_commit.run)
    alone.group_commit.put(alone.waiting(b"1"))
    alone.group_commit.wake()
    alone.group_commit.stop()
    assert ended(thread)
    assert commands_in(alone) == [b"1"]


def test_stopping_writes_what_is_pending() -> None:
    alone = Alone()
    alone.lead()
    alone.group_commit.put(alone.waiting(b"1"))
    alone.group_commit.stop()
    alone.group_commit.run()
    assert commands_in(alone) == [b"1"]


def test_nobody_writes_once_the_flush_thread_has_ended() -> None:
    """Then the log is closed, which writes; a peer's connection must not do it at the same time."""
    alone = Alone()
    alone.lead()
    alone.storage.writing.clear()
    alone.storage.may_write.clear()
    alone.group_commit.put(alone.waiting(b"1"))
    busy = started(alone.group_commit.flush)
    assert alone.storage.writing.wait(DEADLINE_S)
    alone.group_commit.stop()
    thread = started(alone.group_commit.run)
    thread.join(0.05)
    assert thread.is_alive()  # it waits for the one that writes
    alone.storage.may_write.set()
    assert ended(busy) and ended(thread)
    writes = len(alone.storage.batches)
    alone.group_commit.put(alone.waiting(b"2"))
    alone.group_commit.flush()
    assert len(alone.storage.batches) == writes


def test_whatever_many_threads_bring_at_once_is_written_once_and_nothing_is_left() -> None:
    alone = Alone()
    alone.lead()
    thread = started(alone.group_commit.run)

    def bring(number: int) -> None:
        for n in range(200):
            alone.group_commit.put(alone.waiting(b"%d" % (1_000 * number + n)))
            if number % 2:
                alone.group_commit.flush()
            else:
                alone.group_commit.wake()

    bringing = [threading.Thread(target=bring, args=(number,), name=f"bring-{number}") for number in range(4)]
    for one in bringing:
        one.start()
    assert all(ended(one) for one in bringing)
    alone.group_commit.stop()
    assert ended(thread)
    written = [int(body) for batch in range(len(alone.storage.batches)) for body in commands_in(alone, batch)]
    assert sorted(written) == sorted(1_000 * number + n for number in range(4) for n in range(200))
    indexes = [entry.index for _, entries in alone.storage.batches for entry in entries]
    assert indexes == list(range(1, len(indexes) + 1))


def test_whatever_goes_wrong_in_a_batch_ends_the_process_and_nothing_of_it_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that is not the disk's left the drained batch unwritten, and a repeated append was then acknowledged."""
    alone = Alone()
    alone.lead()
    sent = len(alone.sent)

    def fail(hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        raise MemoryError

    monkeypatch.setattr(alone.storage, "append", fail)
    alone.group_commit.put(alone.waiting(b"1"))
    with pytest.raises(MemoryError):
        alone.group_commit.flush()
    assert [type(error) for error in alone.failures] == [MemoryError]
    assert len(alone.sent) == sent
