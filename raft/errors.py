"""Whose fault it is, and whether the outcome is known.

Every error the engine raises on purpose is one of these.  The class answers the two questions a caller has:
may I try again as I am (is anything proposed already?), and who has to act.
"""

# What to do about damage: a part of the errors that name it.
ADVICE = (
    "if this member is one of several, remove it from the cluster and add a new node with a new id; "
    "a single node starts from a copy of its directory"
)


class RaftError(Exception):
    """The base of all errors of the engine; its text says what is wrong, where, and what to do."""


class StartRefused(RaftError):
    """This process must not start; the operator has to act.  The text is one line for stderr, the exit code is 1."""


class CorruptLog(StartRefused):
    """The log is damaged where it was durable: starting could lose acknowledged entries."""

    def __init__(self, file: str, offset: int, what: str, advice: str) -> None:
        super().__init__(f"{file}: {what} at byte {offset}; {advice}")
        self.file = file
        self.offset = offset


class InvalidMessage(RaftError):
    """A peer's fault: the bytes it sent are not an RPC.  Nothing was done with them."""


class Diverged(InvalidMessage):
    """This member or the cluster runs on an older copy of its data: they differ in what lasts.  The member ends.

    `log_is_old`: it is this member's log that lacks what it acknowledged, so it must never take part again.
    """

    def __init__(self, detail: str, *, log_is_old: bool) -> None:
        super().__init__(detail)
        self.log_is_old = log_is_old


class OtherFormat(InvalidMessage):
    """What was read is sound, and of a version of this program that writes another format."""

    def __init__(self, found: object, known: int) -> None:
        super().__init__(f"format {found}, and this program knows format {known}; start the version that wrote it")


class RefusedPeer(RaftError):
    """The sender is not a member of this cluster, or not the process that it was: RPC refused, nothing done.

    `code` is one of "other_cluster", "other_incarnation", "older_copy", "removed", "unknown_member", "old_level",
    "not_ready"; "diverged" is said by a member that ends for the reason in the text.
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
    """Nothing was proposed: as much as a leader allows waits for a majority already."""


class Unavailable(RaftError):
    """Nothing was proposed, nobody's fault: no quorum, or too much is waiting.  Try again in `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class OutcomeUnknown(RaftError):
    """It was proposed, and may still be committed or never: only a retry with the same ClientId is safe."""


class ChangeRefused(RaftError):
    """A membership change that is not allowed now or at all; nothing was proposed.

    `code` is one of "change_in_progress", "no_majority", "unknown_member", "id_used", "not_a_voter", "invalid",
    "not_in_contact", "not_taken_over"; of a clock that is to be accepted "clocks_differ".
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class DiskFull(RaftError):
    """Nothing was written: the disk is full, a quota is used up, or the file system is read-only.  Try again later."""


class DiskFailed(RaftError):
    """A write or an fsync failed: what is on disk is not known, so the process ends and nothing is acknowledged."""
