"""The account of each act of damage: which line of the node's log, or which file, shows what became of it.

Rules.  An act is settled if the log says after it that the file's entries were mended, that bytes which nobody needs
were written anew, that the snapshot is whole again or another one was made of the state in memory, or that the index
was made anew.  Or the file is gone, because the log was compacted, or replaced by the leader's snapshot, up to an index
behind all that was in it.  Nothing else settles one.

Files that replace damaged ones are looked at: a new snapshot must be whole, and all snapshots of all nodes must have
the same record for an index, since only committed entries are in them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from raft.storage.file_names import checkpoint_index, indexed_by, snapshot_index
from tests.faults.rot.decay import Hit, entries_of, is_whole, targets

MENDED, NEEDLESS, WHOLE, RENEWED = "mended", "not needed, written anew", "snapshot whole again", "snapshot made anew"
INDEX, REMOVED = "index made anew", "checkpoint removed"
COMPACTED, INSTALLED, NEWER = "compacted away", "replaced by the leader's snapshot", "replaced by a newer checkpoint"

_COMPACTED = re.compile(r"compacted the log up to index (\d+)")
_RENEWED = re.compile(r"the snapshot was damaged; a new one of index (\d+) was made from the state in memory")


def settle(hit: Hit, log: str, all_logs: str, counts: Callable[[Path], bool]) -> str:
    """Return what became of a hit; "" if nothing shows it.

    `log`: what the node has logged since; `all_logs`: what all nodes have.  `counts(path)`: the file is a part of the
    log.
    """
    said = _said(hit, log)
    if said:
        return said
    owner = indexed_by(hit.path.name) or hit.path.name
    if hit.kind == "index" and any(index == snapshot_index(owner) for index in _indexes(_COMPACTED, log)):
        return INDEX  # it was damaged between the end of the compaction and the first look of the parent
    if counts(hit.path.with_name(owner)):
        return ""
    if checkpoint_index(owner):
        return NEWER
    last = max(hit.last_index, snapshot_index(owner) + 1 if snapshot_index(owner) else 0)
    if any(index >= last for index in _indexes(_RENEWED, log)):
        return RENEWED
    if any(index >= last for index in _indexes(_COMPACTED, log)):
        return COMPACTED
    sent = re.compile(rf"member {hit.node} is sent the snapshot of index (\d+)")
    return INSTALLED if any(index >= last for index in _indexes(sent, all_logs)) else ""


def _said(hit: Hit, log: str) -> str:
    """Return what the log says of the file by name; "" for nothing."""
    path = re.escape(str(hit.path))
    lines = {
        rf"{path}: \d+ entries were damaged \(.*\); mended from member": MENDED,
        rf"{path}: bytes that nobody needs were damaged: written anew": NEEDLESS,
        rf"{path}: the snapshot was damaged, and is whole again": WHOLE,
        rf"{path}: the index was damaged or missing, and was made anew": INDEX,
        rf"{path}: the checkpoint was (damaged, and was )?removed": REMOVED,
    }
    return next((what for line, what in lines.items() if re.search(line, log)), "")


def _indexes(line: "re.Pattern[str]", log: str) -> list[int]:
    return [int(found[1]) for found in line.finditer(log)]


class Snapshots:
    """All snapshots that were seen, and the record of each index in them."""

    def __init__(self) -> None:
        self.seen = 0
        self.wrong: list[str] = []
        self._known: set[tuple[int, str, int]] = set()  # node, name, inode
        self._names: set[tuple[int, str]] = set()
        self._records: dict[int, int] = {}  # index -> checksum

    def look_at(self, node: int, data_dir: Path) -> None:
        """Look at those of a node that were not seen yet."""
        for path in data_dir.glob("snapshot-*.jsonl"):
            self.look(node, path)

    def look(self, node: int, path: Path) -> None:
        """Look at a file; nothing if it is no snapshot, or was seen."""
        if not snapshot_index(path.name):
            return
        try:
            inode, content = path.stat().st_ino, b""
            if (node, path.name, inode) in self._known:
                return
            content = path.read_bytes()
        except OSError:  # it was replaced a moment ago
            return
        self._known.add((node, path.name, inode))
        if (node, path.name) not in self._names and not is_whole(path):
            self.wrong.append(f"node {node} has made a damaged snapshot, {path.name}")
        self._names.add((node, path.name))
        self.seen += 1
        for index, record in entries_of(content):
            if self._records.setdefault(index, crc32(record)) != crc32(record):
                self.wrong.append(f"node {node} has another entry {index} in {path.name} than in a snapshot before")


def counting(data_dir: Path) -> set[Path]:
    """The files that are a part of the log."""
    return {*targets(data_dir, "bit"), *targets(data_dir, "index")}
