"""The faults: what is broken, what forbids it, and where it is known to be caught.

`seed` is one that catches it soon, for the tests, which do not begin at 0.  A change of the simulator may draw other
lives: then `python -m tests.mutants` tells of other seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chat import document
from chat.history import Room
from chat.sections import accounts, ages, changes, details
from chat.state import access, credential_changes, expiry, posting
from raft import compaction, disk, identity, recovery, segments
from raft.clocks import Clocks
from raft.indexes import Indexes
from raft.log import Log
from raft.membership import Configuration
from raft.node import Node
from raft.progress import Progress
from raft.proposals import Proposals
from raft.replicated import Replicated
from raft.sessions import Sessions
from raft.storage import Storage
from tests.mutation.patching import Edit


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault of the engine."""

    name: str
    broken: str  # one sentence
    forbidden_by: str  # section of the paper, the dissertation, or a rule of ours
    edits: tuple[Edit, ...]
    seed: int = 0
    script: str = ""  # the golden script that tells of it, where the simulator hardly ever comes upon it


def _mutant(
    name: str, broken: str, forbidden_by: str, function: Callable[..., Any], old: str, new: str,
    seed: int = 0, script: str = "",
) -> Mutant:  # fmt: skip
    return Mutant(name, broken, forbidden_by, (Edit(function, old, new),), seed, script)


ELECTIONS = (
    _mutant(
        "vote-not-persisted",
        "The vote is left out of what goes to the disk.",
        "Raft Figure 2, persistent state",
        Node.ready,
        "HardState(self.current_term, self.voted_for, self.commit_index)",
        "HardState(self.current_term, 0, self.commit_index)",
    ),
    _mutant(
        "answers-before-its-hard-state-is-durable",
        "A vote and a new term are told before they are on the disk.",
        "Raft Figure 2: updated on stable storage before responding",
        Node._answer,
        "self._hard_state_sequence <= self._persisted_sequence and",
        "",
    ),
    _mutant(
        "term-not-persisted",
        "A higher term that a message brings is taken up without being written.",
        "Raft Figure 2, persistent state",
        Node.become_follower,
        "self._hard_state_is_new()",
        "pass",
    ),
    _mutant(
        "campaigns-before-its-own-vote-is-durable",
        "Votes are asked for while the candidate's own is not on its disk yet.",
        "Raft §5.2, Figure 2",
        Node.become_candidate,
        "self._request_votes(self._messages_after,",
        "self._request_votes(self._messages,",
    ),
    _mutant(
        "vote-forgotten-by-a-new-segment",
        "The header that opens a new log file repeats the term, but not the vote.",
        "Raft Figure 2, persistent state",
        segments.encode_header,
        "header.hard_state.voted_for",
        "0",
        seed=3,
    ),
    _mutant(
        "two-votes-a-term",
        "A member votes for whoever asks, also when it has voted.",
        "Raft §5.2",
        Node._vote,
        "and self.voted_for in (0, m.source)",
        "",
        seed=5,
    ),
    _mutant(
        "votes-for-an-older-log",
        "A vote goes to a candidate whose log lacks what the voter's has.",
        "Raft §5.4.1",
        Node._on_request_vote,
        "self.log.is_up_to_date(m.last_log_index, m.last_log_term)",
        "True",
        seed=3,
    ),
    _mutant(
        "longer-log-beats-newer-term",
        "Which log is more up to date is told by its length alone.",
        "Raft §5.4.1",
        Log.is_up_to_date,
        "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
        "last_log_index >= self.last_index",
        script="vote_goes_to_an_up_to_date_log_only",
    ),
    _mutant(
        "vote-counted-twice",
        "Votes are counted by answers, not by who gave them.",
        "Raft §5.2: a majority of the servers",
        Node._count_vote,
        "self._votes.add(voter)\n    if not self.configuration.is_majority(self._votes):",
        "self._votes = [*self._votes, voter] if voter != self.id or voter not in self._votes else self._votes\n"
        "    if 2 * len(self._votes) <= len(self.configuration.voters):",
        script="vote_reply_counts_once",
    ),
    _mutant(
        "vote-of-an-earlier-term",
        "A granted vote counts in whatever term it arrives.",
        "Raft §5.2",
        Node._on_request_vote_reply,
        "and m.term == asked_term",
        "",
        script="vote_reply_counts_once",
    ),
    _mutant(
        "leader-without-a-majority",
        "Half of the votes are enough to lead.",
        "Raft §5.2",
        Node._count_vote,
        "not self.configuration.is_majority(self._votes)",
        "2 * len(self._votes) < len(self.configuration.voters)",
        seed=4,
    ),
)

