"""Faults of how damaged entries are mended from other members."""

from raft.compaction.policy import LogMaintenance
from raft.core.node import Node
from raft.digest.set_aside import SetAside
from raft.engine.applier import Applier
from raft.repair import base_renewal, fetching
from raft.repair.repairer import Repairer
from raft.storage import reader, rewrite_file
from raft.storage.index_file import Indexes
from raft.storage.log_store import Storage
from raft.storage.recovery import _Recovery
from tests.mutation.mutant import mutant

FETCHING = "raft/repair/test_fetching.py"

REPAIRS = (
    # No life of the simulator shows this one.  The term of what is let through here is compared once more when it is
    # placed (SealedFiles._is_right) or read (Borrowed.get): both have a mutant of their own.  Then the checksum of the
    # whole file must come right.  So for harm above these units all of them have to be broken at once.
    mutant(
        "repair-trusts-a-record-of-another-term",
        "A fetched entry is taken for the one that was lost, of whatever term it is.",
        "Raft §5.3: only the same index and term are the same entry",
        fetching.why_refused,
        "if term and entry.term == term else",
        "if term else",
        test=f"{FETCHING}::test_an_entry_above_the_base_is_believed_by_its_term_committed_or_not[11-3]",
    ),
    mutant(
        "repair-trusts-what-is-not-committed",
        "An entry of the base is taken from a member that does not know it to be committed.",
        "Raft §5.4: only committed entries are unique by index",
        fetching.why_refused,
        "entry.index > commit_index",
        "False",
        test=f"{FETCHING}::test_an_entry_of_the_base_is_believed_if_it_is_committed_and_its_term_fits",
    ),
    mutant(
        "repair-sends-damaged-bytes-on",
        "A member answers a fetch with what its disk holds there, damaged or not.",
        "design.md: nothing damaged is sent, served, copied or compacted away",
        reader._record_at,
        "if is_entry_at(record, index) else None",
        "",
        test=f"{FETCHING}::test_damaged_bytes_of_a_real_file_are_not_sent_on",
    ),
    mutant(
        "damage-ends-the-asking",
        "What is asked for behind a damaged entry is not sent, although it is sound.",
        "raft/repair/fetching.py: an answer has what is sound here",
        fetching.sound_records,
        "wanted = [index for index in wanted if index not in damaged]",
        "wanted = [index for index in wanted if index < min(damaged)]",
        test=f"{FETCHING}::test_an_answer_has_what_is_sound_here_and_leaves_out_the_rest",
    ),
    mutant(
        "campaigns-with-a-hole",
        "A member campaigns although it has lost an uncommitted entry.",
        "a rule of raft/core/node.py: a leader can replicate each of its entries",
        Node._may_campaign,
        "self._hole > self.commit_index and",
        "False and",
        test="raft/core/test_holes.py::test_it_does_not_campaign_until_the_entry_is_mended[9]",
    ),
    mutant(
        "damaged-entry-is-passed-over",
        "The applier goes on behind an entry that it cannot read.",
        "Raft §5.3: state machines apply the same entries in the same order",
        Applier._committed,
        "damage.indexes[0] - 1, APPLY_BYTES_MAX",
        "damage.indexes[0] - 1, APPLY_BYTES_MAX) + self._storage.reader.read_entries(damage.indexes[-1] + 1, last, 1",
        test="raft/engine/test_applier.py::test_entries_before_a_damaged_one_are_applied_and_it_is_waited_for",
    ),
    mutant(
        "reader-waits-for-what-nobody-has",
        "A reader is not told that no member has the entry.",
        "raft/repair/repairer.py: a reader gets an answer at once if it is known that nobody has the entry",
        Repairer._borrow,
        "all_answered or",
        "",
        test="raft/repair/test_repairer.py::test_a_reader_hears_at_once_that_nobody_has_the_entry_also_the_next_one",
    ),
    mutant(
        "borrowed-record-of-another-term",
        "A read of a damaged entry gets the record of one that it has replaced.",
        "Raft §5.3: only the same index and term are the same entry",
        reader.Borrowed.get,
        "or self._term_of(index) not in (0, found[2])",
        "",
        test="raft/storage/test_reader.py::test_a_borrowed_record_counts_for_no_entry_that_has_replaced_it[False]",
    ),
    mutant(
        "borrowed-record-for-any-place",
        "A record of another member stands in for whatever has its index.",
        "raft/storage/reader.py: each one counts for one place in one file",
        reader.Borrowed.get,
        "found[:2] != (file, offset)",
        "False",
        test="raft/storage/test_reader.py::test_a_borrowed_record_counts_for_no_entry_that_has_replaced_it[True]",
    ),
    mutant(
        "snapshot-of-a-wrong-state-stays",
        "A compaction that ends after its node was set aside leaves its snapshot, which a start takes for the base.",
        "raft/compaction/policy.py: no document is made of a state that is wrong",
        LogMaintenance.compact,
        "self._storage.discard_snapshot(meta)",
        "pass",
        test="raft/compaction/test_policy.py::test_a_snapshot_of_a_state_that_is_found_wrong_meanwhile_is_removed",
    ),
    mutant(
        "backup-believes-what-was-borrowed",
        "A backup begins again before the file that its child reads is written anew.",
        "raft/repair/repairer.py: `elsewhere`: another process reads the files",
        Repairer.read,
        "self.wait_written if elsewhere else self.wait",
        "self.wait",
        test="raft/repair/test_repairer.py::test_a_read_by_another_process_waits_until_the_file_is_written_anew",
    ),
    mutant(
        "older-snapshot-taken-for-a-lost-one",
        "A start whose newest snapshot is missing goes on from an older one, or from none.",
        "a rule of raft/storage/recovery.py: a received snapshot may have replaced another log",
        _Recovery._newest_base,
        "*map(indexed_by, found)",
        "",
        test="raft/storage/test_snapshots.py::test_a_snapshot_that_is_missing_is_known_by_its_index",
    ),
    mutant(
        "damage-is-copied-as-what-was-found-intact",
        "A file that is written anew takes over what reads otherwise by then.",
        "a rule of raft/storage/rewrite_file.py: the bytes that are copied are those that were found intact",
        rewrite_file.rewrite,
        "if copied_crc != old_crc:",
        "if False:",
        test="raft/storage/test_sealed_files.py::"
        "test_a_file_that_reads_otherwise_while_it_is_copied_than_when_it_was_looked_at_is_not_replaced",
    ),
    mutant(
        "index-forgets-a-first-line",
        "An index is made of a file whose first line is damaged, and replaces the only place that has it.",
        "a rule of raft/storage/index_file.py: no index is made of a file whose first line is damaged",
        Indexes._keep,
        "if not any(intact_lines_in(first_line)):",
        "if False:",
        test="raft/storage/test_sealed_files.py::test_an_index_does_not_forget_the_first_line_that_its_file_has_lost",
    ),
    mutant(
        "start-forgets-what-it-lacks",
        "A start does not note which entries of a sealed segment are lost, nor that one may be a configuration.",
        "a rule of raft/storage/recovery.py: it is certain which entries are lost, and no configuration is",
        _Recovery._scanned,
        "self._add_holes(header.name, found)",
        "pass",
        seed=1006,
    ),
    mutant(
        "lost-state-at-index-0-is-not-asked-for",
        "A member that lost its state before it applied anything asks for no snapshot, and serves nobody for ever.",
        "raft/digest/set_aside.py: it gets its state anew from the leader",
        SetAside.begin,
        "max(applied, self._storage.base_index, 1)",
        "max(applied, self._storage.base_index)",
        seed=2122,
    ),
    mutant(
        "damaged-base-stays-while-nothing-is-applied",
        "A node whose snapshot lost its state waits for the next entry, which an idle cluster never has.",
        "a rule of raft/repair/base_renewal.py: where nothing was applied since, the new base takes the old one's name",
        base_renewal.renew_base,
        "if document.meta.index < storage.base_index:",
        "if document.meta.index <= storage.base_index:",
        test="raft/repair/test_power_cuts.py::"
        "test_a_power_cut_within_a_repair_loses_nothing_and_brings_no_wrong_record"
        "[the state of a snapshot after which nothing came]",
    ),
    mutant(
        "lost-state-is-taken-for-an-empty-one",
        "A start whose state document is lost says that nothing is missing.",
        "raft/storage/recovery.py: a member that has lost its state takes the leader's",
        Storage._has_document,
        "return False",
        "return True",
        test="raft/storage/test_snapshots.py::test_a_damaged_snapshot_is_known_by_its_index_or_its_own_first_line",
    ),
)
