"""Damaged entries are mended from whoever has them, once; who waits for them hears of it; nobody waits in vain."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from raft.core.configuration import Member
from raft.core.raft_messages import Entry
from raft.engine.damage import Damage
from raft.errors import CorruptLog, DiskFull, RefusedPeer
from raft.repair import repairer as module
from raft.repair.repairer import AWAY_S, RETRY_S, Repairer, ranges
from tests.raft.disks import entry
from tests.support.waiting import wait_until

FILE = "/data/log-00000001-000000000000001.jsonl"
OTHER_FILE = "/data/log-00000002-000000000000006.jsonl"


class Log:
    """A log of entries 1 to 9 in one file."""

    def __init__(self, *damaged: int) -> None:
        self.damaged = set(damaged)
        self.gone: set[int] = set()
        self.writes: list[list[int]] = []
        self.fits = True
        self.knows_file = False
        self.failure: Exception | None = None
        self.borrowed: set[int] = set()
        self.elsewhere: set[int] = set()  # entries that are in another file

    def read(self, *indexes: int) -> list[int]:
        if damaged := sorted(self.damaged.intersection(indexes) - self.borrowed):
            raise found(*damaged)
        return list(indexes)

    def sound(self, indexes: Sequence[int]) -> dict[int, bytes]:
        return {index: entry(index).record for index in indexes if index not in self.damaged | self.gone}

    def in_order(self, indexes: Sequence[int]) -> set[int]:
        return set(indexes) - self.damaged

    def places_of(self, indexes: Sequence[int]) -> dict[int, tuple[str, int]]:
        return {index: (OTHER_FILE, index) for index in indexes if index in self.elsewhere}

    def lost_in(self, file: str) -> list[int]:
        return sorted(self.damaged) if self.knows_file else []

    def mend(self, records: dict[int, bytes]) -> set[int]:
        if self.failure is not None:
            raise self.failure
        self.writes.append(sorted(records))
        placed = self.damaged.intersection(records) if self.fits else set()
        self.damaged -= placed
        return placed

    def borrow(self, entries: Sequence[Entry]) -> set[int]:
        taken = {one.index for one in entries} if self.fits else set()
        self.borrowed |= taken
        return taken

    def is_borrowed(self, index: int) -> bool:
        return index in self.borrowed


class Others:
    """The other members, and what each has; None: it cannot be asked."""

    def __init__(self, **has: Sequence[int] | None) -> None:
        self.has = {int(name[1:]): indexes for name, indexes in has.items()}
        self.asked: list[tuple[int, list[int]]] = []

    def members(self) -> list[Member]:
        return [Member(id, f"http://{id}", True) for id in self.has]

    def fetch(self, member: Member, indexes: Sequence[int]) -> Iterator[Entry]:
        self.asked.append((member.id, list(indexes)))
        has = self.has[member.id]
        if has is None:
            raise RefusedPeer("not_ready", "it is away")
        yield from (entry(index) for index in indexes if index in has)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def found(*indexes: int) -> CorruptLog:
    return CorruptLog(FILE, 100 * indexes[0], f"entry {indexes[0]} is damaged", "act", indexes)


@contextmanager
def running(repairer: Repairer) -> Iterator[None]:
    thread = threading.Thread(target=repairer.run)
    thread.start()
    try:
        yield
    finally:
        repairer.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_a_reader_gets_what_another_member_has_and_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    log, damage = Log(3), Damage()
    repairer = Repairer(log, Others(m2=[3]), damage)
    assert repairer.read(lambda: log.read(2, 3)) == [2, 3] and log.damaged, "nothing is written yet"
    with running(repairer):
        wait_until(lambda: not damage.found(), 5, "the damage is forgotten")
    assert f"{FILE}: 1 entries were damaged (3); mended from member 2" in caplog.text
    assert (repairer.found_count, repairer.mended_count) == (1, 1)
    assert not repairer.is_damaged()


def test_damage_of_several_files_is_mended_and_told_file_by_file(caplog: pytest.LogCaptureFixture) -> None:
    log, damage = Log(3, 6, 7), Damage()
    log.elsewhere = {6, 7}
    repairer = Repairer(log, Others(m2=[3, 6, 7]), damage)
    repairer.note(found(3, 6, 7))
    assert damage.found() == [
        {"File": "log-00000001-000000000000001.jsonl", "Offset": 300},
        {"File": "log-00000002-000000000000006.jsonl", "Offset": 6},
    ]
    with running(repairer):
        wait_until(lambda: not damage.found(), 5, "all is mended")
    assert f"{FILE}: 1 entries were damaged (3)" in caplog.text
    assert f"{OTHER_FILE}: 2 entries were damaged (6-7)" in caplog.text


def test_all_that_is_lost_in_a_file_is_mended_with_the_first_of_it() -> None:
    log, others = Log(3, 5, 6), Others(m2=[3, 5, 6])
    log.knows_file = True
    repairer = Repairer(log, others, Damage())
    repairer.note(found(5))
    repairer.mend_file(FILE, [5])
    assert log.writes == [[3, 5, 6]] and not repairer.is_damaged()
    assert (repairer.found_count, repairer.mended_count) == (3, 3)


def test_members_are_asked_in_turn_each_for_what_those_before_it_lacked() -> None:
    log, others = Log(1, 3, 4), Others(m2=[3], m3=None, m4=[1, 3], m5=[1, 3, 4])
    repairer = Repairer(log, others, Damage())
    repairer.add(FILE, [1, 3, 4])
    repairer.mend_file(FILE, [1, 3, 4])
    assert others.asked == [(2, [1, 3, 4]), (3, [1, 4]), (4, [1, 4]), (5, [4])]
    assert log.damaged == set() and log.writes == [[3], [1], [4]]


def test_a_record_that_does_not_fit_its_place_is_asked_from_the_next_member(caplog: pytest.LogCaptureFixture) -> None:
    log, others = Log(3), Others(m2=[3], m4=[3])
    log.fits = False
    repairer = Repairer(log, others, Damage())
    repairer.add(FILE, [3])
    repairer.mend_file(FILE, [3])
    assert [member for member, _ in others.asked] == [2, 4]
    assert repairer.is_damaged() and repairer.mended_count == 0
    assert "could not be written anew" in caplog.text and "no other member has them" not in caplog.text


def test_what_a_second_read_finds_sound_or_gone_is_fetched_from_nobody() -> None:
    log, others = Log(), Others(m2=[3])
    repairer = Repairer(log, others, Damage())
    repairer.note(found(3))
    repairer.mend_file(FILE, [3])
    assert others.asked == [] and not repairer.is_damaged()


def test_a_reader_hears_at_once_that_nobody_has_the_entry_also_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    log, others, damage = Log(3), Others(m2=[], m3=[]), Damage()
    repairer = Repairer(log, others, damage)
    for _ in range(3):
        with pytest.raises(CorruptLog):
            repairer.read(lambda: log.read(3), timeout_s=1)
        assert not repairer.wait(found(3), timeout_s=1), "nobody has it"
    assert log.read(2) == [2]
    assert len(others.asked) == 2, "once each"
    with running(repairer):
        told = "entries 3 are damaged, and no other member has them"
        wait_until(lambda: any(told in record.message for record in caplog.records), 5, "it is logged")
    assert sum(told in record.message for record in caplog.records) == 1
    assert damage.found() and repairer.is_damaged()


def test_a_reader_waits_for_a_member_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BORROW_RETRY_S", 0.001)
    log, others = Log(3), Others(m2=None, m3=[])
    repairer = Repairer(log, others, Damage())

    def comes_back() -> None:
        wait_until(lambda: len(others.asked) > 4, 5, "it was asked again")
        others.has[2] = [3]

    thread = threading.Thread(target=comes_back)
    thread.start()
    assert repairer.read(lambda: log.read(3), timeout_s=60) == [3]
    thread.join()


def test_a_read_by_another_process_waits_until_the_file_is_written_anew() -> None:
    log = Log(3)
    log.failure = OSError(5, "Input/output error")
    repairer = Repairer(log, Others(m2=[3]), Damage())
    with running(repairer):
        with pytest.raises(CorruptLog):
            repairer.read(lambda: log.read(3), 5, elsewhere=True)
        log.failure = None
        repairer.retry()
        wait_until(lambda: not repairer.is_damaged(), 5, "it is mended")
        assert repairer.read(lambda: log.read(3), 5, elsewhere=True) == [3]
    assert not log.borrowed


def test_a_second_reader_waits_no_more_for_a_member_that_is_away() -> None:
    log, others = Log(3), Others(m2=None)
    repairer = Repairer(log, others, Damage())
    assert not repairer.wait(found(3), 0.01)
    asked = len(others.asked)
    assert not repairer.wait(found(3), 60) and len(others.asked) == asked
    others.has[2] = [3]
    repairer.retry()
    assert repairer.wait(found(3), 60)


def test_a_record_that_does_not_fit_its_place_stands_in_for_none() -> None:
    log, others = Log(3), Others(m2=[3], m4=[3])
    log.fits = False
    assert not Repairer(log, others, Damage()).wait(found(3), 60)
    assert [member for member, _ in others.asked] == [2, 4]


def test_what_nobody_had_is_asked_for_again_after_a_while_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    log, others, clock = Log(3), Others(m2=[]), Clock()
    repairer = Repairer(log, others, Damage(), clock=clock)
    repairer.add(FILE, [3])
    repairer.mend_file(FILE, [3])
    for _ in range(2):
        clock.now_s += RETRY_S
        assert repairer._next() == (FILE, [3])
        repairer.mend_file(FILE, [3])
    assert sum("no other member has them" in r.message for r in caplog.records) == 1
    clock.now_s += RETRY_S
    others.has[2] = [3]
    assert repairer._next() == (FILE, [3])
    repairer.mend_file(FILE, [3])
    assert not log.damaged and not repairer.is_damaged()


def test_texts_that_the_others_have_removed_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(3, 4, 5)
    repairer = Repairer(log, Others(m2=[]), Damage(), needed_among=lambda indexes: {4}.intersection(indexes))
    repairer.add(FILE, [3, 4, 5])
    repairer.mend_file(FILE, [3, 4, 5])
    assert "entries 4 are damaged, and no other member has them" in caplog.text
    assert "entries 3, 5 were damaged, and nobody needs them any more" in caplog.text


def test_a_member_that_comes_back_is_asked_at_once() -> None:
    log, others, clock = Log(3), Others(m2=[]), Clock()
    repairer = Repairer(log, others, Damage(), clock=clock)
    repairer.heard(2)
    with running(repairer):
        assert not repairer.wait(found(3), 60)
        wait_until(repairer.has_left, 5, "nobody had it")
        others.has[2] = [3]
        clock.now_s += AWAY_S + 1
        assert AWAY_S + 1 < RETRY_S
        repairer.heard(2)
        wait_until(lambda: not log.damaged, 5, "mended")


def test_damage_that_no_entry_describes_has_the_base_made_anew_and_is_not_waited_for() -> None:
    renewed: list[bool] = []
    damage = Damage()
    repairer = Repairer(Log(), Others(m2=[]), damage, lambda: renewed.append(True))
    assert not repairer.wait(CorruptLog("/data/snapshot-000000000000009.jsonl", 7, "damaged", "act"), 60)
    assert renewed == [True] and len(damage.found()) == 1


@pytest.mark.parametrize("failure", [DiskFull("no room"), OSError(5, "Input/output error")])
def test_a_disk_that_takes_nothing_is_tried_again_later_and_reads_are_right_meanwhile(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    log, clock = Log(3), Clock()
    log.failure = failure
    repairer = Repairer(log, Others(m2=[3]), Damage(), clock=clock)
    with running(repairer):
        assert repairer.read(lambda: log.read(3)) == [3]
        wait_until(lambda: "could not be written anew" in caplog.text, 5, "it was tried")
        wait_until(repairer.has_left, 5, "it is left for later")
        log.failure = None
        repairer.retry()
        wait_until(lambda: not log.damaged, 5, "mended")


def test_a_wait_ends_with_the_member_and_after_its_time() -> None:
    repairer = Repairer(Log(3), Others(m2=None), Damage())
    assert not repairer.wait(found(3), 0.01)
    repairer.retry()
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(repairer.wait(found(3), 60)))
    thread.start()
    repairer.stop()
    thread.join(5)
    assert waited == [False]


def test_the_same_entry_is_counted_and_asked_for_once() -> None:
    log, others = Log(3, 4), Others(m2=[3, 4])
    repairer = Repairer(log, others, Damage())
    for error in (found(3), found(3, 4), found(4)):
        repairer.note(error)
    assert repairer.found_count == 2 and repairer.highest() == 4
    with running(repairer):
        wait_until(lambda: not log.damaged, 5, "mended")
    assert others.asked == [(2, [3, 4])]


def test_so_many_entries_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEXES_MAX", 3)
    repairer = Repairer(Log(), Others(), Damage())
    repairer.add(FILE, range(1, 10))
    assert repairer.found_count == 3


def test_a_large_repair_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEND_BYTES", 1)
    log = Log(1, 2, 3)
    Repairer(log, Others(m2=[1, 2, 3]), Damage()).mend_file(FILE, [1, 2, 3])
    assert log.writes == [[1], [2], [3]] and not log.damaged


def test_records_are_had_without_writing_from_whoever_has_them() -> None:
    log = Log(3, 5)
    repairer = Repairer(log, Others(m2=None, m3=[3], m4=[5]), Damage())
    assert repairer.records([2, 3, 5]) == [entry(index).record for index in (2, 3, 5)]
    assert log.writes == []
    with pytest.raises(CorruptLog) as lacking:
        Repairer(log, Others(m3=[3]), Damage()).records([2, 3, 5])
    assert lacking.value.indexes == (5,)


def test_changes_are_reported_after_finding_and_after_mending() -> None:
    seen: list[int] = []
    repairer: Repairer
    repairer = Repairer(Log(3), Others(m2=[3]), Damage(), on_change=lambda: seen.append(repairer.highest()))
    repairer.note(found(3))
    repairer.mend_file(FILE, [3])
    assert seen == [3, 0]


@pytest.mark.parametrize(
    ("indexes", "text"), [([3], "3"), ([9, 7, 8, 3], "3, 7-9"), (range(0, 100, 2), None)]
)  # fmt: skip
def test_indexes_are_told_as_ranges_and_not_without_end(indexes: Iterable[int], text: str | None) -> None:
    told = ranges(indexes)
    assert told == text if text else told.endswith("and 30 more ranges")
