"""The log as the core sees it: terms as runs, a tail in memory, no gaps."""

import pytest

from raft.core import log as log_module
from raft.core.entries import noop_entry
from raft.core.log import SLICE_ENTRIES_MAX, Log
from raft.core.raft_messages import Entry
from raft.rpc.codec import ENTRIES_MAX
from tests.raft.disks import entry


def entries(*terms: int, first: int = 1, text: str = "x") -> list[Entry]:
    return [entry(first + n, term, text) for n, term in enumerate(terms)]


def log_of(*terms: int) -> Log:
    log = Log()
    log.append(entries(*terms))
    return log


def terms_of(log: Log) -> list[int | None]:
    return [log.term_at(index) for index in range(log.last_index + 2)]


def test_an_empty_log_ends_at_index_zero_of_term_zero() -> None:
    log = Log()
    assert (log.last_index, log.last_term, log.term_at(0), log.term_at(1)) == (0, 0, 0, None)
    assert log.slice(1, 0, 100) == ()


def test_terms_are_known_at_every_index_and_at_no_other() -> None:
    log = log_of(1, 1, 3, 3, 7)
    assert terms_of(log) == [0, 1, 1, 3, 3, 7, None]
    assert log.term_at(-1) is None
    assert (log.last_index, log.last_term) == (5, 7)


def test_runs_from_disk_give_the_same_terms_without_any_entry_in_memory() -> None:
    log = Log([(1, 1), (3, 3), (5, 7)], 5)
    assert terms_of(log) == [0, 1, 1, 3, 3, 7, None]
    assert log.tail_first == 6
    assert log.slice(5, 5, 1_000) is None


def test_the_run_of_a_term_is_found_from_both_ends() -> None:
    log = log_of(1, 1, 3, 3, 7)
    assert [log.first_index_of_term_at(index) for index in (1, 2, 3, 4, 5)] == [1, 1, 3, 3, 5]
    assert [log.last_index_of_term(term) for term in range(9)] == [0, 2, 0, 4, 0, 0, 0, 5, 0]


def test_an_entry_that_leaves_a_gap_or_lowers_the_term_is_our_own_bug() -> None:
    log = log_of(2)
    with pytest.raises(AssertionError):
        log.append(entries(2, first=3))
    with pytest.raises(AssertionError):
        log.append(entries(1, first=2))


def test_a_log_with_a_later_last_term_is_more_up_to_date_however_short() -> None:
    log = log_of(1, 2, 2)
    assert [log.is_up_to_date(index, term) for index, term in ((1, 3), (3, 2), (4, 2))] == [True] * 3
    assert [log.is_up_to_date(index, term) for index, term in ((9, 1), (2, 2), (0, 0))] == [False] * 3


def test_truncation_forgets_entries_and_the_runs_they_began() -> None:
    log = log_of(1, 1, 3, 3, 7)
    log.truncate_from(4)
    assert terms_of(log) == [0, 1, 1, 3, None]
    log.append(entries(8, first=4))
    assert terms_of(log) == [0, 1, 1, 3, 8, None]
    log.truncate_from(1)
    assert terms_of(log) == [0, None]
    log.truncate_from(5)  # nothing is there
    assert log.last_index == 0


def test_truncation_below_the_tail_leaves_a_log_that_goes_on_from_there() -> None:
    log = Log([(1, 1), (3, 3)], 4)
    log.append(entries(5, 5, first=5))
    log.truncate_from(3)
    assert (log.last_index, log.last_term, log.tail_first) == (2, 1, 3)
    log.append(entries(6, first=3))
    assert [e.index for e in log.slice(3, 3, 1_000) or ()] == [3]


def test_a_slice_has_a_bounded_number_of_entries_which_a_receiver_takes() -> None:
    log = Log()
    log.append([noop_entry(index, 1, 0) for index in range(1, SLICE_ENTRIES_MAX + 10)])
    assert len(log.slice(1, log.last_index, 1 << 20) or ()) == SLICE_ENTRIES_MAX
    assert log_module.TAIL_ENTRIES_MAX <= ENTRIES_MAX


def test_a_slice_ends_where_its_bytes_do_but_is_never_empty() -> None:
    log = log_of(1, 1, 1)
    size = len(entry(1, 1, "x").record)
    assert [e.index for e in log.slice(1, 3, 2 * size) or ()] == [1, 2]
    assert [e.index for e in log.slice(2, 3, 1) or ()] == [2]
    assert [e.index for e in log.slice(2, 2, 1_000) or ()] == [2]


def test_memory_holds_a_bounded_tail_whatever_is_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "TAIL_ENTRIES_MAX", 10)
    log = Log()
    for index in range(1, 101):
        log.append(entries(1, first=index))
        assert log.last_index - log.tail_first < 10
    assert log.tail_first > 90
    assert log.slice(log.tail_first - 1, 100, 1_000) is None
    assert terms_of(log) == [0, *([1] * 100), None]


def test_memory_holds_bounded_bytes_and_counts_what_was_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "TAIL_BYTES_MAX", 1_000)
    log = Log()
    for round in range(20):
        log.append(entries(*[1] * 5, first=log.last_index + 1, text="y" * 20))
        log.truncate_from(log.last_index)
        held = log.slice(log.tail_first, log.last_index, 1 << 20) or ()
        assert sum(len(e.record) for e in held) <= 1_000, round
    assert log.last_index - log.tail_first > 2  # truncated entries do not count as held


def test_at_the_base_only_the_snapshots_own_term_is_known() -> None:
    log = Log([], 0, base_index=10, base_term=4)
    assert (log.last_index, log.last_term) == (10, 4)
    assert [log.term_at(index) for index in (9, 10, 11)] == [None, 4, None]
    log.append(entries(4, 5, first=11))
    assert [log.term_at(index) for index in (10, 11, 12)] == [4, 4, 5]
    with pytest.raises(AssertionError):
        log.truncate_from(10)
