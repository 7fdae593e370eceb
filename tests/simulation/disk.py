"""A disk that keeps what was synced and, when the power goes, anything or nothing of the rest.

Rules, the worst that `raft/storage/disk.py` allows: what was appended is in the cache, where every process reads it,
until a sync takes it to the platter.  A power cut keeps any subset of the unsynced pages (zeros where one is missing,
the end anywhere) and a prefix of the changes of names that no directory sync has made last.  A sync that fails leaves
its pages in the cache, where they look written, and no later sync takes them down.  A process that is killed loses
nothing but what it had not written.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from raft.storage.disk import AppendFile, Closeable, FileMarks, NoRoom, ReadFile
from raft.storage.file_names import sequence_of

Names = dict[str, "Content"]
Extent = tuple[int, int]  # from a byte up to another one
RESERVE_BYTES = 2_000


class Died(BaseException):
    """The process is gone in the middle of an operation.  No `except` of the engine's may take it for an error."""


@dataclass(slots=True, eq=False)
class Content:
    """A file, whatever its name."""

    data: bytearray = field(default_factory=bytearray)
    synced: int = 0  # all before it is on the platter, but for `lost`
    lost: list[Extent] = field(default_factory=list)  # pages whose writing back failed
    unreadable: list[Extent] = field(default_factory=list)  # reads that touch these fail


class SimulatedDisk:
    """One machine's data directory, as `raft.storage.disk.Disk`."""

    def __init__(self, rng: Random, page_bytes: int) -> None:
        self.fuse = -1  # so many operations until the process dies; -1: it does not
        self.dead = False  # it has died: not even what it left behind is tidied up
        self.fail_in = -1  # so many operations until one fails; -1: none does
        self.failed = False  # whether one has failed since it was last looked
        self.room = -1  # bytes until it is full; -1: it never is
        self.reserve = RESERVE_BYTES  # held back for then
        self.torn = 0  # files that came out of a power cut with a part of what was unsynced
        self.syncs = 0
        self._rng = rng
        self._page_bytes = page_bytes
        self._names: Names = {}
        self._durable: Names = {}
        self._newest_log = ""
        self._changes: list[Callable[[Names], object]] = []  # of names, since the last sync of the directory

    # Faults

    @property
    def is_full(self) -> bool:
        """Whether nothing is held back any more."""
        return not self.reserve

    def give_up_reserve(self) -> bool:
        """Make room of what is held back; whether there was any."""
        given, self.reserve = self.reserve, 0
        self.room += given
        return given > 0

    def make_room(self) -> None:
        """It is as large as anybody wants."""
        self.room, self.reserve = -1, RESERVE_BYTES

    def lose_power(self) -> None:
        """What is on the platter is all that is left."""
        names = dict(self._durable)
        for change in self._changes[: self._rng.randint(0, len(self._changes))]:
            change(names)
        for _, content in sorted(names.items()):
            self._tear(content)
        self._names, self._durable, self._changes = names, dict(names), []

    def image(self) -> dict[str, bytes] | None:
        """What a snapshot of the volume has: all that is on the platter.  None where a part of that is lost."""
        if any(content.lost for content in self._durable.values()):
            return None
        return {name: bytes(content.data[: content.synced]) for name, content in self._durable.items()}

    def roll_back(self, image: dict[str, bytes]) -> None:
        """The volume is as it was when the image was made."""
        self._names = {name: Content(bytearray(data), len(data)) for name, data in image.items()}
        self._durable, self._changes = dict(self._names), []
        self._newest_log = max((name for name in image if sequence_of(name)), key=sequence_of, default="")

    def revive(self) -> None:
        """Another process may use the disk."""
        self.dead, self.fuse = False, -1

    @property
    def names_are_durable(self) -> bool:
        """Return whether a power cut would change no name."""
        return not self._changes

    def content_of(self, name: str) -> Content | None:
        """The file of this name, as processes see it."""
        return self._names.get(name)

    def lose(self, name: str) -> None:
        """The file is gone for good, as nobody asked for."""
        self._names.pop(name)
        self._durable.pop(name)

    def bring_back(self, name: str, content: Content) -> None:
        """Somebody has brought it back."""
        self._names[name] = self._durable[name] = content

    def unsynced_log(self) -> str:
        """The newest segment's name, if a power cut would change it."""
        content = self._names[self._newest_log]
        return self._newest_log if content.synced < len(content.data) else ""

    def _tear(self, content: Content) -> None:
        for start, end in content.lost:
            self._blank(content.data, start, end, self._rng.random())
        content.lost = []
        if content.synced < len(content.data):
            before = bytes(content.data[content.synced :])
            keep = self._rng.choice([0.0, 0.5, 0.8, 1.0])
            if self._rng.random() < 0.7:  # the length was not written either, or not all of it
                del content.data[self._rng.randint(content.synced, len(content.data)) if keep else content.synced :]
            self._blank(content.data, content.synced, len(content.data), keep)
            after = bytes(content.data[content.synced :])
            self.torn += bool(after and after != before)
            content.synced = len(content.data)

    def _blank(self, data: bytearray, start: int, end: int, keep: float) -> None:
        """Each page in the range survives with probability `keep`."""
        size = self._page_bytes
        for page in range(start // size, (end + size - 1) // size):
            if self._rng.random() >= keep:
                first, last = max(start, page * size), min(end, (page + 1) * size)
                data[first:last] = bytes(last - first)

    def step(self, error: int) -> None:
        """One operation begins; it may be the last, or fail."""
        if self.dead:
            raise Died
        if self.fuse >= 0:
            self.fuse -= 1
            if self.fuse < 0:
                self.dead = True
                raise Died
        if self.fail_in >= 0:
            self.fail_in -= 1
            if self.fail_in < 0:
                self.failed = True
                raise OSError(error, "simulated")

    def cut_of(self, length: int) -> int:
        """How much of a write is through when something happens in its middle."""
        return self._rng.randint(0, length)

    # raft.storage.disk.Disk

    def make_directory(self, path: Path) -> None:
        """It is there."""

    def list(self, path: Path) -> list[str]:
        """The names, in an order that nobody may rely on."""
        names = sorted(self._names)
        return names[::-1] if self._rng.random() < 0.5 else names

    def create(self, path: Path) -> AppendFile:
        """A new, empty file."""
        self.step(errno.ENOSPC)
        if self.room == 0:
            raise NoRoom(errno.ENOSPC, "simulated", str(path))
        if path.name in self._names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        content, name = Content(), path.name
        self._change(lambda names: names.update({name: content}))
        return _Appender(self, content)

    def open(self, path: Path) -> ReadFile:
        """An existing file."""
        content = self._names.get(path.name)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return _Reader(content)

    def rename(self, source: Path, target: Path) -> None:
        """In one step."""
        self.step(errno.EIO)
        old, new = source.name, target.name
        if old not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(source))
        self._change(lambda names: names.update({new: names.pop(old)}))
        if sequence_of(new) > sequence_of(self._newest_log):
            self._newest_log = new

    def remove(self, path: Path) -> None:
        """The name goes; who has the file open may go on reading."""
        self.step(errno.EIO)
        name = path.name
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self._change(lambda names: names.pop(name, None))

    def sync_directory(self, path: Path) -> None:
        """All changes of names last."""
        self.step(errno.EIO)
        self._durable, self._changes = dict(self._names), []

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    def marks(self, path: Path) -> FileMarks:
        """No directory is ever copied here."""
        return FileMarks(1)

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        """The process's own."""
        return os.geteuid(), 0o700

    def lock(self, path: Path, owner: bytes) -> Closeable:
        """One process at a time is all there is here."""
        return _Reader(Content())

    def _change(self, change: Callable[[Names], object]) -> None:
        change(self._names)
        self._changes.append(change)


