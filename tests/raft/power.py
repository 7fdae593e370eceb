"""A disk in memory whose power can be cut: of what was not synced anything may be left, names and pages."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from raft.storage.disk import AppendFile, Closeable, FileMarks, ReadFile

PAGE_BYTES = 4096


class Killed(BaseException):
    """The process ends here; nothing in it may catch this."""


class _Inode:
    numbers = itertools.count(2)  # 1 is every directory's

    def __init__(self, data: bytes = b"", number: int = 0) -> None:
        self.number = number or next(self.numbers)
        self.data = bytearray(data)
        self.synced = len(data)

    def after_cut(self, rng: Random) -> "_Inode":
        """What was synced, and of the rest a random length with random pages zeroed."""
        end = rng.choice([self.synced, len(self.data), rng.randint(self.synced, len(self.data))])
        data = self.data[:end]
        for page in range(self.synced // PAGE_BYTES, end // PAGE_BYTES + 1):
            start, stop = max(self.synced, page * PAGE_BYTES), min(end, (page + 1) * PAGE_BYTES)
            if start < stop and rng.random() < 0.2:
                data[start:stop] = bytes(stop - start)
        return _Inode(bytes(data), self.number)


class PowerDisk:
    """`hook(operation, name)` is called before each operation that changes something; it may raise Killed."""

    def __init__(self, names: dict[Path, _Inode] | None = None) -> None:
        self.hook: Callable[[str, str], None] = lambda operation, name: None
        self._names = names or {}
        self._durable = dict(self._names)
        self._pending: list[tuple[Path | None, Path | None, _Inode]] = []  # a name that goes, one that comes

    def cut(self, rng: Random) -> "PowerDisk":
        """The disk as it is found when the power is back."""
        names = dict(self._durable)
        for gone, come, inode in self._pending:
            if rng.random() < 0.5:
                _rename(names, gone, come, inode)
        return PowerDisk({path: inode.after_cut(rng) for path, inode in names.items()})

    def settle(self) -> None:
        """The machine ran on for long: what nobody synced is on the platter too."""
        self.sync_directory(Path())
        for inode in self._names.values():
            inode.synced = len(inode.data)

    def content(self) -> dict[str, bytes]:
        """All files by name."""
        return {path.name: bytes(inode.data) for path, inode in self._names.items()}

    def write(self, path: Path, data: bytes) -> None:
        """Put a durable file there, as no part of the engine does."""
        self._names[path] = self._durable[path] = _Inode(data)

    def _change(self, operation: str, gone: Path | None, come: Path | None, inode: _Inode) -> None:
        self.hook(operation, (gone or come or Path()).name)
        _rename(self._names, gone, come, inode)
        self._pending.append((gone, come, inode))

    def make_directory(self, path: Path) -> None:
        pass

    def list(self, path: Path) -> list[str]:
        split = (str(file).rpartition("/") for file in self._names)  # `file.parent` takes four times as long
        return [name for parent, _, name in split if parent == str(path)]

    def create(self, path: Path) -> AppendFile:
        if path in self._names:
            raise FileExistsError(path)
        self._change("create", None, path, inode := _Inode())
        return _File(self, path.name, inode)

    def open(self, path: Path) -> ReadFile:
        return _File(self, path.name, self._find(path))

    def rename(self, source: Path, target: Path) -> None:
        self._change("rename", source, target, self._find(source))

    def remove(self, path: Path) -> None:
        self._change("remove", path, None, self._find(path))

    def sync_directory(self, path: Path) -> None:
        self.hook("sync_directory", path.name)
        self._durable = dict(self._names)
        self._pending = []

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    def marks(self, path: Path) -> FileMarks:
        return FileMarks(self._find(path).number)

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        return os.geteuid(), 0o700

    def lock(self, path: Path, owner: bytes) -> Closeable:
        return _File(self, path.name, _Inode())

    def _find(self, path: Path) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(path)
        return self._names[path]


def _rename(names: dict[Path, _Inode], gone: Path | None, come: Path | None, inode: _Inode) -> None:
    if gone is not None:
        names.pop(gone, None)
    if come is not None:
        names[come] = inode


def killed_after(steps: int, disk: PowerDisk, action: Callable[..., object], *arguments: object) -> bool:
    """Whether the action was killed: after so many operations that change the disk."""
    left = iter(range(steps))

    def hook(operation: str, name: str) -> None:
        if next(left, None) is None:
            raise Killed

    disk.hook = hook
    try:
        action(*arguments)
    except Killed:
        return True
    finally:
        disk.hook = lambda operation, name: None
    return False


class _File:
    def __init__(self, disk: PowerDisk, name: str, inode: _Inode) -> None:
        self._disk = disk
        self._name = name
        self._inode = inode

    @property
    def size(self) -> int:
        return len(self._inode.data)

    def append(self, data: bytes) -> None:
        self._disk.hook("append", self._name)
        half = len(data) // 2
        self._inode.data += data[:half]
        self._disk.hook("append the rest", self._name)
        self._inode.data += data[half:]

    def fsync(self) -> None:
        self._disk.hook("fsync", self._name)
        self._inode.synced = len(self._inode.data)

    fdatasync = fsync

    def pread(self, size: int, offset: int) -> bytes:
        return bytes(self._inode.data[offset : offset + size])

    def close(self) -> None:
        pass
