"""The log on disk, which is the database: one object over the files of a data directory.

Rules.  When `append` returns, its data is durable.  When it raises, the disk's state is unknown, since an fsync that is
retried may lie: a failed write or fsync makes the storage unusable.  Only a write that finds no room (DiskFull) leaves
the log as it was.  The same append may be retried, and then goes to a new segment, for the last one may end in a part
of the batch.  That segment is made with the batch in it, or not at all, so failed tries leave nothing.  A batch is one
write and one fdatasync, and carries the hard state.  One thread appends; any thread reads, during appends too, and no
lock is held across I/O.  An entry's text is on disk once and never kept in memory: eight bytes an entry hold its
position.

A snapshot replaces a prefix of the segments, never a byte of one.

- `adopt`: a compaction made the snapshot, of what is applied here.  It is durable under its name before the storage
  hears of it.  So whatever a crash leaves, a start finds the old base or the new one, and the same log above.
- `install`: the snapshot was received, and the log does not continue it.  Its file is durable under a temporary name.
  The term and the vote are written first, if they are new, then a new segment that begins right after the snapshot.
  Only then does the snapshot get its name, and that replaces the old log.  A crash before it leaves the old log and an
  empty segment whose name is wrong about where it begins: a start removes that.  The commit index that comes with a
  snapshot is never written before that moment: for the old log it may not be true.

The format of a segment is in `segment.py`, that of a snapshot in `snapshot_file.py`, the index beside either in
`index_file.py`, and `recovery.py` has what a start accepts.
"""

import errno
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TypeVar

from raft.core.entries import RECORD_BYTES_MAX, entry_of_verified
from raft.core.raft_messages import Entry, HardState, SnapshotMeta
from raft.errors import ADVICE, CorruptLog, DiskFailed, DiskFull, InvalidMessage
from raft.metrics import Histogram
from raft.storage.disk import NO_DAMAGE, Disk, NoRoom
from raft.storage.file_names import (
    SnapshotFile,
    checkpoint_index,
    checkpoint_name,
    first_index_of,
    index_name,
    segment_name,
    sequence_of,
    snapshot_name,
)
from raft.storage.file_set import FileSet
from raft.storage.index_file import OWNER, Indexes, log_remade
from raft.storage.positions import Positions, Sparse, TermRuns, moved, pack, unpack
from raft.storage.reader import Borrowed, LogReader, Progress
from raft.storage.recovery import RecoveredLog, recover
from raft.storage.reserve import KEPT_BYTES
from raft.storage.sealed_files import SealedFiles, SegmentTable, Verified
from raft.storage.segment import Content, Header, Sealed, SegmentWriter, encode_header, encode_opening, intact_lines_in
from raft.storage.snapshot_file import Document, file_steps, newest_document
from raft.storage.snapshot_receiver import SPARE_BYTES, SnapshotReceiver

SEGMENT_BYTES = 16 << 20  # a start reads the whole newest segment: 0.15 s
SEGMENT_BYTES_LARGE = 64 << 20
SEGMENT_BYTES_MAX = 1 << 30
SEGMENTS_SMALL = 1024  # segments of the requested size; later ones grow with the log, since files have few numbers
BATCH_BYTES_MAX = SEGMENT_BYTES_MAX // 2  # a segment begins a batch below its bound and must hold all of it
SEALED_MAX = 8  # segments that still need an index; the next start makes the indexes dropped here

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recovered:
    """The state that a start found on the disk."""

    hard_state: HardState  # `commit_index` is a hint: never more than was committed, sometimes less
    last_index: int
    term_runs: tuple[tuple[int, int], ...]  # (first index, term), ascending
    last_time: int  # of the last entry; 0 without entries
    configurations: tuple[Entry, ...]  # above the base, in the log's order
    snapshot: SnapshotMeta | None  # the base: `last_index` is never below it, `term_runs` are those above it
    reports: tuple[str, ...]  # a line for each thing that was cut, or is lost
    holes: tuple[tuple[int, int], ...] = ()  # index and term of the entries that are lost, to be fetched and mended
    base_damage: CorruptLog | None = None  # the base is not whole
    needs_snapshot: bool = False  # nor is there a state to go on from: the leader's snapshot has to come first


