"""The state written down, beside the process that goes on appending: checkpoints, and snapshots in place of the log.

    write_checkpoint    the state document at an index: a start replays the log from there only
    compact             the same and the live entries, verbatim: the log up to that index is not needed any more

Both load the newest state document into a blank state machine, replay the log up to the index and write a new file.
The index is one that is applied, so everything up to it is committed and durable, and no later rewind touches it.

Rules.  Of the log nothing is changed, not even tidied up: another process appends to it, and owns it.  Indexes that it
lacks are made on the way, so that neither the next of these processes nor a start has to read all.  The texts pass
through in pieces, memory holds the state and eight bytes an entry.  `pause` is called between small steps, so that
whoever drives this decides how much of the machine it takes.  A file that is finished is whole, durable and true,
whether or not anybody lives to hear of it; one that is not is left under a name that the next start removes.

What goes wrong is raised: StartRefused (the log cannot be read, at this moment or at all), LookupError (it does not
reach the index, has been compacted beyond it, or lacks an entry that is live), InvalidMessage (the document is none of
this state machine's), OSError (the disk; what had been begun is removed).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from raft.disk import Disk
from raft.documents import Document, newest_document
from raft.indexes import Indexes
from raft.membership import Configuration, decode_configuration
from raft.messages import Kind, SnapshotMeta
from raft.positions import Sparse
from raft.reading import LogReader
from raft.records import RECORD_BYTES_MAX, decode_entry
from raft.recovery import recover
from raft.replicated import Replicated, StateMachine
from raft.snapshots import checkpoint_name, snapshot_name, write_file

_STEP_ENTRIES = 256  # replayed between two pauses: some milliseconds
_STEP_BYTES = 1 << 20  # copied between two pauses


def _go_on() -> None:
    """A pause of no length."""


def write_checkpoint(
    disk: Disk,
    data_dir: Path,
    up_to: int,
    machine: StateMachine,
    *,
    founding: Configuration | None = None,
    pause: Callable[[], None] = _go_on,
) -> SnapshotMeta:
    """Write checkpoint-<up_to>; where there is a state document of that very index, nothing."""
    past = _Past(disk, data_dir, up_to, machine, founding, pause)
    if past.document_index < up_to:
        past.write(checkpoint_name(up_to))
    return past.meta


def compact(
    disk: Disk,
    data_dir: Path,
    up_to: int,
    machine: StateMachine,
    *,
    founding: Configuration | None = None,
    pause: Callable[[], None] = _go_on,
) -> SnapshotMeta:
    """Write snapshot-<up_to>; where that is what the log stands on, nothing.  It counts from the next start on, or
    once `Storage.adopt` is told of it.
    """
    past = _Past(disk, data_dir, up_to, machine, founding, pause)
    if past.base_index < up_to:
        live = machine.live()
        past.write(snapshot_name(up_to), (len(live), past.records(live)))
    return past.meta


class _Past:
    """The log up to an index, and a state machine brought to it."""

    def __init__(
        self,
        disk: Disk,
        data_dir: Path,
        up_to: int,
        machine: StateMachine,
        founding: Configuration | None,
        pause: Callable[[], None],
    ) -> None:
        """`founding`: the configuration that is in no log, in force until the first one that is."""
        self._disk = disk
        self._data_dir = data_dir
        self._pause = pause
        self._maker = str(os.getpid())  # one that was orphaned may still be at the same file
        self._log = log = recover(disk, data_dir, "", True, lambda _, __: pause(), beside=self._maker)
        self._reader = LogReader(disk, data_dir, log.files, log.positions)
        self.base_index = log.positions.base_index
        if not self.base_index <= up_to <= log.last_index or not up_to:
            raise LookupError(f"the log holds entries {self.base_index + 1} to {log.last_index}, not {up_to}")
        self._state = Replicated(machine)
        document = newest_document(disk, data_dir, log.files.base, up_to, self._term_at, tidy=False)
        self.document_index = document.meta.index if document else 0
        self.meta = self._replayed(document, up_to, founding or Configuration({}))
        machine.applied(up_to)

    def _term_at(self, index: int) -> int:
        return decode_entry(self._reader.read(index, index, RECORD_BYTES_MAX)[0]).term

    def _replayed(self, document: Document | None, up_to: int, founding: Configuration) -> SnapshotMeta:
        meta = SnapshotMeta(0, 0, 0, 0, founding.encode())
        if document is not None:
            self._state.restore(document.meta.index, document.lines)
            meta = document.meta
        configuration_index, configuration = meta.configuration_index, meta.configuration
        entry = None
        for entry in self._reader.replay(meta.index + 1, up_to):
            self._state.apply(entry)
            if entry.kind is Kind.CONFIGURATION:
                configuration_index, configuration = entry.index, decode_configuration(entry.body).encode()
            if entry.index % _STEP_ENTRIES == 0:
                self._pause()
        if entry is None:
            return meta
        return SnapshotMeta(entry.index, entry.term, entry.time, configuration_index, configuration)

    def write(self, name: str, entries: tuple[int, Iterator[bytes]] | None = None) -> None:
        """Write the state, and these entries, to a file; beside that of entries its index."""
        disk, data_dir, maker, noted = self._disk, self._data_dir, self._maker, Sparse()
        cluster_id = decode_configuration(self.meta.configuration).cluster_id or self._log.cluster_id
        document = self._document()
        write_file(disk, data_dir, name, cluster_id, self.meta, document, entries, maker=maker, noted=noted)
        if entries is not None:
            Indexes(disk, data_dir, maker).keep_base(name, noted)

    def _document(self) -> Iterator[bytes]:
        for line in self._state.document():
            yield line
            self._pause()

    def records(self, live: Sequence[int]) -> Iterator[bytes]:
        """The records of these entries, in small pieces."""
        done = 0
        while done < len(live):
            records = self._reader.read_first(live[done : done + _STEP_ENTRIES], _STEP_BYTES)
            yield from records
            done += len(records)
            self._pause()
