"""When the log is looked after, and when a compaction is due: what it would leave, and what others still need."""

from collections.abc import Callable, Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raft.compaction.failures import RewriteFailed
from raft.compaction.policy import (
    CHECK_S,
    CONTACT_MS,
    ERASED_NOTE_S,
    FINISH_S,
    KEEP_ENTRIES,
    KEEP_S,
    MARK_ENTRIES,
    RETRY_FULL_S,
    RETRY_S,
    WAIT_ENTRIES,
    LogMaintenance,
)
from raft.core.raft_messages import SnapshotMeta
from raft.engine.applier import Applier
from raft.engine.node_lock import NodeLock
from raft.engine.state_machine import StateMachine
from raft.errors import InvalidMessage
from raft.storage.file_names import SnapshotFile
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Document

ENTRY_BYTES = 100
COMPACT_ENTRIES = 20_000  # a log of no more is left alone


class Member:
    """A log of entries of one length, and a state of which a part is live."""

    def __init__(self) -> None:
        self.last_applied = self.base_index = 0
        self.live_bytes = self.erased_index = 0
        self.newest_segment_index = 1
        self.segments_ended = 0
        self.lacking = 10**9
        self.is_full = self.other_is_full = False
        self.log_bytes = self.document_bytes = self.base_document_bytes = 0
        self.segment_entries = 1  # what a compaction frees is a multiple of that
        self.snapshot: SnapshotFile | None = None
        self.freed_bytes = 0
        self.compacted: list[int] = []  # up to which index it was asked for
        self.discarded: list[int] = []
        self.checkpoints: list[int] = []  # at which index one was written
        self.document_is_to_be_had = True
        self.closed = 0  # checkpoints that were begun and not ended
        self.failure: Exception | None = None
        self.step: Callable[[], object] = lambda: None  # what comes between two steps of a checkpoint
        self.meanwhile: Callable[[Callable[[], None]], object] = lambda tell: None  # what comes during a compaction
        self.now_s = 1000.0
        part: Any = self
        self.maintenance = LogMaintenance(
            cast(NodeLock, part), cast(Storage, part), cast(Applier, part), cast(StateMachine, part), self.rewrite,
            compact_bytes=ENTRY_BYTES * COMPACT_ENTRIES, is_full=lambda: self.is_full,
        )  # fmt: skip

    def grow(self, entries: int, live: float) -> None:
        """So many entries are applied, of which a part stays live; the maintenance looks now and then."""
        for done in range(0, entries, 100):
            self.last_applied += min(100, entries - done)
            self.live_bytes += int(min(100, entries - done) * ENTRY_BYTES * live)
            self.maintenance.mark(self.now_s)

    @property
    def bytes_on_disk(self) -> int:
        return self.last_applied * ENTRY_BYTES - self.freed_bytes

    def end_segment(self) -> None:
        self.segments_ended += 1
        self.newest_segment_index = self.last_applied + 1

    def bytes_above(self, index: int) -> int:
        return (self.last_applied - index + index % self.segment_entries) * ENTRY_BYTES

    def entry_bytes_above(self, index: int) -> int:
        return (self.last_applied - index) * ENTRY_BYTES

    def bytes_since_document(self, up_to: int) -> int:
        return self.log_bytes if up_to == self.last_applied else 0

    def document(self) -> Document | None:
        meta = SnapshotMeta(self.last_applied, 1, 1, 0, b"")
        return Document(meta, iter([])) if self.document_is_to_be_had else None

    def keep_indexes(self) -> None:
        pass

    def write_checkpoint(self, document: Document) -> Iterator[None]:
        try:
            for _ in range(3):
                if self.failure is not None:
                    raise self.failure
                self.step()
                yield
        except GeneratorExit:
            self.closed += 1
            raise
        self.checkpoints.append(document.meta.index)

    def read(self, see: Callable[[Any], int]) -> int:
        """A leader of three others: one that lacks something, one that holds all, and one that has long been away."""
        others = {2: (self.lacking, 0.0), 3: (10**9, 0.0), 4: (0, -CONTACT_MS)}
        progress = {
            id: SimpleNamespace(match_index=held, contact_ms=at, full=self.other_is_full)
            for id, (held, at) in others.items()
        }
        return see(SimpleNamespace(progress=progress, clock_ms=0.0, commit_index=self.last_applied))

    def act(self, action: Callable[[Any], None]) -> None:
        pass

    def adopt(self, meta: SnapshotMeta, pause: Callable[[], None]) -> None:
        if self.failure is not None:
            raise self.failure
        self.base_index = meta.index

    def discard_snapshot(self, meta: SnapshotMeta) -> None:
        self.discarded.append(meta.index)

    def rewrite(self, up_to: int, meanwhile: Callable[[], None]) -> SnapshotMeta:
        self.compacted.append(up_to)
        self.meanwhile(meanwhile)
        return SnapshotMeta(up_to, 1, 1, 0, b"")


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    """One whose clock is the test's."""
    made = Member()
    monkeypatch.setattr("time.monotonic", lambda: made.now_s)
    monkeypatch.setattr("raft.compaction.policy.YIELD_S", 0.0)
    return made


