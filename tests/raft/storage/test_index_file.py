"""An index spares a start the reading of a file, and is never believed unless it is that very file's."""

from array import array
from dataclasses import replace
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.compaction.compactor import compact
from raft.core.configuration import Configuration, Member
from raft.core.entries import configuration_entry
from raft.core.raft_messages import Entry, HardState
from raft.errors import CorruptLog
from raft.storage.disk import ReadFile, RealDisk
from raft.storage.file_names import index_name, indexed_by, is_temporary_index, segment_name, snapshot_name
from raft.storage.index_file import Indexes
from raft.storage.log_store import SEALED_MAX, Storage
from raft.storage.positions import moved, pack
from raft.storage.segment import SegmentScan, decode_header, encode_header
from tests.raft.disks import HookedDisk, UnsyncedDisk, content, entries, entry
from tests.raft.life import found_on, found_without_indexes
from tests.raft.power import PowerDisk, killed_after
from tests.raft.words import Words
from tests.support.slicing import some

DIRECTORY = Path("/data")
CONFIGURATION = Configuration({1: Member(1, "http://one", True)}).encode()
FIRST = segment_name(1, 1)


def rewinding_log() -> list[list[Entry]]:
    """Batches, a segment each: the fourth begins within the second, the fifth ends below where it begins."""
    return [
        [*entries(1, 3), configuration_entry(4, 1, 9, CONFIGURATION), entry(5)],
        [*entries(6, 8), configuration_entry(9, 1, 10, CONFIGURATION), entry(10, 2)],
        entries(11, 15, term=2),
        [configuration_entry(8, 3, 30, CONFIGURATION), *entries(9, 13, term=4)],
        [*entries(13, 15, term=5), *entries(11, 12, term=6)],
        entries(13, 15, term=6),
    ]


def written_to(disk: PowerDisk | RealDisk, data_dir: Path, batches: list[list[Entry]]) -> Storage:
    storage = Storage.open(disk, data_dir, segment_bytes=1)
    for batch in batches:
        storage.append(HardState(batch[-1].term, 1, 0), batch)
    return storage


def indexes_of(disk: PowerDisk) -> dict[str, bytes]:
    return {name: data for name, data in disk.content().items() if indexed_by(name)}


def indexed_disk() -> PowerDisk:
    """A log in segments and a snapshot below it, all with indexes."""
    disk = PowerDisk()
    written_to(disk, DIRECTORY, rewinding_log())
    compact(disk, DIRECTORY, 8, Words())
    found_on(disk)
    return disk


# What is believed


def test_a_start_with_indexes_finds_what_one_without_them_finds() -> None:
    disk = PowerDisk()
    written_to(disk, DIRECTORY, rewinding_log())
    without = found_on(disk)  # makes them
    assert len(indexes_of(disk)) == len(rewinding_log())  # the newest segment has none
    assert found_on(disk) == without == found_without_indexes(disk)
    assert (without.last_index, without.term_runs[-2:]) == (15, [(9, 4), (11, 6)])
    assert [one.index for one in without.configurations] == [4, 8]


def test_a_start_on_a_snapshot_finds_the_same_with_indexes() -> None:
    disk = indexed_disk()
    assert index_name(snapshot_name(8)) in indexes_of(disk)
    found = found_on(disk)
    assert found == found_without_indexes(disk)
    assert (found.base_index, found.term_runs, found.configurations) == (8, [(9, 4), (11, 6)], [])


class CountingDisk(UnsyncedDisk):
    """How many bytes are read of which kind of file."""

    def __init__(self) -> None:
        self.read: dict[str, int] = {}

    def open(self, path: Path) -> ReadFile:
        return _CountingFile(super().open(path), self, path.name)


class _CountingFile:
    def __init__(self, file: ReadFile, disk: CountingDisk, name: str) -> None:
        self._file = file
        self._disk = disk
        self._name = name
        self.close = file.close

    @property
    def size(self) -> int:
        return self._file.size

    def pread(self, size: int, offset: int) -> bytes:
        data = self._file.pread(size, offset)
        self._disk.read[self._name] = self._disk.read.get(self._name, 0) + len(data)
        return data


