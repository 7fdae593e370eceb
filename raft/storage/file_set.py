"""The files of the log: which ones count, which were replaced, and when the replaced ones are removed.

The log is a base (a snapshot, or none) and the segments that count above it, in their order.  A position names a file
by its slot here.  A file that a new base replaces keeps its slot, so that a read which looked up its positions before
still finds it.  It stays on the disk for an hour, for such reads and for anyone who is copying the directory; less if
the replaced files are larger than those that count.

Rules.  One thread adds segments; any thread may set a new base, sweep and ask.  The lock is held for a moment, never
across I/O.  A slot is reused only after its file was removed, and only when no slot is unused: a read that takes
more than an hour finds no file, and not a wrong one.
"""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from raft.storage.disk import Disk
from raft.storage.file_names import (
    SnapshotFile,
    checkpoint_index,
    counted_from,
    indexed_by,
    is_temporary,
    is_temporary_index,
    sequence_of,
    snapshot_index,
)
from raft.storage.positions import FILES_MAX

LINGER_S = 3_600.0
LINGER_MIN_S = 10.0  # if the replaced files are too large together; a read is done by then
LINGER_HURRY_S = 1.0  # if the disk is full
LINGER_BYTES_MIN = 16 << 20  # replaced files may take this much, or as much as the files that count
UNFINISHED_S = 86_400.0  # a file that is unfinished after a day belongs to a process that died


@dataclass(slots=True)
class _File:
    name: str
    bytes: int


