"""Recovery: a start reads the files back into the log, checks them, and cuts or refuses damage.

Rules.  The newest snapshot is the base.  Segments are read in the order of their sequence, each up to the end that its
successor's header names, the last one up to its first damage.  A record at index i cancels every earlier record at i or
above.  With a base, `counted_from` says which segments count.  Their records up to the base are in the snapshot.
They still cancel earlier records, because the base may lie in the middle of a rewind.

- Before the durable offset, and anywhere in a segment that has a successor, each byte was synced: a crash cannot have
  damaged, removed or reordered anything there.  What is damaged there is never cut, and never taken for the end of the
  log: this member has acknowledged it.  A start accepts such damage only if it is certain which entries are lost.  They
  are *holes*: the log has their indexes and terms, a read of one raises CorruptLog, and other members have the records.
  Otherwise the start is refused; nothing is guessed or skipped.
- It is certain (a) by the segment's index, which the checksum in the successor's header binds to it; (b) by the terms
  that this header lists: a record of the same index and term is the same entry (Raft §5.3, Log Matching); (c) between
  the last intact entry before the damage and the first entry after it, or the last one that an opening there names, if
  both are of one term t and the indexes do not fall: leader t's log held both, so all between them are of term t.  With
  two terms a new leader's entries may have replaced others within the damage, so (c) says nothing (Raft §5.3).
- A lost entry may be a configuration, and without it a member could take itself for a majority (Raft §6).  An index and
  a header say which entries are; an opening says that there is none after the one it names; a document at or above the
  entry tells the newest one.  Without any of these the start is refused.
- The newest segment's hard state must be known.  Damage before the durable offset is followed by the opening that names
  this offset, and each opening holds the whole hard state (Raft Figure 2).  Its header is in no other place.
- A damaged or missing segment is known from its successor's header, and its own header from its index.  Without that,
  its predecessor is the segment of the number before, if that is whole.
- So two segments in a row, or a base, are refused if they are lost with their indexes and first lines.  A member could
  go on without all that is below a point, and take the leader's snapshot.  But all of it would have to be committed, or
  this member might vote as if it had never acknowledged it (Raft §5.4), and it would have to be certain who the members
  are (Raft §6).  That is not tried: it takes four lost files, and to join anew is always right.
- A segment that has a successor, and the base, are not read if their index (index_file.py) can be trusted.  Damage
  between their two ends is then found when it is used.
- The log in the segments reaches the base, because everything in the snapshot was durable here before.
- A damaged or missing base is known from its index, which repeats its first line and has the positions of its entries,
  or from its own intact lines.  Then the start goes on.  What is above the base is in the segments, and stays: this
  member has acknowledged it (Raft §5.4), and so do its term and vote.  Up to the base only the snapshot has what was
  committed.  The state comes from a newer checkpoint, or from the intact document in the base.  If there is neither, or
  not all entries in the base are known, the member `needs_snapshot`: it serves nobody, and takes the leader's, which
  replaces the log up to its index and keeps what follows (Raft §7).
- Beyond the highest durable offset that any intact opening of the last file names, before or after the damage, lies
  one batch that was never acknowledged: its intact beginning is kept, the rest is cut and reported.
- What is kept of it may be in the page cache only (after a failed fsync the cache forgets that it must be written, and
  the next fsync succeeds all the same): `carried` is for the caller to write anew before it answers anybody.

Recovery changes nothing on the disk, except that it removes the left-overs of an interrupted creation, and makes
missing indexes.

A compaction reads in the same way `beside` another process that appends, but makes indexes only: what looks like a
left-over may belong to that process, and a batch that is being written looks like one that a crash cut short.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise, zip_longest
from pathlib import Path
from typing import NoReturn

from raft.core.entries import configuration_entry
from raft.core.raft_messages import Entry, HardState
from raft.errors import ADVICE, CorruptLog, InvalidMessage, OtherFormat, StartRefused
from raft.storage.disk import NO_DAMAGE, TEMPORARY_SUFFIX, Disk, ReadFile
from raft.storage.file_names import (
    counted_from,
    first_index_of,
    indexed_by,
    is_temporary,
    is_temporary_index,
    segment_name,
    sequence_of,
    snapshot_index,
)
from raft.storage.file_set import FileSet
from raft.storage.index_file import OWNER, Base, Indexes
from raft.storage.positions import Positions, TermRuns, moved, unpack
from raft.storage.reader import Progress
from raft.storage.salvage import (
    Identified,
    Lost,
    Neighbours,
    Uncertain,
    identify_by_description,
    identify_by_positions,
    open_possible,
    pieces_of,
)
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
from raft.storage.snapshot_file import newest_document

_HEADER_BYTES_MAX = 4096
_ANY_INDEX = 1 << 53  # after any entry
_DAMAGED = "a damaged or missing record"


@dataclass(frozen=True, slots=True)
class LastSegment:
    """The newest segment as the start found it; its successor refers to it."""

    header: Header
    size: int
    durable: int  # the end of this segment, by its successor
    empty: bool  # nothing in it but hard state: its successor may stand in its place
    crc: int | None  # of the bytes before `durable`; None: they are damaged
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
    base_damage: CorruptLog | None = None  # the base is not whole
    needs_snapshot: bool = False  # nor is it known which entries it holds
    holes: dict[int, tuple[int, Lost]] = field(default_factory=dict)  # lost entries: index -> position, place
    # Entries beyond the durable offset and above the base: index, record.
    carried: list[tuple[int, bytes]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    remade_indexes: list[str] = field(default_factory=list)  # paths of those that were damaged or missing

    def continues(self, content: Content) -> bool:
        """Return whether a segment with this content can be next: it leaves no gap."""
        return content.first_written <= max(self.last_index, self.positions.base_index) + 1

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

    def term_at(self, index: int) -> int:
        """Return the term of an entry above the base; 0 if the log does not hold it, or the base covers it."""
        return TermRuns(self.term_runs).term_of(index) if index <= self.last_index else 0

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
        self._sizes: dict[str, int] = {}  # of the segments that are there
        self._doubtful: list[tuple[int, str]] = []  # lost entries that may be configurations, and their files

    def run(self, cluster_id: str, must_exist: bool) -> RecoveredLog:
        log, found = self._log, self._disk.list(self._data_dir)
        log.remade_indexes = self._indexes.remade
        if self._tidy:
            self._remove_left_overs(found)
        self._take_base(self._newest_base(found), cluster_id)
        names = self._counted(sorted(name for name in found if sequence_of(name)), must_exist)
        log.headers = headers = self._chain(names) if names else []
        base_index = log.positions.base_index
        if base_index:
            log.last_index = first_index_of(headers[0].name) - 1
        for header, after in zip_longest(headers, headers[1:]):
            self._check_cluster(header.name, header.cluster_id, cluster_id)
            log.cluster_id = header.cluster_id or log.cluster_id
            size = self._sizes.get(header.name, 0)
            log.files.add_segment(header.name, max(size, after.sealed.end) if after else size)
        for header, after in zip_longest(headers, headers[1:]):
            self._read_segment(header, after.sealed if after else None)
        if log.last_index < base_index:
            self._refuse(names[-1], 0, f"the log ends with entry {log.last_index}, before its snapshot,")
        self._check_holes()
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

    def _newest_base(self, found: Sequence[str]) -> str:
        """Return the name of the newest snapshot, which may be missing if its index is there; "" without one.

        An index is made after its snapshot is durable under its name, and is removed before a snapshot that is no base.
        An older snapshot that is still there is no way out: a received one may have replaced another log.
        """
        return max([*found, *map(indexed_by, found)], key=snapshot_index, default="")

    def _take_base(self, name: str, cluster_id: str) -> None:
        if not snapshot_index(name):
            return
        file = open_possible(self._disk, self._data_dir / name)
        try:
            if file is None:
                raise InvalidMessage("missing or unreadable")
            base = self._indexes.base(name)
        except OtherFormat as other:
            raise StartRefused(f"{self._data_dir / name}: not a snapshot of this program: {other}") from None
        except (InvalidMessage, OSError) as error:  # a snapshot is durable before it gets its name
            if isinstance(error, OSError) and error.errno in NO_DAMAGE:
                raise
            base = self._damaged_base(name, file, str(error))
        finally:
            if file is not None:
                file.close()
        self._check_cluster(name, base.cluster_id, cluster_id)
        log = self._log
        slot = log.files.reserve(base.file)
        log.files.rebase(base.file, slot)
        log.positions = Positions(base.file.meta.index, base.sparse, slot)
        log.last_time = base.file.meta.time
        log.cluster_id = base.cluster_id

    def _damaged_base(self, name: str, file: ReadFile | None, why: str) -> Base:
        """Return what is certain of a snapshot that is not whole.  Raises CorruptLog."""
        what = f"the snapshot cannot be used: {why},"
        damage = CorruptLog(str(self._data_dir / name), 0, what, ADVICE)
        indexed = self._indexes.lost_base(name)
        found = (indexed, True) if indexed or not file else self._indexes.salvaged_base(name, file)
        base, are_all_known = found or (None, False)
        if base is None:
            raise damage
        self._log.base_damage, self._log.needs_snapshot = damage, not are_all_known
        self._log.reports.append(f"{self._data_dir / name}: the snapshot is damaged or missing")
        return base

    def _counted(self, names: list[str], must_exist: bool) -> list[str]:
        base_index = self._log.positions.base_index
        if not names and (must_exist or base_index):
            self._refuse(segment_name(1, 1), 0, "this member has been part of a cluster, but its log is missing")
        try:
            return names[counted_from(names, base_index) :]
        except LookupError:  # the one that counts first may be missing: `_chain` finds out
            return names

    def _chain(self, names: list[str]) -> list[Header]:
        """Return the headers of the segments that count, from the newest back, also of those that are missing."""
        base_index = self._log.positions.base_index
        with closing(self._disk.open(self._data_dir / names[-1])) as newest:
            newest.pread(1, 0)  # raises in words if the newest segment cannot be read at all
        header = self._read_header(names[-1])
        if header is None:
            self._refuse(names[-1], 0, "the header is damaged")
        chain = [header]
        while first_index_of(header.name) > base_index + 1 if base_index else header.predecessor:
            if not header.predecessor:
                self._refuse(header.name, 0, f"no segment goes on after entry {base_index}: one before this is missing")
            header = self._header_before(header, names)
            chain.append(header)
        chain.reverse()
        known = {header.name for header in chain}
        for before, name in pairwise(names):
            if name > chain[0].name and name not in known:
                stray = self._read_header(name)
                follows = stray.predecessor if stray else ""
                self._refuse(name, 0, f"the header follows {follows or 'none'}, not {before}")
        return chain

    def _read_header(self, name: str) -> Header | None:
        """Return a segment's header; None if it is damaged."""
        file = open_possible(self._disk, self._data_dir / name)
        if file is None:
            return None
        try:
            self._bytes_total += file.size
            self._sizes[name] = file.size
            _, line = next(intact_lines(file, 0, min(file.size, _HEADER_BYTES_MAX)))
            header = decode_header(line[2])
        except StopIteration:
            return None
        except OSError as error:
            if error.errno in NO_DAMAGE:
                raise
            return None
        except InvalidMessage as error:  # intact, so it is no damage, but this program did not write it
            raise StartRefused(f"{self._data_dir / name}: not a log segment of this program: {error}") from None
        finally:
            file.close()
        if header.name != name:
            self._refuse(name, 0, f"the header is that of {header.name}")
        return header

    def _header_before(self, after: Header, names: list[str]) -> Header:
        """Return the header of the predecessor; what is lost of it is known from its index or its neighbours."""
        name, sealed = after.predecessor, after.sealed
        header = self._read_header(name)
        if header is not None:
            return header
        said = self._indexes.said(name)
        if said is not None and (said.size, said.crc) == (sealed.end, sealed.crc):
            with suppress(InvalidMessage):
                return decode_header(said.first_line[9:-1])
        before = ""
        if sequence_of(name) > 1 and not first_index_of(name) <= self._log.positions.base_index + 1:
            # an index of a segment that is missing too tells its name, and where it ends
            known = [*names, *map(indexed_by, self._disk.list(self._data_dir))]
            before = next((one for one in known if sequence_of(one) == sequence_of(name) - 1), "")
            if not before:
                self._refuse(name, 0, f"the segment that {after.name} follows is damaged or missing")
        return Header(name, "", HardState(), before, self._sealed_of(before) if before else Sealed(), 0)

    def _sealed_of(self, name: str) -> Sealed:
        """Return the description of a segment whose successor's header is lost."""
        said = self._indexes.said(name)
        content = self._indexes.lost_segment(name, said.size, said.crc) if said else None
        if said is not None and content is not None:
            return content.sealed(said.size, said.crc)
        file = open_possible(self._disk, self._data_dir / name)
        header = self._read_header(name)
        if file is None or header is None:
            self._refuse(name, 0, "the segment and the header of the one after it are damaged or missing")
        with closing(file):
            scan = SegmentScan.of(header, _ANY_INDEX)
            with suppress(InvalidMessage):
                scan.run(file, file.size, self._report_progress)
            if scan.stop < file.size:
                self._refuse(name, scan.stop, "the header of the segment after this is lost, and where this one ends:")
            return scan.content.sealed(file.size, checksum(file, file.size))

    def _check_cluster(self, name: str, found: str, cluster_id: str) -> None:
        if cluster_id and found not in ("", cluster_id):
            kind = "snapshot" if snapshot_index(name) else "segment"
            self._refuse(name, 0, f"the {kind} is of cluster {found}, not {cluster_id},")

    def _read_segment(self, header: Header, sealed: Sealed | None) -> None:
        """Take the entries in force up to the end of a sealed segment; in the last one as far as it is intact."""
        file = open_possible(self._disk, self._data_dir / header.name)
        try:
            if sealed is None:
                content = self._scan_last(file, header)
            else:
                content = self._known(file, header, sealed) or self._scanned(file, header, sealed)
            self._log.take(content, self._log.files.slot_of(header.name))
            self._bytes_before += self._sizes.get(header.name, 0)
        finally:
            if file is not None:
                file.close()

    def _known(self, file: ReadFile | None, header: Header, sealed: Sealed) -> Content | None:
        """Return what the index tells of a segment that looks as it did; None: the segment has to be read."""
        if file is None:
            return None
        try:
            content = self._indexes.segment(file, header, sealed.end, sealed.crc)
        except OSError as error:
            if error.errno in NO_DAMAGE:
                raise
            return None
        return content if content is not None and self._log.continues(content) else None

    def _scanned(self, file: ReadFile | None, header: Header, sealed: Sealed) -> Content:
        """Read a sealed segment, damaged or not."""
        scan, why = SegmentScan.of(header, self._log.last_index), _DAMAGED
        if file is not None:
            try:
                scan.run(file, sealed.end, self._report_progress)
                if scan.stop == sealed.end and not scan.has_void:
                    self._indexes.renew_segment(file, header, sealed.end, sealed.crc, scan.content)
                    return scan.content
            except InvalidMessage as error:
                why = str(error)
            except OSError as error:
                if error.errno in NO_DAMAGE:
                    raise
        if file is not None and not any(p.line is None or p.is_void for p in pieces_of(file, sealed.end)):
            self._refuse(header.name, scan.stop, why)  # all is intact, but out of place: no damage of a disk
        found = self._identified(file, header, sealed, scan.stop)
        if not self._log.continues(found.content):
            self._refuse(header.name, scan.stop, _DAMAGED)
        if file is not None and not found.lost:
            with suppress(OSError):  # an unreadable page that holds no entry: a start can do without the index
                self._indexes.renew_segment(file, header, sealed.end, sealed.crc, found.content)
        self._add_holes(header.name, found)
        return found.content

    def _identified(self, file: ReadFile | None, header: Header, sealed: Sealed, stop: int) -> Identified:
        content = self._indexes.lost_segment(header.name, sealed.end, sealed.crc)
        try:
            pieces = pieces_of(file, sealed.end)
            if content is not None:
                return identify_by_positions(content, pieces)
            if sealed.term_runs is not None:
                return identify_by_description(sealed, pieces, self._log.positions.base_index)
            neighbours = self._neighbours()
            for piece in pieces:
                neighbours.take(piece)
            found = neighbours.result()
            if sealed.configurations is not None:
                found.doubtful = [lost.index for lost in found.lost if lost.index in sealed.configurations]
            return found
        except (Uncertain, InvalidMessage) as why:
            self._refuse(header.name, stop, f"{_DAMAGED} ({why})")

    def _neighbours(self) -> Neighbours:
        """Begin to identify entries by their neighbours, after the entries taken so far."""
        log, base = self._log, self._log.files.base
        term = log.term_runs[-1][1] if log.term_runs else 0
        if not term and (base is None or log.last_index == base.meta.index):
            term = base.meta.term if base else 0
        return Neighbours(log.last_index, term)

    def _add_holes(self, name: str, found: Identified) -> None:
        """Note the entries that are lost in a segment, with the positions that stand for them."""
        if not found.lost:
            return
        slot, first_index = self._log.files.slot_of(name), found.content.first_index
        moved_positions = moved(found.content.positions, slot)
        for lost in found.lost:
            self._log.holes[lost.index] = moved_positions[lost.index - first_index], lost
        self._doubtful += [(index, name) for index in found.doubtful]

    def _check_holes(self) -> None:
        """Refuse a log whose newest configuration may be lost: a member that lacks it could go on alone.

        A document tells the newest configuration up to its index, so nothing is lost of those.
        """
        log = self._log
        present = dict(zip(range(log.positions.base_index + 1, log.last_index + 1), self._dense(), strict=True))
        log.holes = {index: hole for index, hole in log.holes.items() if present.get(index) == hole[0]}
        self._report_holes()
        doubtful = [(index, name) for index, name in self._doubtful if index in log.holes]
        if not doubtful:
            return
        document = newest_document(self._disk, self._data_dir, log.files.base, log.last_index, log.term_at)
        covered = document.meta.index if document else 0
        for index, name in doubtful:
            if index > covered:
                offset = unpack(log.holes[index][0])[1]
                what = f"entry {index} is lost, and may have changed who the members are,"
                raise CorruptLog(
                    str(self._data_dir / name), offset, what, ADVICE, (index,)
                )  # a running member mends it
        assert document is not None
        meta = document.meta
        if meta.configuration_index > log.positions.base_index:
            known = [one for one in log.configurations if one.index != meta.configuration_index]
            term = log.term_at(meta.configuration_index)
            found = configuration_entry(meta.configuration_index, term, meta.time, meta.configuration)
            log.configurations = sorted([*known, found], key=lambda one: one.index)

    def _report_holes(self) -> None:
        for slot, group in groupby(sorted(self._log.holes), lambda index: unpack(self._log.holes[index][0])[0]):
            first, *rest = group
            lost = f"{1 + len(rest)} entries from {first} to {rest[-1]} are" if rest else f"entry {first} is"
            path = self._data_dir / self._log.files.name(slot)
            self._log.reports.append(f"{path}: {lost} damaged or missing, to be fetched from other members")

    def _dense(self) -> Sequence[int]:
        positions = self._log.positions
        first, last = positions.base_index + 1, positions.last_index
        return positions.get_range(first, last) if last >= first else ()

    def _scan_last(self, file: ReadFile | None, header: Header) -> Content:
        """Read the newest segment as far as it is intact, or beyond damage whose entries are certain."""
        if file is None:
            self._refuse(header.name, 0, "the segment cannot be read")
        size, scan = file.size, SegmentScan.of(header, self._log.last_index)
        try:
            scan.run(file, size, self._report_progress)
        except InvalidMessage as error:
            self._refuse(header.name, scan.stop, str(error))
        durable = max(scan.durable, highest_durable(file, scan.stop, size))
        if scan.stop < durable:
            return self._scan_damaged(file, scan, durable)
        content = scan.content
        carried = self._close_last(file, header, scan.stop, durable, content.first_written == 0)
        if carried:
            before = SegmentScan.of(header, self._log.last_index)
            before.run(file, durable, self._report_progress)
            content = before.content
        self._log.hard_state = scan.hard_state
        assert self._log.last_segment is not None
        self._log.last_segment = replace(self._log.last_segment, crc=checksum(file, durable), content=content)
        return scan.content

    def _scan_damaged(self, file: ReadFile, scan: SegmentScan, durable: int) -> Content:
        """Read the newest segment, of which bytes are lost before the durable offset; an intact opening is there."""
        size, header, stop = file.size, scan.header, file.size
        all_of_it, sealed = self._neighbours(), self._neighbours()
        try:
            for piece in pieces_of(file, size):
                if piece.line is None and piece.offset >= durable:
                    stop = piece.offset
                    break
                all_of_it.take(piece)
                if piece.offset <= durable:  # with the opening there, which says what the bytes before it hold
                    sealed.take(piece)
            found, before = all_of_it.result(), sealed.result()
        except (Uncertain, InvalidMessage) as why:
            self._refuse(header.name, scan.stop, f"{_DAMAGED} ({why})")
        if all_of_it.hard_state is None:
            self._refuse(header.name, scan.stop, _DAMAGED)
        if not self._log.continues(found.content):
            self._refuse(header.name, scan.stop, _DAMAGED)
        self._close_last(file, header, stop, durable, False)
        self._log.hard_state = all_of_it.hard_state
        assert self._log.last_segment is not None
        self._log.last_segment = replace(self._log.last_segment, content=before.content)
        self._add_holes(header.name, found)
        return found.content

    def _report_progress(self, offset: int) -> None:
        if self._progress is not None:
            self._progress(self._bytes_before + offset, self._bytes_total)

    def _close_last(self, file: ReadFile, header: Header, stop: int, durable: int, is_empty: bool) -> bool:
        """Note how the last segment ends at `stop`; return whether entries of it have to be written anew."""
        size, log = file.size, self._log
        if stop < size:
            log.reports.append(
                f"{self._data_dir / header.name}: cut {size - stop} bytes at byte {stop}: "
                "a write that a crash interrupted, so that nobody had been told of it"
            )
        carried = _in_force(line for _, line in intact_lines(file, durable, stop))
        log.carried = [pair for pair in carried if pair[0] > log.positions.base_index]
        log.last_segment = LastSegment(header, size, durable, is_empty and stop == size, None, Content())
        return bool(carried)

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
