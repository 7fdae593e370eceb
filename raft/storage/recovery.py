"""Recovery: a start reads the files back into the log, checks them, and cuts or refuses damage.

Rules.  The newest snapshot is the base.  Segments are read in the order of their sequence, each up to the end that its
successor's header names, the last one up to its first damage.  A record at index i cancels every earlier record at i or
above.  With a base, `counted_from` says which segments count.  Their records up to the base are in the snapshot.
They still cancel earlier records, because the base may lie in the middle of a rewind.

- Before the durable offset, and anywhere in a segment that has a successor, each byte was synced: a crash cannot have
  damaged, removed or reordered anything there.  The start is refused; nothing is guessed or skipped.
- A segment that has a successor, and the base, are not read if their index (index_file.py) can be trusted.  Damage
  between their two ends is then found when it is used; a start without indexes reads everything and refuses.
- The log in the segments reaches the base, because everything in the snapshot was durable here before.
- Beyond the highest durable offset that any intact opening of the last file names, before or after the damage, lies
  one batch that was never acknowledged: its intact beginning is kept, the rest is cut and reported.
- What is kept of it may be in the page cache only (after a failed fsync the cache forgets that it must be written, and
  the next fsync succeeds all the same): `carried` is for the caller to write anew before it answers anybody.

Recovery changes nothing on the disk, except that it removes the left-overs of an interrupted creation, and makes
missing indexes.

A compaction reads in the same way `beside` another process that appends, but makes indexes only: what looks like a
left-over may belong to that process, and a batch that is being written looks like one that a crash cut short.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn

from raft.core.raft_messages import Entry, HardState
from raft.errors import ADVICE, CorruptLog, InvalidMessage, OtherFormat, StartRefused
from raft.storage.disk import TEMPORARY_SUFFIX, Disk, ReadFile
from raft.storage.file_names import (
    counted_from,
    first_index_of,
    is_temporary,
    is_temporary_index,
    segment_name,
    sequence_of,
    snapshot_index,
)
from raft.storage.file_set import FileSet
from raft.storage.index_file import OWNER, Indexes
from raft.storage.positions import Positions, moved
from raft.storage.reader import Progress
from raft.storage.rewrite_file import Lost
from raft.storage.segment import (
    Content,
    Header,
    Line,
    Sealed,
    SegmentScan,
    checksum,
    decode_header,
    highest_durable,
    intact_lines,
)

_HEADER_BYTES_MAX = 4096
_DAMAGED = "a damaged or missing record"


@dataclass(frozen=True, slots=True)
class LastSegment:
    """The newest segment as the start found it; its successor refers to it."""

    header: Header
    size: int
    durable: int  # the end of this segment, by its successor
    empty: bool  # nothing in it but hard state: its successor may stand in its place
    crc: int  # of the bytes before `durable`
    content: Content  # of these bytes


@dataclass(slots=True)
class RecoveredLog:
    """The content of the files, growing as their records are taken in order."""

    files: FileSet = field(default_factory=FileSet)
    positions: Positions = field(default_factory=Positions)
    last_index: int = 0  # by the segments taken so far: may be below the base until all are taken
    term_runs: list[tuple[int, int]] = field(default_factory=list)  # (first index, term), above the base
    last_time: int = 0
    configurations: list[Entry] = field(default_factory=list)  # above the base
    hard_state: HardState = field(default_factory=HardState)
    cluster_id: str = ""
    last_segment: LastSegment | None = None
    headers: list[Header] = field(default_factory=list)
    holes: dict[int, tuple[int, Lost]] = field(default_factory=dict)  # index -> the position that stands for it
    # Entries beyond the durable offset and above the base: index, record.
    carried: list[tuple[int, bytes]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    def continues(self, content: Content) -> bool:
        """Return whether a segment with this content can be next: it leaves no gap."""
        return content.first_written <= self.last_index + 1

    def take(self, content: Content, slot: int) -> None:
        """Add the content of the next segment, which is the file in `slot`."""
        assert self.continues(content)
        if not content.first_written:
            return
        above = self.positions.base_index + 1
        self._forget(content.first_index)
        self.last_index = content.last_index
        self.last_time = content.last_time
        self.positions.extend(moved(content.positions[max(0, above - content.first_index) :], slot))
        ends = [first for first, _ in content.term_runs[1:]] + [content.last_index + 1]
        for (first, term), end in zip(content.term_runs, ends, strict=True):
            if end > above and not (self.term_runs and self.term_runs[-1][1] == term):
                self.term_runs.append((max(first, above), term))
        self.configurations += [one for one in content.configurations if one.index >= above]

    def _forget(self, index: int) -> None:
        self.positions.forget_from(max(index, self.positions.base_index + 1))
        while self.term_runs and self.term_runs[-1][0] >= index:
            self.term_runs.pop()
        while self.configurations and self.configurations[-1].index >= index:
            self.configurations.pop()


def recover(
    disk: Disk,
    data_dir: Path,
    cluster_id: str,
    must_exist: bool,
    progress: Progress | None,
    *,
    beside: str = "",
) -> RecoveredLog:
    """Read the log of `data_dir`.  Raises CorruptLog or StartRefused; `must_exist`: also if there is no log.

    Left-overs are removed, for the directory belongs to the caller; unless another process has it: `beside` is a word
    that no other reader beside that process has.
    """
    try:
        return _Recovery(disk, data_dir, progress, beside).run(cluster_id, must_exist)
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error}") from error


class _Recovery:
    """A reading of the directory."""

    def __init__(self, disk: Disk, data_dir: Path, progress: Progress | None, beside: str) -> None:
        self._disk = disk
        self._data_dir = data_dir
        self._progress = progress
        self._tidy = not beside
        self._indexes = Indexes(disk, data_dir, beside or OWNER)
        self._log = RecoveredLog()
        self._bytes_before = 0  # of the segments taken so far
        self._bytes_total = 0

    def run(self, cluster_id: str, must_exist: bool) -> RecoveredLog:
        log, found = self._log, self._disk.list(self._data_dir)
        if self._tidy:
            self._remove_left_overs(found)
        self._take_base(max(found, key=snapshot_index, default=""), cluster_id)
        names = self._counted(sorted(name for name in found if sequence_of(name)), must_exist)
        headers = [self._read_header(name) for name in names]
        for before, header in zip(["", *names], headers, strict=False):
            self._check_predecessor(before, header, names)
            self._check_cluster(header.name, header.cluster_id, cluster_id)
            log.cluster_id = header.cluster_id or log.cluster_id
        log.headers = headers
        for header, after in zip_longest(headers, headers[1:]):
            self._read_segment(header, after.sealed if after else None)
        base_index = log.positions.base_index
        if log.last_index < base_index:
            self._refuse(names[-1], 0, f"the log ends with entry {log.last_index}, before its snapshot,")
        commit_index = max(base_index, min(log.hard_state.commit_index, log.last_index))
        log.hard_state = replace(log.hard_state, commit_index=commit_index)
        return log

    def _remove_left_overs(self, names: list[str]) -> None:
        for name in names:
            segment = name.endswith(TEMPORARY_SUFFIX) and sequence_of(name.removesuffix(TEMPORARY_SUFFIX))
            if (
                segment or is_temporary(name) or is_temporary_index(name)
            ):  # it never became a file of the log, so nothing in it counts
                self._disk.remove(self._data_dir / name)

    def _take_base(self, name: str, cluster_id: str) -> None:
        if not snapshot_index(name):
            return
        try:
            base = self._indexes.base(name)
        except OtherFormat as other:
            raise StartRefused(f"{self._data_dir / name}: not a snapshot of this program: {other}") from None
        except InvalidMessage as error:  # a snapshot is durable before it gets its name
            self._refuse(name, 0, f"the snapshot cannot be used: {error},")
        self._check_cluster(name, base.cluster_id, cluster_id)
        log = self._log
        slot = log.files.reserve(base.file)
        log.files.rebase(base.file, slot)
        log.positions = Positions(base.file.meta.index, base.sparse, slot)
        log.last_time = base.file.meta.time
        log.cluster_id = base.cluster_id

    def _counted(self, names: list[str], must_exist: bool) -> list[str]:
        base_index = self._log.positions.base_index
        if not names and (must_exist or base_index):
            self._refuse(segment_name(1, 1), 0, "this member has been part of a cluster, but its log is missing")
        try:
            counted = names[counted_from(names, base_index) :]
        except LookupError as error:
            self._refuse(names[0], 0, f"{error}: one before this is missing")
        if base_index:
            self._log.last_index = first_index_of(counted[0]) - 1
        return counted

    def _read_header(self, name: str) -> Header:
        file = self._disk.open(self._data_dir / name)
        try:
            self._bytes_total += file.size
            self._log.files.add_segment(name, file.size)
            _, line = next(intact_lines(file, 0, min(file.size, _HEADER_BYTES_MAX)))
            header = decode_header(line[2])
        except StopIteration:
            self._refuse(name, 0, "the header is damaged")
        except InvalidMessage as error:  # intact, so it is no damage, but this program did not write it
            raise StartRefused(f"{self._data_dir / name}: not a log segment of this program: {error}") from None
        finally:
            file.close()
        if header.name != name:
            self._refuse(name, 0, f"the header is that of {header.name}")
        return header

    def _check_predecessor(self, before: str, header: Header, names: list[str]) -> None:
        if header.predecessor == before or (not before and self._log.positions.base_index):
            return
        if header.predecessor and header.predecessor not in names:
            self._refuse(header.predecessor, 0, f"the segment that {header.name} follows is missing")
        self._refuse(header.name, 0, f"the header follows {header.predecessor or 'none'}, not {before}")

    def _check_cluster(self, name: str, found: str, cluster_id: str) -> None:
        if cluster_id and found not in ("", cluster_id):
            kind = "snapshot" if snapshot_index(name) else "segment"
            self._refuse(name, 0, f"the {kind} is of cluster {found}, not {cluster_id},")

    def _read_segment(self, header: Header, sealed: Sealed | None) -> None:
        """Take the entries in force up to the end of a sealed segment; in the last one as far as it is intact."""
        file = self._disk.open(self._data_dir / header.name)
        try:
            content = self._indexes.segment(file, header, sealed.end, sealed.crc) if sealed else None
            if content is None or not self._log.continues(content):
                content = self._scanned(file, header, sealed)
            self._log.take(content, self._log.files.slot_of(header.name))
            self._bytes_before += file.size
        finally:
            file.close()

    def _scanned(self, file: ReadFile, header: Header, sealed: Sealed | None) -> Content:
        size = file.size
        scan = self._scan(file, header, sealed.end if sealed else size)
        if sealed is None:
            self._close_last(file, size, scan)
            self._log.hard_state = scan.hard_state
        elif scan.stop < sealed.end:
            self._refuse(header.name, scan.stop, _DAMAGED)
        else:
            self._indexes.keep_segment(file, header, sealed.end, sealed.crc, scan.content)
        return scan.content

    def _scan(self, file: ReadFile, header: Header, end: int) -> SegmentScan:
        scan = SegmentScan.of(header, self._log.last_index)
        try:
            scan.run(file, end, self._report_progress)
        except InvalidMessage as error:
            self._refuse(header.name, scan.stop, str(error))
        return scan

    def _report_progress(self, offset: int) -> None:
        if self._progress is not None:
            self._progress(self._bytes_before + offset, self._bytes_total)

    def _close_last(self, file: ReadFile, size: int, scan: SegmentScan) -> None:
        """Cut or refuse damage in the last segment, and find what has to be written anew."""
        name = scan.header.name
        durable = max(scan.durable, highest_durable(file, scan.stop, size))
        if scan.stop < durable:
            self._refuse(name, scan.stop, _DAMAGED)
        if scan.stop < size:
            self._log.reports.append(
                f"{self._data_dir / name}: cut {size - scan.stop} bytes at byte {scan.stop}: "
                "a write that a crash interrupted, so that nobody had been told of it"
            )
        carried = _in_force(line for _, line in intact_lines(file, durable, scan.stop))
        self._log.carried = [pair for pair in carried if pair[0] > self._log.positions.base_index]
        empty = not scan.content.first_written and scan.stop == size
        content = self._scan(file, scan.header, durable).content if carried else scan.content
        self._log.last_segment = LastSegment(scan.header, size, durable, empty, checksum(file, durable), content)

    def _refuse(self, name: str, offset: int, what: str) -> NoReturn:
        raise CorruptLog(str(self._data_dir / name), offset, what, ADVICE)


def _in_force(lines: Iterable[Line]) -> list[tuple[int, bytes]]:
    """Return (index, record) of the entries that no later line cancels: ascending without a gap."""
    kept: list[tuple[int, bytes]] = []
    for line in lines:
        if line[3] is not None:
            index = int(line[3])
            while kept and kept[-1][0] >= index:
                kept.pop()
            kept.append((index, line[0]))
    return kept