def due(member: Member) -> int:
    """Up to which index the log is compacted now; 0: it is not."""
    member.compacted.clear()
    member.maintenance.run_due()
    return member.compacted[0] if member.compacted else 0


def checkpoint_is_due(member: Member) -> bool:
    """Whether one is written now."""
    member.checkpoints.clear()
    member.maintenance.run_due()
    return member.checkpoints == [member.last_applied]


def test_a_log_that_is_live_is_not_compacted(member: Member) -> None:
    member.grow(100_000, live=0.6)
    assert due(member) == 0


def test_a_log_that_is_mostly_dead_is_compacted_but_for_its_newest_entries(member: Member) -> None:
    member.grow(50_000, live=0.1)
    assert due(member) == 50_000 - KEEP_ENTRIES


def test_of_the_newest_entries_no_more_stay_than_half_of_the_snapshot(member: Member) -> None:
    member.maintenance._compact_bytes = ENTRY_BYTES * 1_000
    member.live_bytes = ENTRY_BYTES * 8_000
    member.base_document_bytes = ENTRY_BYTES * 2_000
    member.grow(40_000, live=0)
    assert 40_000 - 5_000 - MARK_ENTRIES <= due(member) <= 40_000 - 5_000


def test_what_is_live_is_noted_more_often_where_entries_are_long(member: Member) -> None:
    member.grow(MARK_ENTRIES - 100, live=0)
    assert len(member.maintenance._marks) == 0
    member.maintenance._mark_bytes = ENTRY_BYTES * 200
    member.grow(MARK_ENTRIES, live=0)
    assert len(member.maintenance._marks) == MARK_ENTRIES / 200


def test_a_log_of_which_little_is_live_stays_below_three_times_that(member: Member) -> None:
    member.maintenance._compact_bytes = ENTRY_BYTES * 1_000
    member.segment_entries = 2_000
    member.live_bytes = live = ENTRY_BYTES * 10_000
    member.base_index = 10_000
    member.last_applied = 10_000
    member.grow(5_000, live=0)
    while not due(member):
        assert member.bytes_on_disk < 3 * live
        member.grow(100, live=0)
    left = live + member.bytes_above(member.base_index)
    assert left < 2 * live


def test_a_log_that_grew_during_a_compaction_and_never_again_is_compacted_once_more(member: Member) -> None:
    def goes_on(tell: Callable[[], None]) -> None:
        member.meanwhile = lambda tell: None
        for _ in range(10):
            member.now_s += CHECK_S
            member.last_applied += COMPACT_ENTRIES // 4
            tell()

    member.meanwhile = goes_on
    member.grow(COMPACT_ENTRIES * 2, live=0)
    assert due(member) > 0
    member.freed_bytes = member.base_index * ENTRY_BYTES
    member.maintenance.mark(member.now_s)
    assert due(member) > COMPACT_ENTRIES * 3


