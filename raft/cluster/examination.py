"""An examination of a data directory: what it holds, whether it is sound, and what a start would say.  Writes nothing.

Rules.  The same functions decide as in a start, in the same order, so a refusal has the start's own words.  The reading
is done beside a node that may run there and append: what it is writing at this moment is no damage.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from raft.backup.copied_directory import View
from raft.cluster.stored_membership import stored_membership
from raft.compaction.compactor import LogPrefix
from raft.core.configuration import Configuration
from raft.engine.state_machine import StateMachine
from raft.errors import CorruptLog, InvalidMessage, StartRefused
from raft.storage.file_check import CHECKPOINT, CheckedFile, check_files
from raft.storage.file_names import checkpoint_index, counted_from, sequence_of, snapshot_index
from raft.storage.identity import (
    FORMAT,
    IDENTITY_NAME,
    LOCK_NAME,
    Identity,
    load,
    refuse_copy,
    refuse_if_others_may_write,
)
from raft.storage.recovery import RecoveredLog, recover

READER = "doctor"  # the word of this reader beside any other
TRIES_MAX = 3  # of a directory that changes: a compaction replaces files once in minutes
Facts = dict[str, object]
_IN_ANY_DIRECTORY = {LOCK_NAME, "lost+found"}  # a start that was refused leaves the first one


def examine(data_dir: Path, level: int, new_machine: Callable[[], StateMachine]) -> tuple[Facts, StateMachine]:
    """Return the facts as JSON has them, and the state that a start would begin with.

    `level`: of this program.  `Sound` is False if a file that counts is damaged, or if a start would be refused, unless
    only because a node runs there.  Raises OSError: there is no such directory.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        names, machine = os.listdir(data_dir), new_machine()
        facts = _Examination(data_dir, level, machine).run()
        if facts["Sound"] or not tries_left or sorted(names) == sorted(os.listdir(data_dir)):
            break  # otherwise files were replaced meanwhile
    return facts, machine


class _Examination:
    def __init__(self, data_dir: Path, level: int, machine: StateMachine) -> None:
        self._data_dir = data_dir
        self._level = level
        self._machine = machine
        self._disk = View()
        self._damage: list[Facts] = []

    def run(self) -> Facts:
        owner = _owner(self._data_dir / LOCK_NAME)
        facts: Facts = {"Directory": str(self._data_dir), "Format": FORMAT, "InUseBy": owner}
        refusal = self._start(facts)
        facts |= self._files()
        facts |= {"Damage": self._damage, "Sound": not (refusal or self._damage)}
        if owner is not None and not refusal:
            refusal = f"data directory {self._data_dir} is in use by another process (pid {owner or 'unknown'})"
        return {**facts, "Refusal": refusal or None}

    # What a start does

    def _start(self, facts: Facts) -> str:
        """Go through a start as far as it comes; return the words of its refusal, or ""."""
        try:
            refuse_if_others_may_write(self._disk, self._data_dir)
            identity = load(self._disk, self._data_dir)
            if identity is None:
                names = set(self._disk.list(self._data_dir)) - _IN_ANY_DIRECTORY
                return f"{self._data_dir} is not a data directory: it has no {IDENTITY_NAME}" if names else ""
            facts |= _of_identity(identity)
            must_exist = bool(identity.founders or identity.cluster_id)
            log = recover(self._disk, self._data_dir, identity.cluster_id, must_exist, None, beside=READER)
            facts |= _of_log(log)
            base = log.files.base.meta if log.files.base else None
            members = stored_membership(self._data_dir, self._level, identity, base, log.configurations)
            facts |= {**_of_members(members), "Generation": identity.generation or members.generation}
            self._restore(log, facts, members)
            refuse_copy(self._disk, self._data_dir, identity, alone=members.voters == (identity.id,))
        except CorruptLog as damage:
            self._note(damage)
            return str(damage)
        except StartRefused as refused:
            return str(refused)
        except OSError as error:
            return f"data directory {self._data_dir} cannot be read: {error}"
        return ""

    def _restore(self, log: RecoveredLog, facts: Facts, members: Configuration) -> None:
        """Bring the machine to the committed state.  Raises StartRefused.

        If an entry is damaged that is needed for it, a node starts, and waits until another member gives it the entry.
        If the state in the snapshot is lost, it waits for the leader's.  A node alone in its cluster is refused.
        """
        up_to = log.hard_state.commit_index
        if not up_to:
            return
        try:
            LogPrefix(self._disk, self._data_dir, up_to, self._machine, lambda: None, log=log)
        except CorruptLog as damage:
            if len(members.members) == 1 or (not damage.indexes and len(members.voters) == 1):
                raise
            facts |= {"WaitsFor": list(damage.indexes)} if damage.indexes else {"NeedsSnapshot": True}
            if not damage.indexes:
                self._note(damage)
        except (InvalidMessage, LookupError) as error:
            raise StartRefused(f"the state at index {up_to} cannot be read: {error}") from error
        else:
            facts["Applied"] = up_to

    def _note(self, damage: CorruptLog) -> None:
        what = str(damage).removeprefix(f"{damage.file}: ").partition(f" at byte {damage.offset}")[0]
        indexes = list(damage.indexes)
        self._damage.append(
            {"File": Path(damage.file).name, "Offset": damage.offset, "What": what, "Gaps": [], "Indexes": indexes}
        )

    # The files

    def _note_file(self, file: CheckedFile) -> None:
        """Note a damaged file, in the place of what the start has said of it."""
        self._damage = [one for one in self._damage if one["File"] != file.name]
        self._damage.append(
            {
                "File": file.name,
                "Offset": file.offset,
                "What": file.problem,
                "Gaps": [list(gap) for gap in file.gaps],
                "Indexes": list(file.lost),
            }
        )

    def _files(self) -> Facts:
        names = sorted(self._disk.list(self._data_dir))
        checked = [*check_files(self._disk, self._data_dir)]
        counting = _counting(names)
        files = []
        for file in checked:
            counts = file.name in counting or file.name not in names  # one that is missing between two others
            if file.problem and counts and file.kind != CHECKPOINT:  # a damaged checkpoint is ignored by a start
                self._note_file(file)
            files.append(_of_file(file, counts))
        return {
            "Files": files,
            "Others": [name for name in names if not any(name == file.name for file in checked)],
            "Bytes": sum(map(self._size, names)),
        }

    def _size(self, name: str) -> int:
        try:
            return os.lstat(self._data_dir / name).st_size
        except FileNotFoundError:  # removed meanwhile
            return 0


