"""Restores: the data directory of a new cluster of one, made from a backup or from a copied or surviving directory.

Rules.
- The new cluster has an id and a generation of its own: no member of the old one can join it, and a client's old cursor
  is refused.  Its only member is the one that is made here.  Others join it with any id, also one of the old cluster.
- Messages, Ids, users, passwords, tokens and ClientIds are kept, for they are the state.  Sessions of the old members'
  proposals are not: a new member with an old id would be taken for an earlier boot, and its proposals be dropped.
- The target is empty before.  identity.json is written last, and a node does not start on a log without one.
  So a restore that was cut short is not taken for a whole one.  A restore that fails removes what it made.
- The source is never changed.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from raft.backup import backup_file, copied_directory
from raft.backup.report import BackupInvalid, Restored, RestoreRefused
from raft.compaction.compactor import LogPrefix
from raft.core.configuration import Configuration, Member, decode_configuration
from raft.core.raft_messages import HardState, SnapshotMeta
from raft.engine.state_machine import Replicated, StateMachine
from raft.errors import CorruptLog, InvalidMessage, StartRefused
from raft.storage.disk import Disk, RealDisk
from raft.storage.file_names import is_temporary, is_temporary_index, segment_name, snapshot_name
from raft.storage.identity import GENERATION_BYTES, INCARNATION_BYTES, LOCK_NAME, Identity, lock_directory, save
from raft.storage.index_file import OWNER, Indexes
from raft.storage.positions import Sparse
from raft.storage.segment import Header, Sealed, SegmentWriter
from raft.storage.snapshot_file import file_steps

CLUSTER_ID_BYTES = 8
TRIES_MAX = 10_000  # each hides one more damaged place; a directory has fewer files
NO_SESSIONS = b'{"sessions":[]}'
_IGNORED = {"lost+found"}  # in the root of a volume

Entries = tuple[int, Iterable[bytes]]


def restore_backup(
    path: Path, target: Path, id: int, url: str, level: int, new_machine: Callable[[], StateMachine]
) -> Restored:
    """Make `target` the directory of member `id` of a new cluster with the content of a backup.

    `url`: for its peers.  `level`: of this program.  Raises RestoreRefused, BackupInvalid, OSError.
    """
    checked, _ = loaded(path, new_machine)
    meta = checked.meta
    check_level(meta, level)

    def content() -> tuple[Iterator[bytes], Entries]:
        lines = backup_file.pieces(path)
        document = backup_file.document_of(lines)
        return document, (len(checked.entries.indexes), lines)

    header = checked.finish()
    with _new_directory(target) as disk:
        cluster_id = _write(disk, target, id, url, meta, *content())
    return Restored(id, url, cluster_id, header.cluster_id, meta.index, meta.time, len(checked.entries.indexes))


def loaded(path: Path, new_machine: Callable[[], StateMachine]) -> tuple[backup_file.BackupCheck, StateMachine]:
    """Check a backup, and load its state too.  Raises BackupInvalid, OSError."""
    checked, machine = backup_file.check(path), new_machine()
    try:
        Replicated(machine).restore(checked.meta, backup_file.document_of(backup_file.pieces(path)))
    except InvalidMessage as error:
        raise BackupInvalid(0, f"the state cannot be read by this version: {error};") from None
    if machine.live() != checked.entries.indexes:
        raise BackupInvalid(0, "the messages are not those of the state")
    return checked, machine


def restore_directory(
    source: Path, target: Path, id: int, url: str, level: int, new_machine: Callable[[], StateMachine]
) -> Restored:
    """Make `target` of a data directory: a live copy, or what a survivor of a lost cluster holds.

    Raises RestoreRefused, OSError.
    """
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise RestoreRefused(f"{target} is in {source}. Choose another --data-dir.")
    with copied_directory.held(source), _new_directory(target) as disk:
        return _Reading(source, target, id, url, level, new_machine).run(disk)


class _Reading:
    """The reading of a directory up to its first damage, which is found step by step."""

    def __init__(
        self, source: Path, target: Path, id: int, url: str, level: int, new_machine: Callable[[], StateMachine]
    ) -> None:
        self._source = source
        self._target = target
        self._id = id
        self._url = url
        self._level = level
        self._new_machine = new_machine
        self._view = copied_directory.View()
        self._up_to = 1 << 62
        self._damage = ""  # the first one found; others may follow from it

    def run(self, disk: Disk) -> Restored:
        for _ in range(TRIES_MAX):
            try:
                return self._try(disk)
            except CorruptLog as damage:
                self._damage = self._damage or f"{damage.file} is damaged or missing at byte {damage.offset}"
                self._hide(damage)
            except (StartRefused, LookupError, InvalidMessage) as error:
                damage_text = f" ({self._damage})" if self._damage else ""
                raise RestoreRefused(f"{self._source} cannot be restored: {error}{damage_text}") from None
        raise RestoreRefused(f"{self._source} cannot be restored: it is damaged in too many places")

    def _hide(self, damage: CorruptLog) -> None:
        self._view.hide(Path(damage.file).name, damage.offset)
        if not self._view.shows_log(self._source):
            raise RestoreRefused(f"{self._source} holds no log that can be restored: {self._damage}")

    def _try(self, disk: Disk) -> Restored:
        view, machine = self._view, self._new_machine()
        log = copied_directory.recovered(view, self._source)
        up_to = min(self._up_to, log.last_index)
        if not up_to:
            raise LookupError("its log is empty")
        prefix = LogPrefix(view, self._source, up_to, machine, lambda: None, log=log)
        meta, live = prefix.meta, machine.live()
        check_level(meta, self._level)
        known = max(log.hard_state.commit_index, prefix.document_index)
        cluster_id = _write(
            disk, self._target, self._id, self._url, meta, prefix.document(), (len(live), prefix.records(live))
        )
        return Restored(
            self._id, self._url, cluster_id, prefix.cluster_id, meta.index, meta.time, len(live),
            max(0, meta.index - known), self._damage,
        )  # fmt: skip


def check_level(meta: SnapshotMeta, level: int) -> None:
    """Raise RestoreRefused if a newer program wrote the state."""
    needed = decode_configuration(meta.configuration).level
    if needed > level:
        raise RestoreRefused(
            f"this state needs a program of level {needed}, and this one has level {level}. Install the newer version."
        )


def _check_empty(target: Path, but: set[str]) -> None:
    """Raise RestoreRefused if anything else is in the directory."""
    if target.is_dir() and set(os.listdir(target)) - but:
        raise RestoreRefused(f"{target} is not empty. Name a directory that is new or empty with --data-dir.")


def _unfinished(target: Path) -> set[str]:
    """Return what a restore that was killed has left, and what is no file of a log yet: its lock is free by then."""
    names = os.listdir(target) if target.is_dir() else []
    return {name for name in names if name == LOCK_NAME or is_temporary(name) or is_temporary_index(name)}


@contextmanager
def _new_directory(target: Path) -> Iterator[Disk]:
    """Hold an empty directory, and remove what was made there if the block fails.  Raises RestoreRefused, OSError."""
    disk = RealDisk()
    existed = target.is_dir()
    unfinished = _unfinished(target)
    _check_empty(target, _IGNORED | unfinished)
    try:
        lock = lock_directory(disk, target)
    except StartRefused as refused:
        raise RestoreRefused(str(refused)) from None
    try:
        _check_empty(target, _IGNORED | unfinished | {LOCK_NAME})  # another restore may have ended since
    except RestoreRefused:
        lock.close()
        raise
    for name in unfinished - {LOCK_NAME}:
        disk.remove(target / name)
    try:
        yield disk
    except BaseException:
        for name in set(os.listdir(target)) - _IGNORED:
            (target / name).unlink()
        if not existed:
            with suppress(OSError):
                target.rmdir()
        raise
    finally:
        lock.close()


def _write(
    disk: Disk, target: Path, id: int, url: str, meta: SnapshotMeta, document: Iterator[bytes], entries: Entries
) -> str:
    """Write the files of a new cluster of one; return its id.  Raises OSError, RaftError."""
    cluster_id, generation, incarnation = (
        os.urandom(size).hex() for size in (CLUSTER_ID_BYTES, GENERATION_BYTES, INCARNATION_BYTES)
    )
    old = decode_configuration(meta.configuration)
    member = Member(id, url, True, incarnation=incarnation)
    configuration = Configuration({id: member}, frozenset(), cluster_id, old.level, generation)
    new = replace(meta, configuration_index=meta.index, configuration=configuration.encode())
    name, noted = snapshot_name(meta.index), Sparse()
    steps = file_steps(
        disk, target, name, cluster_id, new, _without_sessions(document), entries, maker=OWNER, noted=noted
    )
    with closing(steps):
        for _ in steps:
            pass
    Indexes(disk, target, OWNER).keep_base(name, noted)
    hard_state = HardState(meta.term, 0, meta.index)
    header = Header(segment_name(1, meta.index + 1), cluster_id, hard_state, "", Sealed(), 0)
    SegmentWriter.create(disk, target, header, b"").close()
    save(disk, target, Identity(id, incarnation, 0, cluster_id))
    return cluster_id


def _without_sessions(document: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a document in which no member has proposed anything."""
    first = next(document, b"")
    if not first.startswith(b'{"sessions":'):
        raise InvalidMessage("a document of the state that does not begin with its sessions")
    yield NO_SESSIONS
    yield from document
