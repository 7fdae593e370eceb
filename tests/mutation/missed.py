"""Faults that no test told of for a long time."""

from raft.compaction import policy
from raft.core.configuration import Configuration
from raft.core.node import Node
from raft.engine.applier import Applier
from raft.storage import index_file
from raft.storage.log_store import Storage
from tests.mutation.mutant import Mutant, mutant
from tests.mutation.patching import Edit

MISSED = (
    mutant(
        "removed-before-forgotten",
        "A second removal forgets the ids that were removed before.",
        "a rule of raft/core/configuration.py: ids are never used again",
        Configuration._without,
        "self.removed | {member.id}",
        "frozenset({member.id})",
        test="raft/core/test_configuration.py::test_each_removal_keeps_the_ids_that_were_removed_before",
    ),
    mutant(
        "level-of-voters-only",
        "The cluster's level is what its voters have reached, whatever its learners know.",
        "a rule of raft/core/configuration.py: the highest that every member has reached",
        Configuration.raised,
        "for m in self.members.values()",
        "for m in self.members.values() if m.voting",
        test="raft/core/test_configuration.py::test_a_learner_holds_the_level_like_a_voter",
    ),
    mutant(
        "index-not-bound-to-the-tail",
        "An index is believed whatever its file ends with.",
        "a rule of raft/storage/index_file.py: bound by a checksum of what the file begins and ends with",
        index_file._ends,
        "crc32(tail, crc32(head))",
        "crc32(head)",
        test="raft/storage/test_index_file.py::test_no_index_is_believed_whose_file_has_changed_at_its_end_since_it_was_sealed",
    ),
    Mutant(
        "last-applied-ahead-of-the-state",
        "`last_applied` is told before the state is there.",
        "dissertation §6.4, step 4: a read waits until the state is at its index",
        (
            Edit(
                Applier._apply_up_to,
                "answers = self._apply_all(entries, commit_index)\n        self.last_applied = entries[-1].index\n",
                "self.last_applied = entries[-1].index\n        answers = self._apply_all(entries, commit_index)\n",
            ),
        ),
        test="raft/engine/test_applier.py::test_nothing_counts_as_applied_before_the_state_is_there",
    ),
    mutant(
        "compaction-waits-for-the-furthest",
        "A compaction takes what all members but one still lack.",
        "a rule of raft/compaction/policy.py: it keeps what a member that is there still lacks",
        policy._least_held,
        "min(heard",
        "max(heard",
        test="raft/compaction/test_policy.py::test_a_member_that_lacks_entries_is_waited_for_within_bounds",
    ),
    mutant(
        "older-compaction-adopted",
        "A compaction takes the place of a newer snapshot that was installed meanwhile.",
        "a rule of raft/storage/log_store.py: nothing that is acknowledged is lost",
        Storage.adopt,
        "if is_newer():",
        "if True:",
        test="raft/storage/test_snapshots.py::"
        "test_a_compaction_does_not_take_the_place_of_a_newer_snapshot_that_is_installed_meanwhile",
    ),
    mutant(
        "said-in-an-earlier-term",
        "A new leader goes by what members said of themselves to it in an earlier term.",
        "a rule of raft/core/node.py: others may be new since",
        Node.become_leader,
        "self._described = {id: said for id, said in self._described.items() if id == self.id}",
        "pass",
        test="raft/core/test_node.py::test_a_leader_does_not_go_by_what_members_told_it_in_an_earlier_term",
    ),
    mutant(
        "incarnation-changes",
        "A member's incarnation becomes what it says now.",
        "a rule of raft/core/node.py: once known it never changes",
        Node._due_description,
        "member.incarnation or said.incarnation",
        "said.incarnation or member.incarnation",
        test="raft/core/test_node.py::test_an_incarnation_once_known_never_changes",
    ),
)
