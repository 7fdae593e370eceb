"""Calls between members beside the Raft protocol, and the sender that every call and answer names.

Values only, as in `raft/core/raft_messages.py`.  The Node never sees them: the receiving member's engine answers.
"""

from dataclasses import dataclass

from raft.core.raft_messages import Entry, ProposalId


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Whole lines of a snapshot's file, each with its checksum, from byte `offset` on; none: ask where to begin."""

    source: int
    target: int
    last_included_index: int
    last_included_term: int
    bytes_total: int
    offset: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class SnapshotChunkReply:
    """The offset of the next byte that the receiver needs; the file's size once nothing is missing."""

    offset: int


@dataclass(frozen=True, slots=True)
class Propose:
    """Commands that a follower forwards to the leader; the leader never forwards them again.

    Without commands the call only asks whether the leader would accept some.
    """

    source: int
    target: int
    proposals: tuple[tuple[ProposalId, bytes], ...]


@dataclass(frozen=True, slots=True)
class ProposeReply:
    """The answer to a Propose.

    `accepted`: the commands were appended to the leader's log, no more than that.  Otherwise nothing was appended, and
    `leader_id` may lead.  `full`: no majority has room on its disk, so only commands that free space are accepted.
    """

    accepted: bool
    leader_id: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class WantSnapshot:
    """A follower's request to the leader for a snapshot above log index `above`, whatever its log holds.

    The follower needs the state in it (raft/digest/set_aside.py).  The answer comes at once, and the snapshot later, as
    any other.
    """

    source: int
    target: int
    above: int


@dataclass(frozen=True, slots=True)
class WantSnapshotReply:
    """The answer to a WantSnapshot.  `accepted` False: the member does not lead, or makes no snapshots."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A follower's question for all its waiting reads: from which index on are they linearizable (dissertation §6.4)?

    `term`: the follower's term, read after all of these reads had come in; 0: not given.
    """

    source: int
    target: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """The answer to a ReadIndex.  `index` 0: the member does not lead, or stopped leading meanwhile."""

    index: int


@dataclass(frozen=True, slots=True)
class ChangeMembership:
    """A membership change for the leader to append.  `change` names a class of configuration.py."""

    source: int
    target: int
    change: str
    id: int
    url: str
    voting: bool


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """A request to the leader to have member `id` lead; the answer is a ChangeMembershipReply."""

    source: int
    target: int
    id: int


@dataclass(frozen=True, slots=True)
class AcceptClock:
    """A request to the leader to set the log's time to the clock; the answer is a ChangeMembershipReply."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class ChangeMembershipReply:
    """The answer to a change.  `code` "" and an index: appended, in `term`.

    Index and term 0: a transfer has begun, or there is nothing to do.  `code` "not_leader": nothing was done.  Any
    other `code` is that of a ChangeRefused.
    """

    code: str
    detail: str
    index: int
    term: int


@dataclass(frozen=True, slots=True)
class Hello:
    """A question from a member that looks for its cluster: which member is this, and what is its --cluster?"""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class HelloReply:
    """The answer to a Hello.  `listed`: id -> URL as in --cluster.

    `members`: id -> incarnation, of the cluster that the member belongs to, or of the founders it has agreed on; empty
    while it has none.
    """

    listed: dict[int, str]
    members: dict[int, str]
    removed: tuple[int, ...]
    level: int = 1  # of the cluster; a member's program must have at least this level


@dataclass(frozen=True, slots=True)
class Notice:
    """A message between members' applications, outside of the log: it may be lost, reordered or repeated."""

    source: int
    target: int
    body: bytes  # the application's own


@dataclass(frozen=True, slots=True)
class NoticeReply:
    """The answer to a Notice that arrived.

    `time`: the receiver's clock, in microseconds since 1970.  `report`: what the receiver says of itself for operators
    (raft/cluster/member_reports.py), printable.
    """

    time: int
    report: str = ""


@dataclass(frozen=True, slots=True)
class RecordedBoot:
    """The news that the cluster has recorded the start `boot` of the target: its data directory is older, it must stop.

    Sent to a member whose answer was refused, because perhaps no other member will tell it.  The target checks its own
    list of boots, and answers only with a refusal.
    """

    source: int
    target: int
    boot: int


@dataclass(frozen=True, slots=True)
class FetchEntries:
    """A request for entries that are damaged or missing on the source's disk, by ascending index."""

    source: int
    target: int
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FetchedEntries:
    """The answer to a FetchEntries: the entries that are sound on the answering member's own disk, ascending.

    An entry that is asked for, lies below the last one here and is not here, is damaged or missing there too.  No
    entries: the member has none of them.  `commit_index`: what the answering member knows to be committed.
    """

    commit_index: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a call or an answer.  `cluster_id` is "" until the sender knows one."""

    id: int
    incarnation: str
    cluster_id: str
    advertise: str
    level: int = 1  # of the sender's program (configuration.py)
    boots: tuple[int, ...] = ()  # of the sender's data directory (boots.py)