def _owner(lock: Path) -> int | None:
    """Return the process that holds the lock; None if none does, 0 if its number is not known."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for microseconds: a start meanwhile would be refused
        return None
    except BlockingIOError:
        digits = os.pread(descriptor, 20, 0).strip()
        return int(digits) if digits.isdigit() else 0
    finally:
        os.close(descriptor)


def _counting(names: list[str]) -> set[str]:
    """Return the names of the files that a start reads; the others were replaced, and wait for their removal."""
    base = max(names, key=snapshot_index, default="")
    segments = [name for name in names if sequence_of(name)]
    with suppress(LookupError):
        segments = segments[counted_from(segments, snapshot_index(base)) :]
    return {base, *segments, *(name for name in names if checkpoint_index(name) > snapshot_index(base))}


def _of_identity(identity: Identity) -> Facts:
    return {
        "Id": identity.id,
        "ClusterId": identity.cluster_id,
        "Generation": identity.generation,
        "Incarnation": identity.incarnation,
        "Boot": identity.boot,
        "Joining": identity.joining,
    }


def _of_log(log: RecoveredLog) -> Facts:
    state, base = log.hard_state, log.files.base
    return {
        "FirstIndex": log.positions.base_index + 1,
        "LastIndex": log.last_index,
        "CommitIndex": state.commit_index,
        "Term": state.current_term,
        "VotedFor": state.voted_for,
        "Entries": log.positions.entry_count,
        "Holes": sorted(log.holes),
        "Snapshot": {"File": base.name, "Index": base.meta.index, "Term": base.meta.term} if base else None,
    }


def _of_members(members: Configuration) -> Facts:
    described = [
        {"Id": id, "Url": member.url, "Voting": member.voting, "Advertise": member.advertise}
        for id, member in sorted(members.members.items())
    ]
    return {"Members": described, "Level": members.level}


def _of_file(file: CheckedFile, counts: bool) -> Facts:
    facts: Facts = {"Name": file.name, "Kind": file.kind, "Bytes": file.bytes, "Counts": counts}
    if file.last_index:
        facts |= {"FirstIndex": file.first_index, "LastIndex": file.last_index}
    if file.unfinished_bytes:
        facts["UnfinishedBytes"] = file.unfinished_bytes
    if file.problem:
        facts |= {"Problem": file.problem, "Offset": file.offset}
    return facts
