"""Damage to the files of a data directory: bits, pages, lost ends and lost files, at places that a seed chooses.

Only what a member wrote and sealed is damaged: segments that have a successor, snapshots, checkpoints and index files.
A hit is remembered with the last entry of its file, and with how much the node had logged by then, so that it can be
told in the end what became of it (accounts.py).
"""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raft.core.entries import is_entry_at
from raft.storage.file_names import (
    checkpoint_index,
    counted_from,
    index_name,
    indexed_by,
    sequence_of,
    snapshot_index,
)
from raft.storage.segment import intact_lines_in

PAGE_BYTES = 4096
KINDS = ("bit", "page", "short", "gone", "index")
_ENTRY = re.compile(rb'^[0-9a-f]{8} \{"index":([0-9]+),', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Hit:
    """One act of damage."""

    node: int
    path: Path
    kind: str
    offset: int
    indexes: tuple[int, ...]  # of the entries whose records were damaged; not all of them need be in force
    last_index: int  # of all entries in the file
    log_bytes: int  # of the node's log, before

    def __str__(self) -> str:
        entries = f", entries {self.indexes[0]} to {self.indexes[-1]}" if self.indexes else ""
        return f"node {self.node}: {self.kind} in {self.path.name} at byte {self.offset}{entries}"


def targets(data_dir: Path, kind: str) -> list[Path]:
    """The files that may be damaged so: all that are a part of the log, but the newest segment."""
    present = {path.name for path in data_dir.iterdir()}
    names = present | set(filter(None, map(indexed_by, present)))  # a lost file counts, and its index is there
    segments = sorted(filter(sequence_of, names), key=sequence_of)
    snapshots = sorted(filter(snapshot_index, names), key=snapshot_index)
    base_index = snapshot_index(snapshots[-1]) if snapshots else 0
    with suppress(LookupError):  # the one before it was lost a moment ago
        segments = segments[counted_from(segments, base_index) :]
    checkpoints = sorted(filter(checkpoint_index, names), key=checkpoint_index)
    newest = [name for name in checkpoints[-1:] if checkpoint_index(name) > base_index]
    counting = [*segments[:-1], *snapshots[-1:], *newest]  # the newest segment is being written
    if kind == "index":
        counting = [index_name(name) for name in counting]
    return [data_dir / name for name in counting if name in present]


def damage(
    node: int,
    data_dir: Path,
    kind: str,
    rng: random.Random,
    log_bytes: int,
    before: Callable[[Path], None],
    may: Callable[[Hit], bool] = lambda hit: True,
) -> Hit | None:
    """Damage a file, after `before(path)`; None: there is none, it was gone before, or this act `may` not be done."""
    paths = targets(data_dir, kind)
    if not paths:
        return None
    path = rng.choice(paths)
    try:
        before(path)
        content = path.read_bytes()
        offset = rng.randrange(len(content)) if content else 0
        start, end = {
            "bit": (offset, offset + 1),
            "page": (offset, offset + PAGE_BYTES),
            "gone": (0, len(content)),
        }.get(kind, (offset, len(content)))
        hit = Hit(node, path, kind, start, indexes_in(content, start, end), last_index(content), log_bytes)
        if not may(hit):
            return None
        if kind == "gone":
            path.unlink()
            return hit
        with path.open("r+b") as file:
            if kind == "short":
                file.truncate(offset)
            else:
                file.seek(offset)
                end = min(end, len(content)) if kind == "page" else offset + 1
                flipped = bytes([content[offset] ^ 1 << rng.randrange(8)]) if content else b""
                file.write(bytes(end - offset) if kind == "page" else flipped)
    except OSError:  # a compaction removed it in between
        return None
    return hit


def indexes_in(content: bytes, start: int, end: int) -> tuple[int, ...]:
    """The entries of the lines that these bytes touch."""
    first = content.rfind(b"\n", 0, start) + 1
    last = content.find(b"\n", max(start, end - 1))
    lines = content[first : last + 1 if last >= 0 else len(content)]
    return tuple(int(match[1]) for match in _ENTRY.finditer(lines))


def last_index(content: bytes) -> int:
    """The last index of all entries; 0 without one."""
    return max((int(found[1]) for found in _ENTRY.finditer(content)), default=0)


def entries_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the index and the record of each intact entry."""
    for line in content.splitlines(keepends=True):
        if (found := _ENTRY.match(line)) and is_entry_at(line, int(found[1])):
            yield int(found[1]), line


def is_whole(path: Path) -> bool:
    """Whether all lines of the file are intact."""
    content = path.read_bytes()
    return sum(line.end() - line.start() for line in intact_lines_in(content)) == len(content)