class Storage:
    """The log of one member.  Make it with `open`."""

    def __init__(self, disk: Disk, data_dir: Path, cluster_id: str, segment_bytes: int, log: RecoveredLog) -> None:
        assert segment_bytes <= SEGMENT_BYTES_MAX - BATCH_BYTES_MAX
        self._disk = disk
        self._data_dir = data_dir
        self._cluster_id = cluster_id
        self._segment_bytes = segment_bytes
        self._files: FileSet = log.files
        self._positions: Positions = log.positions
        self._hard_state = log.hard_state
        self._term_runs = TermRuns(log.term_runs)
        self._borrowed = Borrowed(log.positions, self.term_of)
        self._reader = LogReader(disk, data_dir, log.files, log.positions, self._borrowed)
        self._own_reader = LogReader(disk, data_dir, log.files, log.positions)
        self._base_term = log.files.base.meta.term if log.files.base else 0  # while there are no runs
        self._segments = SegmentTable()
        for header in log.headers:
            self._segments.add(header)
        self._sealed_files = SealedFiles(
            disk, data_dir, log.files, log.positions, self._segments, self.term_of, log.holes
        )
        self._checkpoints: dict[str, SnapshotMeta] = {}  # checkpoints that this start has found whole
        self._receiver_lock = Lock()
        self._receiver: SnapshotReceiver | None = None
        self._is_full: Callable[[], bool] = lambda: False
        self._put_off: SnapshotReceiver | None = None  # finished, and to be installed once the disk has room
        self._base_lock = Lock()  # held while another base takes effect in memory
        self.fsync_durations = Histogram()  # the appending thread records the sync of each batch
        self._write_began_s: float | None = None  # of the write under way
        self._failure = ""  # why the storage is unusable
        self._closed = False
        self._content = Content()  # of the newest segment
        self._configurations = [log.files.base.meta.configuration_index] if log.files.base else []
        self._configurations += [one.index for one in log.configurations]  # indexes, in the segments before the newest
        self._sealed: deque[tuple[Header, int, int, Content]] = deque(maxlen=SEALED_MAX)  # with end and checksum
        self._writer = self._final(lambda: self._open_segment(log))
        self._final(self._adopt_checkpoint)
        self.remade_indexes = tuple(log.remade_indexes)  # by this start; a refused one logs nothing
        self.recovered = Recovered(
            self._hard_state,
            self.last_index,
            tuple(log.term_runs),
            log.last_time,
            tuple(log.configurations),
            self._files.base.meta if self._files.base else None,
            tuple(log.reports),
            tuple(self.holes()),
            log.base_damage,
            log.needs_snapshot or (log.base_damage is not None and not self._has_document()),
        )

    def _has_document(self) -> bool:
        """Return whether a state document can be read: a checkpoint, or that in a base which is damaged elsewhere."""
        document = self.documents(self.last_index)
        try:
            for _ in document.lines if document else ():
                pass
        except CorruptLog:
            return False
        return document is not None

    def _adopt_checkpoint(self) -> None:
        found = self.documents(self.last_index)
        if found is not None:
            self._files.checkpointed(found.meta.index)
            commit_index = max(self._hard_state.commit_index, found.meta.index)
            self._hard_state = replace(self._hard_state, commit_index=commit_index)

    @classmethod
    def open(
        cls,
        disk: Disk,
        data_dir: Path,
        cluster_id: str = "",
        *,
        must_exist: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        progress: Progress | None = None,
    ) -> "Storage":
        """Recover the log and open a new segment for what comes; the caller holds the directory's lock.

        `cluster_id` is the identity's.  A member of a cluster, and one that `must_exist`, is not started without its
        log.  A segment that has `segment_bytes` is followed by another one: a compaction frees whole segments only.
        `progress(bytes done, bytes in all)` is called now and then.  When this returns, all that was recovered is
        durable. Raises CorruptLog, StartRefused or DiskFailed.
        """
        log = recover(disk, data_dir, cluster_id, must_exist or bool(cluster_id), progress)
        return cls(disk, data_dir, cluster_id, segment_bytes, log)

    @property
    def last_index(self) -> int:
        """The index of the last entry written; durable once `append` returned."""
        return self._positions.last_index

    @property
    def bytes_on_disk(self) -> int:
        """The size of all files that count, without replaced files that are still there."""
        return self._files.bytes

    @property
    def data_dir(self) -> Path:
        """The directory of the log."""
        return self._data_dir

    def free_bytes(self) -> int | None:
        """Return how much more could be written to the data directory; None if the disk does not say."""
        try:
            return self._disk.free_bytes(self._data_dir)
        except OSError:
            return None

    @property
    def entry_count(self) -> int:
        """The number of entries in the log: all above the base, and those in it."""
        return self._positions.entry_count

    @property
    def newest_segment_index(self) -> int:
        """The lowest index that an entry of the newest segment can have."""
        return first_index_of(self._writer.header.name)

    @property
    def newest_segment(self) -> str:
        """The name of the segment that is appended to."""
        return self._writer.header.name

    def end_segment(self) -> None:
        """Begin a new segment with the next write, so that a compaction can free all segments before it."""
        self._full_bytes = 0

    def bytes_since_document(self, up_to: int) -> int:
        """Return how much log a checkpoint at `up_to` would spare a start."""
        document_index = self._files.document_index
        if up_to <= document_index:
            return 0
        return self.entry_bytes_above(document_index) - self.entry_bytes_above(up_to)

    def entry_bytes_above(self, index: int) -> int:
        """Return the size of the entries above `index` in the log; 0 if the next one is not in it."""
        try:
            (position,) = self._positions.get_range(index + 1, index + 1)
        except LookupError:
            return 0
        slot, offset, _ = unpack(position)
        return self._files.bytes_from(slot, offset)

    def bytes_above(self, index: int) -> int:
        """Return the size of the segments that a compaction up to `index`, which is above the base, would leave."""
        try:
            (position,) = self._positions.get_range(index + 1, index + 1)
        except LookupError:
            return 0
        return self._files.bytes_from(unpack(position)[0], 0)

    @property
    def base_document_bytes(self) -> int:
        """The size of the state document in the base; 0 without one."""
        base = self._files.base
        return 0 if base is None else self._positions.first_offset(base.bytes)

    @property
    def document_bytes(self) -> int:
        """The size of the newest checkpoint; 0 without one."""
        try:
            file = self._disk.open(self._data_dir / checkpoint_name(self._files.document_index))
        except OSError:
            return 0
        try:
            return file.size
        finally:
            file.close()

    @property
    def base_index(self) -> int:
        """The last index that the base covers; 0 without one."""
        return self._positions.base_index

    @property
    def snapshot(self) -> SnapshotFile | None:
        """The base's file, for sending; None if the log goes back to its first entry."""
        return self._files.base

    def set_cluster_id(self, cluster_id: str) -> None:
        """Put this ClusterId into the segments to come.  Save it in the identity first."""
        self._cluster_id = cluster_id

    def ask_room(self, is_full: Callable[[], bool]) -> None:
        """Let a snapshot use what a reserve left while `is_full()`: it makes room."""
        self._is_full = is_full

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make the hard state (None: unchanged) and the entries durable, in one write and one fdatasync.

        `entries` may rewind, more than once: an entry at index i replaces every earlier one at i or above.  They can be
        read as soon as they are written.  One thread only.  Raises DiskFull: nothing was written, and the same may be
        retried; DiskFailed: what is durable is not known.
        """
        self._check_usable()
        assert not self._closed
        self._write_began_s = monotonic()
        try:
            self._final(lambda: self._append(hard_state or self._hard_state, entries))
        finally:
            self._write_began_s = None

    @property
    def write_age_s(self) -> float:
        """The time since the write that is under way began; 0 if there is none.  Any thread."""
        began_s = self._write_began_s  # read once: the write may end now
        return 0.0 if began_s is None else monotonic() - began_s

    def _append(self, hard_state: HardState, entries: Sequence[Entry]) -> None:
        first_index, torn = self.last_index + 1, self._writer.torn
        if not torn and self._writer.size >= self._full_bytes:
            self._rotate(first_index)  # with the old hard state: the new commit index may cover unwritten entries
        start = len(encode_header(self._next_header(first_index))) if torn else self._writer.size
        lowest = min((entry.index for entry in entries), default=self.last_index + 1)
        commit_index = min(hard_state.commit_index, lowest - 1)  # true for any part that a crash leaves
        hard_state_before = HardState(hard_state.current_term, hard_state.voted_for, commit_index)
        last = self.last_index, self._term_runs.last_term or self._base_term
        opening = encode_opening(start, hard_state_before, last, self._newest_configuration())
        batch = b"".join([opening, *(entry.record for entry in entries)])
        assert len(batch) <= BATCH_BYTES_MAX
        if torn:
            self._rotate(first_index, batch)
        else:
            self._write(batch)
        self._hard_state = hard_state
        pairs = self._place(((entry.index, len(entry.record)) for entry in entries), start + len(opening))
        self._files.grow(self._writer.size)
        self._positions.set(pairs)
        self._note(entries, pairs)
        if entries:
            self._term_runs.note(entries)
        if not torn:
            began_s = monotonic()
            self._writer.sync()
            self.fsync_durations.record(monotonic() - began_s)

    def _newest_configuration(self) -> int:
        """Return the index of the newest configuration in the log; 0 if there is none."""
        content, earlier = self._content, self._configurations
        while content.first_written and earlier and earlier[-1] >= content.first_index:
            earlier.pop()  # replaced by an entry of this segment
        if content.configurations:
            return content.configurations[-1].index
        return earlier[-1] if earlier else 0

    def _write(self, batch: bytes) -> None:
        try:
            self._writer.write(batch)
        except NoRoom as error:
            raise self._full(error) from error

    def _full(self, error: NoRoom) -> DiskFull:
        return DiskFull(f"data directory {self._data_dir} has no room: {error.strerror}")

    def _note(self, entries: Iterable[Entry], pairs: Iterable[tuple[int, int]]) -> None:
        for entry, (_, position) in zip(entries, pairs, strict=True):
            self._content.note(entry, position)

    @property
    def reader(self) -> LogReader:
        """The reader of the entries; any thread.  Raises DiskFailed once the storage is unusable."""
        self._check_usable()
        return self._reader

    @property
    def own_reader(self) -> LogReader:
        """The reader of what is on this disk: it knows nothing of borrowed records.  Raises DiskFailed."""
        self._check_usable()
        return self._own_reader

    def borrow(self, entries: Iterable[Entry]) -> set[int]:
        """Let these entries, which other members hold, stand in for damaged ones; return the indexes of those that fit.

        They are the entries of this log, by their index and term.  Any thread.
        """
        return self._borrowed.put(entries, self._sealed_files.hole_indexes())

    def is_borrowed(self, index: int) -> bool:
        """Return whether a read of this entry is right though it is damaged here."""
        return self._borrowed.has(index)

    def documents(self, commit_index: int) -> Document | None:
        """Return the newest usable state document at or below `commit_index`; None if there is none.

        A damaged checkpoint is removed.  The lines raise CorruptLog or OSError if the file is lost while they are read.
        """
        base = self._files.base
        removed: list[str] = []
        found = newest_document(
            self._disk, self._data_dir, base, commit_index, self.term_of, removed, known=self._checkpoints
        )
        for name in removed:
            logger.warning("%s: the checkpoint was damaged, and was removed", self._data_dir / name)
        return found

    def term_of(self, index: int) -> int:
        """Return the term of an entry above the base; 0 if the log does not hold it, or the base covers it."""
        if not self._positions.base_index < index <= self.last_index:
            return 0
        return self._term_runs.term_of(index)

    def term_bounds(self, index: int) -> tuple[int, int]:
        """Return the lowest and the highest term that the entry at `index` can have; it is in the log."""
        return self._sealed_files.term_bounds(index)

    def holes(self) -> list[tuple[int, int]]:
        """Return (index, term) of the entries that a start found lost, and that are not mended yet.  Any thread."""
        return self._sealed_files.holes()

    def mend(self, records: Mapping[int, bytes]) -> set[int]:
        """Put these records, which other members hold, where they are lost; return the indexes that can be read now.

        Any thread, one at a time.  Records that do not fit, and those of the newest segment, are left out: end that
        first.  Raises DiskFull, OSError: the files are as they were.
        """
        return self._sealed_files.mend(records)

    def places_of(self, indexes: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Return path and offset of each of these entries, by index; those not in the log are left out."""
        return self._sealed_files.places_of(indexes)

    def lost_in(self, name: str) -> list[int]:
        """Return the entries that are lost in this file, ascending; reads all of it.  Raises OSError."""
        return self._sealed_files.lost_in(name)

    def file_names(self) -> set[str]:
        """Return the names of the files that count: the base and the segments."""
        return {name for _, name, _ in self._files.counted()}

    def verify(self) -> Iterator[Verified]:
        """Read all but the newest segment in small steps, and yield each; see `sealed_files.py`.

        Any thread, one at a time.  Raises DiskFull, OSError.
        """
        return self._sealed_files.verify()

    def read_snapshot(self, file: SnapshotFile, offset: int, bytes_max: int) -> bytes:
        """Return intact lines of a snapshot from `offset` on: at least one, up to `bytes_max`; b"" at its end.

        Any thread.  Raises LookupError: the file was replaced and removed; CorruptLog: the next line is damaged, and
        damaged data is never sent (it names all entries that are lost in the file); OSError.
        """
        if offset >= file.bytes:
            return b""
        try:
            with closing(self._disk.open(self._data_dir / file.name)) as opened:
                data = opened.pread(bytes_max, offset)
                if b"\n" not in data:
                    data = opened.pread(RECORD_BYTES_MAX + 1, offset)  # a line's length is bounded, so this holds one
                    data = data[: data.find(b"\n") + 1]
        except OSError as error:
            if error.errno in NO_DAMAGE:
                raise
            if isinstance(error, FileNotFoundError) and self._files.base != file:
                raise LookupError(f"{file.name} has been replaced") from None
            data = b""  # it is missing, or cannot be read
        stop = max((line.end() for line in intact_lines_in(data)), default=0)
        if not stop:
            lost = self._sealed_files.lost_in(file.name)
            raise CorruptLog(str(self._data_dir / file.name), offset, "the snapshot is damaged", ADVICE, lost)
        return data[:stop]

    def receive(self, meta_index: int, meta_term: int, bytes_total: int) -> SnapshotReceiver:
        """Begin to receive a snapshot of `bytes_total` bytes; one that is under way is dropped.

        Raises InvalidMessage or DiskFailed.
        """
        self._check_usable()
        spare_bytes = KEPT_BYTES if self._is_full() else SPARE_BYTES
        receiver = SnapshotReceiver(
            self._disk, self._data_dir, self._cluster_id, meta_index, meta_term, bytes_total, spare_bytes
        )
        with self._receiver_lock:
            before, self._receiver = self._receiver, receiver
        if before is not None:
            before.drop()
        return receiver

    def install(self, meta: SnapshotMeta, hard_state: HardState) -> None:
        """Replace the whole log by the snapshot that was received and finished with this index and term.

        Durable when this returns.  The appending thread only.  Raises LookupError: there is no such snapshot, and
        nothing was done; DiskFull: the same may be retried; DiskFailed.
        """
        self._check_usable()
        with self._receiver_lock:
            receiver = self._put_off or self._receiver
            finished = receiver.finished() if receiver else None
            if receiver is None or finished is None or (receiver.index, receiver.term) != (meta.index, meta.term):
                raise LookupError(f"no snapshot of index {meta.index} has been received")
            if receiver is self._receiver:
                self._receiver = None
            self._put_off = receiver  # a snapshot begun now does not drop this one
        file, sparse = finished
        assert meta.index > self._positions.base_index
        self._final(lambda: self._install(receiver.temporary_name, file, sparse, hard_state))
        self._put_off = None

    def _install(self, temporary: str, file: SnapshotFile, sparse: Sparse, hard_state: HardState) -> None:
        kept = replace(hard_state, commit_index=self._hard_state.commit_index)
        self._append(kept, ())
        self._rotate(file.meta.index + 1)
        self._disk.rename(self._data_dir / temporary, self._data_dir / file.name)
        self._disk.sync_directory(self._data_dir)
        self._hard_state = hard_state
        self._configurations = [file.meta.configuration_index]
        self._term_runs, self._base_term = TermRuns(), file.meta.term
        with self._base_lock:
            slot = self._files.reserve(file)
            self._positions.install(file.meta.index, sparse, slot)
            self._files.rebase(file, slot)

    def adopt(
        self, meta: SnapshotMeta, pause: Callable[[], None] = lambda: None, *, replaces_base: bool = False
    ) -> None:
        """Replace the log up to `meta.index` by the snapshot of that index, which a compaction made.

        Any thread, one at a time, while the appending one goes on.  Does nothing if the base is as new; unless the
        snapshot `replaces_base`, a damaged file of the same name.  `pause` is called between small steps.  Raises
        InvalidMessage: the file is not whole, and was removed, for no later start would accept it; OSError: it cannot
        be read.  Nothing is changed then.
        """

        def is_newer() -> bool:
            base_index = self._positions.base_index
            return meta.index > base_index or (replaces_base and meta.index == base_index)

        if not is_newer():
            return
        name = snapshot_name(meta.index)
        try:
            base = Indexes(self._disk, self._data_dir, OWNER).base(name, pause)
            if base.file.meta != meta:
                raise InvalidMessage("not the snapshot that was announced")
        except InvalidMessage as error:
            self.discard_snapshot(meta)
            raise InvalidMessage(f"{name}: {error}") from None
        with self._base_lock:
            if is_newer():  # no other snapshot was installed meanwhile
                slot = self._files.reserve(base.file)
                self._positions.rebase(meta.index, base.sparse, slot)
                self._files.rebase(base.file, slot)

    def discard_snapshot(self, meta: SnapshotMeta) -> None:
        """Remove a snapshot that is not adopted: a start would take it for the base.  Raises OSError."""
        name = snapshot_name(meta.index)
        if name in self.file_names():
            return
        with suppress(FileNotFoundError):  # first: a start would take an index alone for that of a lost base
            self._disk.remove(self._data_dir / index_name(name))
            self._disk.sync_directory(self._data_dir)
        with suppress(FileNotFoundError):
            self._disk.remove(self._data_dir / name)
            self._disk.sync_directory(self._data_dir)

    def adopt_received(self, meta: SnapshotMeta) -> None:
        """Replace the log up to `meta.index`, which the log holds, by the snapshot that was received and finished.

        What follows the snapshot in the log stays (Raft §7).  Any thread, one at a time, while the appending one goes
        on.  Raises LookupError: no such snapshot was received; InvalidMessage or OSError as `adopt` does.
        """
        self._check_usable()
        with self._receiver_lock:
            receiver = self._receiver
            if (
                receiver is None
                or receiver.finished() is None
                or (receiver.index, receiver.term)
                != (
                    meta.index,
                    meta.term,
                )
            ):
                raise LookupError(f"no snapshot of index {meta.index} has been received")
            self._receiver = None
        self._disk.rename(self._data_dir / receiver.temporary_name, self._data_dir / snapshot_name(meta.index))
        self._disk.sync_directory(self._data_dir)
        self.adopt(meta)

    def remove_checkpoints(self) -> None:
        """Remove all checkpoints: the state in them is wrong.  Then a start goes on from the base.  Raises OSError."""
        for name in self._disk.list(self._data_dir):
            if checkpoint_index(name):
                self._disk.remove(self._data_dir / name)
        self._checkpoints.clear()
        self._disk.sync_directory(self._data_dir)
        self._files.forget_checkpoints()

    def write_checkpoint(self, document: Document) -> Generator[None, None, None]:
        """Write this state document, of what is durable here, to a file, in steps of a millisecond.

        After the last step a start goes on from it.  Any thread, one at a time, while the appending one goes on.  A
        step raises OSError.  Then, and when the steps are closed early, the file is removed.
        """
        meta = document.meta
        steps = file_steps(
            self._disk, self._data_dir, checkpoint_name(meta.index), self._cluster_id, meta, document.lines, maker=OWNER
        )
        with closing(steps):
            for _ in steps:
                if self._disk.free_bytes(self._data_dir) < SPARE_BYTES:
                    raise OSError(errno.ENOSPC, "the disk is almost full", str(self._data_dir))
                yield
        self._files.checkpointed(meta.index)

    def write_snapshot(self, document: Document, count: int, records: Iterable[bytes]) -> Generator[None, None, None]:
        """Write this state document and its `count` live entries to a snapshot, in steps of a millisecond or some.

        After the last step the snapshot may be adopted.  As for the rest, this is `write_checkpoint`.
        """
        meta, noted, name = document.meta, Sparse(), snapshot_name(document.meta.index)
        steps = file_steps(
            self._disk, self._data_dir, name, self._cluster_id, meta, document.lines, (count, records),
            maker=OWNER, noted=noted,
        )  # fmt: skip
        with closing(steps):
            for _ in steps:
                if self._disk.free_bytes(self._data_dir) < SPARE_BYTES:
                    raise OSError(errno.ENOSPC, "the disk is almost full", str(self._data_dir))
                yield
        Indexes(self._disk, self._data_dir, OWNER).keep_base(name, noted)

    def keep_indexes(self) -> None:
        """Make the indexes of segments that were sealed since the last call.  One thread; failures are ignored."""
        while self._sealed:
            header, end, crc, content = self._sealed.popleft()
            indexes = Indexes(self._disk, self._data_dir, OWNER)
            with suppress(OSError), closing(self._disk.open(self._data_dir / header.name)) as file:
                content.positions = moved(content.positions, 0)
                if index_name(header.name) not in self._disk.list(self._data_dir):
                    indexes.keep_segment(file, header, end, crc, content)
                elif indexes.segment(file, header, end, crc) is None:  # a compaction made it, and it is damaged since
                    indexes.renew_segment(file, header, end, crc, content)
            log_remade(indexes.remade)

    def sweep(self, now_s: float, *, hurry: bool = False) -> None:
        """Remove what was replaced an hour ago or earlier, and older checkpoints at once; call it now and then.

        `hurry`: the disk is full, so replaced files go after a second.  `now_s` is any clock that does not go back.
        One thread at a time.  Files that cannot be removed stay for the next call.
        """
        with suppress(OSError):
            receivers = (self._receiver, self._put_off)
            spared = {receiver.temporary_name for receiver in receivers if receiver is not None}
            self._files.sweep(self._disk, self._data_dir, now_s, spared, hurry=hurry)
        self._segments.keep_from(min(name for _, name, _ in self._files.counted() if sequence_of(name)))

    def close(self) -> None:
        """Mark all as durable, and close.  So later damage to the last batch is not taken for the end of a crash.

        On a full disk nothing is marked.  Raises DiskFailed; a second call does nothing.
        """
        if self._closed:
            return
        try:
            with suppress(DiskFull):
                self.append(None, ())
        finally:
            self._closed = True
            self._writer.close()

    def _open_segment(self, log: RecoveredLog) -> SegmentWriter:
        """Make the segment of this start, with what the last one held beyond its durable offset."""
        first_index = log.carried[0][0] if log.carried else self.last_index + 1
        last = log.last_segment
        if last is not None and last.empty:  # an empty one is replaced, or restarts alone would fill the directory
            self._files.drop_segment()
            if first_index_of(last.header.name) != first_index:  # made for a snapshot that never got its name
                self._disk.remove(self._data_dir / last.header.name)
                self._disk.sync_directory(self._data_dir)  # the removed file must not come back beside its successor
            name = segment_name(sequence_of(last.header.name), first_index)
            predecessor, sealed = last.header.predecessor, last.header.sealed
        elif last is not None:
            name = segment_name(sequence_of(last.header.name) + 1, first_index)
            predecessor, sealed = last.header.name, last.content.sealed(last.durable, last.crc)
            if last.crc is not None:
                self._sealed.append((last.header, last.durable, last.crc, last.content))
        else:
            name, predecessor, sealed = segment_name(1, first_index), "", Sealed()
        carried = b"".join(record for _, record in log.carried)
        header = Header(name, self._cluster_id, self._hard_state, predecessor, sealed, len(carried))
        writer = self._create(header, carried)
        pairs = self._place(
            ((index, len(record)) for index, record in log.carried), writer.size - writer.header.carried
        )
        self._positions.set(pairs)
        self._note((entry_of_verified(record) for _, record in log.carried), pairs)
        return writer

    def _next_header(self, first_index: int) -> Header:
        old = self._writer
        name = segment_name(sequence_of(old.header.name) + 1, first_index)
        sealed = self._content.sealed(old.size, old.crc)
        return Header(name, self._cluster_id, self._hard_state, old.header.name, sealed, 0)

    def _rotate(self, first_index: int, batch: bytes = b"") -> None:
        """Go on in a new segment that begins with `batch`: all of the old one that counts is durable."""
        old, header = self._writer, self._next_header(first_index)
        try:
            self._writer = self._create(header, b"", batch)
        except NoRoom as error:
            raise self._full(error) from error
        self._sealed.append((old.header, old.size, old.crc, self._content))
        self._newest_configuration()  # drops those that this segment has replaced
        self._configurations += [one.index for one in self._content.configurations]
        self._content = Content()
        old.close()

    def _create(self, header: Header, carried: bytes, batch: bytes = b"") -> SegmentWriter:
        writer = SegmentWriter.create(self._disk, self._data_dir, header, carried, batch)
        self._slot = self._files.add_segment(header.name, writer.size)
        self._segments.add(header)
        self._full_bytes = max(self._segment_bytes, min(self._files.bytes // SEGMENTS_SMALL, SEGMENT_BYTES_LARGE))
        return writer

    def _place(self, records: Iterable[tuple[int, int]], offset: int) -> list[tuple[int, int]]:
        """Return (index, position) for (index, length) of consecutive records from `offset` in the newest segment."""
        next_index = self.last_index + 1
        pairs = []
        for index, length in records:
            assert 1 <= index <= next_index, "a gap in the log"
            next_index = index + 1
            pairs.append((index, pack(self._slot, offset, length)))
            offset += length
        return pairs

    def _final(self, action: Callable[[], _T]) -> _T:
        """Run `write`; after a failure, this storage refuses everything for good."""
        try:
            return action()
        except DiskFull:
            raise  # nothing has changed
        except OSError as error:
            self._failure = f"data directory {self._data_dir} cannot be written: {error}"
            raise DiskFailed(self._failure) from error
        except BaseException as broken:  # half done: memory and disk may differ
            self._failure = f"writing to data directory {self._data_dir} was broken off: {broken!r}"
            raise

    def _check_usable(self) -> None:
        if self._failure:
            raise DiskFailed(self._failure)