def large_log(data_dir: Path) -> list[Entry]:
    log = [entry(index, 1, f"{index % 90 + 10}" + "x" * 2000) for index in range(1, 301)]
    storage = Storage.open(UnsyncedDisk(), data_dir, segment_bytes=100_000)
    for start in range(0, 300, 10):
        storage.append(HardState(1, 1, start), log[start : start + 10])
    Storage.open(UnsyncedDisk(), data_dir)
    return log


def test_a_start_does_not_read_what_an_index_tells(tmp_path: Path) -> None:
    log = large_log(tmp_path)
    disk = CountingDisk()
    storage = Storage.open(disk, tmp_path)
    sealed = sorted(path.name for path in tmp_path.glob("log-*.jsonl"))[:-3]  # when their indexes were made
    assert len(sealed) == 5
    assert all(disk.read[name] <= 3 * 4096 for name in sealed)
    assert content(storage) == log


def test_a_compaction_its_adoption_and_the_next_start_do_not_read_what_an_index_tells(tmp_path: Path) -> None:
    log = large_log(tmp_path)
    storage, child, start = Storage.open(UnsyncedDisk(), tmp_path), CountingDisk(), CountingDisk()
    meta = compact(child, tmp_path, 250, Words())
    assert child.read[snapshot_name(250)] <= 3 * 4096 + 64  # its ends, its first and its last line, for its index
    storage._disk = adopting = CountingDisk()
    storage.adopt(meta)
    assert storage.bytes_on_disk > 250_000
    assert sum(adopting.read.values()) < 100_000
    assert content_of(storage, 244) == [one.record for one in log[243:]]
    again = Storage.open(start, tmp_path)
    assert start.read[snapshot_name(250)] < 100_000
    assert content_of(again, 244) == [one.record for one in log[243:]]


def content_of(storage: Storage, first: int) -> list[bytes]:
    return storage.reader.read_many(range(first, storage.last_index + 1))


# What is not


def test_no_index_is_believed_that_is_torn_or_damaged_at_any_byte() -> None:
    disk = indexed_disk()
    truth, made = found_on(disk), indexes_of(disk)
    for name in (index_name(segment_name(5, 16)), index_name(snapshot_name(8))):
        whole = made[name]
        for offset in some(range(len(whole))):
            flipped = bytearray(whole)
            flipped[offset] ^= 1 << offset % 8
            for damaged in (bytes(flipped), whole[:offset], whole[:offset] + bytes(len(whole) - offset)):
                disk.write(DIRECTORY / name, damaged)
                assert found_on(disk) == truth
                assert indexes_of(disk) == made  # made anew
    disk.write(DIRECTORY / name, whole + b"\0")
    assert found_on(disk) == truth
    assert indexes_of(disk) == made


def test_no_index_is_believed_that_is_of_another_file() -> None:
    disk = indexed_disk()
    truth, made = found_on(disk), indexes_of(disk)
    for name in made:
        for other in made.values():
            disk.write(DIRECTORY / name, other)
            assert found_on(disk) == truth


def test_no_index_is_believed_that_is_of_an_older_file_of_that_name_and_length() -> None:
    past, now = PowerDisk(), PowerDisk()
    written_to(past, DIRECTORY, [entries(1, 5, term=1), entries(6, 9, term=3)])
    written_to(now, DIRECTORY, [entries(1, 5, term=2), entries(6, 9, term=3)])
    found_on(past)
    for name, index in indexes_of(past).items():
        now.write(DIRECTORY / name, index)
        data = name.removesuffix(".idx") + ".jsonl"
        assert len(past.content()[data]) == len(now.content()[data])
    assert found_on(now).term_runs == [(1, 2), (6, 3)]


def test_no_index_is_believed_of_a_file_that_ends_with_something_else() -> None:
    def long_segment(disk: PowerDisk, term: int) -> None:
        storage = Storage.open(disk, DIRECTORY)
        storage.append(HardState(1, 1, 0), [entry(index, 1, "x" * 2_000) for index in range(1, 6)])
        storage.append(HardState(term, 1, 0), [entry(6, term)])
        storage.end_segment()
        storage.append(HardState(4, 1, 0), [entry(7, 4)])

    past, now = PowerDisk(), PowerDisk()
    long_segment(past, 2)
    long_segment(now, 3)
    found_on(past)
    now.write(DIRECTORY / index_name(FIRST), past.content()[index_name(FIRST)])
    assert past.content()[FIRST][:4_096] == now.content()[FIRST][:4_096]
    assert len(past.content()[FIRST]) == len(now.content()[FIRST])
    assert found_on(now).term_runs == [(1, 1), (6, 3), (7, 4)]