REPLICATION = (
    _mutant(
        "commits-an-old-term-by-counting",
        "A leader calls committed what a majority holds, of whatever term it is.",
        "Raft §5.4.2, Figure 8",
        Node._advance_commit,
        " or self.log.term_at(agreed) != self.current_term",
        "",
        seed=2,
    ),
    _mutant(
        "follower-acknowledges-before-its-disk",
        "An append is answered before its entries are durable.",
        "Raft Figure 2: updated on stable storage before responding",
        Node._answer,
        " and match_index <= self.durable_index",
        "",
    ),
    _mutant(
        "leader-counts-itself-before-its-disk",
        "A leader's own share of the majority is all that it has in memory.",
        "dissertation §10.2.1",
        Node._advance_commit,
        "match_index[self.id] = self.durable_index",
        "match_index[self.id] = self.log.last_index",
        seed=2,
    ),
    _mutant(
        "leader-counts-what-it-sent",
        "What has gone out to a follower counts as held there.",
        "Raft §5.3",
        Progress.sent,
        "self.in_flight = True",
        "self.in_flight = True\n    self.match_index = max(self.match_index, last_index)",
    ),
    _mutant(
        "append-truncates-what-matches",
        "A follower replaces all behind prev_log_index by what came, also by a stale append's shorter list.",
        "Raft §5.3, Figure 2: only if an existing entry conflicts",
        Node._take_entries,
        "self.log.term_at(entry.index) == entry.term",
        "entry.index <= self.commit_index",
        seed=29,
    ),
    _mutant(
        "append-without-the-check-of-what-is-before",
        "A follower takes entries wherever they fit by index, whatever the term before them.",
        "Raft §5.3, the consistency check",
        Node._on_append_entries,
        "self.log.term_at(prev_log_index) != prev_log_term",
        "self.log.term_at(prev_log_index) is None",
        seed=7,
    ),
    _mutant(
        "acknowledges-its-own-tail",
        "A follower says that it matches up to the end of its log, not of what the append vouched for.",
        "Raft §5.3",
        Node._on_append_entries,
        "match_index=prev_log_index + len(entries)",
        "match_index=self.log.last_index",
        seed=7,
    ),
    _mutant(
        "commits-beyond-what-the-append-vouches-for",
        "A follower takes leader_commit for its own log, which may be another leader's from there on.",
        "Raft Figure 2: min(leaderCommit, index of last new entry)",
        Node._accept_append,
        "min(m.leader_commit, match_index)",
        "min(m.leader_commit, self.log.last_index)",
        seed=7,
    ),
    _mutant(
        "heartbeat-commits-what-it-does-not-match",
        "A heartbeat's leader_commit holds for all of a follower's log, though it vouches for a part of it.",
        "Raft Figure 2: min(leaderCommit, index of last new entry)",
        Node._on_append_entries,
        "match_index=prev_log_index + len(entries)",
        "match_index=self.log.last_index if m.heartbeat else prev_log_index + len(entries)",
        seed=7,
    ),
    _mutant(
        "answer-of-an-earlier-term-believed",
        "What a follower held in an earlier term of the same leader is taken for what it holds now.",
        "Raft §5.1",
        Node._hear_follower,
        "m.term < self.current_term or ",
        "",
        script="ack_of_an_old_term",
    ),
    _mutant(
        "append-of-a-deposed-leader-taken",
        "A follower takes entries of a leader whose term is over.",
        "Raft §5.1",
        Node._on_append_entries,
        "if m.term < self.current_term:",
        "if m.term < self.current_term - 1:",
        script="re_election",
    ),
    _mutant(
        "durable-by-an-older-write",
        "The write of entries that were truncated meanwhile makes those in their place count as durable (ABA).",
        "a rule of raft/node.py",
        Node._truncate_from,
        "write.last_index = min(write.last_index, index - 1)",
        "pass",
        script="truncated_write_does_not_count_for_its_successor",
    ),
    _mutant(
        "applies-before-its-disk",
        "A follower applies what is committed elsewhere and not on its own disk yet.",
        "dissertation §10.2.1; a rule of raft/node.py",
        Node.ready,
        "min(self.commit_index, self.durable_index)",
        "self.commit_index",
    ),
    _mutant(
        "new-leader-tidies-up",
        "Who comes to lead drops the uncommitted entries of earlier terms from its log.",
        "Raft §5.3, §5.4: leader append-only, leader completeness",
        Node.become_leader,
        "self._follow_configuration()\n",
        "self._truncate_from(self.commit_index + 1)\n    self._follow_configuration()\n",
    ),
    _mutant(
        "time-goes-back",
        "A new leader stamps entries by its own clock, whatever the log says.",
        "a rule of raft/messages.py",
        Node._stamp,
        "max(time, self._last_time)",
        "time",
    ),
)

