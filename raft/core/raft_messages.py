"""Entries, hard state and the RPCs of the Raft paper (Figure 2) and the dissertation, as frozen values.

Values only: no behaviour, and no bytes but those of commands and records.  `raft/rpc/codec.py` turns them into JSON
and back.  `raft/rpc/calls.py` has the calls beside the protocol.  The values that each post makes are tuples: a tuple
is made in a third of a dataclass's time.
Ids of members are 1 and up; 0 means none.  Indexes are 1 and up; index 0, term 0 is the empty log's end.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """The kind of an entry; the value is the field of its JSON record that names it."""

    COMMAND = "command"  # opaque JSON for the state machine
    CONFIGURATION = "configuration"  # the members from this index on
    NOOP = "noop"  # a leader's first entry of its term (Raft §8)
    CLOCK = "clock"  # the log's time is another one from here on (clocks.py)


class ProposalId(NamedTuple):
    """The name of one proposal, for ever: a retry after a lost leader is applied once (dissertation §6.3)."""

    member: int  # the member that took the request
    boot: int  # of that member's start; grows with each one
    sequence: int  # counts that member's proposals of this boot
    reach: int  # proposals of this boot that are further below `sequence` are answered, and may be forgotten


class Entry(NamedTuple):
    """An entry of the log.  `record` is the whole line as it stands in the log file and is sent to peers."""

    index: int  # type: ignore[assignment]  # in the place of tuple.index, which nobody needs here
    term: int
    time: int  # microseconds since 1970, set by the leader; only a clock entry may be earlier than the entry before
    kind: Kind
    id: ProposalId | None  # commands have one; the engine's own entries have none
    body: bytes  # JSON: the command or the configuration; b"null" for a no-op; of a clock entry the time before it
    record: bytes


class Command(NamedTuple):
    """An applied command, read back from the log: the fields of its entry that a reader needs."""

    index: int  # type: ignore[assignment]  # as in Entry
    time: int
    body: bytes  # JSON


@dataclass(frozen=True, slots=True)
class HardState:
    """The state that must be on disk before an RPC is answered (Raft Figure 2), with the commit index as a hint."""

    current_term: int = 0
    voted_for: int = 0
    commit_index: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """The description of a snapshot (Raft §7): the log up to `index`, and the configuration in force there."""

    index: int  # of the last entry included
    term: int  # of that entry
    time: int  # of that entry
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
    """The answer to a RequestVote.  A granted pre-vote carries the term asked for, any other the voter's own term."""

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
    from its disk, outside the lock, and drops the message if they do not end in `last_term`.
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
    last_index: int = 0  # set if `entries` is None
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
    """The leader's order to a caught-up member to campaign at once (dissertation §3.10)."""

    source: int
    target: int
    term: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class TimeoutNowReply:
    """The answer to a TimeoutNow: it says only that the order arrived, and the member's term."""

    source: int
    target: int
    term: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """The order to go on from a snapshot (Raft §7), whose data SnapshotChunks have brought before."""

    source: int
    target: int
    term: int
    snapshot: SnapshotMeta
    received: bool = False  # set by the receiver: all of the data is on its disk
    request: int = 0
    acknowledged: int = 0  # the index up to which the receiver has acknowledged the log in this term


@dataclass(frozen=True, slots=True)
class InstallSnapshotReply:
    """`success`: all up to `match_index`, the snapshot's end, is durable here, by the snapshot or by the log."""

    source: int
    target: int
    term: int
    success: bool
    match_index: int
    request: int = 0


Request = RequestVote | AppendEntries | InstallSnapshot | TimeoutNow
Reply = RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TimeoutNowReply
Message = Request | Reply
