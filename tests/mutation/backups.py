"""Faults of backups and restores."""

from chat.api.routes import backup as route
from raft.backup import restore
from raft.backup.backup_file import BackupCheck
from raft.backup.spool import Backups
from raft.core import line_blocks
from tests.mutation.mutant import mutant

_FILE = "raft/backup/test_backup_file.py"
_RESTORE = "raft/backup/test_restore.py"

BACKUPS = (
    mutant(
        "restore-keeps-the-cluster-id",
        "A restored cluster has the id of the one that was backed up, so its old members join it.",
        "a rule of raft/backup/restore.py: the new cluster has an id of its own",
        restore._write,
        "old = decode_configuration(meta.configuration)",
        "old = decode_configuration(meta.configuration)\n    cluster_id = old.cluster_id",
        test=f"{_RESTORE}::test_a_backup_becomes_a_new_cluster_of_one",
    ),
    mutant(
        "restore-keeps-the-generation",
        "A restored cluster has the generation of the one that was backed up.",
        "a rule of raft/backup/restore.py: the new cluster has a generation of its own",
        restore._write,
        "old.level, generation)",
        "old.level, old.generation)",
        test=f"{_RESTORE}::test_a_backup_becomes_a_new_cluster_of_one",
    ),
    mutant(
        "restore-keeps-the-sessions",
        "A restored cluster drops the proposals of new members that have the ids of old ones.",
        "a rule of raft/backup/restore.py: sessions are not kept",
        restore._without_sessions,
        "yield NO_SESSIONS",
        "yield first",
        test=f"{_RESTORE}::test_a_backup_becomes_a_new_cluster_of_one",
    ),
    mutant(
        "restore-into-anything",
        "A restore writes into a directory that holds something.",
        "a rule of raft/backup/restore.py: the target is empty before",
        restore._check_empty,
        "if target.is_dir() and set(os.listdir(target)) - but:",
        "if False:",
        test=f"{_RESTORE}::test_a_directory_that_is_not_empty_is_never_restored_into",
    ),
    mutant(
        "block-of-unchecked-lines",
        "Entries are copied in blocks whatever their checksums are.",
        "a rule of raft/core/line_blocks.py: each line's own checksum is verified",
        line_blocks.chosen,
        "or not are_intact(found)",
        "",
        test="raft/core/test_line_blocks.py::test_no_damaged_entry_is_taken",
    ),
    mutant(
        "backup-that-ends-early-is-whole",
        "A backup without its end line passes.",
        "a rule of raft/backup/backup_file.py: a file that ends early is refused",
        BackupCheck.finish,
        "not self._scan.whole",
        "False",
        test=f"{_FILE}::test_a_backup_that_ends_early_is_refused_at_the_byte_where_it_ends",
    ),
    mutant(
        "backups-are-mixed",
        "The first line of one backup passes before the snapshot of another.",
        "a rule of raft/backup/backup_file.py: no two backups are mixed",
        BackupCheck._check_header,
        "if said != (",
        "if said is None and said != (",
        test=f"{_FILE}::test_a_first_line_that_does_not_fit_is_refused",
    ),
    mutant(
        "an-older-backup-for-who-asks-later",
        "Who asks for a backup while one is made gets that one, which lacks what was acknowledged since.",
        "a rule of raft/backup/spool.py: all who asked before it began get it",
        Backups._spooled_or_job,
        "newest.index >= index",
        "newest.index",
        test="raft/backup/test_spool.py::test_who_asks_while_an_earlier_one_is_made_gets_a_later_one",
    ),
    mutant(
        "backup-for-anybody-on-the-network",
        "Without accounts, anybody on the network gets a backup.",
        "chat/api/routes/backup.py: only a program on this machine",
        route._allowed,
        "not _is_here(request)",
        "False",
        test="chat/api/routes/test_backup.py::"
        "test_where_there_are_no_accounts_nobody_gets_it_through_a_proxy_or_a_page",
    ),
)
