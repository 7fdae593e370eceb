"""Snapshots made from the files of a log, beside the process that appends to it."""

import tracemalloc
from pathlib import Path

import pytest

from raft.compaction.compactor import compact
from raft.core.configuration import Configuration, Member
from raft.core.entries import configuration_entry, noop_entry
from raft.core.raft_messages import Entry, HardState, SnapshotMeta
from raft.engine.state_machine import Replicated
from raft.errors import InvalidMessage, StartRefused
from raft.storage.file_names import checkpoint_name, snapshot_name
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import scan_file
from tests.raft.checkpoints import written_checkpoint
from tests.raft.disks import HookedDisk, UnsyncedDisk, entry, written
from tests.raft.words import Words, live_after

DISK = UnsyncedDisk()
ONE = Configuration({1: Member(1, "http://one", True)}, cluster_id="aa")
TWO = Configuration({1: Member(1, "http://one", True), 2: Member(2, "http://two", False)}, cluster_id="aa")


def some_log(last: int = 60) -> list[Entry]:
    log = []
    for index in range(1, last + 1):
        if index in (5, 41):
            log.append(configuration_entry(index, 1, index, (ONE if index == 5 else TWO).encode()))
        elif index in (6, 30):
            log.append(noop_entry(index, 1, index))
        else:
            log.append(entry(index, 1, f"w{index * index % 9}"))
    return log


def store(data_dir: Path, log: list[Entry], segment_bytes: int = 700) -> Storage:
    storage = Storage.open(DISK, data_dir, segment_bytes=segment_bytes)
    for start in range(0, len(log), 4):
        storage.append(HardState(1, 1, start), log[start : start + 4])
    return storage


def state_of(log: list[Entry]) -> list[bytes]:
    state = Replicated(Words())
    for one in log:
        state.apply(one)
    return list(state.document())


def contents(data_dir: Path) -> dict[str, bytes]:
    """All but the indexes, which are caches."""
    return {path.name: path.read_bytes() for path in data_dir.iterdir() if path.suffix != ".idx"}


def check_adopted(storage: Storage, log: list[Entry], meta: SnapshotMeta) -> None:
    """The storage stands on this snapshot of this log, and a start from it comes to the state that the log makes."""
    index = meta.index
    assert (meta.term, meta.time) == (log[index - 1].term, log[index - 1].time)
    assert storage.snapshot is not None
    assert storage.snapshot.meta == meta
    live = live_after(log[:index])
    assert storage.entry_count == len(live) + len(log) - index
    assert storage.reader.read_many(live) == [log[one - 1].record for one in live]
    found = storage.documents(len(log))
    assert found is not None
    state = Replicated(Words())
    state.restore(found.meta, found.lines)
    assert list(state.document()) == state_of(log[: found.meta.index])
    for one in storage.reader.replay(found.meta.index + 1, storage.last_index):
        state.apply(one)
    assert list(state.document()) == state_of(log)


def test_a_snapshot_holds_the_state_and_the_live_entries(tmp_path: Path) -> None:
    storage = store(tmp_path, log := some_log())
    meta = compact(DISK, tmp_path, 33, Words())
    assert meta == SnapshotMeta(33, 1, log[32].time, 5, ONE.encode())
    storage.adopt(meta)
    check_adopted(storage, log, meta)
    check_adopted(Storage.open(DISK, tmp_path, "aa"), log, meta)


def test_a_snapshot_is_made_on_top_of_an_earlier_one(tmp_path: Path) -> None:
    storage = store(tmp_path, log := some_log())
    for index in (12, 13, 40, 41, 60):
        machine = Words()
        before = storage.snapshot.meta.index if storage.snapshot else 0
        storage.adopt(meta := compact(DISK, tmp_path, index, machine))
        check_adopted(storage, log, meta)
        commands = [one for one in log[before:index] if one.id is not None]
        assert machine.applied_count == len(commands)  # only what the earlier one did not hold
    assert meta.configuration == TWO.encode()
    check_adopted(Storage.open(DISK, tmp_path, "aa"), log, meta)


def test_a_rewind_counts_and_what_it_cancelled_does_not(tmp_path: Path) -> None:
    storage = store(tmp_path, log := some_log(40))
    again = [entry(index, 2, f"w{index % 3}") for index in range(29, 38)]
    storage.append(HardState(2, 1, 20), again)
    third = [entry(index, 3, "w8") for index in range(35, 50)]
    storage.append(HardState(3, 1, 20), third)
    log = written(log, [*again, *third])
    for index in (30, 36):
        storage.adopt(meta := compact(DISK, tmp_path, index, Words()))
        check_adopted(storage, log, meta)
        check_adopted(Storage.open(DISK, tmp_path), log, meta)
    assert meta.term == 3


def test_the_log_and_what_others_are_writing_are_left_as_they_are(tmp_path: Path) -> None:
    storage = store(tmp_path, some_log())
    names = ("log-00000099-000000000000061.jsonl.tmp", snapshot_name(33) + ".received.tmp", "log-x", "mine.tmp")
    for name in (*names, checkpoint_name(20)):
        (tmp_path / name).write_bytes(b"half")
    before = contents(tmp_path)
    compact(DISK, tmp_path, 33, Words())
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    storage.close()


def test_an_unfinished_end_is_left_to_its_writer(tmp_path: Path) -> None:
    store(tmp_path, log := some_log())
    path = max(tmp_path.glob("log-*.jsonl"))
    whole = path.read_bytes()
    for missing in range(1, 150, 7):
        path.write_bytes(whole[:-missing])
        assert compact(DISK, tmp_path, 50, Words()).index == 50
    assert path.read_bytes() == whole[:-missing]
    path.write_bytes(whole)
    check_adopted(Storage.open(DISK, tmp_path), log, SnapshotMeta(50, 1, log[49].time, 41, TWO.encode()))


