"""The values that backups and restores are described by.  No machinery, so any layer may know them."""

from dataclasses import dataclass

from raft.errors import RaftError


class BackupInvalid(RaftError):
    """A file that is no sound backup.  `offset`: the byte from which on it is wrong, of the file before compression."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.offset = offset


class RestoreRefused(RaftError):
    """A restore that is refused; nothing was made.  The text says what to do."""


class BackupRefused(RaftError):
    """No backup can be made now.

    `code` is one of "backup_no_room" (too little space for it), "backup_failed" (try again, or another node).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """A backup's first line."""

    program: str  # the version that made it
    made_at: str  # RFC 3339, in UTC
    cluster_id: str
    generation: str  # "" for the first one
    index: int  # of the log; the backup holds all up to it
    term: int  # of the entry there
    time: int  # of that entry, in microseconds since 1970


@dataclass(frozen=True, slots=True)
class Restored:
    """The content of a new data directory, and of what it was made."""

    id: int
    url: str  # for peers
    cluster_id: str  # the new one
    from_cluster_id: str
    index: int  # the last one that is there
    time: int  # of the entry there, in microseconds since 1970; 0 if it is not known
    entries: int  # live records that were copied
    unconfirmed: int = 0  # the last so many entries are not known to be committed: maybe they were never acknowledged
    damage: str = ""  # why entries behind the index were left out; "" if there were none