def test_no_index_is_believed_whose_file_has_changed_at_its_end_since_it_was_sealed() -> None:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(1, 1, 0), [entry(index, 1, "x" * 2_000) for index in range(1, 6)])
    storage.end_segment()
    storage.append(HardState(1, 1, 0), [entry(6, 1)])
    storage.keep_indexes()
    whole, indexes = disk.content()[FIRST], Indexes(disk, DIRECTORY, "test")
    header, second = (
        decode_header(disk.content()[name].partition(b"\n")[0][9:]) for name in (FIRST, segment_name(2, 6))
    )

    def is_believed() -> bool:
        file = disk.open(DIRECTORY / FIRST)
        return indexes.segment(file, header, second.sealed.end, second.sealed.crc) is not None

    assert is_believed()
    disk.write(DIRECTORY / FIRST, whole[:-2] + b"?\n")
    assert not is_believed()


def test_no_index_is_believed_that_is_of_the_same_file_up_to_elsewhere(tmp_path: Path) -> None:
    """A copy of the directory from before is given back: its newest segment had not yet been sealed where it was."""
    disk = PowerDisk()
    storage = written_to(disk, DIRECTORY, [entries(1, 5)])
    earlier = disk.content()
    storage._full_bytes = 1 << 20
    storage.append(HardState(1, 1, 0), entries(6, 9))
    Storage.open(disk, DIRECTORY)
    found_on(disk)
    late = indexes_of(disk)
    assert late
    given_back = PowerDisk()
    for name, data in {**earlier, **late}.items():
        given_back.write(DIRECTORY / name, data)
    Storage.open(given_back, DIRECTORY)
    assert found_on(given_back) == found_without_indexes(given_back)
    assert found_on(given_back).last_index == 5


def test_an_index_does_not_hide_that_its_file_was_cut_short() -> None:
    disk = indexed_disk()
    truth = found_on(disk)
    index, (name, offset, _) = [
        (index, place)
        for index, place in enumerate(truth.places[-(truth.last_index - truth.base_index) :], truth.base_index + 1)
        if index_name(place[0]) in indexes_of(disk)
    ][-1]
    disk.write(DIRECTORY / name, disk.content()[name][: offset + 20])
    found = found_on(disk)
    assert replace(found, reports=[]) == truth
    (report,) = found.reports
    assert report == f"{DIRECTORY / name}: entry {index} is damaged or missing, to be fetched from other members"


def test_an_index_does_not_hide_that_the_log_before_its_file_is_too_short() -> None:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    end = storage.bytes_on_disk
    storage.append(HardState(1, 1, 0), entries(4, 5))
    storage._full_bytes = 1
    storage.append(HardState(1, 1, 0), entries(6, 7))
    storage._full_bytes = 1
    storage.append(HardState(1, 1, 0), ())
    second = segment_name(2, 6)
    line, rest = disk.content()[second].split(b"\n", 1)
    header = decode_header(line[9:])
    header = replace(header, sealed=replace(header.sealed, end=end))
    cut = encode_header(header) + rest
    assert len(cut) == len(disk.content()[second])
    disk.write(DIRECTORY / second, cut)
    scan = SegmentScan.of(header, 5)
    scan.run(file := disk.open(DIRECTORY / second), len(cut), lambda offset: None)
    indexes = Indexes(disk, DIRECTORY, "test")
    indexes.keep_segment(file, header, len(cut), crc32(cut), scan.content)
    assert indexes.segment(file, header, len(cut), crc32(cut)) == scan.content
    with pytest.raises(CorruptLog, match=f"{second}: entry 6 right after entry 3 at byte"):
        found_on(disk)


# What is not looked at, and found out