READS = (
    _mutant(
        "reads-before-the-no-op",
        "A new leader answers reads though it cannot know yet how far the log is committed.",
        "dissertation §6.4, step 1; Raft §8",
        Node._open_round,
        "if not self.has_committed_in_term:",
        "if False:",
        script="reads_at_a_new_leader_wait_for_its_noop",
    ),
    _mutant(
        "lease-of-a-paused-leader",
        "Who was answered within an election timeout of its own clock reads without asking anybody.",
        "dissertation §6.4.1: clocks are not to be trusted",
        Node._close_round,
        "self.configuration.is_majority([*acked, self.id])",
        "self._majority_in_contact(self.configuration)",
        seed=7,
    ),
    _mutant(
        "read-confirmed-by-the-round-before",
        "An answer to the previous round of heartbeats confirms the reads of this one.",
        "dissertation §6.4, step 3",
        Node._close_round,
        ">= self._round]",
        ">= self._round - 1]",
        seed=7,
    ),
    _mutant(
        "round-of-an-earlier-life-echoed",
        "Who refuses an append of an earlier term repeats its round, whose number another may bear in the term of now.",
        "dissertation §6.4, step 3; a rule of raft/node.py",
        Node._on_append_entries,
        "self.current_term, False, 0, 0, True",
        "self.current_term, False, 0, m.round, True",
        script="answer_to_an_earlier_life_confirms_no_read",
    ),
    _mutant(
        "read-joins-a-round-under-way",
        "A read that arrives while a round is out is confirmed by it.",
        "dissertation §6.4: the round begins after the read",
        Node.read_index,
        "self._reads_next.append(token)",
        "(self._reads_open.append((token, self.commit_index)) if self._reads_open else self._reads_next.append(token))",
        script="reads_share_a_round",
    ),
    _mutant(
        "follower-vouches-in-any-term",
        "Who asks counts for the leader's majority, also where it has voted for another one meanwhile.",
        "dissertation §6.4, step 3",
        Node.read_index,
        "follower_term == self.current_term and",
        "bool(follower) and",
        script="follower_that_asks_vouches_for_its_leader",
    ),
    _mutant(
        "vouched-read-before-the-no-op",
        "A new leader answers a follower's reads though it cannot know yet how far the log is committed.",
        "dissertation §6.4, step 1; Raft §8",
        Node.read_index,
        "vouched and self.has_committed_in_term",
        "vouched",
        script="follower_that_asks_vouches_for_its_leader",
    ),
    _mutant(
        "read-does-not-wait-for-the-state",
        "A read is answered before the state has come to the index that it is to show.",
        "dissertation §6.4, step 4",
        Node._open_round,
        "(token, self.commit_index)",
        "(token, min(1, self.commit_index))",
        seed=10,
    ),
)

