"""A segment file: its lines, and how it is made, appended to and read back.

    log-00000002-000000000000018.jsonl: the second segment; index 18 was next when it was made

    <crc> {"format":1,"segment":"<its own name>","cluster_id":"…","term":3,"vote":1,"commit":17,
           "predecessor":"<name>","predecessor_end":8123,"predecessor_crc":"5f3759df",
           "predecessor_entries":[3,17],"predecessor_time":…,"predecessor_terms":[[3,1],[9,3]],
           "predecessor_configurations":[5],"carried":0}
    <crc> {"durable":273,"term":3,"vote":1,"commit":17,"last":[17,3],"configuration":5}   opens a batch
    <crc> {"index":18,"term":3,"time":…,"id":[1,2,15,1],"command":…}   its entries, verbatim as peers get them
    <crc> {"void":"   "}                                      stands where lost bytes were that nobody needs

The first index in the name: all entries in force from that index on are in this file or a later one.

Rules.  The header and the `carried` bytes of entries behind it are made in one step: all of it is durable, or the file
does not exist.  After it, each batch is one append and one fdatasync.  `durable` is the offset up to
which the file was synced before the batch was written: a crash never damages anything below the highest one.  A batch's
`commit` holds for the log before the batch's entries, because a crash can cut those off: it stays below the lowest
index among them, or a torn rewind would pass old entries off as committed.  Its `last` is index and term of the last
entry before the batch, and its `configuration` the index of the newest configuration before it (0: none).  So an intact
opening tells what the bytes before it can have held.

A header also describes its predecessor as it was when it was sealed (`Sealed`): the checksum of all its bytes up to
`predecessor_end`, and which entries it contributes, with their terms.  So the identity of each entry is in two files,
and stays known when one is lost.  A void line is only in a file that was written anew after damage, and so is a header
with spaces at its end: that of a segment whose own header and index were lost says less than that one did.

What a segment contributes to the log (`Content`): its records are taken in their order, and a record at index i cancels
every earlier one at i or above, those of earlier segments too.  So from the lowest index in the segment on, all entries
in force after it are its own, without a gap.  Nothing else of the segment is in force.  Which entries these are does
not depend on earlier segments.  Only whether the first entry leaves a gap does.
"""

import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from raft.core.entries import RECORD_BYTES_MAX, decode_object, entry_of_verified, seal, unseal
from raft.core.raft_messages import Entry, HardState, Kind
from raft.errors import InvalidMessage, OtherFormat
from raft.storage.disk import TEMPORARY_SUFFIX, AppendFile, Disk, NoRoom, ReadFile, create_durably
from raft.storage.positions import pack

FORMAT = 1
RUNS_MAX = 64  # more terms or configurations than this are left out of a header, which so stays below 4 KiB
LINE_BYTES_MIN = 48  # no entry or opening is shorter
_CRC_BYTES = 1 << 20
_CHUNK_BYTES = 4 * RECORD_BYTES_MAX  # read at a time: always holds a whole record, and memory stays small

# A line of any kind; of an entry also index, term, time and whether it is a configuration.
LINE = re.compile(
    rb"([0-9a-f]{8}) "
    rb'(\{(?:"index":([0-9]{1,16}),"term":([0-9]{1,16}),"time":([0-9]{1,17}),("configuration":)?)?[^\n]*)\n'
)
_OPENING_JSON = rb'\{"durable":([0-9]{1,16}),"term":([0-9]{1,16}),"vote":([0-9]{1,16}),"commit":([0-9]{1,16})'
_OPENING_JSON += rb',"last":\[([0-9]{1,16}),([0-9]{1,16})\],"configuration":([0-9]{1,16})\}'
_OPENING_PAYLOAD = re.compile(_OPENING_JSON)
# A batch's first line, found even if the bytes before it were lost.  No command can look like it: within
# JSON's strings the quotes are escaped, and outside of them no value follows eight digits and a space.
_OPENING = re.compile(rb"([0-9a-f]{8}) (" + _OPENING_JSON + rb")\n")

_VOID = b'{"void":'

Line = re.Match[bytes]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The description of a sealed segment in its successor's header."""

    end: int = 0  # bytes from here on were never durable, or are carried in the successor
    crc: int | None = 0  # of the bytes before `end`; None: it was damaged when it was sealed, by a start
    first_index: int = 1  # of the entries that it contributes; they end with `last_index`
    last_index: int = 0
    last_time: int = 0  # of the last of these entries
    term_runs: tuple[tuple[int, int], ...] | None = ()  # (first index, term); None: too many for a header
    configurations: tuple[int, ...] | None = ()  # indexes of the configurations; None: too many for a header