class FileSet:
    """The base and the segments, and the files that they replaced."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: list[_File | None] = []
        self._base: SnapshotFile | None = None
        self._counted: list[int] = []  # slots: the base's, if there is one, then the segments'
        self._checkpoint = 0  # the index of the newest known
        self._due: dict[str, float] = {}  # name -> when it may go
        self._sizes: dict[str, int] = {}  # name -> bytes, of replaced files

    @property
    def base(self) -> SnapshotFile | None:
        """The snapshot that the log builds on."""
        return self._base

    @property
    def document_index(self) -> int:
        """The index of the newest state document known."""
        with self._lock:
            return max(self._checkpoint, self._base.meta.index if self._base else 0)

    @property
    def bytes(self) -> int:
        """The size of all files that count."""
        with self._lock:
            return sum(self._file_locked(slot).bytes for slot in self._counted)

    def bytes_from(self, slot: int, offset: int) -> int:
        """Return the size of the segments from that place on."""
        with self._lock:
            if slot not in self._counted:
                return 0
            later = self._counted[self._counted.index(slot) :]
            return sum(self._file_locked(one).bytes for one in later) - offset

    def counted(self) -> list[tuple[int, str, int]]:
        """Return slot, name and size of all files that count, in order."""
        with self._lock:
            files = [(slot, self._file_locked(slot)) for slot in self._counted]
            return [(slot, file.name, file.bytes) for slot, file in files]

    def add_segment(self, name: str, size: int) -> int:
        """Add a segment behind the others; return its slot."""
        with self._lock:
            slot = self._slot_locked(_File(name, size))
            self._counted.append(slot)
            return slot

    def drop_segment(self) -> None:
        """Drop the last segment: it is empty, and another one takes its place."""
        with self._lock:
            self._slots[self._counted.pop()] = None

    def grow(self, size: int) -> None:
        """Note the size of the last segment."""
        with self._lock:
            self._file_locked(self._counted[-1]).bytes = size

    def reserve(self, base: SnapshotFile) -> int:
        """Return a slot for the next base."""
        with self._lock:
            return self._slot_locked(_File(base.name, base.bytes))

    def rebase(self, base: SnapshotFile, slot: int) -> None:
        """Make the file in `slot` the base; the base before it, and the segments that it covers, count no more."""
        with self._lock:
            segments = self._counted[1 if self._base else 0 :]
            names = [self._file_locked(one).name for one in segments]
            self._base = base
            self._counted = [slot, *segments[counted_from(names, base.meta.index) if names else 0 :]]

    def checkpointed(self, index: int) -> None:
        """Note that there is a checkpoint at `index`."""
        with self._lock:
            self._checkpoint = max(self._checkpoint, index)

    def forget_checkpoints(self) -> None:
        """Note that there is no checkpoint any more."""
        with self._lock:
            self._checkpoint = 0

    def name(self, slot: int) -> str:
        """Return the name of the file in a slot.  Raises LookupError if it was removed."""
        file = self._slots[slot] if slot < len(self._slots) else None
        if file is None:
            raise LookupError("the file has been replaced")
        return file.name

    def slot_of(self, name: str) -> int:
        """Return the slot of a file that counts."""
        with self._lock:
            return next(slot for slot in self._counted if self._file_locked(slot).name == name)

    def counts(self, slot: int) -> bool:
        """Return whether the file in this slot is a part of the log."""
        return slot in self._counted

    def sweep(self, disk: Disk, data_dir: Path, now_s: float, spared: Collection[str], *, hurry: bool = False) -> None:
        """Remove files of no use, and files that an earlier sweep found replaced at least an hour ago.

        The oldest replaced files go earlier if there are too many, all of them in a hurry.  `spared` are being written.
        Raises OSError.
        """
        names, lingering = sorted(disk.list(data_dir)), []
        self.checkpointed(max(map(checkpoint_index, names), default=0))
        for name in names:
            linger_s = self._linger_s(name, names) if name not in spared else None
            if linger_s is None:
                continue
            if self._due.setdefault(name, now_s + linger_s) <= now_s:
                self._remove(disk, data_dir, name)
            elif linger_s == LINGER_S:
                lingering.append(name)
        self._bound_lingering(disk, data_dir, lingering, now_s, hurry)
        self._due = {name: due_s for name, due_s in self._due.items() if name in names}
        self._sizes = {name: size for name, size in self._sizes.items() if name in names}

    def _bound_lingering(self, disk: Disk, data_dir: Path, names: Sequence[str], now_s: float, hurry: bool) -> None:
        """Remove the oldest replaced files as far as they exceed those that count; in a hurry all of them."""
        for name in names:
            if name not in self._sizes:
                with closing(disk.open(data_dir / name)) as file:
                    self._sizes[name] = file.size
        excess = sum(self._sizes[name] for name in names) - (0 if hurry else max(self.bytes, LINGER_BYTES_MIN))
        linger_s = LINGER_HURRY_S if hurry else LINGER_MIN_S
        for name in sorted(names, key=lambda name: (self._due[name], name)):
            if excess <= 0 or now_s < self._due[name] - LINGER_S + linger_s:
                return
            excess -= self._sizes[name]
            self._remove(disk, data_dir, name)

    def _remove(self, disk: Disk, data_dir: Path, name: str) -> None:
        disk.remove(data_dir / name)
        self._forget(name)

    def _linger_s(self, name: str, names: Sequence[str]) -> float | None:
        """Return how long a file may stay, given these names; None: for good."""
        if is_temporary(name) or is_temporary_index(name):
            return UNFINISHED_S
        if indexed_by(name):
            counts = indexed_by(name) in {counted for _, counted, _ in self.counted()}  # though its file is missing
            return None if counts or indexed_by(name) in names else 0.0
        with self._lock:
            base_index = self._base.meta.index if self._base else 0
            counted = {self._file_locked(slot).name for slot in self._counted}
            if checkpoint_index(name):
                return 0.0 if checkpoint_index(name) < max(self._checkpoint, base_index + 1) else None
            if snapshot_index(name):
                return LINGER_S if snapshot_index(name) < base_index else None
            if sequence_of(name) and name not in counted:
                newest = max(map(sequence_of, counted), default=0)
                return LINGER_S if sequence_of(name) < newest else None
            return None

    def _forget(self, name: str) -> None:
        with self._lock:
            for slot, file in enumerate(self._slots):
                if file is not None and file.name == name:
                    self._slots[slot] = None

    def _slot_locked(self, file: _File) -> int:
        if len(self._slots) < FILES_MAX:
            self._slots.append(file)
            return len(self._slots) - 1
        slot = self._slots.index(None)  # there is one, unless 2 TiB of segments count
        self._slots[slot] = file
        return slot

    def _file_locked(self, slot: int) -> _File:
        file = self._slots[slot]
        assert file is not None
        return file
