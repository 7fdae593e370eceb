"""Disks that fail, and processes that are killed at every step."""

import errno
import os
from pathlib import Path

import pytest

from raft.core.raft_messages import Entry, HardState
from raft.errors import DiskFailed, DiskFull
from raft.storage.disk import NoRoom, RealDisk
from raft.storage.identity import load_or_create, lock_directory
from raft.storage.log_store import Storage
from tests.raft.disks import HookedDisk, UnsyncedDisk, content, entries, written


class Killed(BaseException):
    """The process ends here; nothing in it may catch this."""


class Fault:
    """A hook that raises at one operation once it is armed."""

    def __init__(self, operation: str, error: int) -> None:
        self.operation = operation
        self.error = error
        self.armed = False
        self.raised = 0

    def __call__(self, operation: str, path: Path) -> None:
        if self.armed and operation == self.operation:
            self.raised += 1
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("operation", ["append", "append the rest", "fdatasync"])
def test_a_failed_write_is_final_and_never_tried_again(tmp_path: Path, operation: str, error: int) -> None:
    fault = Fault(operation, error)
    disk = HookedDisk(fault)
    storage = Storage.open(disk, tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    fault.armed = True
    with pytest.raises(DiskFailed, match=os.strerror(error)):
        storage.append(HardState(2, 0, 0), entries(4, 6, term=2))
    fault.armed = False
    _check_unusable(storage)
    assert fault.raised == 1
    disk.die()
    assert content(Storage.open(RealDisk(), tmp_path))[:3] == entries(1, 3)


@pytest.mark.parametrize("operation", ["create", "append", "fsync", "rename", "sync_directory"])
def test_a_segment_that_cannot_be_created_is_final(tmp_path: Path, operation: str) -> None:
    fault = Fault(operation, errno.ENOSPC)
    disk = HookedDisk(fault)
    storage = Storage.open(disk, tmp_path, segment_bytes=360)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    fault.armed = True
    with pytest.raises(DiskFailed, match="No space left"):
        storage.append(None, entries(4, 6))
    _check_unusable(storage)
    disk.die()
    assert content(Storage.open(RealDisk(), tmp_path)) == entries(1, 3)
    with pytest.raises(DiskFailed, match="No space left"):
        Storage.open(disk, tmp_path)


def _check_unusable(storage: Storage) -> None:
    with pytest.raises(DiskFailed):
        storage.append(HardState(9, 9, 0), [])
    with pytest.raises(DiskFailed):
        storage.reader.read(1, 1, 100)
    with pytest.raises(DiskFailed):
        storage.reader.read_many([1])
    with pytest.raises(DiskFailed):
        list(storage.reader.replay(1, 1))
    with pytest.raises(DiskFailed):
        storage.close()


def test_a_process_killed_right_after_a_rotation_does_not_pass_old_entries_off_as_committed(tmp_path: Path) -> None:
    allowed = iter(["the first segment", "the first batch", "the second segment"])

    def hook(operation: str, path: Path) -> None:
        if operation == "append" and next(allowed, None) is None:
            raise OSError(errno.EIO, "broken")

    storage = Storage.open(HookedDisk(hook), tmp_path, segment_bytes=360)
    storage.append(HardState(1, 1, 2), entries(1, 5))
    with pytest.raises(DiskFailed):
        storage.append(HardState(2, 0, 6), entries(4, 6, term=2))
    assert len(list(tmp_path.iterdir())) == 2
    after = Storage.open(RealDisk(), tmp_path)
    assert content(after) == entries(1, 5)
    assert after.recovered.hard_state == HardState(1, 1, 2)


def test_a_read_that_fails_does_not_end_the_storage(tmp_path: Path) -> None:
    fault = Fault("open", errno.EMFILE)
    storage = Storage.open(HookedDisk(fault), tmp_path)
    storage.append(None, entries(1, 3))
    fault.armed = True
    with pytest.raises(OSError, match="Too many open files"):
        storage.reader.read(1, 3, 1000)
    fault.armed = False
    assert content(storage) == entries(1, 3)
    storage.close()


def test_short_writes_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        storage.append(HardState(1, 1, 0), entries(1, 20))
    assert content(storage) == entries(1, 20)
    storage.close()
    assert content(Storage.open(RealDisk(), tmp_path)) == entries(1, 20)


def test_a_batch_is_one_write_and_one_fdatasync(tmp_path: Path) -> None:
    told: list[str] = []
    storage = Storage.open(HookedDisk(lambda operation, path: told.append(operation)), tmp_path)
    told.clear()
    storage.append(HardState(1, 1, 0), entries(1, 1000))
    assert told == ["append", "append the rest", "fdatasync"]  # the stand-in makes two of each write
    storage.close()


def test_a_file_gets_its_name_only_when_its_content_is_durable(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    disk = HookedDisk(lambda operation, path: told.append((operation, path.name)))
    Storage.open(disk, tmp_path).close()
    name = "log-00000001-000000000000001.jsonl"
    written_as = name + ".tmp"
    steps = [("create", written_as), ("append", written_as), ("append the rest", written_as), ("fsync", written_as)]
    assert told[:6] == [*steps, ("rename", written_as), ("sync_directory", tmp_path.name)]


def _live(disk: RealDisk, data_dir: Path, acknowledged: list[Entry]) -> None:
    """A whole life, from an empty directory to a clean stop, that notes in `acknowledged` what the log must hold."""
    held = lock_directory(disk, data_dir)
    identity = load_or_create(disk, data_dir, 1)
    storage = Storage.open(disk, data_dir, segment_bytes=760)
    for batch in (entries(1, 3), entries(4, 6), entries(5, 8, term=2), entries(9, 9, term=2)):
        storage.append(HardState(batch[-1].term, identity.boot, 0), batch)
        acknowledged[:] = written(acknowledged, batch)
    storage.close()
    held.close()


def test_a_process_killed_at_any_step_leaves_a_directory_that_starts_with_what_was_acknowledged(tmp_path: Path) -> None:
    for steps in range(1000):
        data_dir = tmp_path / str(steps)
        acknowledged: list[Entry] = []
        if _dies_after(steps, data_dir, acknowledged):
            _check_start(data_dir, acknowledged)
        else:
            break
    assert 40 < steps < 200


def test_a_process_killed_at_any_step_of_a_restart_leaves_a_directory_that_starts(tmp_path: Path) -> None:
    before = tmp_path / "before"
    acknowledged: list[Entry] = []
    assert _dies_after(34, before, acknowledged)
    assert acknowledged
    for steps in range(30):
        data_dir = tmp_path / str(steps)
        data_dir.mkdir()
        for path in before.iterdir():
            (data_dir / path.name).write_bytes(path.read_bytes())
        _dies_after(steps, data_dir, list(acknowledged), only_start=True)
        _check_start(data_dir, acknowledged)


def _dies_after(steps: int, data_dir: Path, acknowledged: list[Entry], only_start: bool = False) -> bool:
    """Whether a life was cut short after `steps` changes of the disk."""
    left = iter(range(steps))

    def hook(operation: str, path: Path) -> None:
        if operation != "open" and next(left, None) is None:
            raise Killed

    disk = HookedDisk(hook)
    try:
        if only_start:
            lock_directory(disk, data_dir)
            load_or_create(disk, data_dir, 1)
            Storage.open(disk, data_dir)
        else:
            _live(disk, data_dir, acknowledged)
    except Killed:
        return True
    finally:
        disk.die()
    return False


def _check_start(data_dir: Path, acknowledged: list[Entry]) -> None:
    disk = UnsyncedDisk()
    held = lock_directory(disk, data_dir)
    load_or_create(disk, data_dir, 1)
    storage = Storage.open(disk, data_dir)
    log = content(storage)
    common = min(len(log), len(acknowledged))
    rewound = acknowledged[:4] + entries(5, 8, term=2)[: len(log) - 4]  # the batch under way may have replaced a part
    assert (log[:common] == acknowledged and common == len(acknowledged)) or log == rewound
    storage.close()
    held.close()
    assert not list(data_dir.glob("*.tmp"))


class NoRoomAt(Fault):
    """As Fault, for want of room."""

    def __call__(self, operation: str, path: Path) -> None:
        if self.armed and operation == self.operation and path.name.startswith("log-"):
            self.raised += 1
            raise NoRoom(self.error, os.strerror(self.error))


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("segment_bytes", [200, 1 << 20])
@pytest.mark.parametrize("operation", ["create", "append", "append the rest"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_write_that_finds_no_room_changes_nothing_and_succeeds_once_there_is_some(
    tmp_path: Path, operation: str, error: int, segment_bytes: int, reopened: bool
) -> None:
    fault = NoRoomAt(operation, error)
    disk = HookedDisk(fault)
    storage = Storage.open(disk, tmp_path, segment_bytes=segment_bytes)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    if operation == "create" and segment_bytes > 200:
        fault.operation = "append"  # so that the next try needs another segment
        fault.armed = True
        with pytest.raises(DiskFull):
            storage.append(HardState(1, 1, 1), entries(4, 4))
        fault.operation = operation
    fault.armed = True
    for _ in range(3):
        with pytest.raises(DiskFull, match=os.strerror(error)):
            storage.append(HardState(2, 0, 1), entries(3, 6, term=2))
        assert content(storage) == entries(1, 3)
    fault.armed = False
    assert len([name for name in os.listdir(tmp_path) if name.startswith("log-")]) <= 2
    if reopened:  # a kill while the disk is full
        disk.die()
        reopened_storage = Storage.open(RealDisk(), tmp_path)
        assert content(reopened_storage)[:2] == entries(1, 2)
        assert reopened_storage.recovered.hard_state.current_term in (1, 2)
        return
    log = written(entries(1, 3), entries(3, 6, term=2))
    storage.append(HardState(2, 0, 1), entries(3, 6, term=2))
    assert content(storage) == log
    storage.append(HardState(2, 0, 2), entries(7, 8, term=2))
    log = written(log, entries(7, 8, term=2))
    disk.die()
    again = Storage.open(RealDisk(), tmp_path)
    assert content(again) == log
    assert again.recovered.hard_state.current_term == 2
    again.close()
    assert content(Storage.open(RealDisk(), tmp_path)) == log
