"""The compactor: makes a snapshot of the log up to an index, beside the process that goes on appending.

It loads the newest state document up to the index into an empty state machine, replays the log from there and writes a
new file: the state at the index, and the entries that are live there, verbatim.  The index is an applied one, so
everything up to it is committed and durable, and no later rewind touches it.

Rules.  The log is not changed in any way, not even tidied up: another process appends to it, and owns it.  Missing
indexes are made on the way, so that neither the next compaction nor a start has to read all.  Texts pass through in
pieces; memory holds the state and eight bytes an entry.  `pause` is called between small steps, so the caller decides
how much of the machine this takes.  A finished file is whole, durable and true, even if its parent has died.  An
unfinished file has a name that the next start removes.

Errors: StartRefused (the log cannot be read, at this moment or at all), LookupError (it does not reach the index, has
been compacted beyond it, or lacks a live entry), InvalidMessage (the document is not this state machine's), OSError
(the disk; the unfinished file is removed).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from raft.core.configuration import decode_configuration
from raft.core.entries import RECORD_BYTES_MAX, decode_entry
from raft.core.raft_messages import SnapshotMeta
from raft.engine.state_machine import Replicated, StateMachine
from raft.storage.disk import Disk
from raft.storage.file_names import snapshot_name
from raft.storage.index_file import Indexes
from raft.storage.positions import Sparse
from raft.storage.reader import LogReader
from raft.storage.recovery import RecoveredLog, recover
from raft.storage.snapshot_file import file_steps, newest_document

_STEP_ENTRIES = 256  # replayed between two pauses: some milliseconds


def _go_on() -> None:
    """Pause for no time."""


def compact(
    disk: Disk,
    data_dir: Path,
    up_to: int,
    machine: StateMachine,
    *,
    pause: Callable[[], None] = _go_on,
    on_remade: Callable[[list[str]], None] = lambda paths: None,
) -> SnapshotMeta:
    """Write snapshot-<up_to>; nothing if the log's base is at that index.

    The snapshot counts from the next start on, or after `Storage.adopt`.  `on_remade` gets the paths of the indexes
    that were damaged or missing, and were made anew.
    """
    prefix = LogPrefix(disk, data_dir, up_to, machine, pause)
    on_remade(prefix.remade_indexes)
    if prefix.base_index < up_to:
        prefix.write(machine.live())
    return prefix.meta


class LogPrefix:
    """The log up to an index, and a state machine brought to it."""

    def __init__(
        self,
        disk: Disk,
        data_dir: Path,
        up_to: int,
        machine: StateMachine,
        pause: Callable[[], None],
        *,
        log: RecoveredLog | None = None,
    ) -> None:
        """`log`: as it was recovered before.  Raises as the head of this file says."""
        self._disk = disk
        self._data_dir = data_dir
        self._pause = pause
        self._maker = str(os.getpid())  # an orphaned child may still write the same file
        log = log or recover(disk, data_dir, "", True, lambda _, __: pause(), beside=self._maker)
        self._log = log
        if log.needs_snapshot and log.base_damage is not None:
            raise log.base_damage
        self._reader = LogReader(disk, data_dir, log.files, log.positions)
        self.base_index = log.positions.base_index
        self.remade_indexes = log.remade_indexes
        if not self.base_index <= up_to <= log.last_index or not up_to:
            raise LookupError(f"the log holds entries {self.base_index + 1} to {log.last_index}, not {up_to}")
        self._state = Replicated(machine)
        document = newest_document(disk, data_dir, log.files.base, up_to, self._term_at)
        self.document_index = document.meta.index if document else 0  # up to here all is known to be committed
        if document is not None:
            self._state.restore(document.meta, document.lines)
        self._replay(up_to)
        self.meta = self._state.meta
        machine.applied(up_to)

    @property
    def cluster_id(self) -> str:
        """The cluster's id; "" in a log that knows of none yet."""
        return decode_configuration(self.meta.configuration).cluster_id or self._log.cluster_id

    def document(self) -> Iterator[bytes]:
        """Return the lines of the state at the index."""
        return self._state.document()

    def _term_at(self, index: int) -> int:
        return decode_entry(self._reader.read(index, index, RECORD_BYTES_MAX)[0]).term

    def _replay(self, up_to: int) -> None:
        for entry in self._reader.replay(self._state.meta.index + 1, up_to):
            self._state.apply(entry)
            if entry.index % _STEP_ENTRIES == 0:
                self._pause()

    def write(self, live: Sequence[int]) -> None:
        """Write the state and these entries to a snapshot, and its index beside it."""
        disk, data_dir, maker, noted = self._disk, self._data_dir, self._maker, Sparse()
        name, entries = snapshot_name(self.meta.index), (len(live), self.records(live))
        steps = file_steps(
            disk, data_dir, name, self.cluster_id, self.meta, self.document(), entries, maker=maker, noted=noted
        )
        with closing(steps):
            for _ in steps:
                self._pause()
        Indexes(disk, data_dir, maker).keep_base(name, noted)

    def records(self, live: Sequence[int]) -> Iterator[bytes]:
        """Return the records of these entries in pieces of a few hundred, each record verified."""
        return self._reader.read_pieces(live)
