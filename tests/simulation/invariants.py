"""What must hold at every step of every run (Raft Figure 3, and what the engine promises beyond), by name.

Everything is checked as it appears, against all that was ever seen of any member, so that a run costs no more than
what is new in it.  The names, and what each says:

- election safety: one leader a term; one vote a term and member, whatever crashes
- leader append-only: a leader never changes or takes back what is in its log
- log matching: an index and a term name one entry, and one entry before it
- leader completeness: who leads holds all that was committed in earlier terms
- own term: a leader commits by counting only what ends in an entry of its own term (§5.4.2)
- committed on a majority: what counts as committed is on the disks of a majority
- state machine safety: one entry at each index is applied, with one outcome, and leads to one state: compared at some
  indexes, at each snapshot, and wherever a process ends
- configuration in force: a member goes by the newest one in its log, committed or not
- one change at a time: at most one uncommitted configuration in a leader's log, and none before an entry of its term
  is committed
- durable before said: what a member tells others of its log, its term and its vote is on its own disk
- snapshot: one stands for committed entries, and says of them what is so
- nothing durable is lost: a start finds all that was called durable before
- applied once: no proposal is carried out twice
- refused is not proposed: what a client was told not to be proposed (503) never comes to be
- time never falls: entries' times ascend, but for a clock entry's
- stamped right: a leader that has heard all voters' clocks stamps what is right, where most of them are (`truth.py`)
- expired never early: then nothing goes by its age before its time
- a leap is held: the log's time follows clocks that leap together only once they have stayed so, or at a word
- time goes on: after such a leap too, by the clocks in the end, or slower where it is ahead of them
- revoked is revoked: a token whose end was acknowledged is good for nothing that begins later; its number is never
  given again
- single use: a ticket is redeemed once
- readable: what the state shows is in the log
- holes: of an entry that a start has lost it knows index and term, and such a one was there
- mended: what rotted on a disk is mended in the end, byte for byte, while another member has a copy (`rotting.py`)
- older copies: who holds the record of a start counts nothing of a disk that lacks it; no other member is refused or
  ended for that, and a record never falls
- believable: no member refuses what a correct one sent, and no program error ends a process

The clients' side, linearizable, is in `clients.py`, and progress in `world.py`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from chat.commands import Command, decode
from chat.commands.accounts import CreateTicket, RedeemTicket
from chat.commands.cluster import Forget
from chat.state.events import PostChanged, Reacted
from chat.state.results import Done, Posted, Redeemed, Refusal, TokenMade, TokensRevoked
from raft.core.configuration import Configuration, decode_configuration
from raft.core.entries import entry_of_verified
from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import (
    AppendEntriesReply,
    Entry,
    InstallSnapshotReply,
    Kind,
    Message,
    ProposalId,
    RequestVote,
    RequestVoteReply,
)
from raft.rpc.calls import Sender

if TYPE_CHECKING:
    from tests.simulation.clients import History
    from tests.simulation.machine import Machine


class Violation(Exception):
    """An invariant does not hold; `name` is one of those above, "linearizable" or "progress"."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


def require(holds: object, name: str, detail: str) -> None:
    """Raise Violation where it does not.  For checks whose `detail` costs nothing to make."""
    if not holds:
        raise Violation(name, detail)