def test_what_is_live_is_noted_while_a_checkpoint_is_written(member: Member) -> None:
    def goes_on() -> None:
        member.now_s += CHECK_S
        member.last_applied += MARK_ENTRIES

    member.step = goes_on
    member.maintenance.checkpoint()
    assert [mark.index for mark in member.maintenance._marks] == [MARK_ENTRIES, 2 * MARK_ENTRIES, 3 * MARK_ENTRIES]


def test_a_state_that_tells_too_little_is_live_has_no_compaction_follow_the_other(member: Member) -> None:
    member.grow(50_000, live=0.1)
    up_to, really_live = 50_000 - KEEP_ENTRIES, 18_000 * ENTRY_BYTES
    member.snapshot = SnapshotFile(SnapshotMeta(up_to, 1, 1, 0, b""), "snapshot", really_live)
    assert due(member) == up_to
    member.freed_bytes = up_to * ENTRY_BYTES - really_live
    member.grow(10_000, live=0.1)
    assert due(member) == 0
    member.live_bytes = 0
    member.grow(10_000 + KEEP_ENTRIES, live=0)
    assert due(member) > 60_000


def test_a_compaction_frees_something_worth_a_process(member: Member) -> None:
    member.lacking = COMPACT_ENTRIES // 4
    member.grow(COMPACT_ENTRIES + COMPACT_ENTRIES // 8, live=0)
    assert due(member) == 0
    member.lacking += MARK_ENTRIES
    assert due(member) == COMPACT_ENTRIES // 4 + MARK_ENTRIES


def test_what_is_deleted_frees_nothing_until_a_snapshot_reaches_the_deletion(member: Member) -> None:
    member.grow(50_000, live=1)
    member.live_bytes = 0
    member.grow(KEEP_ENTRIES, live=0)
    assert due(member) == 0
    member.grow(MARK_ENTRIES, live=0)
    assert 50_000 < due(member) <= 50_000 + MARK_ENTRIES


def test_what_is_deleted_is_gone_after_a_day_if_nobody_writes(member: Member) -> None:
    member.grow(50_000, live=1)
    member.live_bytes = 0
    member.grow(10, live=0)
    member.maintenance.mark(member.now_s)
    member.now_s += KEEP_S - 1
    assert due(member) == 0
    member.now_s += 1
    assert due(member) == 50_010


def test_a_member_that_lacks_entries_is_waited_for_within_bounds(member: Member) -> None:
    member.lacking = 4_000
    member.grow(23_900, live=0)
    assert due(member) == 0  # it would free no more than 4,000 entries
    member.grow(20_000, live=0)
    member.lacking = 25_000
    assert due(member) == 25_000


def test_a_member_that_lags_behind_is_waited_for_up_to_a_number_of_entries(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.raft.compaction.test_policy.ENTRY_BYTES", 5)
    member.lacking = 30_000
    member.grow(500_000, live=0)
    assert due(member) == member.last_applied - WAIT_ENTRIES


def test_a_member_that_lags_behind_is_waited_for_up_to_the_size_of_a_snapshot_only(member: Member) -> None:
    member.lacking = 30_000
    member.grow(100_000, live=0)
    assert due(member) == member.last_applied - COMPACT_ENTRIES


def test_what_was_taken_back_leaves_the_disk_after_a_day_however_little_that_is(member: Member) -> None:
    def look() -> int:
        member.maintenance.mark(member.now_s)
        member.maintenance.note_erased(member.now_s)
        return due(member)

    member.grow(500, live=1)
    member.erased_index = 400
    assert look() == 0
    assert member.segments_ended == 1, "a compaction frees whole segments"
    began_s = member.now_s
    assert (look(), look()) == (0, 0)
    member.now_s = began_s + KEEP_S - 1
    assert look() == 0
    member.now_s = began_s + KEEP_S
    assert look() == 500
    member.now_s += 10 * KEEP_S
    assert look() == 0, "it is gone"


def test_what_is_taken_back_all_the_time_makes_a_few_segments_and_compactions_a_day(member: Member) -> None:
    compacted = set()
    for minute in range(3 * 24 * 60):
        member.now_s += KEEP_S / 24 / 60
        member.grow(10, live=1)
        member.erased_index = member.last_applied - 5
        member.maintenance.mark(member.now_s)
        member.maintenance.note_erased(member.now_s)
        compacted.add(due(member))
        assert len(member.maintenance._erased) <= KEEP_S / ERASED_NOTE_S + 1
        if minute > 24 * 60 * 1.2:
            assert member.base_index >= member.last_applied - 10 * 24 * 60 * 1.2
    assert member.segments_ended <= 3 * KEEP_S / ERASED_NOTE_S
    assert len(compacted - {0}) <= 2 * KEEP_S / ERASED_NOTE_S


def test_a_small_log_is_left_alone(member: Member) -> None:
    member.maintenance._compact_bytes = 10**8
    member.grow(50_000, live=0)
    assert due(member) == 0


@pytest.mark.parametrize("failure", [InvalidMessage("damaged"), OSError("no such file")])
def test_a_snapshot_that_cannot_be_read_back_is_made_again_later(member: Member, failure: Exception) -> None:
    member.grow(50_000, live=0)
    member.failure = failure
    with pytest.raises(RewriteFailed):
        member.maintenance.compact(40_000)
    due(member)
    assert member.maintenance._not_before_s == member.now_s + RETRY_S
    assert member.base_index == 0


@pytest.mark.parametrize(("document", "due_bytes"), [(0, 8 << 20), (7 << 20, 8 << 20), (40 << 20, 40 << 20)])
def test_a_checkpoint_is_due_once_the_log_since_the_last_is_long_and_as_long_as_that(
    member: Member, document: int, due_bytes: int
) -> None:
    member.document_bytes = document
    member.last_applied = 7
    member.log_bytes = due_bytes - 1
    assert not checkpoint_is_due(member)
    member.log_bytes += 1
    assert checkpoint_is_due(member)


def test_a_checkpoint_that_the_disk_refuses_is_made_later(member: Member, caplog: pytest.LogCaptureFixture) -> None:
    member.log_bytes, member.last_applied = 8 << 20, 7
    member.failure = OSError(28, "No space left on device")
    assert not checkpoint_is_due(member)
    assert "no checkpoint was made; next try in 60 s: [Errno 28] No space left" in caplog.text
    assert member.maintenance._not_before_s == member.now_s + RETRY_S
    member.failure = None
    assert checkpoint_is_due(member)


def test_a_checkpoint_whose_state_cannot_be_had_now_is_made_at_another_look(member: Member) -> None:
    member.log_bytes, member.last_applied = 8 << 20, 7
    member.document_is_to_be_had = False
    assert not checkpoint_is_due(member)
    member.document_is_to_be_had = True
    assert member.maintenance._not_before_s == 0.0
    assert checkpoint_is_due(member)


def finished(member: Member) -> bool:
    """Whether the end writes a checkpoint."""
    member.checkpoints.clear()
    member.maintenance.finish()
    return member.checkpoints == [member.last_applied]


def test_the_end_leaves_a_start_little_to_apply(member: Member) -> None:
    member.log_bytes, member.last_applied = (2 << 20) - 1, 7
    assert not finished(member)
    member.log_bytes += 1
    member.maintenance._stopping.set()
    assert finished(member)


def test_the_end_does_not_wait_for_a_checkpoint_for_long(member: Member) -> None:
    member.log_bytes, member.last_applied = 8 << 20, 7

    def step() -> None:
        member.now_s += FINISH_S / 2

    member.step = step
    assert not finished(member)
    assert member.closed == 1


def test_the_end_is_no_other_for_a_disk_that_refuses(member: Member) -> None:
    member.log_bytes, member.last_applied = 8 << 20, 7
    member.failure = OSError(28, "No space left on device")
    assert not finished(member)


def test_a_checkpoint_is_broken_off_by_a_stop(member: Member) -> None:
    member.log_bytes, member.last_applied = 8 << 20, 7
    member.step = member.maintenance._stopping.set
    assert not checkpoint_is_due(member)
    assert member.closed == 1
    assert member.maintenance._not_before_s == 0.0, "nothing has failed"


def test_a_snapshot_of_a_state_that_is_found_wrong_meanwhile_is_removed(member: Member) -> None:
    """A start would take it for the base."""
    member.grow(3 * COMPACT_ENTRIES, live=0)
    member.meanwhile = lambda tell: member.maintenance.hold(True)
    up_to = due(member)
    assert up_to and member.discarded == [up_to] and not member.base_index
    member.meanwhile = lambda tell: None
    member.maintenance.hold(False)
    assert due(member) and len(member.discarded) == 1 and member.base_index


def test_a_log_that_is_quiet_is_checkpointed_early_and_once(member: Member) -> None:
    member.grow(100, live=1)
    member.log_bytes = 2 << 20
    member.now_s += 1.9
    assert not checkpoint_is_due(member)
    member.grow(100, live=1)
    member.now_s += 1.9
    assert not checkpoint_is_due(member)
    member.now_s += 0.1
    member.log_bytes -= 1
    assert not checkpoint_is_due(member)
    member.log_bytes += 1
    assert checkpoint_is_due(member)


def test_the_notes_of_what_was_live_stay_few(member: Member) -> None:
    member.lacking = 0
    member.grow(3 * WAIT_ENTRIES, live=0)
    due(member)
    assert len(member.maintenance._marks) <= WAIT_ENTRIES / MARK_ENTRIES + 1


def test_a_wall_clock_that_is_set_makes_no_file_older(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_s, swept_at_s, stopping = [1e9], list[float](), Event()

    def sweep(now_s: float, *, hurry: bool) -> None:
        swept_at_s.append(now_s)
        wall_s[0] += 1e6
        if len(swept_at_s) == 2:
            stopping.set()

    monkeypatch.setattr("time.time", lambda: wall_s[0])
    monkeypatch.setattr("raft.compaction.policy.CHECK_S", 0.001)
    storage: Any = SimpleNamespace(snapshot=None, sweep=sweep, keep_indexes=lambda: None)
    anything: Any = None
    applier: Any = SimpleNamespace(last_applied=0)
    maintenance = LogMaintenance(anything, storage, applier, anything, anything)
    monkeypatch.setattr(maintenance, "mark", lambda now_s: None)
    monkeypatch.setattr(maintenance, "note_erased", lambda now_s: None)
    monkeypatch.setattr(maintenance, "run_due", lambda: None)
    maintenance.run(stopping)
    assert 0 <= swept_at_s[1] - swept_at_s[0] < 1e5


# A full disk


@pytest.mark.parametrize("who", ["is_full", "other_is_full"])
def test_on_a_full_disk_what_was_deleted_is_compacted_however_small_and_new_it_is(member: Member, who: str) -> None:
    member.grow(COMPACT_ENTRIES // 10, live=1.0)
    member.grow(1, live=0.0)
    member.live_bytes = 0
    member.grow(1, live=0.0)  # the deletion
    member.maintenance.mark(member.now_s)
    assert due(member) == 0
    setattr(member, who, True)
    assert due(member) == member.last_applied


def test_on_a_full_disk_a_log_that_is_live_is_not_compacted(member: Member) -> None:
    member.is_full = True
    member.grow(COMPACT_ENTRIES, live=0.9)
    assert due(member) == 0
    assert member.checkpoints == []


def test_on_a_full_disk_the_segment_that_holds_all_is_ended_once_so_that_it_can_be_freed(member: Member) -> None:
    member.is_full = True
    member.segment_entries = COMPACT_ENTRIES
    member.grow(COMPACT_ENTRIES // 10 + 1, live=0.0)
    member.maintenance.mark(member.now_s)
    assert [due(member), due(member), member.segments_ended] == [0, 0, 1]


def test_a_rewrite_that_failed_is_tried_again_soon_on_a_full_disk(member: Member) -> None:
    member.is_full = True
    member.failure = InvalidMessage("broken")
    member.grow(COMPACT_ENTRIES // 10, live=0.0)
    member.maintenance.run_due()
    assert len(member.compacted) == 1
    assert member.maintenance._not_before_s == member.now_s + RETRY_FULL_S < member.now_s + RETRY_S
