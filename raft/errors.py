"""The errors of the engine: whose fault each is, and whether the outcome is known.

Every error that the engine raises on purpose is one of these.  The class answers the caller's two questions: may I
retry (was anything proposed already?), and who has to act?
"""

from collections.abc import Sequence

# What to do about damage: a part of the errors that name it.
ADVICE = (
    "if this member is one of several, remove it from the cluster and add a new node with a new id; "
    "a single node starts from a copy of its directory"
)


class RaftError(Exception):
    """The base of all errors of the engine; its text says what is wrong, where, and what to do."""


class StartRefused(RaftError):
    """A start that is refused until the operator acts.  The text is one line for stderr; the exit code is 1."""


class CorruptLog(StartRefused):
    """The log is damaged where it was durable: starting could lose acknowledged entries.

    `indexes`: all entries that a read found damaged, ascending; none if the damage is not in entries.
    """

    def __init__(self, file: str, offset: int, what: str, advice: str, indexes: Sequence[int] = ()) -> None:
        super().__init__(f"{file}: {what} at byte {offset}; {advice}")
        self.file = file
        self.offset = offset
        self.what = what
        self.indexes = tuple(indexes)


class InvalidMessage(RaftError):
    """A peer sent bytes that are not an RPC.  Nothing was done with them."""


class UnprovedPeer(InvalidMessage):
    """A peer has not proved that it has the cluster's secret, or is not what it proved to be.  Nothing was done."""


class Diverged(InvalidMessage):
    """The member or the cluster runs on an older copy of its data: their durable states differ.  The member ends.

    `log_is_old`: this member's log lacks what the member acknowledged, so it must never take part again.
    """

    def __init__(self, detail: str, *, log_is_old: bool) -> None:
        super().__init__(detail)
        self.log_is_old = log_is_old


class OtherFormat(InvalidMessage):
    """The data is sound, but a version of this program with another format wrote it."""

    def __init__(self, found: object, known: int) -> None:
        super().__init__(f"format {found}, and this program knows format {known}; start the version that wrote it")


class RefusedPeer(RaftError):
    """The sender is not a member of this cluster, or not the process that it was: RPC refused, nothing done.

    `code` is one of "other_cluster", "other_incarnation", "older_copy", "removed", "unknown_member", "old_level",
    "not_ready"; "diverged" comes from a member that ends for the reason in the text.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class OlderCopy(RefusedPeer):
    """The sender runs on an older copy of its data directory: the cluster has recorded its start `boot` since."""

    def __init__(self, member: int, boot: int, detail: str) -> None:
        super().__init__("older_copy", detail)
        self.member = member
        self.boot = boot


class NotLeader(RaftError):
    """Nothing was proposed: this member does not lead.  `leader` is the id it believes in, 0 for none."""

    def __init__(self, leader: int) -> None:
        super().__init__(f"member {leader} leads, not this one" if leader else "no leader is known")
        self.leader = leader


class Overloaded(RaftError):
    """Nothing was proposed: the leader has as much waiting for a majority as it allows."""


class Unavailable(RaftError):
    """Nothing was proposed: there is no quorum, or too much is waiting.  Retry in a second."""


class OutcomeUnknown(RaftError):
    """The command was proposed, and may be committed later or never: only a retry with the same ClientId is safe."""


class ChangeRefused(RaftError):
    """A change of the cluster that is not allowed now, or not at all; nothing was proposed.

    `code` is one of "change_in_progress", "no_majority", "unknown_member", "id_used", "not_a_voter", "invalid",
    "not_in_contact", "not_taken_over"; for a clock that is to be accepted "clocks_differ".
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class DiskFull(RaftError):
    """Nothing was written: the disk is full, a quota is used up, or the file system is read-only.  Retry later."""


class DiskFailed(RaftError):
    """A write or an fsync failed: the disk's state is not known, so the process ends and acknowledges nothing."""
