"""Node: the protocol, pure.  No clock, no thread, no I/O, no logging; time and randomness come in as arguments.

The driver calls an input (`tick`, `step`, `propose`, `read_index`, `change_membership`, `transfer_leadership`,
`persisted`, `unreachable`, `leader_gone`, `sending`, `identified`, `compacted`, `set_room`), then `ready()` once, and
does what the Ready says:

1. Write `hard_state` and `entries` in the order of the Readys, sync, then call `persisted(sequence)`.  If there is a
   received `snapshot`, first replace the whole log by it.
2. Send `messages` at any time, `messages_after` only once the write numbered `sequence` is durable.
3. Apply entries up to `commit_index`; confirm `reads` once applied up to their index; try `reads_lost` elsewhere.

Rules kept here, by name of their source:
- One vote a term, kept over a crash: a vote is answered, and the own vote counted, after it is durable (Raft §5.2).
- A leader never changes its own log; a follower truncates only at a real conflict, so that a stale or reordered
  append removes nothing (Raft §5.3).
- Only an entry of the leader's own term is committed by counting; earlier ones go along with it (Raft §5.4.2).
- The leader sends before its own disk has the entries, and counts itself only for what is durable
  (dissertation §10.2.1).
- `durable_index` falls at once with a truncation, and only the write of the new entries raises it again: the end of
  an older write of the same indexes says nothing about the new ones.
- A snapshot replaces a log only if the log does not hold the snapshot's last entry (Raft §7).  Whatever a snapshot
  covers is committed, so a log that holds that entry holds all of it.
- No leader lacks committed entries (Raft §5.4.3).  So a member that knows a committed index, even beyond the end of its
  own log, neither campaigns nor votes for a log that ends before it: such a log lags behind, or is an older copy.
- Messages may be lost, doubled, delayed and reordered; an answer counts only in the term it was asked in.
- A member whose disk is full accepts and acknowledges only what its reserve holds, and says so.  A leader whose disk is
  full transfers leadership if a majority has room.  If no majority has room, a leader accepts only commands that free
  space.
- A member whose state differs from the others' (`bar`) does not campaign, and hands leadership over.  Its log is sound,
  so it votes, and what it acknowledges counts.  Only if no leader is heard for BARRED_TIMEOUTS it campaigns, since
  the others may lack entries that it holds; it hands over as soon as they have them.
- A follower whose driver knows that the leader's process has ended (`leader_gone`) does not wait for that leader any
  more, and soon asks for pre-votes.  No member believes that of a candidate: one that hears the leader refuses.
- A follower may ask for a snapshot though its log goes on without one (`want_snapshot`): it needs the state in it.
  The snapshot takes the place of a prefix of its log then, and removes nothing that it has acknowledged (Raft §7).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import NamedTuple, Protocol

from raft.core.configuration import (
    Change,
    Configuration,
    DescribeMember,
    PromoteMember,
    RemoveMember,
    decode_configuration,
)
from raft.core.entries import clock_entry, command_entry, configuration_entry, noop_entry
from raft.core.log import Log
from raft.core.progress import Mode, Progress
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    HardState,
    InstallSnapshot,
    InstallSnapshotReply,
    Kind,
    Message,
    ProposalId,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.errors import ChangeRefused, DiskFull, Diverged, InvalidMessage, NotLeader, Overloaded

PROBE_BYTES_MAX = 16 << 10  # a probe may be refused, so it is small
LOAD_ENTRIES_MAX = 256  # entries that the driver reads from disk for one append, in a few milliseconds
TERM_JUMP_MAX = 1 << 32  # an election a millisecond for a month; terms never fall, so a false one must not use them up
SNAPSHOT_TIMEOUTS = 10  # election timeouts before a snapshot is requested again; a transfer under way goes on
LISTEN_MS = 2_000  # to hear a leader: it calls every member at each heartbeat, also an unreachable one
_ROUNDING_MS = 0.001  # sums of ticks may fall short of a heartbeat by this
_NO_MEMBERS = Configuration({})
_NO_ROOM = "no majority of the nodes has room on its disk; nothing was changed"
BARRED_TIMEOUTS = 10  # election timeouts without a leader before a barred member campaigns
BARRED_LEADS_TIMEOUTS = 4  # election timeouts in which a barred leader hands over; then it steps down
REMOVED_TIMEOUTS = 4  # election timeouts during which a removed member is still told that it was removed


class Random(Protocol):
    """The methods of `random.Random` that the core needs."""

    def uniform(self, a: float, b: float, /) -> float: ...
    def getrandbits(self, k: int, /) -> int: ...


class Role(Enum):
    """The roles of Raft Figure 4, and the candidate before it raises its term (dissertation §9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Settings:
    """Timers and bounds.  Each election timeout is drawn anew, from one to two times the value."""

    heartbeat_ms: float = 60
    election_timeout_ms: float = 300
    append_bytes_max: int = 1 << 20
    uncommitted_bytes_max: int = 64 << 20  # of a leader's proposals: a majority that is slow must not fill its disk


class Ready(NamedTuple):  # one is made at each step: a frozen dataclass costs four times as much
    """The driver's next duties; see the top of this file."""

    sequence: int  # of the newest write asked for so far, this one included
    hard_state: HardState | None
    entries: tuple[Entry, ...]  # in order; an entry replaces all earlier ones at its index or above
    messages: tuple[Message, ...]
    messages_after: tuple[Message, ...]
    commit_index: int  # committed and durable here
    reads: tuple[tuple[int, int], ...]  # (token, index)
    reads_lost: tuple[int, ...]
    snapshot: SnapshotMeta | None = None

    @property
    def writes(self) -> bool:
        """Return whether there is something to persist."""
        return self.hard_state is not None or bool(self.entries)


@dataclass(slots=True)
class _Write:
    """A Ready's write that is not durable yet, and how far the log will be durable with it."""

    sequence: int
    last_index: int
    asked_ms: float


class Node:
    """The protocol state of a member."""

    def __init__(
        self,
        id: int,
        *,
        log: Log,
        hard_state: HardState,
        configurations: Sequence[tuple[int, Configuration]],
        rng: Random,
        settings: Settings | None = None,
        last_time: int = 0,
        snapshot: SnapshotMeta | None = None,
        generation: str = "",
    ) -> None:
        """Start from a durable log.

        `configurations`: (index, value), ascending, never empty.  The last one is in force; an earlier one is in force
        again if the last one is truncated.  `last_time`: the time of the newest entry.  `snapshot`: the log's base.
        `generation`: the generation that a sole voter commits because it started from a copy, "" for none.  Such a
        member listens first: the cluster may have got other members since the copy was made.
        """
        self.id = id
        self.log = log
        self.snapshot = snapshot
        self._generation = generation
        self.rng = rng
        self.settings = settings or Settings()
        self.current_term = hard_state.current_term
        self.voted_for = hard_state.voted_for
        self.commit_index = max(hard_state.commit_index, log.base_index)
        self.known_committed = self.commit_index  # the highest index known to be committed, in this log or not
        self.durable_index = log.last_index
        self.role = Role.FOLLOWER
        self.leader_id = 0
        self._room_bytes = inf  # of entries that the disk takes; finite while it is full
        self._hole = 0  # the highest index whose entry is damaged on the disk
        self._configurations = list(configurations)
        self._last_time = last_time
        self._clock_index = 0  # of the newest clock entry since the start; another one wherever that may be another
        self._time = last_time  # the time given by the last tick, or the newest entry's if a clock entry came since

        self._ticked_ms: float | None = None
        self._clock_ms = 0.0  # grows by at most a heartbeat a tick
        self._barred_ms: float | None = None  # since when this member is barred, or leads so
        self._wants_above = 0  # a snapshot above this index is wanted, although the log may hold its last entry
        self._leader_contact_ms = float("-inf")
        self._gone_leader = 0  # the leader whose process ended last, as far as is known here,
        self._hurries_until_ms = 0.0  # and until when pre-votes are asked for again after a short wait
        self._election_deadline_ms = 0.0
        self._listens_until_ms = LISTEN_MS if generation else 0.0
        self._reset_election_deadline()

        self._votes: set[int] = set()  # the voters that granted; a repeated answer counts once
        self._own_vote_sequence = 0  # the write that makes this candidacy's own vote durable

        self._round = 0  # of ReadIndex; grows for ever, so that an answer to an earlier one never fits
        self._described: dict[int, DescribeMember] = {}  # by member: its latest description
        self._reset_leadership()

        self._sequence = 0
        self._persisted_sequence = 0
        self._hard_state_sequence = 0  # the write that makes current_term and voted_for durable
        self._writes: deque[_Write] = deque()
        self._hard_state_changed = False
        self._commit_written = self.commit_index
        self._wrote_since_tick = False
        self._installed: SnapshotMeta | None = None  # not in a Ready yet
        self._unwritten: list[Entry] = []
        self._messages: list[Message] = []
        self._messages_after: list[Message] = []
        self._reads_confirmed: list[tuple[int, int]] = []
        self._reads_lost: list[int] = []
        self._handlers = self._handler_table()

    def _reset_leadership(self) -> None:
        """Set the state of a leader as it is at the beginning of a term."""
        self._uncommitted: deque[tuple[int, int]] = deque()  # (last index, bytes) of each batch proposed in this term
        self._uncommitted_bytes = 0  # inherited entries were bounded by the leaders before
        self._progress: dict[int, Progress] = {}
        self._departing: dict[int, float] = {}  # removed members and until when they are still told
        self._heartbeat_sent_ms = self._clock_ms
        self._transfer_target = 0
        self._transfer_deadline_ms = 0.0
        self._reads_open: list[tuple[int, int]] = []  # (token, index) waiting for the current round
        self._reads_next: list[int] = []  # arrived after the current round was sent

    def _handler_table(self) -> dict[type, Callable[..., None]]:
        return {
            RequestVote: self._on_request_vote,
            RequestVoteReply: self._on_request_vote_reply,
            AppendEntries: self._on_append_entries,
            AppendEntriesReply: self._on_append_entries_reply,
            InstallSnapshot: self._on_install_snapshot,
            InstallSnapshotReply: self._on_install_snapshot_reply,
            TimeoutNow: self._on_timeout_now,
            TimeoutNowReply: self._on_timeout_now_reply,
        }

    # Properties for other code

    @property
    def configuration(self) -> Configuration:
        """The newest configuration in the log, committed or not: in force once appended (dissertation §4.1)."""
        return self._configurations[-1][1]

    @property
    def configuration_index(self) -> int:
        """The log index of the configuration in force; 0: it is not in the log."""
        return self._configurations[-1][0]

    @property
    def committed_configuration(self) -> Configuration:
        """The newest committed configuration; the founding one until then."""
        return next((c for index, c in reversed(self._configurations) if index <= self.commit_index), _NO_MEMBERS)

    @property
    def is_removed(self) -> bool:
        """Return whether a committed change removed this member."""
        return self.id in self.committed_configuration.removed

    @property
    def progress(self) -> dict[int, Progress]:
        """A leader's view of the others; empty elsewhere.  Not to be changed."""
        return self._progress if self.role is Role.LEADER else {}

    @property
    def silent_ms(self) -> float:
        """The time since this member heard a leader, on its own clock; without meaning for a leader."""
        return self._clock_ms - self._leader_contact_ms

    @property
    def listens(self) -> bool:
        """Return whether this member, a sole voter started from a copy, still waits for a call of another leader."""
        return self._clock_ms < self._listens_until_ms

    @property
    def clock_ms(self) -> float:
        """The core's clock, which the times of `Progress` are in."""
        return self._clock_ms

    @property
    def write_age_ms(self) -> float:
        """The time since the oldest write that is not durable yet was asked for; 0 if there is none."""
        return self._clock_ms - self._writes[0].asked_ms if self._writes else 0.0

    @property
    def last_time(self) -> int:
        """The newest entry's time, committed or not; 0 if the log never had one."""
        return self._last_time

    @property
    def clock_index(self) -> int:
        """A number that changes whenever the newest clock entry in the log changes, or may have changed."""
        return self._clock_index

    def holds(self, index: int, term: int) -> bool:
        """Return whether this log holds that committed entry.  If it does, a snapshot that ends there is of no use."""
        return index <= self.commit_index or self.log.term_at(index) == term

    def awaits_snapshot(self, index: int) -> bool:
        """Return whether this member has asked for a snapshot, and one up to `index` will do."""
        return 0 < self._wants_above < index

    def holds_durably(self, index: int, term: int) -> bool:
        """Return whether that entry is committed and durable here, so that a snapshot may replace the log up to it."""
        return index <= min(self.commit_index, self.durable_index) and self.log.term_at(index) == term

    @property
    def has_committed_in_term(self) -> bool:
        """Return whether an entry of the current term is committed.

        Before that, a leader cannot know how far the log is committed.
        """
        return self.log.term_at(self.commit_index) == self.current_term and self.commit_index > 0

    @property
    def is_full(self) -> bool:
        """Return whether this member's disk has no room but its reserve."""
        return self._room_bytes != inf

    @property
    def majority_has_room(self) -> bool:
        """Return whether a majority of voters in contact has room, as far as a leader knows; for a leader only."""
        if not self.is_full and not any(progress.full for progress in self._progress.values()):
            return True
        having = [id for id, other in self._progress.items() if not other.full and self._is_in_contact(other)]
        return self.configuration.is_majority(having if self.is_full else [*having, self.id])

    # Inputs

    def tick(self, now_ms: float, time: int) -> None:
        """Advance the clock.  `now_ms`: any steady clock; `time`: microseconds since 1970, stamped on entries.

        A tick advances by at most one heartbeat.  Otherwise a process that was paused would take its own pause for the
        silence of its leader, or of its followers.
        """
        last_ms = now_ms if self._ticked_ms is None else self._ticked_ms
        self._clock_ms += min(max(now_ms - last_ms, 0.0), self.settings.heartbeat_ms)
        self._ticked_ms = now_ms
        self._time = time
        self._note_commit_when_idle()
        if self.role is Role.LEADER:
            self._tick_leader()
        elif self._may_campaign() and self._election_is_due():
            if self._lacks_committed(self.log.last_index):
                self._wait_for_candidate()
            else:
                self.become_pre_candidate()

    def is_calm(self) -> bool:
        """Return whether a tick a heartbeat is enough: no timer ends sooner than half an election timeout from now.

        A leader has to send heartbeats only.  A follower of one that was heard lately does not campaign soon.
        """
        if self.role is Role.LEADER:
            return not self._transfer_target
        soon_ms = max(self.settings.election_timeout_ms / 2, self.settings.heartbeat_ms)
        return bool(self.leader_id) and self._election_deadline_ms - self._clock_ms > soon_ms

    def step(self, message: Message) -> None:
        """Process a message from a peer.  Raises InvalidMessage if a correct peer cannot have sent it."""
        if message.term > self.current_term + TERM_JUMP_MAX:
            raise InvalidMessage(f"term {message.term} is beyond what elections lead to from term {self.current_term}")
        self._handlers[type(message)](message)

    def propose(self, commands: Sequence[tuple[ProposalId, bytes]], time: int, *, frees: bool = False) -> int:
        """Append commands, in order; return the first one's index.

        `frees`: all of them free space, so they are accepted even if no majority has room. Raises NotLeader, Overloaded
        or DiskFull, then nothing is appended.
        """
        self._require_leader_that_stays()
        self._require_room(commands)
        if not self.majority_has_room:
            self._require_reserve(commands, frees)
        first = self.log.last_index + 1
        stamp, term = self._stamp(time), self.current_term
        entries = [command_entry(first + n, term, stamp, id, command) for n, (id, command) in enumerate(commands)]
        self._append(entries)
        self._note_uncommitted(entries)
        for proposer in {id.member for id, _ in commands}.intersection(self._progress):
            self._progress[proposer].awaited_index = self.log.last_index
        self._replicate()
        return first

    def require_room(self) -> None:
        """Raise DiskFull if only commands that free space are accepted, NotLeader if none are."""
        self._require_leader_that_stays()
        if not self.majority_has_room:
            raise DiskFull(_NO_ROOM)

    def read_index(self, token: int, follower: int = 0, follower_term: int = 0) -> None:
        """Ask from which index on a read is linearizable; a later Ready names `token` (dissertation §6.4).

        Raises NotLeader.  `token` is the caller's own.  `follower`: the member that asks, and its term after the read
        had come in.  That proves as much as an answer to a heartbeat sent after the read: the follower had not voted in
        a later term.  If the follower and this leader make a majority, no other member can have led when the read came,
        and no round is needed.
        """
        self._require_leader()
        vouched = follower_term == self.current_term and self.configuration.is_majority([self.id, follower])
        if vouched and self.has_committed_in_term:
            self._reads_confirmed.append((token, self.commit_index))
            return
        self._reads_next.append(token)
        if not self._reads_open:
            self._open_round()

    def change_membership(self, change: Change, time: int) -> int:
        """Append a changed configuration; return its index.  Raises NotLeader or ChangeRefused.

        One change at a time, and none before an entry of this term is committed: otherwise two leaders could change one
        voter each in different directions (the published fix to dissertation §4.1).
        """
        self._require_leader_that_stays()
        self._require_settled_configuration()
        configuration = self.configuration.after(change)
        if isinstance(change, RemoveMember | PromoteMember):
            self._require_reachable_majority(configuration)
        return self._append_configuration(configuration, time)

    def set_clock(self, before: int, time: int) -> int:
        """Append a clock entry that sets the log's time from `before` to `time`; return its index.

        The only entry that may be stamped earlier than the one before it.  Raises NotLeader.
        """
        self._require_leader_that_stays()
        index = self.log.last_index + 1
        self._append([clock_entry(index, self.current_term, time, self._stamp(before))])
        self._replicate()
        return index

    def transfer_leadership(self, target: int = 0) -> int:
        """Transfer leadership to `target`, or to the best successor; return its id.  Dissertation §3.10.

        A transfer is given up after an election timeout, even if asked for again.  Raises NotLeader or ChangeRefused.
        """
        self._require_leader()
        target = target or self._transfer_target or self.best_successor()
        if target == self.id:
            return target
        if target not in self.configuration.members:
            raise ChangeRefused("not_a_voter", f"member {target} cannot lead: there is no member {target}")
        if not self.configuration.is_voter(target):
            raise ChangeRefused("not_a_voter", f"member {target} cannot lead: it does not vote")
        if self._transfer_target not in (0, target):
            raise ChangeRefused("change_in_progress", f"leadership is handed to member {self._transfer_target} now")
        if not self._is_in_contact(self._progress[target]):
            raise ChangeRefused("not_in_contact", f"member {target} cannot lead: it does not answer")
        if not self._transfer_target:
            self._begin_transfer(target)
        self._continue_transfer()
        return target

    def persisted(self, sequence: int) -> None:
        """Note that all writes up to the one numbered `sequence` are durable."""
        self._persisted_sequence = max(self._persisted_sequence, sequence)
        while self._writes and self._writes[0].sequence <= sequence:
            self.durable_index = max(self.durable_index, self._writes.popleft().last_index)
        if self.role is Role.CANDIDATE and self._own_vote_sequence <= self._persisted_sequence:
            self._count_vote(self.id)
        if self.role is Role.LEADER:
            self._advance_commit()

    def unreachable(self, member: int) -> None:
        """Note that an append or a snapshot to `member` failed: what was in flight may be lost."""
        progress = self._progress.get(member)
        if self.role is Role.LEADER and progress is not None and progress.in_flight:
            progress.lost()

    def leader_gone(self, leader: int, term: int) -> bool:
        """Forget the leader of `term`, whose process has ended; return False if this member does not follow it.

        The term, the vote and the log stay, and the next append of that leader makes it the leader again.  So a false
        report costs a few pre-votes, which the members that hear the leader refuse.
        """
        if self.role is not Role.FOLLOWER or (self.leader_id, self.current_term) != (leader, term):
            return False
        self.become_follower(self.current_term, 0)
        self._gone_leader = leader
        self._hurries_until_ms = self._clock_ms + self.settings.election_timeout_ms
        self._election_deadline_ms = min(self._election_deadline_ms, self._clock_ms + self._hurried_wait_ms())
        return True

    def sending(self, member: int) -> None:
        """Restart the time-out of an append or a snapshot that is still on its way to `member`, over a slow line."""
        progress = self._progress.get(member)
        if progress is not None and progress.in_flight:
            progress.sent_ms = self._clock_ms

    def identified(self, member: int, incarnation: str, advertise: str, level: int, boot: int = 0) -> None:
        """Note what `member` reports about itself; a leader puts it into the configuration."""
        self._described[member] = DescribeMember(member, incarnation, advertise, level, boot)

    def set_room(self, room_bytes: int | None) -> None:
        """Note how many bytes of entries the full disk still takes; None: it has room."""
        self._room_bytes = inf if room_bytes is None else room_bytes

    def set_hole(self, index: int) -> None:
        """Note the highest index whose entry is damaged on this member's disk; 0: none is."""
        self._hole = index

    def compacted(self, snapshot: SnapshotMeta) -> None:
        """Drop the log up to the snapshot's end, which is applied here and now lies in a snapshot (Raft §7)."""
        if snapshot.index > self.log.base_index:
            assert snapshot.index <= min(self.commit_index, self.durable_index)
            self.log.compact(snapshot.index, snapshot.term)
            self.snapshot = snapshot
            if self.role is Role.LEADER:
                self._send_wanted_snapshots()

    def bar(self, is_barred: bool) -> None:
        """Note that this member's state differs from the others', or does not any more: it should not lead."""
        self._barred_ms = self._clock_ms if is_barred else None

    def await_snapshot(self, above: int) -> None:
        """Accept a snapshot above `above`, although the log goes on without one; 0: no more."""
        self._wants_above = above

    def want_snapshot(self, member: int, above: int) -> None:
        """Send `member` the first snapshot above `above`; make sure that there will be an index for one.

        Raises NotLeader.
        """
        self._require_leader_that_stays()
        progress = self._progress.get(member)
        if progress is not None:
            progress.snapshot_above = above
            self._send_wanted_snapshots()
        if self.log.last_index <= above:
            self._append([noop_entry(self.log.last_index + 1, self.current_term, self._stamp(self._time))])
            self._replicate()

    def _send_wanted_snapshots(self) -> None:
        """Send followers the snapshot that they have asked for, if this one will do."""
        for progress in self._progress.values():
            if self._is_wanted(progress) and progress.mode is not Mode.SNAPSHOT:
                progress.lost()  # an append under way may be answered or not: `_replicate` sends the snapshot
        self._replicate()

    def _is_wanted(self, progress: Progress) -> bool:
        return (
            bool(progress.snapshot_above)
            and self.snapshot is not None
            and (self.snapshot.index > progress.snapshot_above)
        )

    def ready(self) -> Ready:
        """Return what the driver has to do since the last call."""
        hard_state = None
        if self._hard_state_changed or self._unwritten:
            self._sequence += 1
            self._writes.append(_Write(self._sequence, self.log.last_index, self._clock_ms))
            hard_state = HardState(self.current_term, self.voted_for, self.commit_index)
            self._hard_state_changed = False
            self._wrote_since_tick = True
            # The commit index in a batch is below the batch's own entries: a crash may cut those off (segment.py).
            lowest = min((entry.index for entry in self._unwritten), default=self.commit_index + 1)
            self._commit_written = min(self.commit_index, lowest - 1)
        ready = Ready(
            self._sequence,
            hard_state,
            tuple(self._unwritten),
            tuple(self._messages),
            tuple(self._messages_after),
            min(self.commit_index, self.durable_index),
            tuple(self._reads_confirmed),
            tuple(self._reads_lost),
            self._installed,
        )
        self._installed = None
        for said in (self._unwritten, self._messages, self._messages_after, self._reads_confirmed, self._reads_lost):
            said.clear()
        return ready

    # Roles

    def become_follower(self, term: int, leader_id: int) -> None:
        """Follow, on a higher term (Raft §5.1), after a rival's success, or without a majority in reach (§6.2)."""
        if self.role is Role.LEADER:
            self._drop_reads()
            self._reset_election_deadline()
        if term > self.current_term:
            self.current_term = term
            self.voted_for = 0
            self._hard_state_is_new()
        self.role = Role.FOLLOWER
        self.leader_id = leader_id
        self._votes = set()

    def become_pre_candidate(self) -> None:
        """Ask whether an election could be won before disturbing anybody with a new term (dissertation §9.6)."""
        self.role = Role.PRE_CANDIDATE
        self.leader_id = 0
        self._reset_election_deadline()
        if self._clock_ms < self._hurries_until_ms:  # another voter may learn of the leader's end a moment later
            self._election_deadline_ms = self._clock_ms + self._hurried_wait_ms()
        self._votes = set()
        self._count_vote(self.id)
        if self.role is Role.PRE_CANDIDATE:
            self._request_votes(self._messages, self.current_term + 1, pre_vote=True, transfer=False)

    def become_candidate(self, *, transfer: bool = False) -> None:
        """Start an election (Raft §5.2).  Ask for votes only once the term and the own vote are durable.

        A candidate that forgets them in a crash could vote for another in the same term.
        """
        self.role = Role.CANDIDATE
        self.leader_id = 0
        self.current_term += 1
        self.voted_for = self.id
        self._hard_state_is_new()
        self._own_vote_sequence = self._hard_state_sequence
        self._reset_election_deadline()
        self._votes = set()
        self._request_votes(self._messages_after, self.current_term, pre_vote=False, transfer=transfer)

    def become_leader(self) -> None:
        """Lead the term (Raft §5.2); committing the no-op shows how far the log is committed (§8)."""
        self.role = Role.LEADER
        self.leader_id = self.id
        self._described = {id: said for id, said in self._described.items() if id == self.id}  # others' may be stale
        self._reset_leadership()
        if self._barred_ms is not None:
            self._barred_ms = self._clock_ms
        self._follow_configuration()
        self._append([noop_entry(self.log.last_index + 1, self.current_term, self._stamp(self._time))])
        self._begin_generation()
        self._replicate()

    def _begin_generation(self) -> None:
        """Append the new generation of a log that goes on from a copy, in one write with the no-op.

        No read is confirmed before it is committed.  The voters stay the same, so this change need not wait for the
        no-op, as a change of voters must (dissertation §4.1).
        """
        configuration = self.configuration
        if self._generation and self._generation != configuration.generation and configuration.voters == (self.id,):
            changed = replace(configuration, generation=self._generation)
            index, time = self.log.last_index + 1, self._stamp(self._time)
            self._append([configuration_entry(index, self.current_term, time, changed.encode())])

    # Elections

    def _may_campaign(self) -> bool:
        """Return whether this member may campaign: a voter, or one whose removal is not known to be committed.

        A member that is being removed may be the only reachable one that has the change, and then the others need its
        log to go on (dissertation §4.2.2).

        A member whose own disk has lost an uncommitted entry does not campaign, unless it is the only voter: as the
        leader it could not replicate that entry.  It still votes, and its log still counts as long as it was: it has
        acknowledged the entry, and knows its index and term, which is all that §5.4.1 compares.  So no candidate wins
        without the entry that would not have won before.  The member campaigns again once the entry is mended, and for
        that it needs no leader.
        """
        if self._barred_ms is not None:
            waited_ms = self._clock_ms - max(self._barred_ms, self._leader_contact_ms)
            if waited_ms < BARRED_TIMEOUTS * self.settings.election_timeout_ms:
                return False
        if self._hole > self.commit_index and self.configuration.voters != (self.id,):
            return False
        return self.configuration.is_voter(self.id) or self.committed_configuration.is_voter(self.id)

    def _lacks_committed(self, last_index: int) -> bool:
        return last_index < max(self.known_committed, self.commit_index)

    def _wait_for_candidate(self) -> None:
        """Let another member campaign, since this log lacks committed entries; forget the old leader."""
        self.become_follower(self.current_term, 0)
        self._reset_election_deadline()

    def _election_is_due(self) -> bool:
        if self.listens:
            return False
        if self.role is Role.CANDIDATE and self._own_vote_sequence > self._persisted_sequence:
            return False  # the own vote is not durable yet; a new term would only start the same wait again
        nobody_to_wait_for = self.configuration.voters == (self.id,) and not self._hears_a_leader()
        return nobody_to_wait_for or self._clock_ms >= self._election_deadline_ms

    def _request_votes(self, outbox: list[Message], term: int, *, pre_vote: bool, transfer: bool) -> None:
        last_index, last_term = self.log.last_index, self.log.last_term
        outbox += [
            RequestVote(self.id, voter, term, last_index, last_term, pre_vote, transfer)
            for voter in self.configuration.voters
            if voter != self.id
        ]

    def _on_request_vote(self, m: RequestVote) -> None:
        up_to_date = self.log.is_up_to_date(m.last_log_index, m.last_log_term)
        up_to_date = up_to_date and not self._lacks_committed(m.last_log_index)
        if not m.transfer and self._hears_a_leader():
            # Stickiness (dissertation §4.2.3): a member with a leader neither votes nor adopts the term.
            self._answer_vote(m, granted=False)
        elif m.pre_vote:
            granted = m.term > self.current_term and up_to_date
            if granted:
                # The candidate is about to campaign: a campaign of this member at the same time would split the vote.
                self._reset_election_deadline()
            self._answer_vote(m, granted)
        else:
            self._vote(m, up_to_date)

    def _vote(self, m: RequestVote, up_to_date: bool) -> None:
        """Grant or refuse a vote (Raft §5.2, §5.4.1)."""
        if m.term > self.current_term:
            self.become_follower(m.term, 0)
        granted = m.term == self.current_term and self.voted_for in (0, m.source) and up_to_date
        if granted and not self.voted_for:
            self.voted_for = m.source
            self._hard_state_is_new()
        if granted:
            self.become_follower(self.current_term, 0)
            self._reset_election_deadline()
        self._answer_vote(m, granted)

    def _hears_a_leader(self) -> bool:
        if self.role is Role.LEADER:
            return True
        heard = self._clock_ms - self._leader_contact_ms < self.settings.election_timeout_ms
        return heard and self.leader_id != 0

    def _answer_vote(self, m: RequestVote, granted: bool) -> None:
        term = m.term if granted and m.pre_vote else self.current_term
        self._answer(RequestVoteReply(self.id, m.source, term, granted, m.pre_vote, m.request))

    def _on_request_vote_reply(self, m: RequestVoteReply) -> None:
        asked_term = self.current_term + 1 if m.pre_vote else self.current_term
        asking = Role.PRE_CANDIDATE if m.pre_vote else Role.CANDIDATE
        if not m.vote_granted and m.term > self.current_term:
            self.become_follower(m.term, 0)
        elif m.vote_granted and self.role is asking and m.term == asked_term:
            self._count_vote(m.source)

    def _count_vote(self, voter: int) -> None:
        self._votes.add(voter)
        if not self.configuration.is_majority(self._votes):
            return
        if self.role is Role.PRE_CANDIDATE:
            self.become_candidate()
        else:
            self.become_leader()

    def _on_timeout_now(self, m: TimeoutNow) -> None:
        self._answer(TimeoutNowReply(self.id, m.source, self.current_term, m.request))
        may_stand = self._may_campaign() and not self._lacks_committed(self.log.last_index)
        if m.term == self.current_term and self.role is not Role.LEADER and may_stand:
            self.become_candidate(transfer=True)

    def _on_timeout_now_reply(self, m: TimeoutNowReply) -> None:
        if m.term > self.current_term:
            self.become_follower(m.term, 0)

    def _reset_election_deadline(self) -> None:
        timeout_ms = self.settings.election_timeout_ms
        self._election_deadline_ms = self._clock_ms + self.rng.uniform(timeout_ms, 2 * timeout_ms)

    def _hurried_wait_ms(self) -> float:
        """Draw a short wait within a slot of this voter's own: voters that campaign at once would split the vote."""
        place = sum(id < self.id for id in self.configuration.voters if id != self._gone_leader)
        return (place + self.rng.uniform(0.25, 0.75)) * self.settings.heartbeat_ms / 2

    # The follower's side of replication

    def _on_append_entries(self, m: AppendEntries) -> None:
        if m.entries is None:
            raise InvalidMessage("an append without its entries")
        if m.term < self.current_term:
            # Only the term counts: the sender steps down.  So no round or index is echoed: if the sender leads this
            # term meanwhile, it would take the echo for the answer to a message of this term.
            self._answer(AppendEntriesReply(self.id, m.source, self.current_term, False, 0, 0, True, request=m.request))
            return
        self._hear_leader(m)
        prev_log_index, prev_log_term, entries = m.prev_log_index, m.prev_log_term, m.entries
        if prev_log_index < self.log.base_index:  # entries in the snapshot are committed, so they agree
            entries = entries[self.log.base_index - prev_log_index :]
            prev_log_index, prev_log_term = self.log.base_index, self.log.base_term
        if self.log.term_at(prev_log_index) != prev_log_term:
            if m.heartbeat:
                self._require_held(m, m.prev_log_index)
            self._reject_append(m)
            return
        taken = self._take_entries(entries)
        self._accept_append(m, match_index=prev_log_index + taken)

    def _hear_leader(self, m: AppendEntries | InstallSnapshot) -> None:
        if m.term == self.current_term and self.role is Role.LEADER:
            raise InvalidMessage(f"member {m.source} claims to lead in term {m.term}, which this member leads")
        if m.term > self.current_term or self.role is not Role.FOLLOWER or self.leader_id != m.source:
            self.become_follower(m.term, m.source)
        self._leader_contact_ms = self._clock_ms
        self._reset_election_deadline()
        committed = m.leader_commit if isinstance(m, AppendEntries) else m.snapshot.index
        self.known_committed = max(self.known_committed, committed)

    def _accept_append(self, m: AppendEntries, match_index: int) -> None:
        if m.leader_commit > self.commit_index:
            # Only up to the last entry that this message covers: later ones may be another leader's (Figure 2).
            self.commit_index = max(self.commit_index, min(m.leader_commit, match_index))
            self._drop_superseded_configurations()
        self._answer(
            AppendEntriesReply(self.id, m.source, self.current_term, True, match_index, m.round, m.heartbeat,
                               request=m.request, full=self.is_full),
            match_index,
        )  # fmt: skip

    def _reject_append(self, m: AppendEntries) -> None:
        conflict_term = self.log.term_at(m.prev_log_index) or 0
        conflict_index = self.log.last_index + 1
        if conflict_term:
            conflict_index = max(self.log.first_index_of_term_at(m.prev_log_index), self.commit_index + 1)
        self._answer(
            AppendEntriesReply(self.id, m.source, self.current_term, False, m.prev_log_index, m.round, m.heartbeat,
                               conflict_index, conflict_term, m.request, self.is_full)
        )  # fmt: skip

    def _require_held(self, m: AppendEntries | InstallSnapshot, acknowledged: int) -> None:
        """Raise Diverged if this log lost an entry that this member acknowledged to this leader in this term.

        A heartbeat and a snapshot name the acknowledged index.  The entry was durable (Raft §5.3), and a leader's log
        never changes.  So only a loss can have removed the entry, however late the message arrives.
        """
        if acknowledged > self.log.last_index or isinstance(m, AppendEntries):
            raise Diverged(
                f"member {m.source} leads in term {m.term} and knows that member {self.id} acknowledged index "
                f"{acknowledged}, but the log of member {self.id} ends at {self.log.last_index}: it comes from an "
                f"older copy; remove member {self.id} and add a new id",
                log_is_old=True,
            )

    def _take_entries(self, entries: Sequence[Entry]) -> int:
        """Append missing entries; truncate only where a term differs.  Return how many of `entries` the log holds."""
        for position, entry in enumerate(entries):
            if self.log.term_at(entry.index) == entry.term:
                continue
            fitting = self._fitting(entries[position:])
            if fitting and entry.index <= self.log.last_index:
                self._truncate_from(entry.index)
            self._append(fitting)
            return position + len(fitting)
        return len(entries)

    def _fitting(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return as many of `entries`, from the first on, as the disk has room for."""
        if not self.is_full:
            return entries
        for position, entry in enumerate(entries):
            if len(entry.record) > self._room_bytes:
                return entries[:position]
            self._room_bytes -= len(entry.record)
        return entries

    def _truncate_from(self, index: int) -> None:
        if index <= self.commit_index:  # every leader holds it (Raft §5.4.3), unless a majority has lost it
            raise Diverged(
                f"member {self.leader_id} leads in term {self.current_term} and would undo index {index}, but this "
                f"member knows that entries up to {self.commit_index} are committed: a majority was started on older "
                "copies; stop all nodes, and keep this data directory",
                log_is_old=False,
            )
        self.log.truncate_from(index)
        self.durable_index = min(self.durable_index, index - 1)
        for write in self._writes:
            write.last_index = min(write.last_index, index - 1)
        while self.configuration_index >= index:
            self._configurations.pop()

    def _on_install_snapshot(self, m: InstallSnapshot) -> None:
        """Install a snapshot (Raft §7, Figure 13), unless this log holds the snapshot's last entry."""
        if m.term < self.current_term:
            self._answer(InstallSnapshotReply(self.id, m.source, self.current_term, False, 0, m.request))
            return
        self._hear_leader(m)
        self._require_held(m, m.acknowledged)
        last = m.snapshot.index
        in_log = self.holds(last, m.snapshot.term)
        # A snapshot that was asked for counts once it is in its place, even if the log holds its last entry.
        held = in_log and (m.received or not self.awaits_snapshot(last))
        if in_log:
            self.commit_index = max(self.commit_index, last)
            self._drop_superseded_configurations()
        elif m.received:
            self._install(m.snapshot)
        if m.received and self.awaits_snapshot(last):
            self._wants_above = 0
        success = held or m.received
        reply = InstallSnapshotReply(self.id, m.source, self.current_term, success, last if success else 0, m.request)
        self._answer(reply, reply.match_index)

    def _install(self, snapshot: SnapshotMeta) -> None:
        """Replace the whole log; its unwritten entries are void."""
        configuration = decode_configuration(snapshot.configuration)
        self.log = Log(base_index=snapshot.index, base_term=snapshot.term)
        self.snapshot = self._installed = snapshot
        self.commit_index = snapshot.index
        self._configurations = [(snapshot.configuration_index, configuration)]
        self._last_time = self._time = snapshot.time
        self._clock_index = snapshot.index
        self._unwritten.clear()
        self.durable_index = 0  # until the snapshot is durable; earlier writes say nothing about it
        for write in self._writes:
            write.last_index = 0
        self._hard_state_changed = True

    # The leader's side of replication

    def _tick_leader(self) -> None:
        if not self._majority_in_contact(self.configuration):
            self.become_follower(self.current_term, 0)  # check-quorum, dissertation §6.2
            return
        if self._disk_hangs() and self.best_successor() != self.id:
            self._resign()
            return
        if self.is_full and not self._transfer_target and self.majority_has_room:
            self._begin_transfer(self.best_successor())
        if self._barred_ms is not None and not self._leave_barred(self._barred_ms):
            return
        if self._transfer_target:
            self._continue_transfer()
        for member, until_ms in list(self._departing.items()):
            if self._clock_ms >= until_ms:
                del self._departing[member], self._progress[member]
        for progress in self._progress.values():
            timeouts = SNAPSHOT_TIMEOUTS if progress.mode is Mode.SNAPSHOT else 2
            if progress.in_flight and self._clock_ms - progress.sent_ms >= timeouts * self.settings.election_timeout_ms:
                progress.lost()
        self._maintain_configuration()
        if self._clock_ms - self._heartbeat_sent_ms >= self.settings.heartbeat_ms - _ROUNDING_MS:
            self._heartbeat_sent_ms = self._clock_ms
            self._send_heartbeats()
            self._send_to_full()
            self._close_round()  # members that the round waited for may have been removed, and never answer
        self._replicate(all_commits=True)

    def _leave_barred(self, since_ms: float) -> bool:
        """Hand over because this leader's state differs; step down if that fails.  Return whether it leads still."""
        if self._clock_ms - since_ms > BARRED_LEADS_TIMEOUTS * self.settings.election_timeout_ms:
            self._barred_ms = self._clock_ms
            self.become_follower(self.current_term, 0)
            return False
        successor = self.best_successor()
        if not self._transfer_target and successor != self.id:
            self._begin_transfer(successor)
        return True

    def _disk_hangs(self) -> bool:
        """Return whether a write takes longer than followers would wait for a leader.

        Such a leader could commit with the others' disks and apply nothing, and it would never be replaced.
        """
        return self.write_age_ms > 2 * self.settings.election_timeout_ms

    def _majority_in_contact(self, configuration: Configuration) -> bool:
        reached = [id for id, progress in self._progress.items() if self._is_in_contact(progress)]
        return configuration.is_majority([*reached, self.id])

    def _is_in_contact(self, progress: Progress) -> bool:
        return progress.contact_ms >= self._clock_ms - self.settings.election_timeout_ms

    def _send_heartbeats(self) -> None:
        for member, progress in self._progress.items():
            self._send_heartbeat(member, progress)

    def _send_heartbeat(self, member: int, progress: Progress) -> None:
        """Send a heartbeat at the follower's own match_index.

        So the heartbeat fits whatever is in flight, and claims nothing new (Raft §5.2).  If that index was compacted,
        the heartbeat is sent at index 0, which every log has.
        """
        prev_index, prev_term = progress.match_index, self.log.term_at(progress.match_index)
        if prev_term is None:
            prev_index, prev_term = 0, 0
        progress.sent_commit = max(progress.sent_commit, min(self.commit_index, prev_index))
        self._messages.append(
            AppendEntries(self.id, member, self.current_term, prev_index, prev_term, (), self.commit_index,
                          self._round, heartbeat=True)
        )  # fmt: skip

    def _replicate(self, *, all_commits: bool = False) -> None:
        """Send every idle follower the entries it lacks, or else the new commit index.

        The commit index is sent by itself only if clients wait for it: the next append or tick carries it too.
        """
        for member, progress in self._progress.items():
            if progress.in_flight or progress.full:
                continue
            if progress.mode is Mode.PROBE or progress.next_index <= self.log.last_index:
                self._send_append(member, progress)
            elif progress.sent_commit < min(self.commit_index, progress.match_index) and (
                all_commits or progress.sent_commit < progress.awaited_index
            ):
                self._send_heartbeat(member, progress)

    def _send_to_full(self) -> None:
        """Send followers whose disks are full what their reserves may take, a little with each heartbeat.

        They get entries only if no majority has room without them: entries that the others commit must not use up the
        reserves.  They get a snapshot because it may be smaller than the log that it replaces.
        """
        has_room = self.majority_has_room
        for member, progress in self._progress.items():
            if not progress.full or progress.in_flight:
                continue
            lacks = progress.mode is Mode.PROBE or progress.next_index <= self.log.last_index
            needs_snapshot = self.log.term_at(progress.next_index - 1) is None
            if needs_snapshot or (lacks and not has_room):
                self._send_append(member, progress)

    def _send_append(self, member: int, progress: Progress) -> None:
        first, last = progress.next_index, self.log.last_index
        prev_term = self.log.term_at(first - 1)
        if prev_term is None or (progress.snapshot_above and self._is_wanted(progress)):
            self._send_snapshot(member, progress)
            return
        is_small = progress.mode is Mode.PROBE or progress.full
        bytes_max = PROBE_BYTES_MAX if is_small else self.settings.append_bytes_max
        entries = self.log.slice(first, last, bytes_max)
        # None: the entries left memory, so the driver reads them from disk.  Later ones may not be there yet.
        load_max = 1 if is_small else LOAD_ENTRIES_MAX
        last = min(self.log.tail_first, first + load_max) - 1 if entries is None else first - 1 + len(entries)
        progress.sent(last, self._clock_ms)
        progress.sent_commit = max(progress.sent_commit, min(self.commit_index, last))
        self._messages.append(
            AppendEntries(self.id, member, self.current_term, first - 1, prev_term, entries, self.commit_index,
                          self._round, last_index=last, last_term=self.log.term_at(last) or 0)
        )  # fmt: skip

    def _send_snapshot(self, member: int, progress: Progress) -> None:
        """Send the snapshot to a member that needs compacted entries and is in contact (Raft §7)."""
        assert self.snapshot is not None
        if not self._is_in_contact(progress):
            return
        progress.sent_snapshot(self._clock_ms)
        self._messages.append(
            InstallSnapshot(self.id, member, self.current_term, self.snapshot, acknowledged=progress.match_index)
        )

    def _hear_follower(self, m: AppendEntriesReply | InstallSnapshotReply) -> Progress | None:
        """Return the follower's progress; None if the answer belongs to an earlier term."""
        if m.term > self.current_term:
            self.become_follower(m.term, 0)
        progress = self._progress.get(m.source)
        if m.term < self.current_term or self.role is not Role.LEADER or progress is None:
            return None
        progress.contact_ms = self._clock_ms
        return progress

    def _on_install_snapshot_reply(self, m: InstallSnapshotReply) -> None:
        progress = self._hear_follower(m)
        if progress is None or progress.mode is not Mode.SNAPSHOT:
            return
        if not m.success:
            progress.lost()  # the next tick tries again
            return
        progress.in_flight = False
        if m.match_index > progress.snapshot_above:
            progress.snapshot_above = 0
        self._take_match(progress, m)
        if self.role is Role.LEADER:
            self._replicate()

    def _on_append_entries_reply(self, m: AppendEntriesReply) -> None:
        progress = self._hear_follower(m)
        if progress is None:
            return
        progress.acked_round = max(progress.acked_round, m.round)
        progress.full = m.full
        if not m.heartbeat:
            self._take_append_reply(progress, m)
        if self.role is not Role.LEADER:
            return  # the answer committed this leader's own removal
        self._close_round()
        if self._transfer_target == m.source:
            self._continue_transfer()
        self._replicate()

    def _take_append_reply(self, progress: Progress, m: AppendEntriesReply) -> None:
        if m.success:
            if progress.mode is Mode.REPLICATE and m.match_index <= progress.match_index and not m.full:
                return  # a repeated answer: the append in flight is a later one
            progress.in_flight = False
            self._take_match(progress, m)
        elif m.match_index == progress.next_index - 1 or progress.mode is Mode.REPLICATE:
            progress.in_flight = False
            progress.rejected(self._rewound(m))

    def _take_match(self, progress: Progress, m: AppendEntriesReply | InstallSnapshotReply) -> None:
        if m.match_index > self.log.last_index:
            raise InvalidMessage(f"member {m.source} claims to hold index {m.match_index}, which was never sent")
        progress.accepted(m.match_index)
        self._advance_commit()

    def _rewound(self, m: AppendEntriesReply) -> int:
        """Return the next index to try: past the conflicting term if this log has it, else before it (Raft §5.3)."""
        refused = m.match_index
        last_of_term = self.log.last_index_of_term(m.conflict_term) if m.conflict_term else 0
        return min(last_of_term + 1 if last_of_term else m.conflict_index, max(refused, 1))

    def _advance_commit(self) -> None:
        """Commit by counting, and only an entry of the current term (Raft §5.4.2, Figure 8)."""
        match_index = {member: progress.match_index for member, progress in self._progress.items()}
        match_index[self.id] = self.durable_index
        agreed = self.configuration.agreed_index(match_index)
        if agreed <= self.commit_index or self.log.term_at(agreed) != self.current_term:
            return
        self.commit_index = agreed
        while self._uncommitted and self._uncommitted[0][0] <= agreed:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        self._drop_superseded_configurations()
        if not self._reads_open and self._reads_next:  # these reads waited for this term's first commit
            self._open_round()
        if self.is_removed:
            self._resign()
        else:
            self._maintain_configuration()
            self._replicate()

    def _resign(self) -> None:
        """Step down without a gap: send the commit index to all, and let the best successor campaign (§4.2.2)."""
        self._send_heartbeats()
        successor = self.best_successor()
        if successor != self.id:
            self._messages.append(TimeoutNow(self.id, successor, self.current_term))
        self.become_follower(self.current_term, 0)

    # Reads (dissertation §6.4)

    def _open_round(self) -> None:
        """Open one round of heartbeats for all waiting reads, once this term has committed something.

        Never while a round is open: if answers took longer than the next round, nothing would ever be confirmed.
        """
        assert not self._reads_open
        if not self.has_committed_in_term:
            return
        self._round += 1
        self._reads_open = [(token, self.commit_index) for token in self._reads_next]
        self._reads_next = []
        self._send_heartbeats()
        self._close_round()

    def _close_round(self) -> None:
        """Confirm the round's reads once a majority has answered: no other member led when the round was sent."""
        if not self._reads_open:
            return
        acked = [member for member, progress in self._progress.items() if progress.acked_round >= self._round]
        if not self.configuration.is_majority([*acked, self.id]):
            return
        self._reads_confirmed += self._reads_open
        self._reads_open = []
        if self._reads_next:
            self._open_round()

    def _drop_reads(self) -> None:
        self._reads_lost += [token for token, _ in self._reads_open] + self._reads_next
        self._reads_open, self._reads_next = [], []

    # Membership and transfer

    def _require_leader(self) -> None:
        if self.role is not Role.LEADER:
            raise NotLeader(self.leader_id)

    def _require_leader_that_stays(self) -> None:
        self._require_leader()
        if self._transfer_target:
            raise NotLeader(0)  # dissertation §3.10: no new entries while leadership is handed over

    def _require_room(self, commands: Sequence[tuple[ProposalId, bytes]]) -> None:
        """Raise Overloaded if too much waits for a majority.

        If nothing waits, any batch is accepted: a batch too large for the bound would otherwise be refused for ever.
        """
        coming = sum(len(command) for _, command in commands)
        if self._uncommitted and self._uncommitted_bytes + coming > self.settings.uncommitted_bytes_max:
            raise Overloaded(f"{self._uncommitted_bytes} bytes wait to be committed already; nothing was changed")

    def _require_reserve(self, commands: Sequence[tuple[ProposalId, bytes]], frees: bool) -> None:
        """Accept only commands that free space, and only as many as this member's own reserve holds."""
        coming = sum(len(command) for _, command in commands)
        if not frees or coming > self._room_bytes:
            raise DiskFull(_NO_ROOM)
        self._room_bytes -= coming

    def _note_uncommitted(self, entries: Sequence[Entry]) -> None:
        size = sum(len(entry.record) for entry in entries)
        self._uncommitted.append((self.log.last_index, size))
        self._uncommitted_bytes += size

    def _require_settled_configuration(self) -> None:
        if self.configuration_index > self.commit_index:
            raise ChangeRefused("change_in_progress", "another membership change is under way; try again")
        if not self.has_committed_in_term:
            raise ChangeRefused("change_in_progress", "the leader is new and has committed nothing yet; try again")

    def _require_reachable_majority(self, configuration: Configuration) -> None:
        if not self._majority_in_contact(configuration):
            raise ChangeRefused("no_majority", "the change would leave no reachable majority of voters")

    def _append_configuration(self, configuration: Configuration, time: int) -> int:
        index = self.log.last_index + 1
        self._append([configuration_entry(index, self.current_term, self._stamp(time), configuration.encode())])
        self._replicate()
        return index

    def _follow_configuration(self) -> None:
        """Keep one Progress for each other member; tell removed members for a while that they were removed."""
        for member in self.configuration.members:
            if member != self.id and member not in self._progress:
                self._progress[member] = Progress(self.log.last_index + 1, self._clock_ms)
        until_ms = self._clock_ms + REMOVED_TIMEOUTS * self.settings.election_timeout_ms
        for member in self._progress:
            if member not in self.configuration.members:
                self._departing.setdefault(member, until_ms)

    def _maintain_configuration(self) -> None:
        """Append the changes that a leader makes by itself: the cluster's id, descriptions, promotions."""
        settled = self.configuration_index <= self.commit_index and self.has_committed_in_term
        if not settled or self._transfer_target:
            return
        configuration = self.configuration
        if not configuration.cluster_id:
            cluster_id = f"{self.rng.getrandbits(64):016x}"
            self._append_configuration(replace(configuration, cluster_id=cluster_id).raised(), self._time)
            return
        change = self._due_description() or self._due_promotion()
        if change is not None:
            self._append_configuration(configuration.after(change), self._time)

    def _due_description(self) -> Change | None:
        for id, member in self.configuration.members.items():
            said = self._described.get(id)
            if said is None:
                continue
            incarnation = member.incarnation or said.incarnation  # once known it never changes
            advertise, boot = said.advertise or member.advertise, max(said.boot, member.boot)
            # This runs at each step of the node, so it compares fields and makes no objects.
            if (
                incarnation != member.incarnation
                or advertise != member.advertise
                or said.level != member.level
                or boot != member.boot
            ):
                return DescribeMember(id, incarnation, advertise, said.level, boot)
        return None

    def _due_promotion(self) -> Change | None:
        """Promote a learner that caught up in one round within an election timeout (dissertation §4.2.1)."""
        configuration = self.configuration
        for id, member in configuration.members.items():
            progress = self._progress.get(id)
            if progress is None or not member.promote or not member.incarnation or member.level < configuration.level:
                continue
            if progress.match_index and progress.match_index >= progress.catch_up_target:
                quick = self._clock_ms - progress.catch_up_start_ms <= self.settings.election_timeout_ms
                promoted = PromoteMember(id)
                # The learner may be down by now: the new majority must not need a voter that is out of reach.
                if quick and progress.catch_up_target and self._majority_in_contact(configuration.after(promoted)):
                    return promoted
                progress.catch_up_target = self.log.last_index
                progress.catch_up_start_ms = self._clock_ms
        return None

    def best_successor(self, but: int = 0) -> int:
        """Return the voter in contact that has room and the longest log, never `but`; without one, this member."""
        voters = [id for id in self.configuration.voters if id in self._progress and id != but]
        if not voters:
            return self.id
        known = self._progress

        def fitness(id: int) -> tuple[bool, bool, int, float]:
            other = known[id]
            return self._is_in_contact(other), not other.full, other.match_index, other.contact_ms

        return max(voters, key=fitness)

    def _begin_transfer(self, target: int) -> None:
        self._transfer_target = target
        self._transfer_deadline_ms = self._clock_ms + self.settings.election_timeout_ms

    def _continue_transfer(self) -> None:
        if self._clock_ms >= self._transfer_deadline_ms:
            self._transfer_target = 0
            return
        progress = self._progress.get(self._transfer_target)
        if progress is not None and progress.match_index == self.log.last_index:
            self._messages.append(TimeoutNow(self.id, self._transfer_target, self.current_term))

    # Shared by all roles

    def _note_commit_when_idle(self) -> None:
        """Write the commit index by itself after the last batch; each batch carries it otherwise.

        It is a hint only.  But a member that starts without a majority in reach shows what it knows to be committed.
        """
        if self._commit_written < self.commit_index and not self._wrote_since_tick and not self._writes:
            self._hard_state_changed = True
        self._wrote_since_tick = False

    def _append(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        # Decode first: a configuration that cannot be decoded must change nothing.
        changes = [(e.index, decode_configuration(e.body)) for e in entries if e.kind is Kind.CONFIGURATION]
        self.log.append(entries)
        self._unwritten.extend(entries)
        self._note_times(entries)
        self._configurations += changes
        if changes and self.role is Role.LEADER:
            self._follow_configuration()

    def _note_times(self, entries: Sequence[Entry]) -> None:
        """Note the newest time.  It falls only at a clock entry, or when a clock entry is truncated.

        Then the last tick's time is of another reckoning.  A member that leads before its next tick must not stamp it.
        """
        self._last_time = entries[-1].time
        clock_index = 0 if entries[0].index <= self._clock_index else self._clock_index
        for entry in entries:
            if entry.kind is Kind.CLOCK:
                clock_index = entry.index
        if clock_index != self._clock_index:
            self._clock_index, self._time = clock_index, self._last_time

    def _drop_superseded_configurations(self) -> None:
        """Drop configurations that a committed one replaced: they can never be in force again."""
        while len(self._configurations) > 1 and self._configurations[1][0] <= self.commit_index:
            del self._configurations[0]

    def _stamp(self, time: int) -> int:
        return max(time, self._last_time)

    def _hard_state_is_new(self) -> None:
        self._hard_state_changed = True
        self._hard_state_sequence = self._sequence + 1

    def _answer(self, reply: Message, match_index: int = 0) -> None:
        """Answer at once, unless the answer claims something that is not durable yet."""
        durable = self._hard_state_sequence <= self._persisted_sequence and match_index <= self.durable_index
        (self._messages if durable else self._messages_after).append(reply)
