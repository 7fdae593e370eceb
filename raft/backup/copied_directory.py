"""A data directory as a restore reads it: a live copy, a survivor's, maybe damaged.  Nothing in it is ever changed.

Rules.  What counts is the longest beginning of the log that has no gap.  A view hides what lies behind the first
damage: then the rest reads like a log that ends there.  A snapshot that cannot be used is hidden too, for an older one
may be there, with the segments that the newer one replaced.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from raft.backup.report import RestoreRefused
from raft.core.raft_messages import HardState
from raft.errors import CorruptLog, InvalidMessage
from raft.storage.disk import AppendFile, NoRoom, ReadFile, RealDisk
from raft.storage.file_names import sequence_of, snapshot_index
from raft.storage.identity import LOCK_NAME
from raft.storage.index_file import Indexes
from raft.storage.positions import Positions
from raft.storage.recovery import RecoveredLog, recover

READER = "restore"  # the word of this reader beside any other


class View(RealDisk):
    """A disk that shows a part of a directory, and writes nothing."""

    def __init__(self) -> None:
        self._hidden: set[str] = set()
        self._ends: dict[str, int] = {}
        self._hidden_above = 1 << 62  # segments of a higher sequence

    def hide(self, name: str, offset: int) -> None:
        """Hide what lies behind this place: the file's rest, and all later segments.  The base is hidden as a whole."""
        if not sequence_of(name):
            self._hidden.add(name)
            return
        self._hidden_above = min(self._hidden_above, sequence_of(name))
        if not offset or self._ends.get(name, 1 << 62) <= offset:  # hidden up to here before, and that did not help
            self._hidden.add(name)
        self._ends[name] = offset

    def shows_log(self, path: Path) -> bool:
        """Return whether anything of the log is left to read."""
        return any(sequence_of(name) or snapshot_index(name) for name in self.list(path))

    def list(self, path: Path) -> list[str]:
        return [name for name in super().list(path) if self._shows(name)]

    def _shows(self, name: str) -> bool:
        return name not in self._hidden and sequence_of(name) <= self._hidden_above

    def open(self, path: Path) -> ReadFile:
        file = super().open(path)
        end = self._ends.get(path.name)
        return file if end is None else _Beginning(file, end)

    def create(self, path: Path) -> AppendFile:
        raise NoRoom(0, "this directory is only read", str(path))  # an index that cannot be made is none

    def make_directory(self, path: Path) -> None:
        self._refuse(path)

    def rename(self, source: Path, target: Path) -> None:
        self._refuse(source)

    def remove(self, path: Path) -> None:
        self._refuse(path)

    def sync_directory(self, path: Path) -> None:
        self._refuse(path)

    def _refuse(self, path: Path) -> NoReturn:
        raise AssertionError(f"{path} is only read")


class _Beginning:
    """The first bytes of a file."""

    def __init__(self, file: ReadFile, end: int) -> None:
        self._file = file
        self._end = end

    @property
    def size(self) -> int:
        return min(self._file.size, self._end)

    def pread(self, size: int, offset: int) -> bytes:
        return self._file.pread(max(0, min(size, self._end - offset)), offset)

    def close(self) -> None:
        self._file.close()


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep nodes from starting in the directory.  Raises RestoreRefused: one runs there."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # a copy may have none
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise RestoreRefused(
                f"a node runs on {directory} (process {owner}). Stop it, or restore a copy of the directory, or make a "
                "backup of the running node: raft-chat backup"
            ) from None
        yield
    finally:
        os.close(descriptor)


def recovered(view: View, directory: Path) -> RecoveredLog:
    """Read the part of the log that the view shows.  Raises CorruptLog, StartRefused."""
    bases = [name for name in view.list(directory) if snapshot_index(name)]
    if bases and not any(map(sequence_of, view.list(directory))):
        return _base_alone(view, directory, max(bases))
    return recover(view, directory, "", True, None, beside=READER)


def _base_alone(view: View, directory: Path, name: str) -> RecoveredLog:
    """Read a snapshot without the segments that went on after it.  Raises CorruptLog."""
    log = RecoveredLog()
    try:
        base = Indexes(view, directory, READER).base(name)
    except (InvalidMessage, OSError) as error:
        raise CorruptLog(str(directory / name), 0, f"the snapshot cannot be used: {error},", "") from None
    slot = log.files.reserve(base.file)
    log.files.rebase(base.file, slot)
    log.positions = Positions(base.file.meta.index, base.sparse, slot)
    log.last_time, log.cluster_id, log.last_index = base.file.meta.time, base.cluster_id, base.file.meta.index
    log.hard_state = HardState(base.file.meta.term, 0, base.file.meta.index)
    return log
