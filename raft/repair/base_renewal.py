"""A new base from the state in memory, when the file of the old one is damaged where no entry says what was there.

The state document, the header and the end of a snapshot are on no other disk in the same bytes.  But the state is in
memory, and the live entries are in the log here, or in that of another member.  So a snapshot is made of them at the
applied index, in this process, and replaces the damaged one as a compaction's would.

Rules.  The state and the list of live entries are taken together, while nothing is applied.  Entries are read by index,
verified, and mended or fetched where they are damaged.  `pause` is called between small steps.  Where nothing was
applied since the old base, the new one has its index and takes its name.  Both hold the same, so whatever a crash
leaves is a base of that index.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from raft.core.raft_messages import SnapshotMeta
from raft.engine.applier import Applier
from raft.storage.log_store import Storage

_STEP_ENTRIES = 256  # read at once


def renew_base(
    storage: Storage, applier: Applier, records: Callable[[Sequence[int]], list[bytes]], pause: Callable[[], None]
) -> SnapshotMeta | None:
    """Make and adopt a new base at the applied index; None: not now, for the state is too early.

    `records(indexes)` returns the records of ascending entries, wherever they are.

    Raises CorruptLog: no member has one of the live entries; InvalidMessage or OSError: the new file is not whole.
    """
    content = applier.document_and_live()
    if content is None:
        return None
    document, live = content
    if document.meta.index < storage.base_index:
        return None
    if not document.meta.configuration_index:  # a start on such a base would know no members
        return None
    steps = storage.write_snapshot(document, len(live), _in_steps(live, records))
    with closing(steps):
        for _ in steps:
            pause()
    storage.adopt(document.meta, pause, replaces_base=True)
    return document.meta


def _in_steps(live: "array[int]", records: Callable[[Sequence[int]], list[bytes]]) -> Iterator[bytes]:
    for start in range(0, len(live), _STEP_ENTRIES):
        yield from records(live[start : start + _STEP_ENTRIES])
