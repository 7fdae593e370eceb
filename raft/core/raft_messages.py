"""Entry, HardState and the RPCs as frozen values, named as in the Raft paper (Figure 2) and the dissertation.

Values only: no behaviour, no bytes but those of commands and records.  `wire.py` turns them into JSON and back.
What there is one of for each post is a tuple: those are made in a third of a dataclass's time.
Ids of members are 1 and up; 0 means none.  Indexes are 1 and up; index 0, term 0 is the empty log's end.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What an entry carries; the value is the member of its JSON record that names it."""

    COMMAND = "command"  # opaque JSON for the state machine
    CONFIGURATION = "configuration"  # the members from this index on
    NOOP = "noop"  # a leader's first entry of its term (Raft §8)
    CLOCK = "clock"  # the log's time is another one from here on (clocks.py)


class ProposalId(NamedTuple):
    """Names one proposal for ever, so that a retry after a lost leader is applied once (dissertation §6.3)."""

    member: int  # who took the request
    boot: int  # how often that member had started; grows with each start
    sequence: int  # counts that member's proposals of this boot
    reach: int  # of this boot, all that lies further below `sequence` is answered: its memory may go


class Entry(NamedTuple):
    """One place of the log.  `record` is the whole line as it stands in the log file and travels to peers."""

    index: int  # type: ignore[assignment]  # in the place of tuple.index, which nobody needs here
    term: int
    time: int  # microseconds since 1970, set by the leader, never less than the entry's before but in a clock entry
    kind: Kind
    id: ProposalId | None  # commands have one; the engine's own entries have none
    body: bytes  # JSON: the command or the configuration; b"null" for a no-op; of a clock entry the time before it
    record: bytes


class Command(NamedTuple):
    """An applied command, read back from the log: all of its entry that its reader asks for."""

    index: int  # type: ignore[assignment]  # as in Entry
    time: int
    body: bytes  # JSON


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be on disk before an RPC is answered (Raft Figure 2), and the commit index as a hint for the start."""

    current_term: int = 0
    voted_for: int = 0
    commit_index: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What a snapshot stands for (Raft §7): the log up to `index`, and the configuration in force there."""

    index: int  # of the last entry included
    term: int  # its
    time: int  # its
    configuration_index: int  # 0: the founding one, which is in no log
    configuration: bytes  # JSON, as Configuration.encode makes it


@dataclass(frozen=True, slots=True)
class RequestVote:
    """Raft §5.2, §5.4; `pre_vote`: dissertation §9.6, `term` is then the term the sender would campaign in."""

    source: int
    target: int
    term: int
    last_log_index: int
    last_log_term: int
    pre_vote: bool = False
    transfer: bool = False  # the leader asked for it: stickiness does not hold (dissertation §4.2.3)
    request: int = 0  # echoed in the reply; the driver finds the waiting RPC by it


@dataclass(frozen=True, slots=True)
class RequestVoteReply:
    """A granted pre-vote carries the term asked for, anything else the voter's own term."""

    source: int
    target: int
    term: int
    vote_granted: bool
    pre_vote: bool = False
    request: int = 0


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """Raft §5.3.  A heartbeat is one without entries at the follower's own match_index, so it never conflicts.

    `entries` None: the leader no longer holds them in memory; the driver reads prev_log_index + 1 to `last_index`
    from its disk, outside the lock, and drops the message where they do not end in `last_term`.
    """

    source: int
    target: int
    term: int
    prev_log_index: int
    prev_log_term: int
    entries: tuple[Entry, ...] | None
    leader_commit: int
    round: int  # of ReadIndex (dissertation §6.4), echoed
    heartbeat: bool = False
    last_index: int = 0  # where `entries` is None
    last_term: int = 0
    request: int = 0


@dataclass(frozen=True, slots=True)
class AppendEntriesReply:
    """`success`: the log matches the leader's and is durable up to `match_index`.

    Otherwise `conflict_term` is the follower's term at prev_log_index (0: its log is shorter) and `conflict_index`
    the first index it holds of that term, or one past its last: the leader rewinds a term a step (Raft §5.3 end).
    `full`: the follower's disk has no room, so it may have taken fewer entries than it was sent, or none.
    """

    source: int
    target: int
    term: int
    success: bool
    match_index: int
    round: int
    heartbeat: bool = False
    conflict_index: int = 0
    conflict_term: int = 0
    request: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader asks a caught-up member to campaign at once (dissertation §3.10)."""

    source: int
    target: int
    term: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class TimeoutNowReply:
    """Says only that TimeoutNow arrived, and in which term."""

    source: int
    target: int
    term: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """Raft §7, without the data: those go ahead of it as SnapshotChunks, and this asks to go on from there."""

    source: int
    target: int
    term: int
    snapshot: SnapshotMeta
    received: bool = False  # the receiver's own: all of the data lie on its disk
    request: int = 0
    acknowledged: int = 0  # up to where the receiver has answered in this term that it holds the log


@dataclass(frozen=True, slots=True)
class InstallSnapshotReply:
    """`success`: all up to `match_index`, the snapshot's end, is durable here, by the snapshot or by the log."""

    source: int
    target: int
    term: int
    success: bool
    match_index: int
    request: int = 0


# Between drivers, beside the protocol: what a member asks another one's driver.


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


Request = RequestVote | AppendEntries | InstallSnapshot | TimeoutNow
Reply = RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TimeoutNowReply
Message = Request | Reply
