"""Sealed files are checked and mended: whatever is lost in them is named, and comes back at its own place."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.entries import configuration_entry
from raft.core.raft_messages import Entry, HardState
from raft.errors import CorruptLog
from raft.storage.disk import Disk, ReadFile
from raft.storage.file_names import checkpoint_name, index_name, indexed_by, segment_name, snapshot_name
from raft.storage.log_store import Storage
from raft.storage.salvage import Salvage, any_line
from raft.storage.sealed_files import SegmentTable, Verified
from raft.storage.segment import Header, Sealed
from tests.raft.disks import BadFile, UnsyncedDisk, entries, entry
from tests.raft.power import PowerDisk, killed_after
from tests.raft.storage.test_snapshots import CONFIGURATION, compacted
from tests.support.slicing import examples

DIRECTORY = Path("/data")
LIVE = [2, 3, 5, 8, 13, 21, 25]
Records = dict[int, bytes]


def rewinding_log() -> list[Entry]:
    """Entries with other terms, a configuration, and texts of many lengths; each is longer than the shortest void."""
    log = [entry(index, 1 + index // 9, "t" * (index * 7 % 90)) for index in range(1, 61)]
    log[30] = configuration_entry(31, 4, 4_000_031, CONFIGURATION)
    return log


LOG = rewinding_log()


def written_log(disk: Disk, data_dir: Path, *, base: bool = True) -> Storage:
    """A log in a base and several segments, whose files hold cancelled entries too."""
    storage = Storage.open(disk, data_dir, segment_bytes=2500)
    for start in range(0, 60, 5):
        storage.append(HardState(LOG[start].term, 1, start), LOG[start : start + 5])
        if start in (25, 40):  # cancelled by what comes next
            storage.append(None, entries(start + 6, start + 9, term=LOG[start].term, text="never"))
    storage.keep_indexes()
    if base:
        storage.adopt(compacted(disk, data_dir, LOG, 26, LIVE))
    storage.end_segment()
    storage.append(None, ())
    storage.keep_indexes()
    return storage


def held(storage: Storage) -> list[int]:
    """The indexes that the log holds."""
    return [*(LIVE if storage.base_index else []), *range(storage.base_index + 1, 61)]


def records(indexes: Iterable[int]) -> Records:
    return {index: LOG[index - 1].record for index in indexes}


def damages(steps: Iterator[Verified]) -> list[CorruptLog]:
    return [damage for step in steps for damage in step.damages]


def lost(found: list[CorruptLog]) -> list[int]:
    return sorted(index for damage in found for index in damage.indexes)


def whole(storage: Storage) -> bool:
    return storage.reader.read_many(held(storage)) == [LOG[index - 1].record for index in held(storage)]


# What is left of a damaged file


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 400), st.sampled_from([0, 10, 120]))), st.integers(1, 700)
)
def test_a_damaged_file_is_intact_lines_and_gaps(harms: list[tuple[int, int, int]], step: int) -> None:
    lines = [one.record for one in LOG[:30]]
    data = bytearray(b"".join(lines))
    for offset, length, byte in harms:
        data[offset : offset + length] = bytes([byte]) * len(data[offset : offset + length])
    salvage, pieces = Salvage(any_line), []
    for start in range(0, len(data), step):
        pieces += salvage.feed(bytes(data[start : start + step]), last=start + step >= len(data))
    assert [piece.offset for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == len(data)
    offsets = {sum(map(len, lines[:place])): line for place, line in enumerate(lines)}
    untouched = {offset for offset, line in offsets.items() if data[offset : offset + len(line)] == line}
    assert {piece.offset for piece in pieces if piece.line is not None} == untouched
    assert all(piece.line[0] == offsets[piece.offset] for piece in pieces if piece.line is not None)
    assert not any(a.line is None and b.line is None for a, b in pairwise(pieces))


def test_a_line_whose_newline_was_lost_takes_no_other_line_with_it() -> None:
    first, second = LOG[0].record, LOG[1].record
    (gap, line) = Salvage(any_line).feed(first[:-1] + b"?" + second, last=True)
    assert (gap.length, line.offset, line.index) == (len(first), len(first), 2)


# Mending


def harmed(data: bytes, kind: str, start: int, length: int) -> bytes:
    """The content of a file after a bad disk had it."""
    if kind == "short":
        return data[:start]
    if kind == "bit" and not data:
        return data  # it was cut to nothing by an earlier harm
    if kind == "bit":
        return data[:start] + bytes([data[start] ^ 4]) + data[start + 1 :]
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


class BadMemory(PowerDisk):
    """A disk in memory that goes bad."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[tuple[str, int]] = set()

    def harm(self, name: str, kind: str, start: int, length: int) -> None:
        if kind == "missing":
            self.remove(DIRECTORY / name)
        elif kind == "unreadable":
            self.bad |= {(name, start + place) for place in range(0, length, 50)}
        else:
            self.write(DIRECTORY / name, harmed(self.content()[name], kind, start, length))

    def open(self, path: Path) -> ReadFile:
        return BadFile(super().open(path), self.bad, path.name, 4096)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.bad -= {place for place in self.bad if place[0] == target.name}  # the new file is elsewhere on the disk


