"""Where entries lie, packed into eight bytes each."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raft.core.entries import RECORD_BYTES_MAX
from raft.storage.positions import FILE_BYTES_MAX, FILES_MAX, Positions, Sparse, count_within, pack, runs, unpack


@given(
    st.integers(0, FILES_MAX - 1),
    st.integers(0, FILE_BYTES_MAX - 1),
    st.integers(1, RECORD_BYTES_MAX),
)
@example(0, 0, RECORD_BYTES_MAX)
@example(FILES_MAX - 1, FILE_BYTES_MAX - 1, RECORD_BYTES_MAX)
def test_a_position_keeps_file_and_offset_and_bounds_the_length(file: int, offset: int, length: int) -> None:
    position = pack(file, offset, length)
    assert 0 <= position < 1 << 64
    found_file, found_offset, bound = unpack(position)
    assert (found_file, found_offset) == (file, offset)
    assert length <= bound < length + 128


def test_setting_an_index_forgets_those_above() -> None:
    positions = Positions()
    positions.set((index, index * 10) for index in (1, 2, 3, 4, 2, 3))
    assert positions.last_index == 3
    assert list(positions.get_range(1, 3)) == [10, 20, 30]


@pytest.mark.parametrize(("first", "last"), [(0, 1), (3, 4), (4, 4), (2, 1)])
def test_what_the_log_does_not_hold_is_a_lookup_error(first: int, last: int) -> None:
    positions = Positions()
    positions.set((index, index) for index in (1, 2, 3))
    with pytest.raises(LookupError):
        positions.get_range(first, last)
    with pytest.raises(LookupError):
        positions.get_many([first, 9])


def on_snapshot(*indexes: int) -> Sparse:
    sparse = Sparse()
    for index in indexes:
        sparse.add(index, index * 1000, 100)
    return sparse


def test_up_to_the_base_positions_are_those_of_the_snapshot() -> None:
    positions = Positions()
    positions.set((index, pack(3, index, 100)) for index in range(1, 8))
    positions.rebase(5, on_snapshot(2, 4), 7)
    assert (positions.base_index, positions.last_index, positions.entry_count) == (5, 7, 4)
    expected = [pack(7, 2000, 100), pack(7, 4000, 100), pack(3, 6, 100), pack(3, 7, 100)]
    assert list(positions.get_many([2, 4, 6, 7])) == expected
    assert list(positions.get_range(6, 7)) == expected[2:]
    for gone in ([1], [3, 6], [5], [2, 8]):
        with pytest.raises(LookupError):
            positions.get_many(gone)
    with pytest.raises(LookupError):
        positions.get_range(5, 7)


def test_an_installed_snapshot_leaves_nothing_above_it() -> None:
    positions = Positions()
    positions.set((index, index) for index in range(1, 8))
    positions.install(5, on_snapshot(2), 1)
    assert (positions.last_index, positions.entry_count) == (5, 1)
    positions.set([(6, pack(2, 0, 1)), (7, pack(2, 1, 1)), (6, pack(2, 2, 1))])
    assert list(positions.get_many([2, 6])) == [pack(1, 2000, 100), pack(2, 2, 1)]
    positions.forget_from(6)
    assert positions.last_index == 5


def test_records_close_together_are_one_run() -> None:
    near = [pack(0, 100, 50), pack(0, 150, 50), pack(0, 10_000, 50)]
    far = pack(0, 100_000, 50)
    other = pack(1, 100_100, 50)
    found = [(run.file, run.start, len(run.places)) for run in runs([*near, far, other])]
    assert found == [(0, 100, 3), (0, 100_000, 1), (1, 100_100, 1)]


def test_a_run_is_bounded() -> None:
    found = list(runs(pack(0, place * RECORD_BYTES_MAX, RECORD_BYTES_MAX) for place in range(9)))
    assert [len(run.places) for run in found] == [4, 4, 1]


def test_at_least_one_record_fits() -> None:
    positions = [pack(0, place * 1000, 1000) for place in range(5)]
    assert [count_within(positions, bytes_max) for bytes_max in (0, 1023, 1024, 2048, 99_999)] == [1, 1, 1, 2, 5]
