"""From the files back to the log: what a start reads, checks, cuts and refuses.

Rules.  The newest snapshot is the base.  Segments are read in the order of their sequence, each up to the end that
its successor's header names, the last one up to its first damage.  A record at index i cancels every earlier record
at i or above.  With a base, those segments count that `counted_from` says; in them a record up to the base is the
snapshot's business, but still cancels what it cancels: the end of a rewind that the base cut through.

- Before the durable offset, and anywhere in a segment that has a successor, each byte was synced: what is damaged,
  missing or out of order there cannot be a crash's doing.  The start is refused; nothing is guessed or skipped.
- The log, as the segments have it, reaches the base: nothing was in the snapshot that was not durable here before.
- Beyond the highest durable offset that any intact opening of the last file names, before or after the damage, lies
  one batch that was never acknowledged: its intact beginning is kept, the rest is cut and reported.
- What is kept of it may be in the page cache only (a failed fsync drops the cache's claim to be written, and the
  next one succeeds all the same): `carried` is for the caller to write anew before it answers anybody.

Nothing is changed on the disk here but that left-overs of an interrupted creation are removed.

A compaction reads in the same way while another process appends, but nothing at all is changed (`tidy` False): a
batch that is being written looks like one that a crash cut short.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from raft.disk import TEMPORARY_SUFFIX, Disk, ReadFile
from raft.errors import CorruptLog, InvalidMessage, StartRefused
from raft.files import Files
from raft.identity import ADVICE
from raft.messages import Entry, HardState
from raft.positions import Positions, pack
from raft.reading import Progress
from raft.records import entry_of_verified
from raft.segments import (
    Header,
    Line,
    counted_from,
    decode_header,
    decode_opening,
    first_index_of,
    highest_durable,
    intact_lines,
    segment_name,
    sequence_of,
)
from raft.snapshots import SnapshotFile, is_temporary, scan_file, snapshot_index

_PROGRESS_ENTRIES = 1 << 14  # some 50 ms apart
_HEADER_BYTES_MAX = 4096
_DAMAGED = "a damaged or missing record"


@dataclass(frozen=True, slots=True)
class LastSegment:
    """The newest file as it was found, for its successor to refer to."""

    header: Header
    size: int
    durable: int  # where its successor takes over
    empty: bool  # nothing in it but hard state: its successor may stand in its place


@dataclass(slots=True)
class RecoveredLog:
    """What the files hold, growing as their records are taken in order."""

    files: Files = field(default_factory=Files)
    positions: Positions = field(default_factory=Positions)
    last_index: int = 0  # as the segments have it: may be below the base until they are through
    term_runs: list[tuple[int, int]] = field(default_factory=list)  # (first index, term), above the base
    last_time: int = 0
    configurations: list[Entry] = field(default_factory=list)  # above the base
    hard_state: HardState = field(default_factory=HardState)
    cluster_id: str = ""
    last_segment: LastSegment | None = None
    # Entries beyond the durable offset and above the base: index, record.
    carried: list[tuple[int, bytes]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    def take(self, line: Line, position: int) -> None:
        """An entry's record, next in order.  Raises InvalidMessage where it leaves a gap."""
        index_digits, term_digits, time_digits, configuration = line.group(3, 4, 5, 6)
        index, term = int(index_digits), int(term_digits)
        if index != self.last_index + 1:
            self._forget(index)
        self.last_index = index
        self.last_time = int(time_digits)
        if index <= self.positions.base_index:
            return
        if not self.term_runs or self.term_runs[-1][1] != term:
            self.term_runs.append((index, term))
        if configuration is not None:
            self.configurations.append(entry_of_verified(line[0]))
        self.positions.append(position)

    def _forget(self, index: int) -> None:
        if not 1 <= index <= self.last_index:
            raise InvalidMessage(f"entry {index} right after entry {self.last_index}")
        if self.last_index <= self.positions.base_index:
            return
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
    tidy: bool = True,
) -> RecoveredLog:
    """Read the log of `data_dir`.  Raises CorruptLog or StartRefused; `must_exist`: also where there is none.

    `tidy`: left-overs are removed; the directory is the caller's own.
    """
    try:
        return _Recovery(disk, data_dir, progress, tidy).run(cluster_id, must_exist)
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error}") from error