def test_damage_that_an_index_hides_is_told_where_it_is_read_and_by_a_start_without_indexes(tmp_path: Path) -> None:
    log = large_log(tmp_path)
    path = tmp_path / FIRST
    data = path.read_bytes()
    place = data.index(log[9].record)
    path.write_bytes(data[: place + 50] + b"?" + data[place + 51 :])
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    assert storage.reader.read_many([9, 11]) == [log[8].record, log[10].record]
    with pytest.raises(CorruptLog, match=f"{FIRST}: entry 10 is damaged at byte {place};"):
        storage.reader.read_many([9, 10])
    for index in tmp_path.glob("*.idx"):
        index.unlink()
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    assert storage.recovered.holes == ((10, 1),)
    with pytest.raises(CorruptLog, match=f"{FIRST}: entry 10 is damaged at byte {place};"):
        storage.reader.read_many([9, 10])


def test_a_damaged_document_that_an_index_hides_is_told_where_it_is_read(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path, segment_bytes=660)
    words = [f"{chr(97 + index % 26)}{chr(97 + index // 26)}" for index in range(1, 401)]
    storage.append(HardState(1, 1, 0), [entry(index, 1, word) for index, word in enumerate(words, 1)])
    compact(UnsyncedDisk(), tmp_path, 390, Words())
    path = tmp_path / snapshot_name(390)
    data = path.read_bytes()
    place = data.rindex(b"\n", 0, 5000) + 1
    path.write_bytes(data[: place + 20] + b"?" + data[place + 21 :])
    found = Storage.open(UnsyncedDisk(), tmp_path).documents(400)
    assert found is not None
    with pytest.raises(CorruptLog, match=f"{path.name}: the state document is damaged at byte {place};"):
        list(found.lines)


# How they come and go


def made_by_reading(disk: PowerDisk) -> dict[str, bytes]:
    """The indexes that a start makes of these files, which has none."""
    copy = PowerDisk()
    for name, data in disk.content().items():
        if not indexed_by(name):
            copy.write(DIRECTORY / name, data)
    found_on(copy)
    return indexes_of(copy)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), max_size=30),
    st.sampled_from([1, 700, 2000]),
    st.integers(0, 30),
)
def test_what_was_noted_as_a_segment_was_written_is_what_reading_it_tells(
    batches: list[tuple[int, int, bool]], segment_bytes: int, restart_after: int
) -> None:
    disk, last = PowerDisk(), 0
    storage = Storage.open(disk, DIRECTORY, segment_bytes=segment_bytes)
    for term, (count, back, configures) in enumerate(batches, 1):
        first = max(1, last + 1 - back)
        batch = entries(first, first + count - 1, term=term)
        if batch and configures:
            batch[-1] = configuration_entry(batch[-1].index, term, term, CONFIGURATION)
        storage.append(HardState(term, 1, 0), batch)
        last = batch[-1].index if batch else last
        if term == restart_after:
            storage.close()
            storage.keep_indexes()
            storage = Storage.open(disk, DIRECTORY, segment_bytes=segment_bytes)
        if term % 5 == 0:
            storage.keep_indexes()
    storage.keep_indexes()
    made = indexes_of(disk)
    assert made == made_by_reading(disk)


def test_a_start_after_a_crash_notes_what_it_writes_anew() -> None:
    disk = PowerDisk()
    written_to(disk, DIRECTORY, rewinding_log())  # its last batch is beyond what anything calls durable
    storage = Storage.open(disk, DIRECTORY, segment_bytes=1)
    storage.append(HardState(6, 1, 0), entries(14, 16, term=6))
    storage.append(HardState(6, 1, 0), entries(17, 18, term=6))
    storage.keep_indexes()
    made, read = indexes_of(disk), made_by_reading(disk)
    assert {name: made[name] for name in read if name in made} == {name: read[name] for name in read if name in made}
    assert max(made) == max(read)


def test_an_index_that_a_compaction_made_first_stays_and_is_made_anew_if_it_is_damaged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    disk = PowerDisk()
    storage = written_to(disk, DIRECTORY, rewinding_log())
    made = made_by_reading(disk)  # by another process beside this one
    damaged = min(made)
    disk.write(DIRECTORY / damaged, made[damaged][:-1] + b"?")
    storage.keep_indexes()
    assert {name: content for name, content in indexes_of(disk).items() if name in made} == made
    told = [record.message for record in caplog.records]
    assert told == [f"{DIRECTORY / damaged}: the index was damaged or missing, and was made anew"]