def harm(path: Path, kind: str, start: int, length: int) -> None:
    """Damage a file as a bad disk does, at these bytes."""
    path.write_bytes(harmed(path.read_bytes(), kind, start, length))


KINDS = ["bit", "zeros", "short", "missing", "unreadable"]
harms = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(KINDS), st.floats(0, 0.999), st.integers(1, 900)), max_size=4
)


@settings(max_examples=examples(60), deadline=None)
@given(harms, st.randoms(use_true_random=False))
def test_whatever_is_damaged_is_named_and_comes_back(harms: list[tuple[int, str, float, int]], rng: Random) -> None:
    disk = BadMemory()
    storage = written_log(disk, DIRECTORY)
    sealed = [name for _, name, _ in storage._files.counted()][:-1]
    before = disk.content()
    document = before[snapshot_name(26)].index(LOG[1].record)
    document_harmed = False
    for place, kind, share, length in harms:
        name = sealed[place % len(sealed)]
        if name in disk.content():
            start = int(share * len(disk.content()[name]))
            if name == snapshot_name(26) and (kind in ("missing", "short", "unreadable") or start < document):
                document_harmed = True
            disk.harm(name, kind, start, length)
    bad = lost(damages(storage.verify()))
    for index in held(storage):
        try:
            assert storage.reader.read_many([index]) == [LOG[index - 1].record]
            assert index not in bad or disk.bad  # an unreadable page takes its neighbours with it
        except CorruptLog:
            assert index in bad
    order = rng.sample(bad, len(bad))
    for part in (order[: len(order) // 2], order):
        assert storage.mend(records(part)) == set(part)
    assert whole(storage)
    for _ in range(2):  # what nobody needs is written anew, then its index
        assert lost(damages(storage.verify())) == []
    if not document_harmed:
        assert damages(storage.verify()) == []
        assert [len(disk.content()[name]) for name in sealed] == [len(before[name]) for name in sealed]
        for has_indexes in (True, False):
            for name in () if has_indexes else [name for name in disk.content() if indexed_by(name)]:
                disk.remove(DIRECTORY / name)
            assert whole(Storage.open(disk, DIRECTORY))


@pytest.mark.parametrize("kind", ["bit", "zeros"])
def test_an_entry_that_comes_back_makes_the_file_what_it_was(tmp_path: Path, kind: str) -> None:
    disk = UnsyncedDisk()
    storage = written_log(disk, tmp_path)
    for name, index in ((segment_name(2, 21), 29), (snapshot_name(26), 13)):
        path = tmp_path / name
        data = path.read_bytes()
        harm(path, kind, data.index(LOG[index - 1].record) + 20, 1)
        assert lost(damages(storage.verify())) == [index]
        assert storage.mend(records([index])) == {index}
        assert path.read_bytes() == data
        assert list(tmp_path.glob("*.tmp")) == []


def test_no_record_is_believed_that_is_of_another_term_or_index_or_damaged_or_of_another_length(tmp_path: Path) -> None:
    disk = UnsyncedDisk()
    storage = written_log(disk, tmp_path)
    path, right = tmp_path / segment_name(3, 36), LOG[39]
    harm(path, "bit", path.read_bytes().index(right.record) + 30, 1)
    damaged = path.read_bytes()
    text = "t" * (40 * 7 % 90)
    for wrong in (
        entry(40, right.term + 1, text).record,
        entry(40, right.term - 1, text).record,
        entry(41, right.term, text).record,
        entry(40, right.term, text + "longer").record,
        entry(40, right.term, text[:-30]).record,
        entry(40, right.term, "u" * len(text)).record,  # the checksum of the whole tells
        right.record[:-5] + b'?"}}\n',
        b"",
    ):
        assert storage.mend({40: wrong}) == set(), wrong
    assert path.read_bytes() == damaged
    assert storage.mend({40: right.record}) == {40}


def test_the_term_of_a_record_is_compared_where_the_checksum_of_the_whole_says_nothing(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path, right = tmp_path / segment_name(3, 36), LOG[39]
    harm(path, "bit", path.read_bytes().index(b'{"durable"') + 30, 1)
    harm(path, "bit", path.read_bytes().index(right.record) + 30, 1)
    wrong = entry(40, right.term + 1, "t" * (40 * 7 % 90))
    assert len(wrong.record) == len(right.record)
    assert storage.mend({40: wrong.record}) == set()
    assert storage.mend({40: right.record}) == {40}


def test_a_record_of_the_base_must_have_a_term_between_those_of_its_neighbours(tmp_path: Path) -> None:
    disk = UnsyncedDisk()
    storage = written_log(disk, tmp_path)
    path = tmp_path / snapshot_name(26)
    harm(path, "bit", path.read_bytes().index(LOG[12].record) + 30, 1)
    assert storage.term_bounds(13) == (LOG[7].term, LOG[20].term)
    assert storage.term_bounds(40) == (LOG[39].term, LOG[39].term)
    for term in (1, 4):
        assert storage.mend({13: entry(13, term, "t" * (13 * 7 % 90)).record}) == set()
    assert storage.mend(records([13])) == {13}


def test_what_cannot_be_fetched_stays_lost_and_all_else_comes_back(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / segment_name(3, 36)
    harm(path, "zeros", 400, 1200)
    bad = lost(damages(storage.verify()))
    assert len(bad) > 4
    assert storage.mend(records(bad[:2] + bad[3:])) == {*bad[:2], *bad[3:]}
    assert lost(damages(storage.verify())) == [bad[2]]
    with pytest.raises(CorruptLog) as found:
        storage.reader.read_many(bad)
    assert found.value.indexes == (bad[2],)
    assert storage.mend(records(bad)) == set(bad)


def test_the_newest_segment_is_not_mended_until_it_is_sealed(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    storage.append(None, entries(61, 62, term=8))
    path = max(tmp_path.glob("log-*.jsonl"))
    record = entry(61, 8).record
    harm(path, "bit", path.read_bytes().index(record) + 30, 1)
    assert storage.mend({61: record}) == set()
    storage.end_segment()
    storage.append(None, ())
    assert storage.mend({61: record}) == {61}


def test_an_entry_that_is_not_lost_counts_as_mended_and_nothing_is_written(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert storage.mend(records([2, 30, 50])) == {2, 30, 50}
    assert storage.mend({4: LOG[3].record, 999: LOG[3].record}) == set()  # no longer, or not yet, in the log
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_file_is_written_anew_beside_the_old_one_and_any_kill_leaves_one_of_them() -> None:
    disk = PowerDisk()
    written_log(disk, DIRECTORY, base=False)
    disk.settle()
    name = segment_name(3, 36)
    data = disk.content()[name]
    place = data.index(LOG[39].record) + 20
    damaged = data[:place] + b"?" + data[place + 1 :]
    plain = disk.content()
    outcomes = set()
    for steps in range(100):
        again = PowerDisk()
        for other, content in plain.items():
            again.write(DIRECTORY / other, content)
        storage = Storage.open(again, DIRECTORY)
        again.write(DIRECTORY / name, damaged)
        again.settle()
        died = killed_after(steps, again, storage.mend, records([40]))
        for seed in range(12):
            found = again.cut(Random(seed)).content()[name]
            assert found in (data, damaged)
            outcomes.add(found)
        if not died:
            assert again.cut(Random(1)).content()[name] == data
            break
    assert steps > 5
    assert outcomes == {data, damaged}


def test_a_file_that_reads_otherwise_while_it_is_copied_than_when_it_was_looked_at_is_not_replaced() -> None:
    disk = BadMemory()
    storage = written_log(disk, DIRECTORY)
    name = segment_name(2, 21)
    data = disk.content()[name]
    disk.harm(name, "zeros", data.index(b"never"), 1)  # nobody needs it
    assert damages(storage.verify())
    assert b'{"void":' in disk.content()[name]
    disk.harm(name, "bit", data.index(LOG[28].record) + 20, 1)
    before = disk.content()

    def go_bad(operation: str, file: str) -> None:
        if operation == "create":
            disk.bad.add((name, data.index(LOG[32].record)))

    disk.hook = go_bad
    assert storage.mend(records([29])) == set()
    assert disk.content() == before
    disk.hook = lambda operation, file: None
    disk.bad.clear()
    assert storage.mend(records([29])) == {29}
    assert whole(storage)


def test_an_index_does_not_forget_the_first_line_that_its_file_has_lost() -> None:
    disk = PowerDisk()
    storage = written_log(disk, DIRECTORY)
    name = segment_name(3, 36)
    data = disk.content()[name]
    disk.write(DIRECTORY / name, harmed(data, "zeros", 30, 40))
    for _ in range(2):
        storage = Storage.open(disk, DIRECTORY)
    assert damages(storage.verify())
    assert disk.content()[name] == data


def test_a_first_line_that_is_in_no_other_place_is_written_anew_in_as_many_bytes() -> None:
    disk = PowerDisk()
    storage = written_log(disk, DIRECTORY)
    name = segment_name(3, 36)
    data = disk.content()[name]
    disk.remove(DIRECTORY / index_name(name))
    disk.write(DIRECTORY / name, harmed(data, "zeros", 30, 40))
    storage = Storage.open(disk, DIRECTORY)
    assert [str(damage) for damage in damages(storage.verify())]
    found = disk.content()[name]
    end = data.index(b"\n")
    assert (found[end:], found[end - 1 : end]) == (data[end:], b" ")
    for _ in range(2):
        storage = Storage.open(disk, DIRECTORY)
        storage.keep_indexes()
        assert (storage.recovered.reports, damages(storage.verify())) == ((), [])
        assert whole(storage)
    disk.write(DIRECTORY / name, harmed(found, "zeros", found.index(LOG[39].record) + 20, 4))
    assert storage.mend(records([40])) == {40}
    assert disk.content()[name] == found


def without_its_header(disk: PowerDisk, name: str) -> None:
    for index in [index_name(name)] if index_name(name) in disk.content() else []:
        disk.remove(DIRECTORY / index)
    disk.write(DIRECTORY / name, harmed(disk.content()[name], "zeros", 60, 9))


def test_a_first_line_that_is_known_only_in_part_may_be_as_long_as_the_lost_one() -> None:
    disk, log = PowerDisk(), entries(1, 9)
    storage = Storage.open(disk, DIRECTORY)
    for batch in (log[:3], log[3:6], log[6:]):
        storage.append(HardState(1, 1, 0), batch)
        storage.end_segment()
    second = segment_name(2, 4)
    before = disk.content()[second]
    without_its_header(disk, second)
    storage = Storage.open(disk, DIRECTORY)  # term and vote of that header are known no more
    assert damages(storage.verify())
    found = disk.content()[second]
    assert (len(found), found == before) == (len(before), False)
    storage = Storage.open(disk, DIRECTORY)
    storage.keep_indexes()
    assert damages(storage.verify()) == []
    assert list(storage.reader.replay(1, 9)) == log


def test_a_first_line_that_is_known_only_in_part_may_say_more_than_the_lost_one() -> None:
    disk, log = PowerDisk(), entries(1, 12)
    storage = Storage.open(disk, DIRECTORY)
    for batch in (log[:3], log[3:9]):
        storage.append(HardState(1, 1, 0), batch)
    storage.close()
    name = segment_name(1, 1)
    sound = disk.content()[name]
    disk.write(DIRECTORY / name, harmed(sound, "zeros", sound.index(log[4].record) + 20, 4))
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(1, 1, 0), log[9:])
    second = storage.newest_segment
    assert b'"predecessor_crc":null' in disk.content()[second]  # so much is not known of damaged bytes
    assert storage.mend({5: log[4].record}) == {5}
    storage.end_segment()
    storage.append(None, ())
    storage.close()
    without_its_header(disk, second)
    storage = Storage.open(disk, DIRECTORY)
    assert damages(storage.verify())
    for _ in range(2):
        storage = Storage.open(disk, DIRECTORY)
        storage.keep_indexes()
        assert damages(storage.verify()) == []
    assert list(storage.reader.replay(1, 12)) == log


# Checking


def test_a_check_reads_all_but_the_newest_segment_in_small_steps(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    steps = list(storage.verify())
    names = [name for _, name, _ in storage._files.counted()]
    assert list(dict.fromkeys(step.file for step in steps)) == names[:-1]
    assert all(a.done <= b.done <= a.done + (256 << 10) for a, b in pairwise(steps))
    assert steps[-1].done == steps[-1].total == sum((tmp_path / name).stat().st_size for name in names[:-1])
    assert damages(iter(steps)) == []


def test_a_check_finds_the_last_record_of_each_file(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    for _, name, _ in storage._files.counted()[:-1]:
        path = tmp_path / name
        data = path.read_bytes()
        record = [line for line in data.splitlines(keepends=True) if line[9:].startswith(b'{"index"')][-1]
        index = int(record[18 : record.index(b",")])
        path.write_bytes(data[: data.rindex(record) + 15] + b"?" + data[data.rindex(record) + 16 :])
        assert lost(damages(storage.verify())) == [index]
        assert storage.mend(records([index])) == {index}


def test_damage_that_nobody_needs_is_written_anew_without_it(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / segment_name(3, 36)
    data = path.read_bytes()
    for place in (data.index(b'{"durable"') + 30, data.index(b"never") + 2, 60):
        path.write_bytes(data[:place] + b"?" + data[place + 1 :])
        (damage,) = damages(storage.verify())
        assert (damage.file, damage.indexes) == (str(path), ())
        assert all(damage.file.endswith(".idx") for damage in damages(storage.verify()))
        assert damages(storage.verify()) == []
        assert (path.read_bytes() == data) == (place == 60)  # the header is known
        assert path.stat().st_size == len(data)
        assert whole(storage)
        assert whole(Storage.open(UnsyncedDisk(), tmp_path))


@pytest.mark.parametrize("line", [b'{"format"', b'{"entries":', b'{"end":'])
def test_a_snapshots_own_lines_come_back_from_its_index(tmp_path: Path, line: bytes) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / snapshot_name(26)
    data = path.read_bytes()
    place = data.index(line) + 12
    path.write_bytes(data[:place] + b"?" + data[place + 1 :])
    (damage,) = damages(storage.verify())
    assert damage.indexes == ()
    assert path.read_bytes() == data
    assert damages(storage.verify()) == []


def test_a_damaged_document_is_named_and_left_alone(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / snapshot_name(26)
    data = path.read_bytes()
    place = data.index(b'"rooms"')
    path.write_bytes(data[:place] + b"?" + data[place + 1 :])
    for _ in range(2):
        (damage,) = damages(storage.verify())
        assert (damage.file, damage.indexes) == (str(path), ())
        assert "the snapshot is damaged" in str(damage)


@pytest.mark.parametrize("place", [-2, -60])
def test_lines_of_the_same_length_that_changed_places_are_damage(tmp_path: Path, place: int) -> None:
    """At the end, which the index knows too, and in the middle of the file."""
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    for term in range(100, 220):
        storage.append(HardState(term, 1, 0), ())
    storage.end_segment()
    storage.append(None, ())
    storage.keep_indexes()
    path = tmp_path / segment_name(1, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines[place]) == len(lines[place + 1])
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    path.write_bytes(b"".join(lines))
    (damage,) = damages(storage.verify())
    assert "the checksum of the whole is wrong" in str(damage)


@pytest.mark.parametrize("name", [segment_name(3, 36), snapshot_name(26)])
@pytest.mark.parametrize("harmed", ["missing", "damaged", "damaged at its end"])
def test_a_bad_index_is_made_anew(tmp_path: Path, name: str, harmed: str) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / index_name(name)
    data = path.read_bytes()
    if harmed == "missing":
        path.unlink()
    else:
        place = 30 if harmed == "damaged" else len(data) - 4
        path.write_bytes(data[:place] + b"?" + data[place + 1 :])
    (damage,) = damages(storage.verify())
    assert (damage.file, damage.indexes) == (str(path), ())
    assert path.read_bytes() == data
    assert damages(storage.verify()) == []


def test_a_damaged_checkpoint_is_removed(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path)
    path = tmp_path / checkpoint_name(50)
    path.write_bytes(b"damaged")
    storage.sweep(0.0)
    (damage,) = damages(storage.verify())
    assert damage.file == str(path)
    assert not path.exists()
    assert storage.bytes_since_document(60) > 0


def test_a_sweep_forgets_the_segments_before_the_log_and_none_that_is_added_meanwhile() -> None:
    table = SegmentTable()
    headers = [
        Header(segment_name(n, n), "", HardState(), segment_name(n - 1, n - 1), Sealed(end=n), 0) for n in (2, 3, 4)
    ]
    for header in headers[:2]:
        table.add(header)
    first = headers[1].name  # as a sweep has found it
    table.add(headers[2])
    table.keep_from(first)
    assert list(table.headers) == [headers[1].name, headers[2].name]
    assert list(table.sealed) == [headers[1].name]


def test_a_check_goes_on_when_a_compaction_replaces_what_it_was_to_read(tmp_path: Path) -> None:
    storage = written_log(UnsyncedDisk(), tmp_path, base=False)
    steps = storage.verify()
    next(steps)
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, LOG, 50, [13]))
    storage.sweep(0.0)
    assert damages(steps) == []
    assert damages(storage.verify()) == []
