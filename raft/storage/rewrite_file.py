"""Writing a damaged file anew: what is intact in it is copied, and what is known of the rest is put into the gaps.

Rules.  A file is never changed in place: the new one is made beside it, durable, and then takes the name.  It has the
same length, and each intact line is at the same offset, so that a read which looked up its positions before is right
in both.  A record goes to its own place.  Of an entry whose place is not known (`Lost.offset` is None) only the gaps
are known where it can have been; such entries go there one behind the other, and as late as possible: no older record
then follows one that replaced it.  If nobody needs anything else of the gaps, they are filled with void lines; as long
as another entry is lost in the file, they stay as they are.

A first line that is known only in part is shorter than the one that was there, and is padded.

A result without void lines has all bytes that were there, so the checksum of the whole must come right, or a record was
not the one that was there.  The bytes that are copied must be those that were found intact.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from zlib import crc32

from raft.errors import InvalidMessage
from raft.storage.disk import TEMPORARY_SUFFIX, Disk
from raft.storage.salvage import Lost, open_possible, read_possible
from raft.storage.segment import LINE_BYTES_MIN, encode_void, padded

_WRITE_BYTES = 1 << 20  # in one piece, and synced: a large fsync would hold up those of the log beside it


@dataclass(slots=True)
class Plan:
    """The changes to a file that is written anew."""

    patches: dict[int, bytes]  # by offset
    places: dict[int, tuple[int, int]]  # index -> offset and length, of all entries that are placed
    is_whole: bool  # no gap is left
    has_void: bool  # some of them were filled with what was not there


def plan(
    gaps: Iterable[tuple[int, int]],
    own_lines: Mapping[int, bytes],
    lost: Sequence[Lost],
    records: Mapping[int, bytes],
    *,
    fills: bool,
) -> Plan:
    """Return how to put these records into the gaps, which are (start, end).

    `own_lines` are lines of the file itself that are known, by offset: they are put where they are lost.  `lost`: all
    entries that are lost in the file, ascending.  `fills`: what nobody needs becomes void.  Records that do not fit are
    left out, and a gap that cannot be filled stays.
    """
    spaces = [[start, end] for start, end in gaps]
    made = Plan({}, {}, False, False)
    for offset, line in own_lines.items():
        if _take(spaces, offset, len(line)):
            made.patches[offset] = line
    known = [one for one in lost if one.offset is not None]
    reserved = []
    for one, after in zip_longest(known, [following.offset for following in known[1:]]):
        assert one.offset is not None
        record = records.get(one.index)
        if record is not None and _fits(spaces, one.offset, len(record), after):
            assert _take(spaces, one.offset, len(record))
            made.patches[one.offset] = record
            made.places[one.index] = one.offset, len(record)
        else:
            reserved.append(one.offset)
    _place_loose(made, spaces, [one for one in lost if one.offset is None], records, reserved)
    is_complete = all(one.index in made.places for one in lost)
    for start, end in spaces:
        # A first line that does not fit stays lost, and so do bytes that were not a line.
        if not (is_complete and fills and start):
            return made
        if end - start >= LINE_BYTES_MIN:
            made.patches[start] = encode_void(end - start)
        elif start == len(made.patches.get(0, b"")):
            made.patches[0] = padded(made.patches[0], end)
        else:
            return made
        made.has_void = True
    made.is_whole = True
    return made


def _fits(spaces: list[list[int]], offset: int, length: int, after: int | None) -> bool:
    """Return whether a record of this length can have been at `offset`, and the next lost entry at `after`."""
    for start, end in spaces:
        if start <= offset < end:
            left = min(end, after or end) - offset - length
            return left == 0 or left >= LINE_BYTES_MIN
    return False


def _place_loose(
    made: Plan,
    spaces: list[list[int]],
    lost: Sequence[Lost],
    records: Mapping[int, bytes],
    reserved: Sequence[int],
) -> None:
    """Place the entries whose offsets are not known: those between the same two offsets all together, or none."""
    for lower, upper in dict.fromkeys((one.lower, one.upper) for one in lost):
        group = [one.index for one in lost if (one.lower, one.upper) == (lower, upper)]
        if not all(index in records for index in group) or any(lower <= offset < upper for offset in reserved):
            continue
        tried = [list(space) for space in spaces]
        found: dict[int, tuple[int, int]] = {}
        before = upper
        for index in reversed(group):
            length = len(records[index])
            fitting = [s for s in tried if s[0] >= lower and min(s[1], before) - s[0] >= length]
            if not fitting:
                break
            before = min(fitting[-1][1], before) - length
            assert _take(tried, before, length)
            found[index] = before, length
        else:
            spaces[:] = tried
            made.places.update(found)
            made.patches.update({offset: records[index] for index, (offset, _) in found.items()})


def _take(spaces: list[list[int]], offset: int, length: int) -> bool:
    """Take these bytes out of the spaces; return whether they were free."""
    for place, (start, end) in enumerate(spaces):
        if start <= offset and offset + length <= end:
            rest = [[start, offset], [offset + length, end]]
            spaces[place : place + 1] = [space for space in rest if space[0] < space[1]]
            return True
    return False


def rewrite(
    disk: Disk,
    path: Path,
    size: int,
    patches: Mapping[int, bytes],
    old_crc: int,
    expected: tuple[int, int] | None = None,
) -> None:
    """Write a file of `size` bytes anew: those of the old one, where it has them, under these patches.

    `old_crc`: the checksum of the old one's bytes when they were looked at.  `expected`: so many bytes of the new file,
    and their checksum.  Raises InvalidMessage: one of them is another; NoRoom, OSError.  Then the old file is as it
    was.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with suppress(FileNotFoundError):  # left by an earlier try
        disk.remove(temporary)
    old, new = open_possible(disk, path), disk.create(temporary)
    try:
        with closing(new):
            copied_crc, crc, (crc_end, right) = 0, 0, expected or (0, 0)
            for start in range(0, size, _WRITE_BYTES):
                end = min(start + _WRITE_BYTES, size)
                data = bytearray(read_possible(old, end - start, start))
                copied_crc = crc32(data, copied_crc)
                for offset, patch in patches.items():
                    if offset < end and start < offset + len(patch):
                        some = patch[max(0, start - offset) : end - offset]
                        place = max(offset, start) - start
                        data[place : place + len(some)] = some
                new.append(bytes(data))
                new.fdatasync()
                crc = crc32(memoryview(data)[: max(0, crc_end - start)], crc)
            if copied_crc != old_crc:
                raise InvalidMessage("the file reads differently than a moment before")
            if crc != right:
                raise InvalidMessage("a record that is not the one that was there: the whole has another checksum")
            new.fsync()
        disk.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            disk.remove(temporary)
        raise
    finally:
        if old is not None:
            old.close()
    disk.sync_directory(path.parent)
