"""Faults of the comparison of states, and of the way back of a member whose state differs."""

from chat.state.machine import ChatState
from raft.core.node import Node
from raft.digest.comparison import Comparison
from raft.digest.set_aside import SetAside
from raft.digest.watch import DigestWatch
from raft.engine.applier import Applier
from raft.engine.state_machine import Replicated
from raft.storage.log_store import Storage
from tests.mutation.mutant import mutant

_COMPARISON = "raft/digest/test_comparison.py::"
_RESYNC = "raft/digest/test_resync.py::"
_CORE = "raft/core/test_state_that_differs.py::"
_RULE = "a rule of raft/digest/comparison.py: "
_SETTING_ASIDE = "a rule of raft/digest/set_aside.py: "

STATE_DIGEST = (
    mutant(
        "digests-of-different-indexes-compared",
        "Digests are compared whatever the log index that they are of.",
        _RULE + "only digests of one format and one index are compared",
        Comparison.note,
        "(digest.index, digest.format): digest.value",
        "(0, digest.format): digest.value",
        test=_COMPARISON + "test_digests_of_different_indexes_are_not_compared",
    ),
    mutant(
        "digests-of-different-formats-compared",
        "Digests of programs that make them in different ways are compared.",
        _RULE + "only digests of one format and one index are compared",
        Comparison.note,
        "(digest.index, digest.format): digest.value",
        '(digest.index, ""): digest.value',
        test=_COMPARISON + "test_digests_of_different_formats_are_not_compared",
    ),
    mutant(
        "a-majority-set-aside",
        "Members differ as soon as one member tells another digest.",
        _RULE + "a member differs from a majority of the voters, and of two both only report",
        Comparison.find,
        "_majority({id: value for id, value in values.items() if id not in doubted}, is_majority)",
        "next(iter(values.values()))",
        test=_COMPARISON + "test_of_two_voters_that_differ_nobody_is_right",
    ),
    mutant(
        "a-member-in-doubt-counts",
        "A member that knows that its state differs is counted in a majority.",
        _RULE + "whoever is set aside, a majority of the voters is not",
        Comparison.find,
        "if id not in doubted}",
        "}",
        test=_COMPARISON + "test_a_member_in_doubt_makes_no_majority",
    ),
    mutant(
        "an-older-comparison-decides",
        "A member that agrees by now differs for ever, since it once did.",
        _RULE + "the newest index decides at which it could be compared",
        Comparison.find,
        "reverse=True)",
        "reverse=False)",
        test=_COMPARISON + "test_the_newest_index_that_could_be_compared_decides",
    ),
    mutant(
        "digest-without-the-state",
        "The digest that is told is of an empty state.",
        "the state's own rule: nothing that apply looks at is missing from its digest",
        ChatState.digest_input,
        "copied = document.copied(self._tables)",
        "copied = document.Copied(iter(()), [], {})",
        test="chat/state/test_state_digest.py::test_any_difference_changes_the_digest",
    ),
    mutant(
        "set-aside-and-serving",
        "A member whose state differs answers stale reads.",
        _SETTING_ASIDE + "it serves nobody",
        SetAside.begin,
        "self._applier.refusal = REFUSAL",
        "pass",
        test=_RESYNC + "test_a_follower_whose_state_was_changed_gets_a_new_one_while_posts_go_on",
    ),
    mutant(
        "resync-by-its-own-state",
        "A member whose state differs goes on with its own state.",
        _SETTING_ASIDE + "it gets its state anew from the leader",
        Applier.replace_state,
        "self._restore(self._commit_index)",
        "self.last_applied = self._storage.base_index",
        test=_RESYNC + "test_a_follower_whose_state_was_changed_gets_a_new_one_while_posts_go_on",
    ),
    mutant(
        "set-aside-forgotten-in-a-restart",
        "A member that is started again serves, although its state differed and was not compared since.",
        _SETTING_ASIDE + "the mark outlives the process",
        SetAside._write_mark,
        "if self._mark is None:",
        "if True:",
        test=_RESYNC + "test_a_member_that_is_started_again_while_it_is_set_aside_compares_before_it_serves",
    ),
    mutant(
        "differing-leader-stays",
        "A leader whose state differs goes on to lead.",
        _SETTING_ASIDE + "it hands leadership over",
        Node._tick_leader,
        "if self._barred_ms is not None and not self._leave_barred(self._barred_ms):",
        "if False:",
        test=_CORE + "test_a_barred_leader_hands_over",
    ),
    mutant(
        "differing-member-campaigns",
        "A member whose state differs campaigns like any other.",
        _SETTING_ASIDE + "it does not campaign",
        Node._may_campaign,
        "if self._barred_ms is not None:",
        "if False:",
        test=_CORE + "test_a_barred_member_does_not_campaign_while_another_one_may",
    ),
    mutant(
        "wanted-snapshot-replaces-the-whole-log",
        "A snapshot that was asked for removes entries that follow it and are acknowledged.",
        "Raft §7: if the log holds the snapshot's last entry, the entries that follow it are retained",
        Node._on_install_snapshot,
        "elif m.received:",
        "if m.received:",
        test=_CORE + "test_what_follows_such_a_snapshot_in_the_log_is_retained",
    ),
    mutant(
        "wanted-snapshot-counts-before-it-is-there",
        "A leader takes the snapshot that a follower asked for as received before it is.",
        _SETTING_ASIDE + "a snapshot counts once it is in its place",
        Node._on_install_snapshot,
        "held = in_log and (m.received or not self.awaits_snapshot(last))",
        "held = in_log",
        test=_CORE + "test_a_snapshot_that_was_asked_for_counts_once_it_is_in_its_place",
    ),
    mutant(
        "received-snapshot-without-its-name",
        "The snapshot is put in place in memory, and its file keeps its temporary name.",
        "a rule of raft/storage/log_store.py: it is durable under its name before the storage hears of it",
        Storage.adopt_received,
        "self._disk.rename(self._data_dir / receiver.temporary_name, self._data_dir / snapshot_name(meta.index))",
        "pass",
        test=_RESYNC + "test_a_follower_whose_state_was_changed_gets_a_new_one_while_posts_go_on",
    ),
    mutant(
        "own-state-applies-a-post-twice",
        "A member that has restored a document forgets the proposals that were applied, so that its state differs.",
        "all state is a function of the log; the comparison of digests finds what is not",
        Replicated.restore,
        "self._sessions = sessions",
        "self._sessions = Sessions()",
        test=_RESYNC + "test_a_state_that_a_start_restored_wrongly_is_found",
    ),
    mutant(
        "two-members-undecided-at-once",
        "States differ as soon as one member was heard before the third one.",
        "a rule of raft/digest/watch.py: two that differ wait for a third one",
        DigestWatch._lasting,
        "now_s - self._undecided_s[id] >= UNDECIDED_S",
        "True",
        test="raft/digest/test_watch.py::test_two_members_that_differ_are_reported_once_no_third_one_has_told_for_long",
    ),
)  # fmt: skip
