"""What is answered to a fetch, and which fetched entries are believed."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from raft.core.entries import entry_of_verified
from raft.core.raft_messages import HardState
from raft.errors import CorruptLog
from raft.repair import fetching
from raft.repair.fetching import answer_fetch, in_order, sound_records, why_refused
from raft.rpc.calls import FetchEntries
from raft.rpc.codec import FETCH_BYTES_MAX
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from tests.raft.disks import entry


class Disk:
    """A log of entries 1 to `last`, of which some are damaged and some are gone."""

    def __init__(self, last: int = 9, damaged: Sequence[int] = (), gone: Sequence[int] = (), text: str = "x") -> None:
        self.records = {index: entry(index, 1, text).record for index in range(1, last + 1)}
        self.damaged, self.gone = set(damaged), set(gone)
        self.unreadable: set[int] = set()  # by EIO
        self.read: list[int] = []

    def read_many(self, indexes: Sequence[int]) -> list[bytes]:
        self.read += indexes
        if damaged := sorted(self.damaged.intersection(indexes)):
            raise CorruptLog("log-1", 0, f"entry {damaged[0]} is damaged", "act", damaged)
        if self.unreadable.intersection(indexes):
            raise OSError(5, "Input/output error")
        if not self.gone.isdisjoint(indexes) or any(index not in self.records for index in indexes):
            raise LookupError("gone")
        return [self.records[index] for index in indexes]


class Terms:
    """A log whose base is at index 10, with terms 3 from 11 on and 5 from 21 to 30."""

    base_index = 10

    def term_of(self, index: int) -> int:
        return 3 if 10 < index <= 20 else 5 if 20 < index <= 30 else 0

    def term_bounds(self, index: int) -> tuple[int, int]:
        return 1, 2


def fetch(*indexes: int) -> FetchEntries:
    return FetchEntries(2, 1, indexes)


def test_an_answer_has_what_is_sound_here_and_leaves_out_the_rest() -> None:
    disk = Disk(damaged=[2, 3], gone=[5])
    disk.unreadable = {7}
    answer = answer_fetch(disk, 8, fetch(1, 2, 3, 4, 5, 6, 7, 8, 40))
    assert [one.index for one in answer.entries] == [1, 4, 6, 8]
    assert answer.commit_index == 8
    assert [one.record for one in answer.entries] == [disk.records[index] for index in (1, 4, 6, 8)]


def test_an_answer_ends_before_it_is_too_long_and_has_one_entry_at_least() -> None:
    disk = Disk(last=4, text="x" * (FETCH_BYTES_MAX // 2 - 200))
    assert [one.index for one in answer_fetch(disk, 4, fetch(1, 2, 3, 4)).entries] == [1, 2]
    disk = Disk(last=2, text="x" * (FETCH_BYTES_MAX - 200))
    assert [one.index for one in answer_fetch(disk, 2, fetch(1, 2)).entries] == [1]


def test_damaged_bytes_of_a_real_file_are_not_sent_on(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), [entry(index) for index in range(1, 6)])
    (segment,) = tmp_path.glob("log-*.jsonl")
    content = bytearray(segment.read_bytes())
    content[content.index(entry(3).record) + 60] ^= 1
    segment.write_bytes(content)
    assert [one.index for one in answer_fetch(storage.reader, 5, fetch(1, 2, 3, 4, 5)).entries] == [1, 2, 4, 5]
    storage.close()


def test_an_answer_of_nothing_is_an_answer() -> None:
    assert answer_fetch(Disk(damaged=[3]), 9, fetch(3)).entries == ()


def test_damage_in_a_file_at_large_does_not_hide_the_entries_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(fetching, "_READ_ENTRIES", 4)
    read_many = disk.read_many

    def fails_for_many(indexes: Sequence[int]) -> list[bytes]:
        if len(indexes) > 1:
            raise CorruptLog("log-1", 0, "the file is damaged", "act")
        return read_many(indexes)

    monkeypatch.setattr(disk, "read_many", fails_for_many)
    assert list(sound_records(disk, [1, 2, 3])) == [1, 2, 3]


def test_what_is_sound_or_gone_needs_no_repair() -> None:
    disk = Disk(damaged=[2], gone=[3])
    disk.unreadable = {4}
    assert in_order(disk, [1, 2, 3, 4, 5]) == {1, 3, 5}


@pytest.mark.parametrize(("index", "term"), [(11, 3), (20, 3), (21, 5), (30, 5)])
def test_an_entry_above_the_base_is_believed_by_its_term_committed_or_not(index: int, term: int) -> None:
    assert why_refused(Terms(), entry(index, term), 0) == ""
    for other in (term - 1, term + 1):
        assert f"its term is {other}" in why_refused(Terms(), entry(index, other), 99)


def test_an_entry_beyond_this_log_is_not_believed() -> None:
    assert "this log has term 0" in why_refused(Terms(), entry(31, 5), 99)


def test_an_entry_of_the_base_is_believed_if_it_is_committed_and_its_term_fits() -> None:
    assert why_refused(Terms(), entry(7, 1), 7) == why_refused(Terms(), entry(7, 2), 99) == ""
    assert "knows only index 6 to be committed" in why_refused(Terms(), entry(7, 1), 6)
    assert "those of its neighbours are 1 and 2" in why_refused(Terms(), entry(7, 3), 99)


def test_a_record_is_the_one_that_the_log_holds() -> None:
    assert entry_of_verified(sound_records(Disk(), [4])[4]) == entry(4, 1, "x")


def test_nothing_is_logged_of_entries_that_are_believed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer_fetch(Disk(), 9, fetch(1))
    assert caplog.text == ""