@dataclass(frozen=True, slots=True)
class Header:
    """A segment's first line."""

    name: str
    cluster_id: str  # "" until the member knew its cluster
    hard_state: HardState
    predecessor: str  # "" for the first segment
    sealed: Sealed  # the predecessor's description
    carried: int  # bytes of entries right behind this header


def encode_header(header: Header) -> bytes:
    """Return the first line of a segment."""
    sealed = header.sealed
    value: dict[str, object] = {
        "format": FORMAT,
        "segment": header.name,
        "cluster_id": header.cluster_id,
        "term": header.hard_state.current_term,
        "vote": header.hard_state.voted_for,
        "commit": header.hard_state.commit_index,
        "predecessor": header.predecessor,
        "predecessor_end": sealed.end,
        "predecessor_crc": None if sealed.crc is None else f"{sealed.crc:08x}",
        "predecessor_entries": [sealed.first_index, sealed.last_index],
        "predecessor_time": sealed.last_time,
    }
    if sealed.term_runs is not None:
        value["predecessor_terms"] = sealed.term_runs
    if sealed.configurations is not None:
        value["predecessor_configurations"] = sealed.configurations
    value["carried"] = header.carried
    return seal(json.dumps(value, separators=(",", ":")).encode())


def decode_header(payload: bytes) -> Header:
    """Decode a first line whose checksum was verified.  Raises InvalidMessage: it is not a known header."""
    value = decode_object(payload)
    if value.get("format") != FORMAT:
        raise OtherFormat(value.get("format"), FORMAT)
    return Header(
        name=str(value.get("segment")),
        cluster_id=str(value.get("cluster_id")),
        hard_state=HardState(_integer(value, "term"), _integer(value, "vote"), _integer(value, "commit")),
        predecessor=str(value.get("predecessor")),
        sealed=_decode_sealed(value),
        carried=_integer(value, "carried"),
    )


