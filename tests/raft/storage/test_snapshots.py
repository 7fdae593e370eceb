"""The log on a snapshot: adopted from a compaction, installed from a leader, at every kill and cut of the power."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.entries import decode_entry, seal
from raft.core.raft_messages import Entry, HardState, SnapshotMeta
from raft.errors import CorruptLog, InvalidMessage, StartRefused
from raft.storage.disk import Disk
from raft.storage.file_names import (
    SnapshotFile,
    checkpoint_name,
    counted_from,
    index_name,
    is_temporary,
    segment_name,
    snapshot_name,
)
from raft.storage.file_set import LINGER_MIN_S, LINGER_S
from raft.storage.index_file import OWNER, Indexes
from raft.storage.log_store import Storage
from raft.storage.recovery import recover
from raft.storage.snapshot_file import Document, file_steps
from raft.storage.snapshot_receiver import SPARE_BYTES
from tests.raft.checkpoints import take
from tests.raft.disks import HookedDisk, UnsyncedDisk, entries, entry, written
from tests.raft.power import PowerDisk, killed_after

DIRECTORY = Path("/data")
DOCUMENT = [b'{"sessions":[]}', b'{"rooms":2}']
CONFIGURATION = Configuration({1: Member(1, "http://one", True)}).encode()


def meta_of(log: Sequence[Entry], index: int) -> SnapshotMeta:
    last = log[index - 1]
    return SnapshotMeta(index, last.term, last.time, 1, CONFIGURATION)


def compacted(
    disk: Disk, data_dir: Path, log: Sequence[Entry], index: int, live: Sequence[int], cluster_id: str = ""
) -> SnapshotMeta:
    """Make the snapshot that a compaction of this log would."""
    meta = meta_of(log, index)
    records = [log[one - 1].record for one in live]
    take(file_steps(disk, data_dir, snapshot_name(index), cluster_id, meta, DOCUMENT, (len(live), records)))
    return meta


def document(log: Sequence[Entry], index: int) -> Document:
    return Document(meta_of(log, index), iter([b'{"sessions":[]}', b'{"at":%d}' % index]))


def checkpointed(disk: Disk, data_dir: Path, log: Sequence[Entry], index: int) -> None:
    """A checkpoint comes to be there, and nobody is told."""
    made = document(log, index)
    take(file_steps(disk, data_dir, checkpoint_name(index), "", made.meta, made.lines))


def snapshot_bytes(log: Sequence[Entry], index: int, live: Sequence[int], cluster_id: str = "") -> bytes:
    disk = PowerDisk()
    compacted(disk, DIRECTORY, log, index, live, cluster_id)
    return disk.content()[snapshot_name(index)]


def receive(storage: Storage, meta: SnapshotMeta, data: bytes) -> None:
    receiver = storage.receive(meta.index, meta.term, len(data))
    receiver.write(0, data)
    assert receiver.finish() == meta


def above_base(storage: Storage) -> list[Entry]:
    base = storage.snapshot.meta.index if storage.snapshot else 0
    return list(storage.reader.replay(base + 1, storage.last_index))


def documents(storage: Storage, commit_index: int = 1 << 50) -> tuple[int, list[bytes]] | None:
    found = storage.documents(commit_index)
    return (found.meta.index, list(found.lines)) if found else None


@pytest.fixture
def log() -> list[Entry]:
    return [*entries(1, 20), *entries(21, 40, term=2)]


@pytest.fixture
def storage(tmp_path: Path, log: list[Entry]) -> Storage:
    """A log in several segments."""
    storage = Storage.open(UnsyncedDisk(), tmp_path, segment_bytes=660)
    for start in range(0, 40, 5):
        storage.append(HardState(2, 1, start), log[start : start + 5])
    return storage


def test_a_snapshot_that_is_discarded_is_no_base_of_a_start_and_one_in_use_stays(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 10, [2, 7]))
    later = compacted(UnsyncedDisk(), tmp_path, log, 20, [2, 7, 15])
    Indexes(UnsyncedDisk(), tmp_path, OWNER).base(snapshot_name(20))  # makes the index
    for meta in (later, later, meta_of(log, 10)):
        storage.discard_snapshot(meta)
    storage.close()
    check_on_base(Storage.open(UnsyncedDisk(), tmp_path), log, 10, [2, 7])


def check_on_base(storage: Storage, log: list[Entry], index: int, live: Sequence[int]) -> None:
    """The log is this one, of which the entries up to `index` are in a snapshot, those of them that are live."""
    assert storage.last_index == len(log)
    assert above_base(storage) == log[index:]
    assert storage.snapshot is not None
    assert storage.snapshot.meta == meta_of(log, index)
    assert storage.entry_count == len(live) + len(log) - index
    asked = [*live, *range(index + 1, len(log) + 1)]
    assert storage.reader.read_many(asked) == [log[one - 1].record for one in asked]
    for gone in set(range(1, index + 1)) - set(live):
        with pytest.raises(LookupError):
            storage.reader.read_many([gone])
    with pytest.raises(LookupError):
        storage.reader.read(index, index, 100)
    assert documents(storage) == (index, DOCUMENT)


# A compaction's


def test_an_adopted_snapshot_holds_the_live_entries_and_the_segments_the_rest(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 23, [2, 3, 17, 23]))
    check_on_base(storage, log, 23, [2, 3, 17, 23])
    storage.append(HardState(3, 2, 30), entries(39, 44, term=3))
    log = written(log, entries(39, 44, term=3))
    check_on_base(storage, log, 23, [2, 3, 17, 23])
    storage.close()
    again = Storage.open(UnsyncedDisk(), tmp_path)
    assert again.recovered.snapshot == meta_of(log, 23)
    assert again.recovered.term_runs == ((24, 2), (39, 3))
    assert (again.recovered.hard_state, again.recovered.last_index) == (HardState(3, 2, 30), 44)
    check_on_base(again, log, 23, [2, 3, 17, 23])


def test_a_snapshot_of_all_there_is_leaves_an_empty_log_above_it(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 40, []))
    storage.close()
    for _ in range(2):
        storage = Storage.open(UnsyncedDisk(), tmp_path)
        assert storage.recovered.hard_state == HardState(2, 1, 40)
        assert (storage.recovered.last_time, storage.recovered.term_runs) == (log[-1].time, ())
        check_on_base(storage, log, 40, [])
    storage.append(None, entries(41, 43, term=2))
    check_on_base(storage, [*log, *entries(41, 43, term=2)], 40, [])


def test_snapshots_follow_each_other(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    for index, live in ((10, [1, 5, 9]), (23, [5, 9, 20]), (24, [9, 24]), (39, [24])):
        storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, index, live))
        check_on_base(storage, log, index, live)
        check_on_base(Storage.open(UnsyncedDisk(), tmp_path), log, index, live)


def test_an_older_snapshot_changes_nothing(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 23, [2]))
    for index in (23, 11):
        storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, index, [2]))
    check_on_base(storage, log, 23, [2])
    check_on_base(Storage.open(UnsyncedDisk(), tmp_path), log, 23, [2])


def test_a_snapshot_that_is_not_whole_is_not_adopted(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    meta = compacted(UnsyncedDisk(), tmp_path, log, 23, [2, 3])
    path = tmp_path / snapshot_name(23)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidMessage):
        storage.adopt(meta)
    with pytest.raises(OSError, match="No such file"):
        storage.adopt(meta_of(log, 24))
    assert list(storage.reader.replay(1, 40)) == log


def test_what_was_replaced_lingers_for_an_hour(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 10, [4]))
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 30, [4]))
    storage.sweep(1000.0)
    storage.sweep(1000.0 + LINGER_S - 1)
    made = {snapshot_name(10), snapshot_name(30)}
    assert {path.name for path in tmp_path.iterdir()} == before | made | set(map(index_name, made))
    storage.sweep(1000.0 + LINGER_S)
    storage.sweep(1000.0 + LINGER_S)  # an index goes after its file
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [segment_name(7, 31), segment_name(8, 36), index_name(snapshot_name(30)), snapshot_name(30)]
    assert storage.bytes_on_disk == sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    check_on_base(storage, log, 30, [4])
    check_on_base(Storage.open(UnsyncedDisk(), tmp_path), log, 30, [4])


def test_of_what_was_replaced_no_more_lingers_than_what_counts(
    tmp_path: Path, storage: Storage, log: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft.storage.file_set.LINGER_BYTES_MIN", 0)
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 30, []))
    storage.sweep(1000.0)
    before = sorted(path.name for path in tmp_path.iterdir())
    storage.sweep(1000.0 + LINGER_MIN_S - 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "a read may be under way"
    storage.sweep(1000.0 + LINGER_MIN_S)
    left = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert storage.bytes_on_disk < left <= 2 * storage.bytes_on_disk
    assert segment_name(1, 1) not in {path.name for path in tmp_path.iterdir()}, "the oldest goes first"
    check_on_base(storage, log, 30, [])


def test_what_had_been_replaced_before_the_start_goes_an_hour_after_it_was_seen(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 30, [4]))
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    storage.sweep(5.0)
    assert (tmp_path / segment_name(1, 1)).exists()
    storage.sweep(5.0 + LINGER_S)
    assert not (tmp_path / segment_name(1, 1)).exists()
    check_on_base(storage, log, 30, [4])


def test_a_sweep_leaves_what_it_does_not_know(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 30, [4]))
    kept = [tmp_path / name for name in ("notes.txt", "identity.json", "LOCK", snapshot_name(35), "log-backup.tmp")]
    for path in kept:
        path.write_bytes(b"mine")
    storage.sweep(0.0)
    storage.sweep(LINGER_S)
    assert all(path.exists() for path in kept)


def test_a_snapshot_that_a_dead_process_began_goes_after_a_day(tmp_path: Path, storage: Storage) -> None:
    begun = tmp_path / f"{snapshot_name(30)}.77.tmp"
    begun.write_bytes(b"half")
    storage.sweep(0.0)
    storage.sweep(86_399.0)
    assert begun.exists()
    storage.sweep(86_400.0)
    assert not begun.exists()


def test_slots_of_removed_files_are_used_again(
    tmp_path: Path, storage: Storage, log: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft.storage.file_set.FILES_MAX", 14)
    for index in range(40, 140, 10):
        storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, index, [1, index]))
        batch = entries(index + 1, index + 10, term=2, text="x" * 150)
        storage.append(None, batch)
        log = [*log, *batch]
        storage.sweep(index * LINGER_S)
        check_on_base(storage, log, index, [1, index])
    assert len(storage._files._slots) == 14


def test_a_start_finds_the_log_again_where_a_rewind_goes_back_below_the_base(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 10))
    storage.append(HardState(2, 1, 0), entries(5, 7, term=2))
    log = [*entries(1, 4), *entries(5, 7, term=2)]
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 5, [2]))
    check_on_base(storage, log, 5, [2])
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    check_on_base(storage, log, 5, [2])
    assert storage.recovered.term_runs == ((6, 2),)


def test_a_start_carries_over_only_what_is_above_the_base(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    log = entries(1, 10)
    storage.append(HardState(1, 1, 0), log)  # one batch: nothing says yet that it was durable
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 5, [2]))
    for _ in range(3):
        storage = Storage.open(UnsyncedDisk(), tmp_path)
        check_on_base(storage, log, 5, [2])
    assert [name.name for name in sorted(tmp_path.glob("log-*.jsonl"))][1:] == [segment_name(2, 6), segment_name(3, 11)]


def test_segments_count_from_the_last_that_begins_at_or_below_the_end_of_the_base() -> None:
    names = [segment_name(sequence, first) for sequence, first in ((1, 1), (2, 11), (3, 21), (4, 15), (5, 30))]
    assert [counted_from(names, base) for base in (0, 9, 10, 13, 14, 28, 29, 50)] == [0, 0, 1, 1, 3, 3, 4, 4]
    with pytest.raises(LookupError):
        counted_from(names[1:], 9)


# What a start refuses


def opened_or_refused(tmp_path: Path) -> Storage | CorruptLog:
    try:
        return Storage.open(UnsyncedDisk(), tmp_path)
    except CorruptLog as refusal:
        return refusal


@pytest.mark.parametrize("indexed", [True, False])
def test_a_damaged_snapshot_is_known_by_its_index_or_its_own_first_line(
    tmp_path: Path, storage: Storage, log: list[Entry], indexed: bool
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 23, [2, 3]))
    path, index = tmp_path / snapshot_name(23), tmp_path / index_name(snapshot_name(23))
    whole = path.read_bytes()
    header_end, document_end = whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b'{"entries"')) + 1
    entries_end = whole.rindex(b"\n", 0, -1) + 1
    harmed: list[tuple[int, bytes]] = [(cut, whole[:cut]) for cut in (len(whole) - 1, entries_end, 0)]
    harmed.append((len(whole), whole + whole[-60:]))
    flips = range(0, len(whole), 7)
    harmed += [(flip, whole[:flip] + bytes([whole[flip] ^ 1]) + whole[flip + 1 :]) for flip in flips]
    for offset, content in harmed:
        path.write_bytes(content)
        if not indexed:
            index.unlink(missing_ok=True)
        opened = opened_or_refused(tmp_path)
        if isinstance(opened, CorruptLog):
            assert not indexed and offset < header_end
            assert opened.file == str(path) and "the snapshot cannot be used" in str(opened)
            continue
        found = opened.recovered
        assert indexed or offset >= header_end
        assert found.base_damage is not None and found.base_damage.file == str(path)
        assert (found.snapshot and found.snapshot.index, opened.last_index) == (23, 40)
        assert opened.reader.read(24, 24, 1) == [log[23].record]
        assert found.needs_snapshot == (offset < (document_end if indexed else entries_end))
        for one in (2, 3):
            assert lost_indexes(opened, one) in ((), (one,)) or (found.needs_snapshot and not indexed)


def lost_indexes(storage: Storage, index: int) -> tuple[int, ...] | None:
    """What a read of this entry says is damaged; None: that the entry is gone."""
    try:
        storage.reader.read_many([index])
    except CorruptLog as damage:
        return damage.indexes
    except LookupError:
        return None
    return ()


def test_a_snapshot_that_is_missing_is_known_by_its_index(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 23, [2, 3]))
    path = tmp_path / snapshot_name(23)
    path.unlink()
    opened = Storage.open(UnsyncedDisk(), tmp_path)
    assert (opened.base_index, opened.last_index, opened.recovered.needs_snapshot) == (23, 40, True)
    with pytest.raises(CorruptLog, match="missing") as damage:
        opened.reader.read_many([2, 3])
    assert damage.value.indexes == (2, 3)
    index = tmp_path / index_name(path.name)
    index.write_bytes(index.read_bytes()[:-9])
    with pytest.raises(CorruptLog, match="the snapshot cannot be used: missing or unreadable"):
        Storage.open(UnsyncedDisk(), tmp_path)


def test_a_newer_checkpoint_makes_a_lost_state_document_unneeded(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    disk = UnsyncedDisk()
    storage.adopt(compacted(disk, tmp_path, log, 23, [2, 3]))
    checkpointed(disk, tmp_path, log, 30)
    (tmp_path / snapshot_name(23)).unlink()
    opened = Storage.open(UnsyncedDisk(), tmp_path)
    assert opened.recovered.base_damage is not None and not opened.recovered.needs_snapshot
    assert documents(opened) == (30, [b'{"sessions":[]}', b'{"at":30}'])


def test_a_snapshot_that_was_refused_leaves_no_index_that_a_start_takes_for_a_base(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    meta = compacted(UnsyncedDisk(), tmp_path, log, 23, [2, 3])
    Indexes(UnsyncedDisk(), tmp_path, OWNER).base(snapshot_name(23))
    with pytest.raises(InvalidMessage, match="not the snapshot that was announced"):
        storage.adopt(replace(meta, term=meta.term + 1))
    assert not any("snapshot-" in path.name for path in tmp_path.iterdir())
    assert Storage.open(UnsyncedDisk(), tmp_path).recovered.snapshot is None


def test_a_snapshot_whose_log_is_missing_refuses_the_start(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 38, [2, 3]))
    segments = sorted(tmp_path.glob("log-*.jsonl"))
    segments[-1].unlink()
    with pytest.raises(CorruptLog, match="the log ends with entry 35, before its snapshot"):
        Storage.open(UnsyncedDisk(), tmp_path)
    for path in segments[:-1]:
        path.unlink()
    with pytest.raises(CorruptLog, match="its log is missing"):
        Storage.open(UnsyncedDisk(), tmp_path)


def test_a_missing_segment_above_the_snapshot_is_a_hole_until_too_many_are_missing(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 28, []))
    first_counted = tmp_path / segment_name(6, 26)
    first_counted.unlink()
    assert Storage.open(UnsyncedDisk(), tmp_path).recovered.holes == ((29, 2), (30, 2))
    for path in sorted(tmp_path.glob("log-*.jsonl"))[:5]:
        path.unlink()
    assert Storage.open(UnsyncedDisk(), tmp_path).recovered.holes == ((29, 2), (30, 2))
    (tmp_path / segment_name(7, 31)).unlink()
    for index in tmp_path.glob("*.idx"):
        index.unlink()
    with pytest.raises(CorruptLog, match="damaged or missing") as refusal:
        Storage.open(UnsyncedDisk(), tmp_path)
    assert refusal.value.file == str(tmp_path / segment_name(7, 31))


def test_a_snapshot_of_another_cluster_is_refused(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 28, [], "aa"))
    storage.close()
    Storage.open(UnsyncedDisk(), tmp_path, "aa").close()
    with pytest.raises(CorruptLog, match="the snapshot is of cluster aa, not bb"):
        Storage.open(UnsyncedDisk(), tmp_path, "bb")


# Checkpoints


def test_the_newest_checkpoint_that_fits_the_log_is_the_document(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    assert documents(storage) is None
    disk = UnsyncedDisk()
    storage.adopt(compacted(disk, tmp_path, log, 10, [2]))
    checkpointed(disk, tmp_path, log, 15)
    take(storage.write_checkpoint(document(log, 30)))
    checkpointed(disk, tmp_path, entries(1, 40, term=9), 35)  # of another log
    checkpointed(disk, tmp_path, entries(1, 50), 50)
    assert [documents(storage, index) for index in (9, 10, 14, 15, 29, 30, 99)] == [
        None,
        (10, DOCUMENT),
        (10, DOCUMENT),
        (15, [b'{"sessions":[]}', b'{"at":15}']),
        (15, [b'{"sessions":[]}', b'{"at":15}']),
        (30, [b'{"sessions":[]}', b'{"at":30}']),
        (30, [b'{"sessions":[]}', b'{"at":30}']),
    ]


def test_a_damaged_checkpoint_is_removed_and_ignored(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    checkpointed(UnsyncedDisk(), tmp_path, log, 15)
    path = tmp_path / checkpoint_name(15)
    path.write_bytes(path.read_bytes().replace(b'"at":15', b'"at":16'))
    assert documents(storage) is None
    assert not path.exists()


def test_what_a_checkpoint_stands_for_was_committed(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    checkpointed(UnsyncedDisk(), tmp_path, log, 38)
    assert Storage.open(UnsyncedDisk(), tmp_path).recovered.hard_state == HardState(2, 1, 38)


def test_older_checkpoints_go_at_once(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    disk = UnsyncedDisk()
    for index in (5, 15, 30):
        checkpointed(disk, tmp_path, log, index)
    storage.sweep(0.0)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == [checkpoint_name(30)]
    storage.adopt(compacted(disk, tmp_path, log, 30, []))
    storage.sweep(0.0)
    assert list(tmp_path.glob("checkpoint-*")) == []


def test_bytes_since_the_last_document_are_what_a_start_replays(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    def since(index: int) -> int:
        return sum(len(one.record) for one in log[index:])

    assert since(0) <= storage.bytes_since_document(40) <= since(0) + 8 * 400  # headers and openings
    assert storage.bytes_since_document(0) == 0  # a start has applied nothing yet
    assert since(0) - since(15) <= storage.bytes_since_document(15) <= since(0) - since(15) + 3 * 600
    take(storage.write_checkpoint(document(log, 30)))
    assert since(30) <= storage.bytes_since_document(40) <= since(30) + 2 * 400
    assert since(30) <= Storage.open(UnsyncedDisk(), tmp_path).bytes_since_document(40) <= since(30) + 3 * 600
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 40, []))
    assert storage.bytes_since_document(40) == 0


def test_a_checkpoint_that_is_broken_off_leaves_nothing_and_the_last_one_counts(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    take(storage.write_checkpoint(document(log, 15)))
    steps = storage.write_checkpoint(document(log, 30))
    next(steps)
    assert [path for path in tmp_path.iterdir() if is_temporary(path.name)]
    steps.close()
    assert not [path for path in tmp_path.iterdir() if is_temporary(path.name)]
    assert documents(storage) == (15, [b'{"sessions":[]}', b'{"at":15}'])


def test_a_checkpoint_leaves_the_last_of_the_space_to_the_log(
    tmp_path: Path, storage: Storage, log: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnsyncedDisk, "free_bytes", lambda disk, path: SPARE_BYTES - 1)
    with pytest.raises(OSError, match="the disk is almost full"):
        take(storage.write_checkpoint(document(log, 30)))
    assert not [path for path in tmp_path.iterdir() if is_temporary(path.name)]
    monkeypatch.setattr(UnsyncedDisk, "free_bytes", lambda disk, path: SPARE_BYTES)
    take(storage.write_checkpoint(document(log, 30)))


def test_a_checkpoint_is_whole_and_durable_or_not_there_at_whatever_operation_the_power_goes(log: list[Entry]) -> None:
    for operations in range(100):
        disk = PowerDisk()
        storage = open_on(disk)
        storage.append(HardState(2, 1, 20), log)
        take(storage.write_checkpoint(document(log, 15)))
        if not killed_after(operations, disk, take, storage.write_checkpoint(document(log, 30))):
            break
        for seed in range(10):
            after = open_on(disk.cut(Random(seed)))
            assert above_base(after) == log
            assert documents(after) in (
                (15, [b'{"sessions":[]}', b'{"at":15}']),
                (30, [b'{"sessions":[]}', b'{"at":30}']),
            )
    assert 5 < operations < 99


# A leader's


def test_a_snapshot_is_sent_in_whole_lines(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 23, range(1, 24)))
    file = storage.snapshot
    assert file is not None
    whole = (tmp_path / file.name).read_bytes()
    assert file.bytes == len(whole)
    for bytes_max in (1, 300, 1000, 1 << 20):
        sent = b""
        while piece := storage.read_snapshot(file, len(sent), bytes_max):
            assert piece.endswith(b"\n")
            assert len(piece) <= bytes_max or piece.count(b"\n") == 1
            sent += piece
        assert sent == whole
    storage.adopt(compacted(UnsyncedDisk(), tmp_path, log, 30, []))
    assert storage.read_snapshot(file, 0, 1 << 20) == whole  # it lingers
    (tmp_path / file.name).unlink()
    with pytest.raises(LookupError):
        storage.read_snapshot(file, 0, 1 << 20)


OTHER = [*entries(1, 15), *entries(16, 60, term=3, text="other")]


@pytest.mark.repeated
@pytest.mark.parametrize("index", [20, 40, 55])
def test_an_installed_snapshot_stands_in_place_of_the_whole_log(
    tmp_path: Path, storage: Storage, log: list[Entry], index: int
) -> None:
    live = [2, 14, 18]
    receive(storage, meta_of(OTHER, index), snapshot_bytes(OTHER, index, live))
    storage.install(meta_of(OTHER, index), HardState(3, 2, index))
    check_on_base(storage, OTHER[:index], index, live)
    again = Storage.open(UnsyncedDisk(), tmp_path)
    assert again.recovered.hard_state == HardState(3, 2, index)
    check_on_base(again, OTHER[:index], index, live)
    again.append(HardState(3, 2, index), OTHER[index : index + 4])
    again.sweep(0.0)
    again.sweep(LINGER_S)
    check_on_base(again, OTHER[: index + 4], index, live)
    check_on_base(Storage.open(UnsyncedDisk(), tmp_path), OTHER[: index + 4], index, live)


def test_only_what_was_received_whole_is_installed(storage: Storage, log: list[Entry]) -> None:
    meta, data = meta_of(OTHER, 50), snapshot_bytes(OTHER, 50, [1, 2])
    with pytest.raises(LookupError):
        storage.install(meta, HardState(3, 2, 50))
    receiver = storage.receive(50, 3, len(data))
    receiver.write(0, data[: data.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(InvalidMessage, match="ends at"):
        receiver.finish()
    with pytest.raises(LookupError):
        storage.install(meta, HardState(3, 2, 50))
    receiver.write(receiver.offset, data[receiver.offset :])
    receiver.finish()
    with pytest.raises(LookupError):
        storage.install(replace(meta, term=2), HardState(3, 2, 50))
    assert list(storage.reader.replay(1, 40)) == log
    storage.install(meta, HardState(3, 2, 50))
    assert storage.last_index == 50


def test_another_snapshot_that_is_begun_while_one_is_installed_does_not_take_it_away(log: list[Entry]) -> None:
    disk, _ = prepared()
    storage, begun = open_on(disk), 0
    receive(storage, meta_of(OTHER, 50), snapshot_bytes(OTHER, 50, [1, 2]))

    def hook(operation: str, name: str) -> None:
        nonlocal begun
        if operation == "rename" and name.startswith("snapshot-"):
            begun += 1
            storage.receive(50, 3, 100)

    disk.hook = hook
    storage.install(meta_of(OTHER, 50), HardState(3, 2, 50))
    assert begun == 1
    check_on_base(storage, OTHER[:50], 50, [1, 2])


def test_a_compaction_does_not_take_the_place_of_a_newer_snapshot_that_is_installed_meanwhile(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    receive(storage, meta_of(OTHER, 50), snapshot_bytes(OTHER, 50, [1, 2]))
    older = compacted(UnsyncedDisk(), tmp_path, log, 23, [2])

    def pause() -> None:
        if storage.base_index < 50:
            storage.install(meta_of(OTHER, 50), HardState(3, 2, 50))

    storage.adopt(older, pause)
    check_on_base(storage, OTHER[:50], 50, [1, 2])
    check_on_base(Storage.open(UnsyncedDisk(), tmp_path), OTHER[:50], 50, [1, 2])


def test_a_finished_snapshot_that_is_not_installed_is_gone_after_a_start(
    tmp_path: Path, storage: Storage, log: list[Entry]
) -> None:
    receive(storage, meta_of(OTHER, 50), snapshot_bytes(OTHER, 50, [1, 2]))
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
    assert list(storage.reader.replay(1, 40)) == log


def test_a_snapshot_being_received_is_not_swept(tmp_path: Path, storage: Storage) -> None:
    data = snapshot_bytes(OTHER, 50, [1, 2])
    receiver = storage.receive(50, 3, len(data))
    storage.sweep(0.0)
    storage.sweep(1e9)
    receiver.write(0, data)
    receiver.finish()
    storage.sweep(2e9)
    storage.install(meta_of(OTHER, 50), HardState(3, 2, 50))
    check_on_base(storage, OTHER[:50], 50, [1, 2])


def test_readers_get_the_right_records_or_none_while_snapshots_come(tmp_path: Path) -> None:
    disk, log = UnsyncedDisk(), entries(1, 2000)
    storage = Storage.open(disk, tmp_path, segment_bytes=20_000)
    for start in range(0, 2000, 50):
        storage.append(HardState(1, 1, start), log[start : start + 50])
    stop = threading.Event()
    looked = threading.Barrier(4)

    def read_until_stopped(seed: int) -> tuple[int, int]:
        rng, right, gone = Random(seed), 0, 0
        looked.wait(10)
        while not stop.is_set():
            asked = sorted(rng.sample(range(1, 2001), 5))
            try:
                assert storage.reader.read_many(asked) == [log[index - 1].record for index in asked]
                found = storage.reader.read(asked[-1], 2000, 5000)
                assert found == [one.record for one in log[asked[-1] - 1 :][: len(found)]]
                right += 1
            except LookupError:
                gone += 1
        return right, gone

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read_until_stopped, seed) for seed in range(3)]
        looked.wait(10)
        try:
            for now, index in enumerate(range(100, 2000, 100)):
                storage.adopt(compacted(disk, tmp_path, log, index, [one for one in range(1, index) if one % 9]))
                storage.sweep(now * LINGER_S)  # quicker than in life: what is read from has only just been replaced
        finally:
            stop.set()
        counts = [reader.result(10) for reader in readers]
    assert all(right and gone for right, gone in counts)


def test_a_file_that_goes_between_the_looking_up_and_the_opening_is_a_lookup_error(tmp_path: Path) -> None:
    log, busy = entries(1, 10), False

    def hook(operation: str, path: Path) -> None:
        nonlocal busy
        if operation == "open" and path.name == segment_name(1, 1) and opened.last_index == 10 and not busy:
            busy = True
            opened.adopt(compacted(UnsyncedDisk(), tmp_path, log, 8, [3]))
            opened.sweep(0.0)
            opened.sweep(LINGER_S)

    opened = Storage.open(HookedDisk(hook), tmp_path, segment_bytes=410)
    for one in log:
        opened.append(None, [one])
    with pytest.raises(LookupError):
        opened.reader.read_many([1, 2])
    assert busy
    assert opened.reader.read_many([3, 10]) == [log[2].record, log[9].record]


def test_a_file_of_the_log_that_is_lost_is_no_lookup_error(tmp_path: Path, storage: Storage) -> None:
    (tmp_path / segment_name(8, 36)).unlink()
    with pytest.raises(CorruptLog, match=r"entry 40 is missing with its file") as damage:
        storage.reader.read_many([40])
    assert damage.value.indexes == (40,)


# Every kill, every cut of the power

Change = Callable[[Storage, PowerDisk], None]


def prepared() -> tuple[PowerDisk, list[Entry]]:
    disk, log = PowerDisk(), [*entries(1, 20), *entries(21, 40, term=2)]
    storage = Storage.open(disk, DIRECTORY, segment_bytes=660)
    for start in range(0, 40, 5):
        storage.append(HardState(2, 1, start), log[start : start + 5])
    compacted(disk, DIRECTORY, log, 4, [1, 3])
    recover(disk, DIRECTORY, "", True, None, beside="test")  # makes the indexes
    disk.settle()
    return disk, log


def open_on(disk: PowerDisk) -> Storage:
    return Storage.open(disk, DIRECTORY, segment_bytes=660)


class Starts:
    """Start on disks that a cut of the power has left, each content once: many cuts leave the same."""

    def __init__(self, check: Callable[[Storage, bool], None]) -> None:
        self._check = check
        self._checked: set[tuple[bool, frozenset[tuple[str, bytes]]]] = set()
        self._killed: set[tuple[bool, frozenset[tuple[str, bytes]]]] = set()

    def check(self, disk: PowerDisk, done: bool) -> None:
        """Start on the disk, and check the log that is found."""
        if _is_new(self._checked, disk, done):
            self._check(open_on(disk), done)

    def kill(self, disk: PowerDisk, done: bool) -> None:
        """Kill the start on the disk at each of its operations, cut the power and start again."""
        if not _is_new(self._killed, disk, done):
            return
        for steps in range(100):
            found = disk.cut(Random(0))  # a copy: all of it was synced
            if not killed_after(steps, found, open_on, found):
                return
            for seed in range(4):
                self.check(found.cut(Random(seed)), done)
        raise AssertionError("never started")


def _is_new(known: set[tuple[bool, frozenset[tuple[str, bytes]]]], disk: PowerDisk, done: bool) -> bool:
    key = done, frozenset(disk.content().items())
    if key in known:
        return False
    known.add(key)
    return True


def cuts_at_every_step(change: Change, check: Callable[[Storage, bool], None], seeds: int = 5) -> int:
    """Kill `change` at each operation on the disk, cut the power and start; kill that start at each of its own, too.

    Returns how many operations there were.
    """
    starts = Starts(check)
    for steps in range(1000):
        disk, _ = prepared()
        done = not killed_after(steps, disk, change, open_on(disk), disk)
        for seed in range(seeds):
            found = disk.cut(Random(seed))
            if seed < 2:
                starts.kill(found, done)
            starts.check(found, done)
        if done:
            return steps
    raise AssertionError("never done")


def test_a_power_cut_within_a_compaction_and_its_adoption_leaves_the_old_base_or_the_new(log: list[Entry]) -> None:
    def change(storage: Storage, disk: PowerDisk) -> None:
        storage.adopt(compacted(disk, DIRECTORY, log, 23, [1, 22]))
        storage.append(HardState(3, 2, 30), entries(41, 42, term=3))
        storage.sweep(0.0)
        storage.sweep(LINGER_S)

    bases = set()

    def check(storage: Storage, done: bool) -> None:
        assert storage.snapshot is not None
        base = storage.snapshot.meta.index
        bases.add(base)
        state = storage.recovered.hard_state
        assert state.current_term == 3 or (state.current_term, state.voted_for) == (2, 1)
        assert not done or (base, storage.last_index, state) == (23, 42, HardState(3, 2, 30))
        whole = [*log, *entries(41, 42, term=3)][: storage.last_index]
        assert storage.last_index >= 40
        check_on_base(storage, whole, base, [1, 3] if base == 4 else [1, 22])

    assert cuts_at_every_step(change, check) > 20
    assert bases == {4, 23}


@pytest.mark.repeated
@pytest.mark.parametrize("index", [25, 40, 55])
def test_a_power_cut_within_an_installation_leaves_the_old_log_or_the_new(log: list[Entry], index: int) -> None:
    data, meta = snapshot_bytes(OTHER, index, [2, 14, 18]), meta_of(OTHER, index)
    installed = set()

    def change(storage: Storage, disk: PowerDisk) -> None:
        receive(storage, meta, data)
        storage.install(meta, HardState(3, 2, index))
        storage.sweep(0.0)
        storage.sweep(LINGER_S)

    def check(storage: Storage, done: bool) -> None:
        assert storage.snapshot is not None
        state, base = storage.recovered.hard_state, storage.snapshot.meta.index
        installed.add(base)
        if base == index:
            assert state == HardState(3, 2, index)
            check_on_base(storage, OTHER[:index], index, [2, 14, 18])
        else:
            assert not done
            assert state in (HardState(2, 1, 35), HardState(3, 2, 35))  # of the old log no more was known to be true
            check_on_base(storage, log, 4, [1, 3])
        _check_goes_on(storage)

    assert cuts_at_every_step(change, check) > 30
    assert installed == {4, index}


def _check_goes_on(storage: Storage) -> None:
    """Whatever an installation left, what is appended afterwards is there after the next compaction and start."""
    disk, last = storage._disk, storage.last_index
    assert isinstance(disk, PowerDisk)
    log = [*[entry(1)] * last, *entries(last + 1, last + 3, term=4)]
    storage.append(HardState(4, 1, last), log[last:])
    log[last - 1] = decode_entry(storage.reader.read(last + 1, last + 1, 1)[0])
    meta = SnapshotMeta(last + 1, 4, log[last].time, 1, CONFIGURATION)
    take(file_steps(disk, DIRECTORY, snapshot_name(last + 1), "", meta, DOCUMENT, (0, [])))
    again = open_on(disk.cut(Random(1)))
    assert above_base(again) == log[last + 1 :]
    assert again.recovered.hard_state.current_term == 4


@pytest.mark.parametrize("format", [0, 2])
def test_a_snapshot_of_another_format_is_refused_with_words(tmp_path: Path, storage: Storage, format: int) -> None:
    name = snapshot_name(12)
    (tmp_path / name).write_bytes(seal(b'{"format":%d,"snapshot":"%b"}' % (format, name.encode())))
    words = f"format {format}, and this program knows format 1; start the version that wrote it"
    with pytest.raises(StartRefused, match=words) as refusal:
        Storage.open(UnsyncedDisk(), tmp_path)
    assert not isinstance(refusal.value, CorruptLog)
    assert (tmp_path / name).exists()


def test_the_file_for_sending_names_what_it_stands_for(tmp_path: Path, storage: Storage, log: list[Entry]) -> None:
    assert storage.snapshot is None
    meta = compacted(UnsyncedDisk(), tmp_path, log, 30, [4])
    storage.adopt(meta)
    assert storage.snapshot == SnapshotFile(meta, snapshot_name(30), (tmp_path / snapshot_name(30)).stat().st_size)
