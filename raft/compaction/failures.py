"""The errors of a child process, in words for the log.  They import next to nothing: everybody can know them."""

from raft.errors import CorruptLog


class RewriteFailed(Exception):
    """A rewrite or a backup that failed; the message says why.  The log is unchanged."""


class RewriteStopped(Exception):
    """A rewrite or a backup that was given up, because this member is shutting down."""


class RewriteDamaged(RewriteFailed):
    """A rewrite that met damage in the log, which is not copied."""

    def __init__(self, damage: CorruptLog) -> None:
        super().__init__(str(damage))
        self.damage = damage
