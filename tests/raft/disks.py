"""Logs to store, and disks that fail: stand-ins for `raft.storage.disk.RealDisk` built on it."""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path

from raft.core.entries import command_entry
from raft.core.raft_messages import Entry, ProposalId
from raft.storage.disk import AppendFile, Closeable, ReadFile, RealDisk
from raft.storage.log_store import Storage


def entry(index: int, term: int = 1, text: str = "hello") -> Entry:
    return command_entry(
        index, term, 1_000_000 * term + index, ProposalId(1, 1, index, index - 1), b'{"Text":"%b"}' % text.encode()
    )


def entries(first: int, last: int, term: int = 1, text: str = "hello") -> list[Entry]:
    return [entry(index, term, text) for index in range(first, last + 1)]


def written(log: list[Entry], records: Iterable[Entry]) -> list[Entry]:
    """The log after these records: the one at index i cancels every earlier one at i or above."""
    log = list(log)
    for record in records:
        log = [*log[: record.index - 1], record]
    return log


def content(storage: Storage) -> list[Entry]:
    return list(storage.reader.replay(1, storage.last_index))


class UnsyncedDisk(RealDisk):
    """Enough for tests in which only the process dies, never the machine; ten times as fast."""

    def create(self, path: Path) -> AppendFile:
        return _UnsyncedFile(super().create(path))

    def sync_directory(self, path: Path) -> None:
        pass


class _UnsyncedFile:
    def __init__(self, file: AppendFile) -> None:
        self.append = file.append
        self.close = file.close

    def fsync(self) -> None:
        pass

    def fdatasync(self) -> None:
        pass


class BadDisk(UnsyncedDisk):
    """A disk some of whose places cannot be read: EIO, as of a page that went bad."""

    def __init__(self, page_bytes: int = 1) -> None:
        """A bad place makes all of its page unreadable."""
        self.bad: set[tuple[str, int]] = set()  # (name, offset)
        self._page_bytes = page_bytes

    def open(self, path: Path) -> ReadFile:
        return BadFile(super().open(path), self.bad, path.name, self._page_bytes)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.bad -= {place for place in self.bad if place[0] == target.name}  # the new file is elsewhere on the disk


class BadFile:
    """A file of a disk that has these bad places."""

    def __init__(self, file: ReadFile, bad: set[tuple[str, int]], name: str, page_bytes: int) -> None:
        self._file = file
        self._page = page_bytes
        self._bad = bad
        self._name = name
        self.close = file.close

    @property
    def size(self) -> int:
        return self._file.size

    def pread(self, size: int, offset: int) -> bytes:
        pages = range(offset // self._page, (offset + size - 1) // self._page + 1)
        if any(name == self._name and place // self._page in pages for name, place in self._bad):
            raise OSError(errno.EIO, "Input/output error", self._name)
        return self._file.pread(size, offset)


class HookedDisk(RealDisk):
    """Calls `hook(operation, path)` before each operation that changes the disk; what that raises happens instead.

    An append is told twice, before its first half and before its second.  Nothing is really synced: it is the
    process that dies here, not the machine.
    """

    def __init__(self, hook: Callable[[str, Path], None]) -> None:
        self.hook = hook
        self._held: list[Closeable] = []

    def die(self) -> None:
        """Let go of what a killed process would have held."""
        for held in self._held:
            held.close()

    def make_directory(self, path: Path) -> None:
        self.hook("make_directory", path)
        super().make_directory(path)

    def create(self, path: Path) -> AppendFile:
        self.hook("create", path)
        file = super().create(path)
        self._held.append(file)
        return _HookedFile(file, self, path)

    def open(self, path: Path) -> ReadFile:
        self.hook("open", path)
        return super().open(path)

    def rename(self, source: Path, target: Path) -> None:
        self.hook("rename", source)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.hook("remove", path)
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self.hook("sync_directory", path)

    def lock(self, path: Path, owner: bytes) -> Closeable:
        self.hook("lock", path)
        held = super().lock(path, owner)
        self._held.append(held)
        return held


class _HookedFile:
    def __init__(self, file: AppendFile, disk: HookedDisk, path: Path) -> None:
        self._file = file
        self._disk = disk
        self._path = path
        self.close = file.close

    def append(self, data: bytes) -> None:
        self._disk.hook("append", self._path)
        self._file.append(data[: len(data) // 2])
        self._disk.hook("append the rest", self._path)
        self._file.append(data[len(data) // 2 :])

    def fsync(self) -> None:
        self._disk.hook("fsync", self._path)

    def fdatasync(self) -> None:
        self._disk.hook("fdatasync", self._path)
