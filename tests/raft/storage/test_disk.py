"""The operating system behind the Disk interface."""

import errno
import os
import stat
from pathlib import Path

import pytest

from raft.errors import StartRefused
from raft.storage.disk import RealDisk, create_durably, read_all
from raft.storage.log_store import Storage


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    disk = RealDisk()
    file = disk.create(tmp_path / "a")
    file.append(b"one ")
    file.append(b"two")
    file.fdatasync()
    file.close()
    reader = disk.open(tmp_path / "a")
    assert (reader.size, reader.pread(3, 4), reader.pread(100, 4), reader.pread(5, 100)) == (7, b"two", b"two", b"")
    reader.close()


def test_a_write_that_is_cut_short_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    file = RealDisk().create(tmp_path / "a")
    file.append(b"0123456789")
    file.close()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_read_that_is_cut_short_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: pread(descriptor, min(size, 3), offset))
    assert read_all(RealDisk(), tmp_path / "a") == b"0123456789"


def test_a_disk_that_gets_full_midway_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    room = [4, 0]

    def write_until_full(descriptor: int, data: bytes) -> int:
        left = room.pop(0)
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:left])

    monkeypatch.setattr(os, "write", write_until_full)
    file = RealDisk().create(tmp_path / "a")
    with pytest.raises(OSError, match="No space left"):
        file.append(b"0123456789")
    file.close()


def test_directories_are_0700_and_files_0600(tmp_path: Path) -> None:
    disk = RealDisk()
    disk.make_directory(tmp_path / "a" / "b")
    create_durably(disk, tmp_path / "a" / "b" / "file", b"x").close()
    disk.lock(tmp_path / "a" / "b" / "lock", b"1").close()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o700, "file": 0o600, "lock": 0o600}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_a_name_that_is_taken_is_not_created_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(FileExistsError):
        RealDisk().create(tmp_path / "a")


def test_a_lock_is_had_once_until_it_is_closed(tmp_path: Path) -> None:
    disk = RealDisk()
    held = disk.lock(tmp_path / "lock", b"first")
    with pytest.raises(BlockingIOError):
        disk.lock(tmp_path / "lock", b"second")
    assert read_all(disk, tmp_path / "lock") == b"first"
    held.close()
    held.close()  # the number may be another file's by now: must do nothing
    disk.lock(tmp_path / "lock", b"second").close()


@pytest.mark.parametrize("name", ["log-00000001-000000000000001.jsonl", "snapshot-000000000000009.jsonl"])
def test_a_pipe_under_the_name_of_a_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(StartRefused, match=r"cannot be (read|used)"):
        Storage.open(RealDisk(), tmp_path)