MEMBERSHIP = (
    _mutant(
        "change-before-the-no-op",
        "A leader changes the members before it has committed anything in its term.",
        "the published fix to dissertation §4.1",
        Node._require_settled_configuration,
        "if not self.has_committed_in_term:",
        "if False:",
    ),
    _mutant(
        "two-changes-at-once",
        "A second change begins while the first is not committed.",
        "dissertation §4.1",
        Node._require_settled_configuration,
        "if self.configuration_index > self.commit_index:",
        "if False:",
        seed=5,
    ),
    _mutant(
        "truncated-change-stays-in-force",
        "A change that a new leader took out of the log is gone by all the same.",
        "dissertation §4.1: the latest configuration in its log",
        Node._truncate_from,
        "self._configurations.pop()",
        "break",
        seed=7,
    ),
    _mutant(
        "learner-counted",
        "What a member without a vote holds counts toward the majority.",
        "dissertation §4.2.1",
        Configuration.agreed_index,
        "for id in self.voters), reverse=True)\n    return held[len(held) // 2]",
        "for id in self.members), reverse=True)\n    return held[len(self.voters) // 2]",
        seed=8,
    ),
    _mutant(
        "removed-leader-goes-on",
        "A leader that committed its own removal goes on leading.",
        "dissertation §4.2.2",
        Node._advance_commit,
        "if self.is_removed:",
        "if False:",
        script="remove_leader",
    ),
)

STORAGE = (
    _mutant(
        "no-sync",
        "A batch is written and called durable without fdatasync.",
        "Raft Figure 2, persistent state",
        Storage._append,
        "self._writer.sync()",
        "pass",
    ),
    _mutant(
        "name-not-synced",
        "A new file is renamed into place, and the directory not synced.",
        "a rule of raft/disk.py",
        disk.create_durably,
        "disk.sync_directory(path.parent)",
        "pass",
        seed=1,
    ),
    _mutant(
        "torn-tail-not-written-anew",
        "What a start finds beyond the durable offset counts as durable without being written again.",
        "a rule of raft/recovery.py",
        recovery._Recovery._close_last,
        "self._log.carried = [pair for pair in carried if pair[0] > self._log.positions.base_index]",
        "self._log.carried = []",
        seed=2,
    ),
    _mutant(
        "durable-offset-of-the-end",
        "A batch says that it is durable itself, before anybody can know.",
        "a rule of raft/segments.py",
        Storage._append,
        "encode_opening(start, ",
        "encode_opening(start + 1, ",
        seed=1,
    ),
    _mutant(
        "index-forgets-the-configurations",
        "A start that believes an index knows nothing of the members that its segment names.",
        "Raft §6: the latest configuration in the log; a rule of raft/indexes.py",
        Indexes.keep_segment,
        "for one in content.configurations",
        "for one in []",
        seed=3,
    ),
    _mutant(
        "start-keeps-what-was-replaced",
        "A start keeps entries of an earlier segment that a later one wrote anew.",
        "Raft §5.3; a rule of raft/contents.py",
        recovery.RecoveredLog.take,
        "self._forget(content.first_index)",
        "self._forget(content.first_written)",
        seed=81,
    ),
    _mutant(
        "index-without-its-last-entry",
        "An index leaves out the last entry of its segment.",
        "Raft Figure 2, persistent state; a rule of raft/indexes.py",
        Indexes.keep_segment,
        "[content.positions]",
        "[content.positions[:-1]]",
        seed=3,
    ),
)

CLIENTS = (
    _mutant(
        "retry-applied-twice",
        "A proposal that was applied is applied again when it comes again.",
        "dissertation §6.3",
        Sessions.admit,
        " or id.sequence in session.applied",
        "",
    ),
    _mutant(
        "start-that-is-not-counted",
        "A member that starts again gives its proposals the ids that it gave in its life before.",
        "dissertation §6.3",
        identity.load_or_create,
        "identity.boot + 1 + _random_31_bits(random_bytes)",
        "max(identity.boot, 1)",
        seed=5,
    ),
    _mutant(
        "answered-too-early-forgotten",
        "The memory of what is applied keeps the newest of a member's proposals only.",
        "dissertation §6.3",
        Sessions.admit,
        "session.remember(id)",
        "session.applied = {id.sequence}",
    ),
    _mutant(
        "unknown-outcome-called-refused",
        "A client is told that nothing was proposed, of what was handed over.",
        "a rule of raft/proposals.py",
        Proposals.expire,
        "if waiting.handed_over:",
        "if False:",
    ),
)