def test_the_writer_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.storage.snapshot_file.WRITE_STEP_BYTES", 1)
    storage = store(tmp_path, log := some_log())
    more = [entry(index, 1, "w1") for index in range(61, 400)]
    waiting = iter(more)

    def pause() -> None:
        for one in (next(waiting, None), next(waiting, None)):
            if one is not None:
                storage.append(HardState(1, 1, 60), [one])
                log.append(one)

    meta = compact(DISK, tmp_path, 60, Words(), pause=pause)
    assert len(log) > 70
    storage.adopt(meta)
    check_adopted(storage, log, meta)
    check_adopted(Storage.open(DISK, tmp_path), log, meta)


def test_a_checkpoint_spares_the_replay_of_what_is_before_it(tmp_path: Path) -> None:
    storage = store(tmp_path, log := some_log())
    written_checkpoint(storage, 20, Words())
    machine = Words()
    meta = compact(DISK, tmp_path, 50, machine)
    assert machine.applied_count == sum(one.id is not None for one in log[20:50])
    assert meta == SnapshotMeta(50, 1, log[49].time, 41, TWO.encode())
    storage.adopt(meta)
    check_adopted(storage, log, meta)


def test_a_damaged_checkpoint_is_done_without(tmp_path: Path) -> None:
    storage = store(tmp_path, log := some_log())
    written_checkpoint(storage, 20, Words())
    path = tmp_path / checkpoint_name(20)
    path.write_bytes(path.read_bytes().replace(b'"word"', b'"worb"'))
    compact(DISK, tmp_path, 50, machine := Words())
    assert machine.applied_count == sum(one.id is not None for one in log[:50])
    assert path.exists()  # its owner removes it


def test_what_is_there_already_is_not_made_again(tmp_path: Path) -> None:
    storage = store(tmp_path, some_log())
    meta = compact(DISK, tmp_path, 33, Words())
    storage.adopt(meta)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert compact(DISK, tmp_path, 33, Words()) == meta
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_snapshot_before_the_first_configuration_has_none(tmp_path: Path) -> None:
    store(tmp_path, some_log())
    assert compact(DISK, tmp_path, 4, Words()).configuration == Configuration({}).encode()
    assert compact(DISK, tmp_path, 5, Words()).configuration == ONE.encode()


def test_a_snapshot_names_its_cluster(tmp_path: Path) -> None:
    store(tmp_path, some_log()).close()
    compact(DISK, tmp_path, 33, Words())
    assert scan_file(DISK, tmp_path, snapshot_name(33)).cluster_id == "aa"
    with pytest.raises(StartRefused, match="the snapshot is of cluster aa, not bb"):
        Storage.open(DISK, tmp_path, "bb")


@pytest.mark.parametrize("up_to", [0, 61, 11])
def test_what_the_log_does_not_hold_is_a_lookup_error(tmp_path: Path, up_to: int) -> None:
    store(tmp_path, some_log())
    compact(DISK, tmp_path, 12, Words())
    with pytest.raises(LookupError, match=f"the log holds entries 13 to 60, not {up_to}"):
        compact(DISK, tmp_path, up_to, Words())


class Greedy(Words):
    """Calls an entry live that it has called dead before."""

    def apply(self, entry: Entry) -> object:
        super().apply(entry)
        self.said["greedy"] = 4
        return None


def test_a_live_entry_that_is_gone_leaves_no_snapshot(tmp_path: Path) -> None:
    store(tmp_path, some_log())
    compact(DISK, tmp_path, 50, Words())
    before = contents(tmp_path)
    with pytest.raises(LookupError):
        compact(DISK, tmp_path, 55, Greedy())
    assert contents(tmp_path) == before


class Foreign(Words):
    """Does not know the documents of others."""

    def restore(self, index: int, lines: object) -> None:
        raise InvalidMessage("foreign")


def test_a_document_that_the_machine_does_not_know_leaves_no_snapshot(tmp_path: Path) -> None:
    store(tmp_path, some_log())
    compact(DISK, tmp_path, 50, Words())
    with pytest.raises(InvalidMessage):
        compact(DISK, tmp_path, 55, Foreign())


@pytest.mark.parametrize("operation", ["create", "append", "append the rest", "fdatasync", "fsync", "rename"])
def test_a_disk_that_is_full_keeps_its_log_and_nothing_half_made(tmp_path: Path, operation: str) -> None:
    store(tmp_path, some_log())
    before = contents(tmp_path)

    def hook(asked: str, path: Path) -> None:
        if asked == operation:
            raise OSError(28, "No space left on device")

    disk = HookedDisk(hook)
    with pytest.raises(OSError, match="No space left"):
        compact(disk, tmp_path, 33, Words())
    disk.die()
    assert contents(tmp_path) == before


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    text_bytes, count = 400_000, 120
    storage = Storage.open(DISK, tmp_path, segment_bytes=1 << 24)
    for index in range(1, count + 1):
        storage.append(HardState(1, 1, index - 1), [entry(index, 1, f"{index % 60:02}" + "x" * text_bytes)])
    tracemalloc.start()
    try:
        meta = compact(DISK, tmp_path, count, Words())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    storage.adopt(meta)
    assert storage.entry_count == 60
    assert peak_bytes < 20 << 20 < 60 * text_bytes
