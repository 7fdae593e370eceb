"""The engine's part of the backup commands, handed in by `raft_chat.py`: the commands know no machinery of the log."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raft.backup.report import BackupHeader, Restored


class Check(Protocol):
    """A check of a backup whose bytes come one after the other (`raft.backup.backup_file.BackupCheck`)."""

    def feed(self, data: bytes) -> None:
        """Check the next bytes.  Raises BackupInvalid."""

    def finish(self) -> BackupHeader:
        """Return the header of a whole backup.  Raises BackupInvalid."""


@dataclass(frozen=True, slots=True)
class Content:
    """A sound backup."""

    header: BackupHeader
    messages: int
    rooms: int
    users: int


@dataclass(frozen=True, slots=True)
class BackupTools:
    """The functions that the commands need."""

    new_check: Callable[[], Check]
    header_of: Callable[[Path], BackupHeader]  # of a file that is not checked; raises BackupInvalid, OSError
    verify: Callable[[Path], Content]  # raises BackupInvalid, OSError
    examine: Callable[[Path], dict[str, object]]  # a data directory; raises OSError
    restore: Callable[[Path, Path, int, str], Restored]  # (source, data directory, id, peer URL); RestoreRefused too
