"""The only door to the disk: a small interface, and the operating system behind it.

Everything the engine stores goes through a `Disk`, so that a simulated one, which loses and tears what was not
synced, can stand in its place.  The rules an implementation keeps:

- a file is made once and then only appended to; nothing is truncated or written in place;
- `append` writes all of it or raises; after an OSError nobody knows what the file holds; after NoRoom it holds what it
  held before and some of the new bytes, and what was synced is as it was;
- what was appended lasts once `fsync` or `fdatasync` returned, a name once `sync_directory` returned;
- directories are made with mode 0700, files with 0600: what people write in a chat is nobody else's business.
"""

import errno
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

TEMPORARY_SUFFIX = ".tmp"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_GET_GENERATION = 0x80087601  # FS_IOC_GETVERSION of Linux

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


class Marks(NamedTuple):
    """What tells a file from every copy of it.  0: the file system cannot tell; device numbers change at a reboot."""

    inode: int
    generation: int = 0  # drawn anew for each inode by ext4, xfs and btrfs

    def is_same_file(self, other: "Marks") -> bool:
        """Return whether all that both know is the same."""
        return all(a == b for a, b in zip(self, other, strict=True) if a and b)


class NoRoom(OSError):
    """A file could not be made, or not all was written to it, for want of room; no sync was asked for."""


class Closeable(Protocol):
    """Something held open: a file, a lock."""

    def close(self) -> None:
        """Let go of it; once is enough."""


class AppendFile(Closeable, Protocol):
    """A new file, open for writing at its end.  One thread uses it."""

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end, in one call where the system takes it in one.  Raises OSError, NoRoom."""

    def fsync(self) -> None:
        """Make content and metadata last.  Raises OSError: never to be tried again."""

    def fdatasync(self) -> None:
        """Make the content and its length last.  Raises OSError: never to be tried again."""


class ReadFile(Closeable, Protocol):
    """A file open for reading; any number of threads may use it."""

    @property
    def size(self) -> int:
        """Bytes the file holds now."""

    def pread(self, size: int, offset: int) -> bytes:
        """`size` bytes from `offset`, fewer only where the file ends.  Raises OSError."""


class Disk(Protocol):
    """What the engine asks of a file system.  Every method may raise OSError."""

    def make_directory(self, path: Path) -> None:
        """Make the directory and its missing parents, each durable before this returns; nothing where it is there."""

    def list(self, path: Path) -> list[str]:
        """The names in a directory, in no order."""

    def create(self, path: Path) -> AppendFile:
        """A new, empty file.  Raises FileExistsError where the name is taken; NoRoom."""

    def open(self, path: Path) -> ReadFile:
        """An existing file.  Raises FileNotFoundError."""

    def rename(self, source: Path, target: Path) -> None:
        """Move a file to another name in one step, in place of what had that name."""

    def remove(self, path: Path) -> None:
        """Take a file's name away."""

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory last."""

    def free_bytes(self, path: Path) -> int:
        """How much more could be written to new files in a directory; 0 where no file can be made."""

    def marks(self, path: Path) -> Marks:
        """What a file keeps when it is renamed, and a copy of it does not have."""

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        """The user id that owns a directory, and its mode."""

    def lock(self, path: Path, owner: bytes) -> Closeable:
        """Lock a file, made where it is missing, for this process, and write `owner` into it.

        The lock goes with the process, whatever way that ends; `owner` may not be written where the disk is full.
        Raises BlockingIOError where another holds it.
        """


def create_durably(disk: Disk, path: Path, data: bytes) -> AppendFile:
    """A file that is at `path` with all of `data`, or not at all, whenever the power is cut; still open at its end.

    The name is durable when this returns.  A crash in between leaves at most `path` with TEMPORARY_SUFFIX, and NoRoom
    leaves nothing, if that can be removed.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    file = disk.create(temporary)
    try:
        file.append(data)
    except BaseException as error:
        file.close()
        if isinstance(error, NoRoom):
            with suppress(OSError):
                disk.remove(temporary)
        raise
    try:
        file.fsync()
        disk.rename(temporary, path)
        disk.sync_directory(path.parent)
    except BaseException:
        file.close()
        raise
    return file


def read_all(disk: Disk, path: Path) -> bytes:
    """The content of a small file.  Raises OSError."""
    file = disk.open(path)
    try:
        return file.pread(file.size, 0)
    finally:
        file.close()


class _no_room:
    """Turn an OSError for want of room into NoRoom.  A class: a generator would cost a microsecond an append."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise NoRoom(error.errno, error.strerror, error.filename) from None


class _Descriptor:
    """A descriptor of the operating system that is closed once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1  # the number may be another file's right after
            os.close(descriptor)


class _RealAppendFile(_Descriptor):
    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with _no_room():
                view = view[os.write(self._descriptor, view) :]  # a nearly full disk takes a part before ENOSPC

    def fsync(self) -> None:
        os.fsync(self._descriptor)

    def fdatasync(self) -> None:
        _fdatasync(self._descriptor)


class _RealReadFile(_Descriptor):
    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def pread(self, size: int, offset: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size:  # Linux gives at most 2 GiB a call, and a signal may cut it short
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data


class RealDisk:
    """The file system of this machine."""

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return  # as its owner made it: its mode is their decision
        self.make_directory(path.parent)
        path.mkdir(mode=0o700)
        self.sync_directory(path.parent)

    def list(self, path: Path) -> list[str]:
        return os.listdir(path)

    def create(self, path: Path) -> AppendFile:
        with _no_room():
            return _RealAppendFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600))

    def open(self, path: Path) -> ReadFile:
        return _RealReadFile(os.open(path, os.O_RDONLY))

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def remove(self, path: Path) -> None:
        os.remove(path)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        found = os.statvfs(path)
        has_no_names = found.f_files > 0 and found.f_favail == 0  # no more inodes; some file systems do not count them
        return 0 if has_no_names else found.f_bavail * found.f_frsize

    def marks(self, path: Path) -> Marks:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            inode = os.fstat(descriptor).st_ino
            try:
                generation = int.from_bytes(fcntl.ioctl(descriptor, _GET_GENERATION, bytes(8))[:4], sys.byteorder)
            except OSError:  # tmpfs has none, nor has any other system than Linux
                generation = 0
            return Marks(inode, generation)
        finally:
            os.close(descriptor)

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        found = os.stat(path)
        return found.st_uid, found.st_mode

    def lock(self, path: Path, owner: bytes) -> Closeable:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # for people: a full disk does not keep a node from starting
                os.pwrite(descriptor, owner, 0)  # first: a full disk has no new block for what was cut off
                os.ftruncate(descriptor, len(owner))
        except BaseException:
            os.close(descriptor)
            raise
        return _Descriptor(descriptor)
