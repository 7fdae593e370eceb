"""Damage to the files of a data directory: bits, pages, lost ends and lost files, at places that a seed chooses.

Only what a member wrote and sealed is damaged: segments that have a successor, snapshots, and index files.  A hit is
remembered with the entries whose records it damaged, so that it can be told in the end what became of each.
"""

import random
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raft.storage.file_names import counted_from, sequence_of, snapshot_index
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
    inode: int  # of the file that was damaged: a mended one has another

    def __str__(self) -> str:
        entries = f", entries {self.indexes[0]} to {self.indexes[-1]}" if self.indexes else ""
        return f"node {self.node}: {self.kind} in {self.path.name} at byte {self.offset}{entries}"


def targets(data_dir: Path, kind: str) -> list[Path]:
    """The files that may be damaged so."""
    if kind == "index":
        return sorted(data_dir.glob("*.idx"))
    segments = sorted((path.name for path in data_dir.glob("log-*.jsonl")), key=sequence_of)
    snapshots = sorted((path.name for path in data_dir.glob("snapshot-*.jsonl")), key=snapshot_index)
    base_index = snapshot_index(snapshots[-1]) if snapshots else 0
    with suppress(LookupError):  # the one before it was lost a moment ago
        segments = segments[counted_from(segments, base_index) :]
    return [data_dir / name for name in (*segments[:-1], *snapshots[-1:])]  # the newest segment is being written


def damage(node: int, data_dir: Path, kind: str, rng: random.Random) -> Hit | None:
    """Damage a file; None: there is none, or it was gone before."""
    paths = targets(data_dir, kind)
    if not paths:
        return None
    path = rng.choice(paths)
    try:
        content, inode = path.read_bytes(), path.stat().st_ino
        offset = rng.randrange(len(content)) if content else 0
        if kind == "gone":
            path.unlink()
            return Hit(node, path, kind, 0, indexes_in(content, 0, len(content)), inode)
        end = {"bit": offset + 1, "page": offset + PAGE_BYTES}.get(kind, len(content))
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
    return Hit(node, path, kind, offset, indexes_in(content, offset, end), inode)


def indexes_in(content: bytes, start: int, end: int) -> tuple[int, ...]:
    """The entries of the lines that these bytes touch."""
    first = content.rfind(b"\n", 0, start) + 1
    last = content.find(b"\n", max(start, end - 1))
    lines = content[first : last + 1 if last >= 0 else len(content)]
    return tuple(int(match[1]) for match in _ENTRY.finditer(lines))


def is_whole(path: Path) -> bool:
    """Whether all lines of the file are intact."""
    content = path.read_bytes()
    return sum(line.end() - line.start() for line in intact_lines_in(content)) == len(content)