class _Appender:
    def __init__(self, disk: SimulatedDisk, content: Content) -> None:
        self._disk = disk
        self._content = content

    def append(self, data: bytes) -> None:
        disk = self._disk
        if 0 <= disk.room < len(data):
            self._content.data += data[: disk.room]
            disk.room = 0
            raise NoRoom(errno.ENOSPC, "simulated")
        if disk.room >= 0:
            disk.room -= len(data)
        if disk.fuse < 0 and disk.fail_in < 0 and not disk.dead:
            self._content.data += data
            return
        disk.step(errno.ENOSPC)
        part = disk.cut_of(len(data))
        self._content.data += data[:part]
        disk.step(errno.ENOSPC)
        self._content.data += data[part:]

    def fsync(self) -> None:
        self._sync()

    def fdatasync(self) -> None:
        self._sync()

    def _sync(self) -> None:
        content = self._content
        try:
            self._disk.step(errno.EIO)
        except OSError:
            content.lost.append((content.synced, len(content.data)))
            content.synced = len(content.data)  # no later sync takes them down
            raise
        self._disk.syncs += 1
        content.synced = len(content.data)

    def close(self) -> None:
        pass


class _Reader:
    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content.data)

    def pread(self, size: int, offset: int) -> bytes:
        if self._content.unreadable and any(
            start < offset + size and offset < end for start, end in self._content.unreadable
        ):
            raise OSError(errno.EIO, "simulated")
        return bytes(memoryview(self._content.data)[offset : offset + size])

    def close(self) -> None:
        pass
