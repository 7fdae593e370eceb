"""Faults of how older copies of a member's data are found out."""

from raft.core import boots
from raft.core.node import Node
from tests.mutation.mutant import mutant

OLDER_COPIES = (
    mutant(
        "older-copy-believed",
        "The votes and answers of a disk count that lacks a start which the log here records.",
        "a rule of raft/core/boots.py",
        boots.is_of_older_copy,
        "recorded <= boots[0] or recorded in boots",
        "True",
        seed=14,
    ),
    mutant(
        "only-the-start-of-now-is-known",
        "A directory forgets the starts before the one of now, recorded or not.",
        "a rule of raft/core/boots.py: the last one known to be recorded and all since",
        boots.with_boot,
        "grown = (*boots, boot)",
        "grown = (boot,)",
        seed=14,
    ),
    mutant(
        "list-of-starts-cut-too-far",
        "Once any start is recorded the list is cut to the one of now.",
        "a rule of raft/core/boots.py: the list is cut to begin at what is recorded",
        boots.since_recorded,
        "boots[boots.index(recorded, gap) :]",
        "boots[-1:]",
        test="raft/core/test_boots.py::test_a_list_is_cut_to_begin_with_what_is_recorded_and_only_where_it_has_that",
    ),
    mutant(
        "refused-by-a-member-that-lags",
        "A member is refused by whose log knows of an earlier start only than the member knows to be recorded.",
        "a rule of raft/core/boots.py: a list that begins above the record says nothing",
        boots.is_of_older_copy,
        "recorded <= boots[0] or",
        "not recorded or",
        seed=14,
    ),
    mutant(
        "goes-on-without-what-it-acknowledged",
        "A member goes on with a log that lacks what its leader knows that it acknowledged.",
        "Raft Figure 2: updated on stable storage before responding",
        Node._on_append_entries,
        "if m.heartbeat:\n            self._require_held",
        "if False:\n            self._require_held",
        seed=26,
    ),
    mutant(
        "undoes-what-is-committed",
        "A follower undoes entries that it knows to be committed where a leader has others.",
        "Raft §5.4.3: no leader lacks them, unless a majority has lost them",
        Node._truncate_from,
        "if index <= self.commit_index:",
        "if False:",
        test="raft/cluster/test_old_copies.py::test_a_member_stops_rather_than_undo_what_it_knows_to_be_committed",
    ),
    mutant(
        "votes-for-a-log-without-what-is-committed",
        "A vote goes to a log that ends before what the voter knows to be committed beyond its own.",
        "Raft §5.4.3; a rule of raft/core/node.py",
        Node._on_request_vote,
        "up_to_date and not self._lacks_committed(m.last_log_index)",
        "up_to_date",
        test="raft/cluster/test_old_copies.py::test_a_log_that_ends_before_what_is_known_to_be_committed_gets_no_vote",
    ),
)