SNAPSHOTS = (
    _mutant(
        "snapshot-forgets-the-sessions",
        "Who goes on from a snapshot or a checkpoint has the state, and not which proposals were applied.",
        "dissertation §6.3, §5.1",
        Replicated.restore,
        "self._sessions = sessions",
        "self._sessions = Sessions()",
    ),
    _mutant(
        "document-forgets-the-sessions",
        "A snapshot or a checkpoint is written without the memory of which proposals were applied.",
        "dissertation §6.3, §5.1",
        Replicated.document,
        "self._sessions.document()",
        "[]",
        seed=107,
    ),
    _mutant(
        "document-forgets-the-client-ids",
        "A snapshot or a checkpoint is written without the memory of which ClientIds have made a post.",
        "the state's own rule: nothing that apply looks at is missing from its document",
        document.copied,
        "tables.remembered.buckets()",
        '[b""] * 256',
    ),
    _mutant(
        "document-forgets-the-ages",
        "A snapshot or a checkpoint is written without the table that says how old the log's entries are.",
        "the state's own rule: nothing that apply looks at is missing from its document",
        ages._copy,
        "zip(ages.moments, ages.indexes, strict=True)",
        "()",
        seed=5,
    ),
    _mutant(
        "document-forgets-the-details",
        "A snapshot or a checkpoint is written without what is known of rooms beside their posts, their retention too.",
        "the state's own rule: nothing that apply looks at is missing from its document",
        details._copy,
        "in _described(tables)",
        "in ()",
        seed=7,
    ),
    _mutant(
        "client-ids-forgotten-early",
        "A step that has old ClientIds forgotten takes those along that are not old yet.",
        "the public promise: a retry stands once, for 24 hours",
        expiry.forget,
        "tables.ages.before(command.before, entry.index)",
        "entry.index - 1",
        seed=5,
    ),
    _mutant(
        "document-of-two-moments",
        "What is applied while a checkpoint is about to be written gets into a part of it, the sessions.",
        "a rule of raft/replicated.py: a document is of the moment it was asked for",
        Replicated.document,
        "return chain((sessions,), self._machine.document())",
        "state = self._machine.document(); return chain("
        """(b'{"sessions":%b}' % json.dumps(one.document()).encode() for one in (self._sessions,)), state)""",
        seed=27,
    ),
    _mutant(
        "document-of-another-entry",
        "A document of the state names an entry that was applied before the last one that is in it.",
        "Raft §7: last included index and term",
        Replicated.apply,
        "self._last = entry",
        "self._last = self._last or entry",
    ),
    _mutant(
        "client-ids-not-asked",
        "A post is made of each request, also where its ClientId has made one before.",
        "the public promise: a retry stands once",
        posting.post,
        "if earlier:",
        "if earlier < 0:",
    ),
    _mutant(
        "compaction-drops-a-live-entry",
        "A snapshot leaves out the newest entry whose text may still be asked for.",
        "a rule of raft/compaction.py",
        compaction.compact,
        "past.write(machine.live())",
        "past.write(machine.live()[:-1])",
    ),
    _mutant(
        "compaction-drops-the-edits",
        "A snapshot leaves out the entries that hold what posts were edited to, and the tombstones.",
        "a rule of chat/state/machine.py",
        Room.live,
        "for index in change.entries",
        "for index in ()",
        seed=11,
    ),
    _mutant(
        "snapshot-forgets-what-became-of-posts",
        "A state's document has no edits, deletions and reactions.",
        "a rule of chat/state/machine.py",
        changes._copy,
        "for name in changed for",
        "for name in changed[:0] for",
        seed=5,
    ),
    _mutant(
        "compaction-forgets-the-configuration",
        "A snapshot names the members that its predecessor named, not those of the log it replaces.",
        "Raft §7; dissertation §5.1",
        Replicated.apply,
        "if entry.kind is Kind.CONFIGURATION:",
        "if False:",
    ),
    _mutant(
        "snapshot-renamed-before-the-log-goes-on",
        "A received snapshot gets its name while the log behind it is still the old one.",
        "a rule of raft/storage.py",
        Storage._install,
        "    self._rotate(file.meta.index + 1)\n",
        "",
        seed=47,
    ),
    _mutant(
        "snapshot-forgets-the-configuration",
        "Who installs a snapshot goes on with the members it knew before.",
        "Raft §7; dissertation §5.1",
        Node._install,
        "self._configurations = [(snapshot.configuration_index, configuration)]",
        "self._configurations = self._configurations[:1]",
        seed=2,
    ),
    _mutant(
        "snapshot-acknowledged-before-it-is-durable",
        "A snapshot is answered when it has arrived, before it is in place on the disk.",
        "Raft §7, Figure 2",
        Node._on_install_snapshot,
        "self._answer(reply, reply.match_index)",
        "self._answer(reply)",
        seed=2,
    ),
    _mutant(
        "snapshot-over-a-log-that-holds-more",
        "A snapshot takes the place of a log that goes on behind it.",
        "Raft §7, Figure 13 step 6",
        Node.holds,
        "index <= self.commit_index or self.log.term_at(index) == term",
        "index == self.log.last_index and self.log.last_term == term",
        script="snapshot_of_what_the_log_holds_is_not_installed",
    ),
)