class Invariants:
    """Of one cluster, over all its members' lives."""

    def __init__(self, machines: dict[int, "Machine"], history: "History", counts: Counter[str]) -> None:
        self.committed: list[Entry] = []  # by index - 1; grows only
        self._machines = machines
        self._history = history
        self._counts = counts
        self._committed_in: list[int] = []  # by index - 1: the term of the leader that committed it; never falls
        self._leaders: dict[int, int] = {}  # term -> who led in it
        self._votes: dict[tuple[int, int], int] = {}  # (voter, term) -> for whom
        self._entries: dict[tuple[int, int], tuple[int, bytes]] = {}  # (index, term) -> (term before it, record)
        self._configurations: dict[bytes, Configuration] = {}  # by what the entry's body is
        self._outcomes: list[tuple[bool, object]] = []  # by index - 1: (admitted, result)
        self._admitted: dict[tuple[int, int, int], int] = {}  # (member, boot, sequence) -> the index it was applied at
        self._refused: set[tuple[int, int, int]] = set()
        self._tokens: dict[int, bytes] = {}  # number -> digest
        self._revoked: set[int] = set()  # their numbers
        self._tickets: set[bytes] = set()  # made, and not used; the digests
        self._digests: dict[int, str] = {}  # index -> the state there

    @property
    def applied_index(self) -> int:
        """How far anybody has applied."""
        return len(self._outcomes)

    def entry(self, machine: "Machine", index: int, term: int) -> Entry:
        """The entry that a start says is lost.  Raises Violation: nobody ever wrote such a one."""
        known = self._entries.get((index, term))
        if known is not None:
            return entry_of_verified(known[1])
        if index <= len(self.committed) and self.committed[index - 1].term == term:
            return self.committed[index - 1]
        raise Violation("holes", f"member {machine.id} says it has lost {index}@{term}, which nobody wrote")

    # What a member says

    def sent(self, machine: "Machine", message: Message, *, after_write: bool) -> None:
        """Before it leaves.  `after_write`: it waited for a write, which is through."""
        if machine.older is not None:
            self._require_heartbeat_fits(machine, message)
            return  # it has forgotten what it said: what matters is who counts it
        if isinstance(message, AppendEntriesReply | InstallSnapshotReply):
            self._require_term_durable(machine, message.term)
            # What was written for an earlier term's leader may be taken back by the next write, for a later leader.
            # Had it been committed, that one would have it; so the answer is as good as one that was long under way.
            outdated = after_write and message.term < machine.running.node.current_term
            if message.success and message.match_index > machine.held and not outdated:
                said = f"member {machine.id} says it holds {message.match_index}, with {machine.held} on its disk"
                raise Violation("durable before said", said)
        elif isinstance(message, RequestVote):
            if not message.pre_vote:
                self._require_vote(machine, message.term, machine.id)
        elif isinstance(message, RequestVoteReply):
            if message.vote_granted and not message.pre_vote:
                self._require_vote(machine, message.term, message.target)
            elif not message.vote_granted:
                self._require_term_durable(machine, message.term)

    # Older copies

    def _require_heartbeat_fits(self, machine: "Machine", message: Message) -> None:
        """A leader's heartbeat goes to what the member acknowledged to it."""
        if isinstance(message, AppendEntriesReply) and message.heartbeat and not message.success:
            require(
                message.match_index <= len(machine.log),
                "older copies",
                f"member {machine.id} goes on with a log that lacks index {message.match_index}, which it acknowledged",
            )

    def believed(self, judge: Node, sender: Sender) -> None:
        """`judge` takes in what this sender says."""
        older, member = self._machines[sender.id].older, judge.configuration.members.get(sender.id)
        if older is None or member is None or not sender.boots or sender.boots[-1] not in older.boots:
            return
        if member.boot in older.lost_boots:
            lacks = f"member {judge.id} counts what member {sender.id} says, whose disk lacks start {member.boot}"
            raise Violation("older copies", lacks)

    def refused_as_older(self, sender: Sender) -> None:
        """A member refuses this sender.  A late message of an earlier start may be taken for an older copy's."""
        machine = self._machines[sender.id]
        if machine.older is not None and sender.boots[-1] in machine.older.boots:
            self._counts["older copies refused"] += 1
        elif sender.boots[-1] == machine.boots[-1] and machine.process is not None:
            raise Violation("older copies", f"member {sender.id} is refused, and is none")

    def ended_as_older(self, machine: "Machine", why: str) -> None:
        """A member ends for being one."""
        if machine.older is None:
            raise Violation("older copies", f"member {machine.id} ends for being one, and is none: {why}")

    def _require_term_durable(self, machine: "Machine", term: int) -> None:
        if term > machine.hard_state.current_term:
            known = machine.hard_state.current_term
            raise Violation(
                "durable before said", f"member {machine.id} answers in term {term}, its disk knows {known}"
            )

    def _require_vote(self, machine: "Machine", term: int, candidate: int) -> None:
        voted_for = self._votes.setdefault((machine.id, term), candidate)
        if voted_for != candidate:
            raise Violation("election safety", f"member {machine.id} votes for {voted_for} and {candidate} in {term}")
        known = machine.hard_state
        # In a later term by now, the vote that was asked for first was on the disk all the same.
        if known.current_term < term or (known.current_term == term and known.voted_for != candidate):
            raise Violation("durable before said", f"the vote of member {machine.id} in term {term} is not on its disk")

    # What a member does

    def check(self, machine: "Machine", ready: Ready, was_leader_in: int, last_index_before: int) -> None:
        """After each input.  `was_leader_in`: the term it led in before the input, 0 for none."""
        node = machine.running.node
        if node.durable_index > machine.promised:
            said = f"member {machine.id} takes {node.durable_index} for durable, on its disk is {machine.promised}"
            raise Violation("durable before said", said)
        if ready.commit_index > machine.promised:
            raise Violation("durable before said", f"member {machine.id} would apply {ready.commit_index} too early")
        if ready.entries or ready.snapshot is not None:
            self._check_entries(machine, ready.entries)
        if ready.entries and ready.entries[0].index <= last_index_before and node.current_term == was_leader_in:
            raise Violation("leader append-only", f"leader {machine.id} rewrote {ready.entries[0].index}")
        if node.commit_index > machine.compared:
            self._check_commit(machine)
            if node.role is Role.LEADER and machine.log[node.commit_index - 1].term != node.current_term:
                raise Violation("own term", f"leader {machine.id} commits {node.commit_index} of an earlier term")
        if node.role is Role.LEADER:
            if was_leader_in != node.current_term:
                self._check_new_leader(machine)
            if any(entry.kind is Kind.CONFIGURATION for entry in ready.entries):
                self._check_change(machine)

    def _check_entries(self, machine: "Machine", entries: Iterable[Entry]) -> None:
        """Log Matching, by induction: each entry with the one before it."""
        log = machine.log
        for entry in entries:
            if entry.index > len(log) or log[entry.index - 1] is not entry:
                continue  # taken back by a later one of the same Ready
            before = log[entry.index - 2].term if entry.index > 1 else 0
            known = self._entries.setdefault((entry.index, entry.term), (before, entry.record))
            if known != (before, entry.record):
                raise Violation("log matching", f"two entries {entry.index}@{entry.term}")
        node = machine.running.node
        if (node.log.last_index, node.log.last_term) != (len(log), log[-1].term):
            ends = f"member {machine.id} says its log ends at {node.log.last_index}, and wrote {len(log)}"
            raise Violation("log matching", ends)
        self.check_configuration(machine)

    def check_configuration(self, machine: "Machine") -> None:
        """After a start, and whenever the log is another."""
        node = machine.running.node
        newest = machine.configurations[-1] if machine.configurations else None
        index = newest.index if newest else 0
        if node.configuration_index != index:
            goes_by = f"member {machine.id} goes by the one at {node.configuration_index}, the newest is at {index}"
            raise Violation("configuration in force", goes_by)
        if newest is not None and node.configuration != self._decoded(newest.body):
            raise Violation("configuration in force", f"member {machine.id} goes by another than entry {index} says")

    def _decoded(self, body: bytes) -> Configuration:
        """What a configuration's entry says; decoded once, as it is asked for with each entry that is written."""
        if body not in self._configurations:
            self._configurations[body] = decode_configuration(body)
        return self._configurations[body]

    def _check_change(self, machine: "Machine") -> None:
        """Dissertation §4.1, and the fix that was published for it."""
        node, log, name = machine.running.node, machine.log, "one change at a time"
        changes = [entry.index for entry in machine.configurations if entry.index > node.commit_index]
        require(len(changes) <= 1, name, f"{changes} are under way at leader {machine.id}")
        settled = node.commit_index and log[node.commit_index - 1].term == node.current_term
        before = self._decoded(machine.configurations[-2].body) if len(machine.configurations) > 1 else None
        for id, member in node.configuration.members.items():
            known = before.members.get(id) if before is not None else None
            fell = known is not None and member.boot < known.boot
            require(not fell, "older copies", f"the record of member {id} falls to {member.boot}")
        require(settled, name, f"leader {machine.id} begins {changes} with nothing of its own term committed")

    def _check_commit(self, machine: "Machine") -> None:
        """State Machine Safety; and what is committed is on the disks of a majority."""
        node, log = machine.running.node, machine.log
        for index in range(machine.compared + 1, node.commit_index + 1):
            require(index <= len(log), "state machine safety", f"member {machine.id} commits what it does not hold")
            entry = log[index - 1]
            if index <= len(self.committed):
                if self.committed[index - 1].record != entry.record:
                    raise Violation("state machine safety", f"member {machine.id} commits another entry {index}")
                continue
            held = [m.id for m in self._machines.values() if m.holds(index, entry.term)]
            if not any(c.is_majority(held) for c in (node.configuration, node.committed_configuration)):
                raise Violation("committed on a majority", f"entry {index} is on the disks of {held} only")
            if self.committed and entry.time < self.committed[-1].time and entry.kind is not Kind.CLOCK:
                raise Violation("time never falls", f"entry {index} is older than the one before it")
            self.committed.append(entry)
            self._committed_in.append(node.current_term)
            if entry.kind is Kind.CONFIGURATION:
                self._counts["membership changes"] += 1
        machine.compared = node.commit_index

    def _check_new_leader(self, machine: "Machine") -> None:
        """Election Safety, Leader Completeness."""
        node, log = machine.running.node, machine.log
        self._counts["elections"] += 1
        leader = self._leaders.setdefault(node.current_term, machine.id)
        require(leader == machine.id, "election safety", f"{leader} and {machine.id} lead in term {node.current_term}")
        # Votes may come so late that a later term has had its leader.
        earlier = bisect_left(self._committed_in, node.current_term)
        if [e.term for e in self.committed[:earlier]] != [e.term for e in log[:earlier]]:
            detail = f"the leader of term {node.current_term}, {machine.id}, lacks entries that were committed before"
            raise Violation("leader completeness", detail)

    # What a member applies

    def applied(self, machine: "Machine", entry: Entry, admitted: bool, result: object) -> None:
        """`entry` is in its state."""
        index, id = entry.index, entry.id
        if index > len(self.committed) or self.committed[index - 1].record != entry.record:
            raise Violation("state machine safety", f"member {machine.id} applies another entry {index}")
        if index <= len(self._outcomes):
            if self._outcomes[index - 1] != (admitted, result):
                detail = f"entry {index} has two outcomes: {self._outcomes[index - 1]}, and {(admitted, result)}"
                raise Violation("state machine safety", f"{detail} on member {machine.id}")
            return
        require(index == len(self._outcomes) + 1, "state machine safety", f"{index} is applied before those before it")
        self._outcomes.append((admitted, result))
        if isinstance(result, Posted) and result.created:
            self._history.posted(result, entry.time)
        elif entry.kind is Kind.COMMAND and admitted:
            self._applied_command(decode(entry.body), result)
        if admitted and id is not None:
            self._admit(id, index)

    def _check_tokens(self, result: TokenMade | TokensRevoked) -> None:
        """A number names one token, and that ends once."""
        if isinstance(result, TokensRevoked):
            self._revoked.update(result.numbers)
            return
        number, digest = result.token.number, result.token.digest
        require(self._tokens.setdefault(number, digest) == digest, "revoked is revoked", f"two tokens {number}")
        require(number not in self._revoked, "revoked is revoked", f"token {number} is there again")

    def _applied_command(self, command: Command | None, result: object) -> None:
        self._counts[f"applied {type(command).__name__}"] += not isinstance(result, Refusal)
        if isinstance(result, PostChanged | Reacted):
            self._history.revisions.changed(result)
        elif isinstance(result, TokenMade | TokensRevoked):
            self._check_tokens(result)
        elif isinstance(command, Forget):
            self._history.forgot(command.before)
        elif isinstance(command, CreateTicket) and isinstance(result, Done):
            self._tickets.add(command.digest)
        elif isinstance(command, RedeemTicket) and isinstance(result, Redeemed):
            require(command.digest in self._tickets, "single use", f"a ticket for token {result.token.number} again")
            self._tickets.discard(command.digest)

    def _admit(self, id: ProposalId, index: int) -> None:
        key = (id.member, id.boot, id.sequence)
        require(key not in self._refused, "refused is not proposed", f"{id} was refused, and is applied at {index}")
        first = self._admitted.setdefault(key, index)
        require(first == index, "applied once", f"{id} is applied at {first} and at {index}")

    def refused(self, id: ProposalId) -> None:
        """Its client was told that nothing was proposed."""
        key = (id.member, id.boot, id.sequence)
        require(key not in self._admitted, "refused is not proposed", f"{id} was refused, and is applied")
        self._refused.add(key)

    def state(self, machine: "Machine", index: int, digest: str) -> None:
        """The whole state of `machine` at `index`."""
        if self._digests.setdefault(index, digest) != digest:
            raise Violation("state machine safety", f"the state of member {machine.id} at {index} differs from others'")
