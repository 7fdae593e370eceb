"""A start whose files are damaged: which entries are lost is certain, or it is refused."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.entries import configuration_entry
from raft.core.raft_messages import Entry, HardState
from raft.errors import CorruptLog
from raft.storage.file_names import checkpoint_index, index_name, indexed_by, segment_name, sequence_of
from raft.storage.log_store import Storage
from raft.storage.segment import decode_header, encode_header
from tests.raft.disks import BadDisk, entries, entry
from tests.raft.power import PowerDisk
from tests.raft.storage.test_sealed_files import (
    DIRECTORY,
    KINDS,
    LOG,
    BadMemory,
    harmed,
    held,
    lost,
    records,
    written_log,
)
from tests.raft.storage.test_snapshots import CONFIGURATION, checkpointed
from tests.support.slicing import examples

FIRST = segment_name(1, 1)


def newest(disk: PowerDisk) -> str:
    return max(name for name in disk.content() if sequence_of(name))


def without_indexes(disk: PowerDisk) -> None:
    for name in disk.content():
        if indexed_by(name):
            disk.remove(DIRECTORY / name)


def spoiled(disk: PowerDisk, name: str, record: bytes, count: int = 1) -> None:
    """Damage a record, and those of the same text after it up to `count`."""
    data = disk.content()[name]
    place = data.index(record)
    disk.write(DIRECTORY / name, harmed(data, "zeros", place + 12, len(record) * count - 30))


def readable(storage: Storage, index: int) -> bool:
    try:
        return storage.reader.read_many([index]) == [LOG[index - 1].record]
    except CorruptLog:
        return False


def opened(disk: PowerDisk) -> Storage | CorruptLog:
    try:
        return Storage.open(disk, DIRECTORY)
    except CorruptLog as refusal:
        return refusal


harms = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(KINDS), st.floats(0, 0.999), st.integers(1, 900)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=examples(80), deadline=None)
@given(harms, st.booleans(), st.booleans(), st.booleans())
def test_a_start_knows_each_entry_that_is_lost_and_they_all_come_back(
    harms: list[tuple[int, str, float, int]], base: bool, indexed: bool, again: bool
) -> None:
    disk = BadMemory()
    written_log(disk, DIRECTORY, base=base)
    files = sorted(name for name in disk.content() if sequence_of(name))[:-1]
    if not indexed:
        without_indexes(disk)
    for place, kind, share, length in harms:
        name = files[place % len(files)]
        if name in disk.content():
            disk.harm(name, kind, int(share * len(disk.content()[name])), length)
    storage = opened(disk)
    if isinstance(storage, CorruptLog):
        assert any(word in str(storage) for word in ("damaged", "missing", "lost"))
        return
    if again:  # what is lost stays known
        storage = Storage.open(disk, DIRECTORY)
    assert storage.last_index == 60
    assert [storage.term_of(index) for index in range(storage.base_index + 1, 61)] == [
        one.term for one in LOG[storage.base_index :]
    ]
    assert [one.index for one in storage.recovered.configurations] == [31]
    holes = [index for index, _ in storage.holes()]
    unread = [index for index in held(storage) if not readable(storage, index)]
    assert set(holes) <= set(unread) if indexed else holes == unread
    assert all(term == LOG[index - 1].term for index, term in storage.holes())
    named = {index for step in storage.verify() for damage in step.damages for index in damage.indexes}
    assert set(unread) <= named
    assert storage.mend(records(named)) == named
    assert storage.holes() == []
    assert all(readable(storage, index) for index in held(storage))
    for _ in range(2):
        assert lost([damage for step in storage.verify() for damage in step.damages]) == []
    for _ in range(2):
        storage = Storage.open(disk, DIRECTORY)
        assert storage.recovered.holes == ()
        assert all(readable(storage, index) for index in held(storage))
        without_indexes(disk)


# The newest segment


def log_of(*batches: list[Entry]) -> tuple[PowerDisk, Storage]:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY)
    for batch in batches:
        storage.append(HardState(batch[-1].term, 1, 0), batch)
    storage.close()
    return disk, storage


def test_entries_between_two_of_the_same_term_are_certain() -> None:
    disk, _ = log_of(entries(1, 3), entries(4, 9))
    spoiled(disk, FIRST, entry(5).record, 3)
    assert Storage.open(disk, DIRECTORY).recovered.holes == ((5, 1), (6, 1), (7, 1))


def test_entries_at_the_end_of_the_log_are_certain_by_the_opening_after_them() -> None:
    disk, _ = log_of(entries(1, 3), entries(4, 9))
    spoiled(disk, FIRST, entry(8).record, 2)
    storage = Storage.open(disk, DIRECTORY)
    assert (storage.recovered.holes, storage.last_index) == (((8, 1), (9, 1)), 9)
    storage.append(HardState(2, 1, 0), entries(10, 12, term=2))
    assert Storage.open(disk, DIRECTORY).recovered.holes == ((8, 1), (9, 1))


def test_entries_of_different_terms_around_a_gap_may_hide_others_that_replaced_them() -> None:
    disk, _ = log_of(entries(1, 6), entries(5, 9, term=2))
    data = disk.content()[FIRST]
    start, end = data.index(entry(6).record), data.index(entry(7, 2).record)
    disk.write(DIRECTORY / FIRST, harmed(data, "zeros", start, end - start))
    with pytest.raises(CorruptLog, match="other entries may have been written and replaced") as refusal:
        Storage.open(disk, DIRECTORY)
    assert (refusal.value.file, refusal.value.offset) == (str(DIRECTORY / FIRST), start)


def test_a_hole_is_not_the_end_of_the_log() -> None:
    disk, _ = log_of(entries(1, 3), entries(4, 9))
    spoiled(disk, FIRST, entry(4).record)
    storage = Storage.open(disk, DIRECTORY)
    assert storage.last_index == 9
    storage.append(HardState(2, 1, 0), entries(10, 10, term=2))
    storage = Storage.open(disk, DIRECTORY)
    assert (storage.last_index, storage.recovered.holes) == (10, ((4, 1),))


def test_a_rewind_over_a_hole_ends_it() -> None:
    disk, _ = log_of(entries(1, 3), entries(4, 9))
    spoiled(disk, FIRST, entry(6).record)
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(2, 1, 0), entries(5, 7, term=2))
    assert storage.holes() == []
    assert Storage.open(disk, DIRECTORY).recovered.holes == ()


# Configurations


def configured_log(where: int) -> tuple[PowerDisk, list[Entry]]:
    log = entries(1, 9)
    log[where - 1] = configuration_entry(where, 1, where, CONFIGURATION)
    disk, _ = log_of(log[:3], log[3:])
    return disk, log


@pytest.mark.parametrize("sealed", [False, True])
def test_no_hole_is_accepted_that_may_hide_the_newest_configuration(sealed: bool) -> None:
    disk, log = configured_log(6)
    if sealed:
        Storage.open(disk, DIRECTORY)
        without_indexes(disk)
    spoiled(disk, FIRST, log[5].record)
    with pytest.raises(CorruptLog, match="entry 6 is lost, and may have changed who the members are") as refusal:
        Storage.open(disk, DIRECTORY)
    assert refusal.value.indexes == (6,)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_hole_that_surely_hides_no_configuration_is_accepted(sealed: bool) -> None:
    disk, log = configured_log(3)
    if sealed:
        Storage.open(disk, DIRECTORY)
        without_indexes(disk)
    spoiled(disk, FIRST, log[5].record)
    storage = Storage.open(disk, DIRECTORY)
    assert storage.recovered.holes == ((6, 1),)
    assert [one.index for one in storage.recovered.configurations] == [3]


def test_a_lost_configuration_is_known_from_an_index() -> None:
    disk, log = configured_log(6)
    Storage.open(disk, DIRECTORY).keep_indexes()
    assert index_name(FIRST) in disk.content()
    spoiled(disk, FIRST, log[5].record)
    storage = Storage.open(disk, DIRECTORY)
    assert storage.recovered.holes == ((6, 1),)
    assert storage.recovered.configurations == (log[5],)


def test_a_lost_configuration_is_known_from_a_newer_checkpoint() -> None:
    disk, log = configured_log(6)
    checkpointed(disk, DIRECTORY, log, 8)
    assert any(map(checkpoint_index, disk.content()))
    spoiled(disk, FIRST, log[5].record)
    with pytest.raises(CorruptLog, match="may have changed who the members are"):
        Storage.open(_without_checkpoint(disk), DIRECTORY)
    storage = Storage.open(disk, DIRECTORY)
    assert storage.recovered.holes == ((6, 1),)
    (known,) = storage.recovered.configurations
    assert CONFIGURATION in known.record


def _without_checkpoint(disk: PowerDisk) -> PowerDisk:
    copy = PowerDisk()
    for name, data in disk.content().items():
        if not checkpoint_index(name):
            copy.write(DIRECTORY / name, data)
    return copy


# What the successor does not say


def test_without_the_terms_in_the_header_the_neighbours_decide() -> None:
    disk, _ = log_of(entries(1, 3), entries(4, 9))
    Storage.open(disk, DIRECTORY)
    without_indexes(disk)
    second = newest(disk)
    line, _, rest = disk.content()[second].partition(b"\n")
    header = decode_header(line[9:])
    assert header.sealed.term_runs == ((1, 1),)
    silent = replace(header, sealed=replace(header.sealed, term_runs=None))
    disk.write(DIRECTORY / second, encode_header(silent) + rest)
    spoiled(disk, FIRST, entry(6).record)
    assert Storage.open(disk, DIRECTORY).recovered.holes == ((6, 1),)


def test_any_two_starts_after_the_same_damage_find_the_same() -> None:
    rng = Random(7)
    for _ in range(20):
        disk, _ = log_of(entries(1, 5), entries(6, 9), entries(10, 14, term=2))
        data = disk.content()[FIRST]
        disk.write(DIRECTORY / FIRST, harmed(data, "zeros", rng.randrange(400, len(data) - 200), 150))
        first = opened(disk)
        if not isinstance(first, CorruptLog):
            found, again = first.recovered, Storage.open(disk, DIRECTORY).recovered
            assert (again.holes, again.last_index, again.term_runs) == (found.holes, found.last_index, found.term_runs)


def test_a_start_bears_an_unreadable_page_in_which_no_entry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.storage.salvage._PAGE_BYTES", 8)  # smaller than an opening
    disk, log = BadDisk(), entries(1, 6)
    storage = Storage.open(disk, tmp_path)
    storage.append(HardState(1, 1, 0), log[:3])
    storage.append(None, log[3:])
    name = storage.newest_segment
    storage.end_segment()
    storage.append(None, ())
    storage.close()
    disk.bad.add((name, (tmp_path / name).read_bytes().index(log[3].record) - 9))  # in the opening of that batch
    started = Storage.open(disk, tmp_path)
    assert (started.holes(), started.last_index) == ([], 6)
    assert started.reader.read_many([1, 4, 6]) == [log[0].record, log[3].record, log[5].record]
    started.close()


def test_two_segments_in_a_row_that_are_missing_are_known_if_the_first_one_has_its_index() -> None:
    disk, log = PowerDisk(), entries(1, 20)
    storage = Storage.open(disk, DIRECTORY, segment_bytes=1)
    for start in range(0, 20, 4):
        storage.append(HardState(1, 1, start), log[start : start + 4])
    storage.keep_indexes()
    *_, second, third, _ = sorted(name for name in disk.content() if sequence_of(name))
    for name in (second, third, index_name(third)):
        disk.remove(DIRECTORY / name)
    storage = Storage.open(disk, DIRECTORY)
    assert [index for index, _ in storage.recovered.holes] == [*range(9, 17)]
    assert storage.last_index == 20


def test_entries_that_a_later_segment_replaces_may_have_been_made_void() -> None:
    disk, before, after = PowerDisk(), entries(1, 6), entries(4, 6, term=2)
    storage = Storage.open(disk, DIRECTORY)
    for hard_state, batch in (HardState(1, 1, 0), before), (HardState(2, 1, 0), after):
        storage.append(hard_state, batch)
        storage.end_segment()
        storage.append(None, ())
    spoiled(disk, FIRST, before[4].record)
    assert {damage.indexes for step in storage.verify() for damage in step.damages} == {()}  # nobody needs it
    assert b'{"void":' in disk.content()[FIRST]
    storage.close()
    without_indexes(disk)
    started = Storage.open(disk, DIRECTORY)
    assert (started.holes(), started.last_index) == ([], 6)
    assert started.reader.read(1, 6, 1 << 20) == [one.record for one in [*before[:3], *after]]
