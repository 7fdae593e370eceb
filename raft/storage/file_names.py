"""The names of the files in a data directory: segments, snapshots, checkpoints, and the indexes beside them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from raft.core.raft_messages import SnapshotMeta

_SEGMENT = re.compile(r"log-([0-9]{8})-([0-9]{15})\.jsonl")
_SNAPSHOT = re.compile(r"(snapshot|checkpoint)-([0-9]{15})\.jsonl")
_TEMPORARY = re.compile(r"(?:snapshot|checkpoint)-[0-9]{15}\.jsonl\.(?:[0-9a-z]+\.)?tmp")
_INDEX = re.compile(r"((?:log-[0-9]{8}|snapshot)-[0-9]{15})\.idx(\.[0-9a-z]+\.tmp)?")


def segment_name(sequence: int, first_index: int) -> str:
    """Return the file's name; the order of names is the order of the log."""
    return f"log-{sequence:08}-{first_index:015}.jsonl"


def sequence_of(name: str) -> int:
    """Return the sequence number in a segment's name; 0 if it is another file's name."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else 0


def first_index_of(name: str) -> int:
    """Return the first index in a segment's name; entries in force from there on are in this or a later file."""
    return int(name[13:28])


def counted_from(names: Sequence[str], base_index: int) -> int:
    """Return the position in `segments`, which are in order, of the first one that counts above the base.

    That is the last segment whose first index is at most base + 1: all entries in force above the base were written
    there or later.  Raises LookupError if there is none.  Without a base all segments count.
    """
    if not base_index:
        return 0
    for place in range(len(names) - 1, -1, -1):
        if first_index_of(names[place]) <= base_index + 1:
            return place
    raise LookupError(f"no segment goes on after entry {base_index}")


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A whole snapshot file."""

    meta: SnapshotMeta
    name: str
    bytes: int


def snapshot_name(index: int) -> str:
    """Return the name of the snapshot of the log up to `index`."""
    return f"snapshot-{index:015}.jsonl"


def checkpoint_name(index: int) -> str:
    """Return the name of the checkpoint at `index`."""
    return f"checkpoint-{index:015}.jsonl"


def snapshot_index(name: str) -> int:
    """Return the index in a snapshot's name; 0 if it is another file's name."""
    return _index_of(name, "snapshot")


def checkpoint_index(name: str) -> int:
    """Return the index in a checkpoint's name; 0 if it is another file's name."""
    return _index_of(name, "checkpoint")


def is_temporary(name: str) -> bool:
    """Return whether this is the temporary name of an unfinished snapshot or checkpoint."""
    return _TEMPORARY.fullmatch(name) is not None


def _index_of(name: str, kind: str) -> int:
    match = _SNAPSHOT.fullmatch(name)
    return int(match[2]) if match and match[1] == kind else 0


def index_name(name: str) -> str:
    """Return the name of the index beside a file."""
    return name.removesuffix(".jsonl") + ".idx"


def indexed_by(name: str) -> str:
    """Return the file that an index of this name is beside; "" if it is no such name."""
    match = _INDEX.fullmatch(name)
    return f"{match[1]}.jsonl" if match and not match[2] else ""


def is_temporary_index(name: str) -> bool:
    """Return whether this is the temporary name of an unfinished index."""
    match = _INDEX.fullmatch(name)
    return bool(match and match[2])
