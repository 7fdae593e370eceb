"""What must hold at every step of every run (Raft Figure 3), checked against all that was ever seen.

Everything is checked as it appears, so that a run costs no more than what is new in it.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import Entry, Kind, Message, RequestVote, RequestVoteReply, SnapshotMeta


class Invariants:
    """Of one cluster, over all its members' lives."""

    def __init__(self) -> None:
        self.committed: list[Entry] = []  # by index - 1; grows only
        self._committed_in: list[int] = []  # by index - 1: the term of the leader that committed it; never falls
        self._leaders: dict[int, int] = {}  # term -> who led in it
        self._votes: dict[tuple[int, int], int] = {}  # (voter, term) -> for whom
        self._entries: dict[tuple[int, int], tuple[int, bytes]] = {}  # (index, term) -> (term before it, record)
        self._checked: dict[int, int] = {}  # member -> up to where its committed entries were compared
        self._reads: dict[int, int] = {}  # token -> the index it has to cover

    def restarted(self, member: int, commit_index: int) -> None:
        """A new process; all its log is compared again."""
        assert commit_index <= len(self.committed)
        self._checked[member] = 0

    def read_asked(self, token: int) -> None:
        """Whatever is committed by now may have been acknowledged."""
        self._reads[token] = len(self.committed)

    def sent(self, message: Message) -> None:
        """One vote a term, whatever happens to the voter; who asks for votes has given its own to itself."""
        if not isinstance(message, RequestVote | RequestVoteReply) or message.pre_vote:
            return
        if isinstance(message, RequestVote) or message.vote_granted:
            candidate = message.source if isinstance(message, RequestVote) else message.target
            voted_for = self._votes.setdefault((message.source, message.term), candidate)
            assert voted_for == candidate, f"two votes of member {message.source} in term {message.term}"

    def check_snapshot(self, snapshot: SnapshotMeta) -> None:
        """What is installed stands for what was committed, the configuration in force there with it."""
        committed = self.committed[: snapshot.index]
        assert len(committed) == snapshot.index, f"a snapshot of {snapshot.index} entries, {len(committed)} committed"
        assert (snapshot.term, snapshot.time) == (committed[-1].term, committed[-1].time), "a snapshot of another log"
        changes = [entry for entry in committed if entry.kind is Kind.CONFIGURATION]
        if changes:
            told = (snapshot.configuration_index, snapshot.configuration)
            assert told == (changes[-1].index, changes[-1].body), "a snapshot that forgets the configuration"

    def check(
        self,
        node: Node,
        ready: Ready,
        log: Sequence[Entry],
        disk: Sequence[Entry],
        holders: Callable[[int, int], list[int]],
    ) -> None:
        """After each input.  `log`: all entries as the node has them; `disk`: of these, what is synced.

        `holders(index, term)`: the members that have that entry on disk.
        """
        self._check_log(node, ready, log, disk)
        self._check_commit(node, log, holders)
        if node.role is Role.LEADER:
            self._check_leader(node, log)
        for token, index in ready.reads:
            assert index >= self._reads.pop(token), f"read {token} misses what was committed before it was asked"

    def _check_log(self, node: Node, ready: Ready, log: Sequence[Entry], disk: Sequence[Entry]) -> None:
        """Log Matching; and nothing is called durable that is not."""
        for entry in ready.entries:
            if entry.index <= len(log) and log[entry.index - 1] is entry:
                before = log[entry.index - 2].term if entry.index > 1 else 0
                known = self._entries.setdefault((entry.index, entry.term), (before, entry.record))
                assert known == (before, entry.record), f"two entries {entry.index}@{entry.term}"
        if ready.entries or ready.snapshot:
            newest = next((e.index for e in reversed(log) if e.kind is Kind.CONFIGURATION), 0)
            assert node.configuration_index == newest, "not the newest configuration in the log"
        durable = node.durable_index
        assert (node.log.last_index, node.log.last_term) == (len(log), log[-1].term if log else 0)
        assert durable <= min(len(log), len(disk))
        assert durable == 0 or disk[durable - 1].term == log[durable - 1].term, "called durable, but another entry is"
        assert ready.commit_index <= durable

    def _check_commit(self, node: Node, log: Sequence[Entry], holders: Callable[[int, int], list[int]]) -> None:
        """State Machine Safety; and what is committed is on the disks of a majority."""
        for index in range(self._checked[node.id] + 1, node.commit_index + 1):
            entry = log[index - 1]
            if index <= len(self.committed):
                assert self.committed[index - 1] == entry, f"member {node.id} has another entry {index} committed"
                continue
            held = holders(index, entry.term)
            assert any(c.is_majority(held) for c in (node.configuration, node.committed_configuration)), (
                f"entry {index} is committed, but only members {held} have it on disk"
            )
            self.committed.append(entry)
            self._committed_in.append(node.current_term)
        self._checked[node.id] = max(self._checked[node.id], node.commit_index)

    def _check_leader(self, node: Node, log: Sequence[Entry]) -> None:
        """Election Safety, Leader Completeness; one membership change at a time."""
        if node.current_term not in self._leaders:  # votes may come so late that a later term has had its leader
            earlier = bisect_left(self._committed_in, node.current_term)
            assert [e.term for e in self.committed[:earlier]] == [e.term for e in log[:earlier]], (
                f"the leader of term {node.current_term} lacks entries that were committed before"
            )
        leader = self._leaders.setdefault(node.current_term, node.id)
        assert leader == node.id, f"members {leader} and {node.id} lead in term {node.current_term}"
        changes = [entry for entry in log[node.commit_index :] if entry.kind is Kind.CONFIGURATION]
        assert len(changes) <= 1, f"membership changes {[entry.index for entry in changes]} are under way at once"