ACCOUNTS = (
    _mutant(
        "posts-without-asking-who",
        "A post is made whether or not the token that it is by is still there.",
        "the public promise: what begins after a revocation was acknowledged is refused",
        posting.post,
        "if refused is not None and refused is not access.ARCHIVED:",
        "if False:",
        seed=1,
    ),
    _mutant(
        "changes-without-asking-who",
        "Who edits, deletes and reacts by a token that has ended is taken at his word.",
        "the public promise: what begins after a revocation was acknowledged is refused",
        access.acting,
        "return BAD_TOKEN",
        "return Acting(actor.user, ADMIN)",
        seed=1,
    ),
    _mutant(
        "revocation-without-consequence",
        "A revocation names the tokens that it ends, and ends none.",
        "the public promise: what begins after a revocation was acknowledged is refused",
        credential_changes.revoke_tokens,
        "revoke(tables, numbers, entry, tell)",
        "tuple(numbers)",
        seed=1,
    ),
    _mutant(
        "ticket-used-twice",
        "A ticket stays when it is redeemed.",
        "the state's own rule: a ticket is good once",
        credential_changes.redeem_ticket,
        "_drop_ticket(tables, command.digest)",
        "pass",
        seed=10,
    ),
    _mutant(
        "document-forgets-the-tokens",
        "A snapshot or a checkpoint is written without the newest token.",
        "the state's own rule: nothing that apply looks at is missing from its document",
        accounts._copy_tokens,
        "*tables.tokens.values()",
        "*[*tables.tokens.values()][:-1]",
        seed=19,
    ),
)

CLOCKS = (
    _mutant(
        "goes-by-its-own-clock",
        "A leader stamps by its own clock, also where most of the others' say that it is wrong.",
        "raft/clocks.py, rule 1",
        Clocks._bound,
        "self._raw = min(max(own, self._low), self._high) if self._is_sure else self._low",
        "self._raw = own",
        seed=3,
    ),
    _mutant(
        "goes-by-clocks-it-does-not-know",
        "A member that was not heard of is taken for one whose clock is ahead.",
        "raft/clocks.py, rule 1: the lowest counts",
        Clocks._bound,
        "if self._is_sure else self._low",
        "if self._is_sure else max(own, self._low)",
        seed=76,
    ),
)

MUTANTS = (*ELECTIONS, *REPLICATION, *READS, *MEMBERSHIP, *STORAGE, *CLIENTS, *SNAPSHOTS, *ACCOUNTS, *CLOCKS)
