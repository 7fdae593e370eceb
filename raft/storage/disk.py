"""The only access to the disk: a small interface, and the operating system behind it.

Everything the engine stores goes through a `Disk`, so that a simulated one, which loses and tears what was not synced,
can stand in its place.  An implementation keeps these rules:

- a file is made once and then only appended to; nothing is truncated or written in place;
- `append` writes all of its data or raises.  After an OSError the file's content is unknown.  After NoRoom the file
  holds what it held before and some of the new bytes, and what was synced is unchanged;
- appended data lasts once `fsync` or `fdatasync` returned, a name once `sync_directory` returned;
- directories are made with mode 0700, files with 0600: other users of the machine must not read the messages.
"""

import errno
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

TEMPORARY_SUFFIX = ".tmp"
# Errors of a read that say nothing of the data on the disk; any other one is damage.
NO_DAMAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EACCES, errno.EPERM)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_GET_GENERATION = 0x80087601  # FS_IOC_GETVERSION of Linux

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


class FileMarks(NamedTuple):
    """The marks that tell a file from its copies.  0: the file system has none."""

    inode: int
    generation: int = 0  # drawn anew for each inode by ext4, xfs and btrfs

    def is_same_file(self, other: "FileMarks") -> bool:
        """Return whether the two agree in all marks that both have."""
        return all(a == b for a, b in zip(self, other, strict=True) if a and b)


class NoRoom(OSError):
    """A file could not be made, or not fully written, for want of room; no sync was asked for."""


class Closeable(Protocol):
    """Something held open: a file, a lock."""

    def close(self) -> None:
        """Close it; calling it once is enough."""


class AppendFile(Closeable, Protocol):
    """A new file, open for writing at its end.  For one thread."""

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end, in one call if the system takes it in one.  Raises OSError, NoRoom."""

    def fsync(self) -> None:
        """Make content and metadata last.  Raises OSError: never to be retried."""

    def fdatasync(self) -> None:
        """Make the content and its length last.  Raises OSError: never to be retried."""


class ReadFile(Closeable, Protocol):
    """A file open for reading.  Any thread."""

    @property
    def size(self) -> int:
        """The bytes that the file holds now."""

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only where the file ends.  Raises OSError."""


class Disk(Protocol):
    """The operations that the engine needs from a file system.  Every method may raise OSError."""

    def make_directory(self, path: Path) -> None:
        """Make the directory and its missing parents, each durable on return; do nothing if it exists."""

    def list(self, path: Path) -> list[str]:
        """Return the names in a directory, in no order."""

    def create(self, path: Path) -> AppendFile:
        """Make a new, empty file.  Raises FileExistsError if the name is taken; NoRoom."""

    def open(self, path: Path) -> ReadFile:
        """Open an existing file.  Raises FileNotFoundError."""

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file in one step, replacing the file that had the new name."""

    def remove(self, path: Path) -> None:
        """Remove a file's name."""

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory last."""

    def free_bytes(self, path: Path) -> int:
        """Return how much more could be written to new files in a directory; 0 if no file can be made."""

    def marks(self, path: Path) -> FileMarks:
        """Return the marks that a file keeps when it is renamed, and that a copy of it does not have."""

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        """Return the user id that owns a directory, and its mode."""

    def lock(self, path: Path, owner: bytes) -> Closeable:
        """Lock a file for this process, made if missing, and write `owner` into it.

        The lock ends with the process, however it ends.  On a full disk `owner` may not be written. Raises
        BlockingIOError if another process holds the lock.
        """


def create_durably(disk: Disk, path: Path, data: bytes) -> AppendFile:
    """Make a file that is at `path` with all of `data`, or not at all, whenever the power is cut; still open at its
    end.

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
    """Return the content of a small file.  Raises OSError."""
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
            descriptor, self._descriptor = self._descriptor, -1  # another file may get this number at once
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
        # Without O_NONBLOCK, a pipe under a file's name would be waited for.  Regular files do not know the flag.
        return _RealReadFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

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

    def marks(self, path: Path) -> FileMarks:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            inode = os.fstat(descriptor).st_ino
            try:
                generation = int.from_bytes(fcntl.ioctl(descriptor, _GET_GENERATION, bytes(8))[:4], sys.byteorder)
            except OSError:  # tmpfs has none, nor has any other system than Linux
                generation = 0
            return FileMarks(inode, generation)
        finally:
            os.close(descriptor)

    def owner_and_mode(self, path: Path) -> tuple[int, int]:
        found = os.stat(path)
        return found.st_uid, found.st_mode

    def lock(self, path: Path, owner: bytes) -> Closeable:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # the owner is written for people only, so a full disk does not stop the start
                os.pwrite(descriptor, owner, 0)  # before truncating: a full disk has no new block
                os.ftruncate(descriptor, len(owner))
        except BaseException:
            os.close(descriptor)
            raise
        return _Descriptor(descriptor)
