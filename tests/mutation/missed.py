"""Faults that no test told of for a long time."""

from raft import housekeeping, indexes
from raft.applier import Applier
from raft.membership import Configuration
from raft.node import Node
from raft.storage import Storage
from tests.mutation.mutant import Mutant, mutant
from tests.mutation.patching import Edit

MISSED = (
    mutant(
        "removed-before-forgotten",
        "A second removal forgets the ids that were removed before.",
        "a rule of raft/membership.py: ids are never used again",
        Configuration._without,
        "self.removed | {member.id}",
        "frozenset({member.id})",
    ),
    mutant(
        "level-of-voters-only",
        "The cluster's level is what its voters have reached, whatever its learners know.",
        "a rule of raft/membership.py: the highest that every member has reached",
        Configuration.raised,
        "for m in self.members.values()",
        "for m in self.members.values() if m.voting",
    ),
    mutant(
        "index-not-bound-to-the-tail",
        "An index is believed whatever its file ends with.",
        "a rule of raft/indexes.py: bound by a checksum of what the file begins and ends with",
        indexes._ends,
        "crc32(tail, crc32(head))",
        "crc32(head)",
    ),
    Mutant(
        "last-applied-ahead-of-the-state",
        "`last_applied` is told before the state is there.",
        "dissertation §6.4, step 4: a read waits until the state is at its index",
        (
            Edit(
                Applier._apply_up_to,
                "answers = [answer for entry in entries if (answer := self._apply(entry))]\n"
                "        self.last_applied = entries[-1].index\n",
                "self.last_applied = entries[-1].index\n"
                "        answers = [answer for entry in entries if (answer := self._apply(entry))]\n",
            ),
        ),
    ),
    mutant(
        "compaction-waits-for-the-furthest",
        "A compaction takes what all members but one still lack.",
        "a rule of raft/housekeeping.py: it keeps what a member that is there still lacks",
        housekeeping._least_held,
        "min(heard",
        "max(heard",
    ),
    mutant(
        "older-compaction-adopted",
        "A compaction takes the place of a newer snapshot that was installed meanwhile.",
        "a rule of raft/storage.py: nothing that is acknowledged is lost",
        Storage.adopt,
        "if meta.index > self._positions.base_index:",
        "if True:",
    ),
    mutant(
        "said-in-an-earlier-term",
        "A new leader goes by what members said of themselves to it in an earlier term.",
        "a rule of raft/node.py: others may be new since",
        Node.become_leader,
        "self._described = {id: said for id, said in self._described.items() if id == self.id}",
        "pass",
    ),
    mutant(
        "incarnation-changes",
        "A member's incarnation becomes what it says now.",
        "a rule of raft/node.py: once known it never changes",
        Node._due_description,
        "member.incarnation or said.incarnation",
        "said.incarnation or member.incarnation",
    ),
)
