"""Calls between members beside the Raft protocol, and the sender that every call and answer names.

Values only, as in `raft/core/raft_messages.py`.  The Node never sees them: the receiving member's engine answers.
"""

from dataclasses import dataclass

from raft.core.raft_messages import ProposalId


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Whole lines of a snapshot's file, each with its checksum, from byte `offset` on; none: where shall I begin?"""

    source: int
    target: int
    last_included_index: int
    last_included_term: int
    bytes_total: int
    offset: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class SnapshotChunkReply:
    """The offset that is wanted next, whatever was sent; the file's size once nothing more is."""

    offset: int


@dataclass(frozen=True, slots=True)
class Propose:
    """A follower hands its clients' commands to the leader; the leader never hands them on.

    Without commands it only asks whether the leader would take some.
    """

    source: int
    target: int
    proposals: tuple[tuple[ProposalId, bytes], ...]


@dataclass(frozen=True, slots=True)
class ProposeReply:
    """`accepted`: appended to the leader's log, no more than that.  Otherwise nothing was; `leader_id` may lead.

    `full`: no majority has room on its disk, so only commands that free space are taken.
    """

    accepted: bool
    leader_id: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A follower's reads ask together from which index on they are linearizable (dissertation §6.4).

    `term`: the follower's after all of these reads had come to it; 0: not said.
    """

    source: int
    target: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """`index` 0: the member does not lead, or stopped leading meanwhile."""

    index: int


@dataclass(frozen=True, slots=True)
class ChangeMembership:
    """`change` names a class of membership.py, in the words of the wire."""

    source: int
    target: int
    change: str
    id: int
    url: str
    voting: bool


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """A member's client asks the leader to have member `id` lead; the answer is a ChangeMembershipReply."""

    source: int
    target: int
    id: int


@dataclass(frozen=True, slots=True)
class AcceptClock:
    """A member's client asks the leader to set the log's time to the clock; the answer is a ChangeMembershipReply."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class ChangeMembershipReply:
    """`code` "" and an index: appended, in `term`; 0, 0: a transfer has begun, or there is nothing to do.

    "not_leader": nothing was done.  Else a ChangeRefused.
    """

    code: str
    detail: str
    index: int
    term: int


@dataclass(frozen=True, slots=True)
class Hello:
    """Before there is a cluster: who is there, and what were you started with?"""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class HelloReply:
    """`listed`: id -> URL as in --cluster.  `members`: id -> incarnation, of the cluster it belongs to, or of the
    founders it has agreed on; empty while it is blank.
    """

    listed: dict[int, str]
    members: dict[int, str]
    removed: tuple[int, ...]
    level: int = 1  # of the cluster: what a member of it has to know


@dataclass(frozen=True, slots=True)
class Notice:
    """What one member's application tells another's, beside the log: it may be lost, overtaken or said again."""

    source: int
    target: int
    body: bytes  # the application's own


@dataclass(frozen=True, slots=True)
class NoticeReply:
    """It has arrived; and the receiver's clock, in microseconds since 1970."""

    time: int


@dataclass(frozen=True, slots=True)
class RecordedBoot:
    """The cluster has recorded the start `boot` of the target, and its data directory is older: it must stop.

    Said to a member whose answer was refused, and which nobody else would tell.  The target looks for itself; all that
    it answers is a refusal.
    """

    source: int
    target: int
    boot: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks, said with every RPC and every reply.  `cluster_id` is "" until the sender knows one."""

    id: int
    incarnation: str
    cluster_id: str
    advertise: str
    level: int = 1  # of the sender's program (membership.py)
    boots: tuple[int, ...] = ()  # of the sender's data directory (boots.py); () from earlier programs