def _decode_sealed(value: dict[str, object]) -> Sealed:
    try:
        first_index, last_index = _integers(value["predecessor_entries"])
        terms, configurations = value.get("predecessor_terms"), value.get("predecessor_configurations")
        if not isinstance(terms, list | None):
            raise ValueError("terms of another kind")
        return Sealed(
            end=_integer(value, "predecessor_end"),
            crc=None if value["predecessor_crc"] is None else int(str(value["predecessor_crc"]), 16),
            first_index=first_index,
            last_index=last_index,
            last_time=_integer(value, "predecessor_time"),
            term_runs=None if terms is None else tuple((first, term) for first, term in map(_integers, terms)),
            configurations=None if configurations is None else _integers(configurations),
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise InvalidMessage(f"a header without a description of its predecessor: {error}") from None


def _integers(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(one) is not int or one < 0 for one in value):
        raise ValueError("not a list of integers")
    return tuple(value)


def encode_void(length: int) -> bytes:
    """Return lines of `length` bytes in all that say nothing.  Raises ValueError: no line is so short."""
    lines, least = [], len(seal(b'{"void":""}'))
    while length:
        size = min(length, RECORD_BYTES_MAX)
        if 0 < length - size < least:
            size -= least
        if size < least:
            raise ValueError(f"no line has {size} bytes")
        lines.append(seal(b'{"void":"%b"}' % (b" " * (size - least))))
        length -= size
    return b"".join(lines)


def is_void(payload: bytes) -> bool:
    """Return whether this is the payload of a void line."""
    return payload.startswith(_VOID)


def padded(line: bytes, length: int) -> bytes:
    """Return a first line that says the same in `length` bytes."""
    return seal(unseal(line) + b" " * (length - len(line)))


def is_written_anew(payload: bytes) -> bool:
    """Return whether this is the payload of a line that only a file has which was written anew after damage."""
    return is_void(payload) or payload.endswith(b" ")


def known_line(line: Line, offset: int) -> bool:
    """Return whether an intact line at `offset` is of a kind that a segment has there."""
    if line[3] is not None or not offset:
        return bool(offset) == (line[3] is not None)
    return is_void(line[2]) or _OPENING_PAYLOAD.fullmatch(line[2]) is not None


def checksum(file: ReadFile, end: int, pause: Callable[[], None] = lambda: None) -> int:
    """Return the checksum of a file's bytes before `end`; `pause` is called between steps of a millisecond."""
    crc = 0
    for start in range(0, end, _CRC_BYTES):
        crc = crc32(file.pread(min(_CRC_BYTES, end - start), start), crc)
        pause()
    return crc


@dataclass(frozen=True, slots=True)
class Opening:
    """A batch's first line."""

    durable: int  # the offset where the batch begins
    hard_state: HardState
    last_index: int  # of the log before the batch
    last_term: int
    configuration: int  # the index of the log's newest configuration before the batch; 0: none


def encode_opening(durable: int, hard_state: HardState, last: tuple[int, int], configuration: int) -> bytes:
    """Return the first line of a batch that begins at offset `durable`; `last`: index and term of the last entry."""
    state = (durable, hard_state.current_term, hard_state.voted_for, hard_state.commit_index, *last, configuration)
    return seal(b'{"durable":%d,"term":%d,"vote":%d,"commit":%d,"last":[%d,%d],"configuration":%d}' % state)


def decode_opening(payload: bytes) -> Opening:
    """Decode a batch's first line.  Raises InvalidMessage: no such line."""
    match = _OPENING_PAYLOAD.fullmatch(payload)
    if match is None:
        raise InvalidMessage("a record of an unknown kind")
    durable, term, vote, commit, last_index, last_term, configuration = map(int, match.groups())
    return Opening(durable, HardState(term, vote, commit), last_index, last_term, configuration)


def _integer(value: dict[str, object], name: str) -> int:
    found = value.get(name)
    if type(found) is not int or found < 0:
        raise InvalidMessage(f"a record without {name}")
    return found


def intact_lines(file: ReadFile, start: int, end: int) -> Iterator[tuple[int, Line]]:
    """Yield (offset, line) of the records from `start` on, in order, as long as they are intact and end by `end`.

    Fast: no JSON is decoded.  The caller knows whether all was intact by counting the bytes.
    """
    while start < end:
        chunk = file.pread(min(_CHUNK_BYTES, end - start), start)
        done = 0
        for line in intact_lines_in(chunk):
            yield start + done, line
            done = line.end()
        if not done:
            return
        start += done


def intact_lines_in(chunk: bytes) -> Iterator[Line]:
    """Yield the records at the beginning of `chunk`, as long as they are intact and whole."""
    done = 0
    for line in LINE.finditer(chunk):
        if line.start() != done or int(line[1], 16) != crc32(line[2]):
            return
        yield line
        done = line.end()


def highest_durable(file: ReadFile, start: int, end: int) -> int:
    """Return the highest durable offset that an intact opening between `start` and `end` names."""
    data = file.pread(end - start, start)  # at most one segment, and only after a crash
    highest = 0
    for match in _OPENING.finditer(data):
        if int(match[1], 16) == crc32(match[2]):
            highest = max(highest, int(match[3]))
    return highest


class SegmentWriter:
    """The segment that is appended to.  An OSError is final: the disk's state is then not known.

    After NoRoom it is *torn*: up to `size` it is unchanged, and what lies behind that is void.  The log goes on in
    another segment, whose header names `size` as this one's end.
    """

    def __init__(self, file: AppendFile, header: Header, content: bytes) -> None:
        """`content` is in the file, and durable."""
        self._file = file
        self.header = header
        self.size = len(content)  # all of it durable, except within `append`
        self.crc = crc32(content)  # of the bytes before `size`
        self.torn = False

    @classmethod
    def create(cls, disk: Disk, data_dir: Path, header: Header, carried: bytes, batch: bytes = b"") -> "SegmentWriter":
        """Make a segment with `carried` and its first batch, durable on return.  Raises NoRoom: none was made."""
        assert header.carried == len(carried)
        data = encode_header(header) + carried + batch
        try:
            file = create_durably(disk, data_dir / header.name, data)
        except FileExistsError:  # left by an earlier try on a disk that was read-only by then
            disk.remove(data_dir / (header.name + TEMPORARY_SUFFIX))
            file = create_durably(disk, data_dir / header.name, data)
        return cls(file, header, data)

    def write(self, batch: bytes) -> None:
        """Append a batch without making it durable.  Raises NoRoom: the segment is torn."""
        try:
            self._file.append(batch)
        except NoRoom:
            self.torn = True
            raise
        self.size += len(batch)
        self.crc = crc32(batch, self.crc)

    def sync(self) -> None:
        """Make durable what was written."""
        self._file.fdatasync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_PROGRESS_BYTES = 1 << 20  # 10 to 30 ms apart, whatever the length of the entries


@dataclass(slots=True)
class Content:
    """The entries of a segment that none of its own records cancels."""

    first_written: int = 0  # the index of the first record; 0 without entries
    first_index: int = 1  # the lowest: all entries from here on are this segment's
    positions: "array[int]" = field(default_factory=lambda: array("Q"))  # from `first_index` on, in file 0
    term_runs: list[tuple[int, int]] = field(default_factory=list)  # (first index, term)
    last_time: int = 0
    configurations: list[Entry] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        """The last index; `first_index` - 1 if there are no entries."""
        return self.first_index + len(self.positions) - 1

    def sealed(self, end: int, crc: int | None) -> Sealed:
        """Return the description of the segment that has this content up to `end`."""
        runs, configurations = tuple(self.term_runs), tuple(one.index for one in self.configurations)
        return Sealed(
            end,
            crc,
            self.first_index,
            self.last_index,
            self.last_time,
            runs if len(runs) <= RUNS_MAX else None,
            configurations if len(configurations) <= RUNS_MAX else None,
        )

    def take(self, line: Line, offset: int) -> None:
        """Add an entry's record, next in order.  Raises InvalidMessage if it leaves a gap."""
        index_digits, term_digits, time_digits, configuration = line.group(3, 4, 5, 6)
        position = pack(0, offset, line.end() - line.start())
        self._add(int(index_digits), int(term_digits), int(time_digits), position)
        if configuration is not None:
            self.configurations.append(entry_of_verified(line[0]))

    def note(self, entry: Entry, position: int) -> None:
        """Add the next entry, by its position; the file's number in the position is the same for all entries."""
        self._add(entry.index, entry.term, entry.time, position)
        if entry.kind is Kind.CONFIGURATION:
            self.configurations.append(entry)

    def add_lost(self, index: int, term: int, position: int) -> None:
        """Add the next entry, which is lost, by a position that stands for its own."""
        self._add(index, term, self.last_time, position)

    def _add(self, index: int, term: int, time: int, position: int) -> None:
        if index != self.first_index + len(self.positions) or not self.first_written:
            self._rewind(index)
        self.last_time = time
        if not self.term_runs or self.term_runs[-1][1] != term:
            self.term_runs.append((index, term))
        self.positions.append(position)

    def _rewind(self, index: int) -> None:
        if not self.first_written:
            self.first_written = self.first_index = index
            return
        if not 1 <= index <= self.last_index + 1:
            raise InvalidMessage(f"entry {index} right after entry {self.last_index}")
        del self.positions[max(0, index - self.first_index) :]
        self.first_index = min(index, self.first_index)
        while self.term_runs and self.term_runs[-1][0] >= index:
            self.term_runs.pop()
        while self.configurations and self.configurations[-1].index >= index:
            self.configurations.pop()


@dataclass(slots=True)
class SegmentScan:
    """Reads a segment from its beginning, as far as it is intact."""

    header: Header
    after: int  # the last entry before it
    hard_state: HardState  # the last one
    content: Content = field(default_factory=Content)
    stop: int = 0  # the offset of the first damage, or the end
    durable: int = 0  # the highest durable offset named
    has_void: bool = False  # it was written anew: lines are missing that nobody needs

    @classmethod
    def of(cls, header: Header, after: int) -> "SegmentScan":
        """Begin to scan a segment whose first entry comes at most after entry `after`."""
        return cls(header, after, header.hard_state)

    def run(self, file: ReadFile, end: int, progress: Callable[[int], None]) -> None:
        """Read up to `end`; `progress(offset)` is called every MiB, and may raise.

        Raises InvalidMessage: the line at `stop` is intact, but out of place.
        """
        entries = told = 0
        for offset, line in intact_lines(file, 0, end):
            if line[3] is not None:
                if not entries and not 1 <= int(line[3]) <= self.after + 1:
                    raise InvalidMessage(f"entry {int(line[3])} right after entry {self.after}")
                self.content.take(line, offset)
                entries += 1
                if offset >= told + _PROGRESS_BYTES:
                    told = offset
                    progress(offset)
            elif offset == 0:
                self.durable = line.end() - line.start() + self.header.carried
            elif is_void(line[2]):
                self.has_void = True
            else:
                opening = decode_opening(line[2])
                self.hard_state = opening.hard_state
                self.durable = max(self.durable, opening.durable)
            self.stop = offset + line.end() - line.start()