def test_more_segments_than_are_remembered_are_indexed_by_the_next_start() -> None:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY, segment_bytes=1)
    for index in range(1, SEALED_MAX + 5):
        storage.append(HardState(1, 1, 0), [entry(index)])
    storage.keep_indexes()
    read = made_by_reading(disk)
    assert len(indexes_of(disk)) == SEALED_MAX < len(read)
    Storage.open(disk, DIRECTORY)
    assert indexes_of(disk) == read


def test_a_segment_that_is_gone_before_its_index_is_made_gets_none() -> None:
    disk = PowerDisk()
    storage = written_to(disk, DIRECTORY, rewinding_log())
    disk.remove(DIRECTORY / FIRST)
    storage.keep_indexes()
    assert index_name(FIRST) not in indexes_of(disk)
    assert len(indexes_of(disk)) == len(rewinding_log()) - 1  # and there is an empty one


def test_a_machine_that_stops_anywhere_while_indexes_are_made_leaves_none_that_is_believed_wrongly() -> None:
    disk = indexed_disk()
    truth = found_on(disk)
    for path in indexes_of(disk):
        disk.remove(DIRECTORY / path)
    disk.settle()
    plain = disk.content()
    started = set[frozenset[tuple[str, bytes]]]()  # many cuts leave the same
    for steps in range(1000):
        again = PowerDisk()
        for name, data in plain.items():
            again.write(DIRECTORY / name, data)
        if not killed_after(steps, again, found_on, again):
            break
        assert found_on(again) == truth  # the process died
        for seed in range(20):
            found = again.cut(Random(seed))
            content = frozenset(found.content().items())
            if content not in started:
                started.add(content)
                assert found_on(found) == found_on(found) == truth
    assert steps > 20


def test_a_disk_that_takes_no_index_does_not_keep_a_member_from_starting(tmp_path: Path) -> None:
    written_to(UnsyncedDisk(), tmp_path, rewinding_log())

    for failing in ("create", "append", "append the rest", "rename", "open"):

        def hook(operation: str, path: Path, failing: str = failing) -> None:
            if operation == failing and ".idx" in path.name:
                raise OSError(28, "No space left on device")

        assert found_on(HookedDisk(hook), tmp_path).last_index == 15
        assert not list(tmp_path.glob("*.tmp"))


def test_left_over_beginnings_of_indexes_go_with_the_start_and_indexes_with_their_files(tmp_path: Path) -> None:
    written_to(UnsyncedDisk(), tmp_path, rewinding_log())
    unfinished = f"{index_name(FIRST)}.77.tmp"
    orphan = index_name(segment_name(99, 7))
    for name in (unfinished, orphan):
        (tmp_path / name).write_bytes(b"half")
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    assert not (tmp_path / unfinished).exists()
    storage.sweep(0.0)
    assert not (tmp_path / orphan).exists()
    assert (tmp_path / index_name(FIRST)).exists()


def test_what_is_another_files_name_is_no_indexs() -> None:
    assert [indexed_by(name) for name in ("log-00000001-000000000000001.idx", "snapshot-000000000000001.idx")] == [
        FIRST,
        snapshot_name(1),
    ]
    for name in (FIRST, "checkpoint-000000000000001.idx", "log-1.idx", f"{index_name(FIRST)}.7.tmp", "x.idx"):
        assert indexed_by(name) == ""
    assert is_temporary_index(f"{index_name(FIRST)}.7.tmp")
    assert not is_temporary_index(index_name(FIRST))


@given(st.lists(st.tuples(st.integers(0, (1 << 30) - 1), st.integers(1, 1 << 20))), st.integers(0, (1 << 15) - 1))
def test_positions_are_moved_to_another_file_without_a_change(places: list[tuple[int, int]], file: int) -> None:
    positions = array("Q", [pack(0, offset, length) for offset, length in places])
    assert list(moved(positions, file)) == [pack(file, offset, length) for offset, length in places]
