"""Documents of the state, and which one a start, or a compaction, begins with: the newest checkpoint that can be
trusted, or the base.

Rules.  A checkpoint counts where it is whole and the log holds, at its index, an entry of its term: then it is the
state after that very entry.  It was made of what was applied, so its entry is committed, whatever the hard state on
this disk knew of that.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raft.core.raft_messages import SnapshotMeta
from raft.errors import InvalidMessage
from raft.storage.disk import Disk
from raft.storage.snapshots import SnapshotFile, checkpoint_index, document_lines, scan_file


@dataclass(frozen=True, slots=True)
class Document:
    """The state at `meta.index`: the engine's lines, then the state machine's."""

    meta: SnapshotMeta
    lines: Iterator[bytes]


def newest_document(
    disk: Disk,
    data_dir: Path,
    base: SnapshotFile | None,
    up_to: int,
    term_at: Callable[[int], int],
    *,
    tidy: bool,
    known: dict[str, SnapshotMeta] | None = None,
) -> Document | None:
    """The newest usable one whose index is at most `up_to`; `tidy`: damaged checkpoints are removed.

    `term_at(index)` is that of the log, 0 where it does not hold the entry.  `known`: checkpoints found whole before,
    which are not looked through again; what is found is added.  Raises OSError.
    """
    known = {} if known is None else known
    base_index = base.meta.index if base else 0
    names = disk.list(data_dir)
    for index, name in sorted(((checkpoint_index(name), name) for name in names), reverse=True):
        if not base_index < index <= up_to:
            continue
        try:
            known[name] = meta = known.get(name) or scan_file(disk, data_dir, name).meta
        except InvalidMessage:
            if tidy:
                with suppress(OSError):  # it is a cache: it may stay, too
                    disk.remove(data_dir / name)
            continue
        if meta.term == term_at(index):
            return Document(meta, document_lines(disk, data_dir / name))
    if base is None or base_index > up_to:
        return None
    return Document(base.meta, document_lines(disk, data_dir / base.name))