class _Recovery:
    """One reading of the directory."""

    def __init__(self, disk: Disk, data_dir: Path, progress: Progress | None, tidy: bool) -> None:
        self._disk = disk
        self._data_dir = data_dir
        self._progress = progress
        self._tidy = tidy
        self._log = RecoveredLog()
        self._bytes_before = 0  # in the segments that are through
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
        ends = [header.predecessor_end for header in headers[1:]]
        for place, header in enumerate(headers):
            self._read_segment(header, ends[place] if place < len(ends) else None)
        base_index = log.positions.base_index
        if log.last_index < base_index:
            self._refuse(names[-1], 0, f"the log ends with entry {log.last_index}, before its snapshot,")
        commit_index = max(base_index, min(log.hard_state.commit_index, log.last_index))
        log.hard_state = replace(log.hard_state, commit_index=commit_index)
        return log

    def _remove_left_overs(self, names: list[str]) -> None:
        for name in names:
            segment = name.endswith(TEMPORARY_SUFFIX) and sequence_of(name.removesuffix(TEMPORARY_SUFFIX))
            if segment or is_temporary(name):  # never became a file of the log: nothing in it counts
                self._disk.remove(self._data_dir / name)

    def _take_base(self, name: str, cluster_id: str) -> None:
        if not snapshot_index(name):
            return
        try:
            scan = scan_file(self._disk, self._data_dir, name)
        except InvalidMessage as error:  # it was durable before it got its name
            self._refuse(name, 0, f"the snapshot cannot be used: {error},")
        self._check_cluster(name, scan.cluster_id, cluster_id)
        log, base = self._log, SnapshotFile(scan.meta, name, scan.offset)
        slot = log.files.reserve(base)
        log.files.rebase(base, slot)
        log.positions = Positions(scan.meta.index, scan.sparse, slot)
        log.last_time = scan.meta.time
        log.cluster_id = scan.cluster_id

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
        except InvalidMessage as error:  # intact, but not what this program writes: not for it to judge
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

    def _read_segment(self, header: Header, end: int | None) -> None:
        """Take the records up to `end`; of the last segment, whose end nobody names, as far as they are intact."""
        file = self._disk.open(self._data_dir / header.name)
        try:
            size = file.size
            scan = self._take_lines(file, header, size if end is None else end)
            if end is None:
                self._close_last(file, size, header, scan)
            elif scan.stop < end:
                self._refuse(header.name, scan.stop, _DAMAGED)
        finally:
            file.close()
        self._bytes_before += size

    def _take_lines(self, file: ReadFile, header: Header, end: int) -> "_Scan":
        log, scan, slot = self._log, _Scan(), self._log.files.slot_of(header.name)
        try:
            for offset, line in intact_lines(file, 0, end):
                length = line.end() - line.start()
                if line[3] is not None:
                    log.take(line, pack(slot, offset, length))
                    scan.entries += 1
                    if scan.entries % _PROGRESS_ENTRIES == 0 and self._progress is not None:
                        self._progress(self._bytes_before + offset, self._bytes_total)
                elif offset == 0:
                    log.hard_state = header.hard_state
                    scan.durable = length + header.carried
                else:
                    durable, log.hard_state = decode_opening(line[2])
                    scan.durable = max(scan.durable, durable)
                scan.stop = offset + length
        except InvalidMessage as error:
            self._refuse(header.name, scan.stop, str(error))
        return scan

    def _close_last(self, file: ReadFile, size: int, header: Header, scan: "_Scan") -> None:
        """Cut or refuse what is damaged in the last segment, and find what has to be written anew."""
        durable = max(scan.durable, highest_durable(file, scan.stop, size))
        if scan.stop < durable:
            self._refuse(header.name, scan.stop, _DAMAGED)
        if scan.stop < size:
            self._log.reports.append(
                f"{self._data_dir / header.name}: cut {size - scan.stop} bytes at byte {scan.stop}: "
                "a write that a crash interrupted, so that nobody had been told of it"
            )
        carried = _in_force(line for _, line in intact_lines(file, durable, scan.stop))
        self._log.carried = [pair for pair in carried if pair[0] > self._log.positions.base_index]
        self._log.last_segment = LastSegment(header, size, durable, empty=not scan.entries and scan.stop == size)

    def _refuse(self, name: str, offset: int, what: str) -> NoReturn:
        raise CorruptLog(str(self._data_dir / name), offset, what, ADVICE)


def _in_force(lines: Iterable[Line]) -> list[tuple[int, bytes]]:
    """(index, record) of the entries among these lines that no later one cancels: ascending without a gap."""
    kept: list[tuple[int, bytes]] = []
    for line in lines:
        if line[3] is not None:
            index = int(line[3])
            while kept and kept[-1][0] >= index:
                kept.pop()
            kept.append((index, line[0]))
    return kept


@dataclass(slots=True)
class _Scan:
    """What the intact beginning of one segment said of itself."""

    stop: int = 0  # where the first damage is, or the end
    durable: int = 0  # the highest durable offset named
    entries: int = 0
