"""The replicated state as lines of JSON and back, for snapshots and checkpoints.

    {"Chat":1,"Rooms":2,"IndexBytes":4,"Buckets":256,"Filled":2,"Sections":{"LogTimes":1}}
    {"Room":"general","NewestId":3,"Posts":2,"LastPostedAt":…,"DeletedAt":0,"MaxMessages":2,"RecordBytes":410}
    {"Room":"old",…}
    {"At":"…"}
    {"Filled":[7,1,35,3]}
    {"ClientIds":"…"}

The rooms come by name.  Then, run together in that order, the places of the posts that are left: log indexes,
little-endian, IndexBytes each (8 instead of 4 where one of them needs it).  Then which buckets of what is remembered
of ClientIds are not empty, each with its number of records, and those records, run together too.  What is run
together is packed as raft/core/packed_numbers.py does it, as many at a time as a line holds, and in base64: 12 bytes
a post instead of 21.
So a million posts are written and read by a few hundred calls, and not by a million steps.
The header's "Sections" tells how many rows each section has; their lines follow the rooms' (sections.py).
Equal states give equal bytes, where zlib is the same, and only what a state says is taken.
"""

import json
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, chain, compress
from mmap import mmap
from operator import ge
from typing import NamedTuple

from chat.state.client_ids import BUCKETS_MIN, RECORD_BYTES, RECORDS_MEAN, indexes_of
from chat.state.room import LONG, SHORT, SHORT_MAX, Room, RoomCopy, copies
from chat.state.room_directory import RoomDirectory
from chat.state.snapshot import rows, sections
from chat.state.tables import Tables
from raft.core import packed_numbers
from raft.errors import InvalidMessage

LINE_BYTES_MAX = 512 * 1024
FORMAT = 1
DIGEST_FORMAT = 1  # of `digest_input`: raise it with any change of the bytes for one and the same state

_DATA_BYTES = (LINE_BYTES_MAX - 32) // 4 * 3  # in a line, before base64
_FILLED_MAX = LINE_BYTES_MAX // 48  # buckets in a line: two numbers of up to 20 digits with their commas
_PIECE_ITEMS = _DATA_BYTES // 8
_STEP = 1024  # buckets that are read at a time: about a MB
_ROOMS_STEP = 64  # rooms in a piece of `digest_input`: about half a millisecond
_TIME_MAX = 253_402_300_799_999_999  # microseconds since 1970: the year 9999 ends

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Copied(NamedTuple):
    """The parts of a document, as of one moment.  Anything not copied here never changes.  For one document only."""

    rooms: Iterator[RoomCopy]
    buckets: list[bytes]
    sections: rows.Copied


def copied(tables: Tables) -> Copied:
    """The tables as they are now; under the state's lock, and so no more than is needed."""
    rooms = copies(tables.rooms.by_name.values())
    return Copied(rooms, tables.client_ids.buckets(), sections.copied(tables))


def _facts(copied: RoomCopy) -> dict[str, object]:
    """All of a room but where its posts lie."""
    name, newest_id, last_posted_at, deleted_at, max_messages, record_bytes = copied[0]
    return {
        "Room": name,
        "NewestId": newest_id,
        "Posts": copied[3] - copied[2],
        "LastPostedAt": last_posted_at,
        "DeletedAt": deleted_at,
        "MaxMessages": max_messages,
        "RecordBytes": record_bytes,
    }


def encode(copied: Copied) -> Iterator[bytes]:
    """The document's lines, each up to LINE_BYTES_MAX."""
    rooms, buckets, more = sorted(copied.rooms, key=_name_of), copied.buckets, copied.sections
    typecode = _typecode_of(rooms)
    sizes = [*map(len, buckets)]
    records = _gathered(buckets)
    yield from _facts_lines(rooms, more, sizes)
    places = chain.from_iterable(_pieces(room, typecode) for room in rooms)
    yield from _data_lines("At", array(typecode).itemsize, places)
    yield from _filled_lines(sizes)
    yield from _data_lines("ClientIds", RECORD_BYTES, records)


def digest_input(copied: Copied) -> Iterator[bytes]:
    """The same state in pieces of bytes for a digest, each made in about a millisecond; lets go of what it has made.

    Nothing in it depends on a build of zlib, or on how a node came to the state.  So nodes with equal states, and
    programs of one DIGEST_FORMAT, give equal bytes.
    """
    rooms, buckets, more = sorted(copied.rooms, key=_name_of), copied.buckets, copied.sections
    yield _json([len(rooms), len(buckets), {name: len(rows) for name, rows in more.items()}])
    for start in range(0, len(buckets), _STEP):
        some = buckets[start : start + _STEP]
        buckets[start : start + _STEP] = [b""] * len(some)
        yield _bytes_of(array(LONG, map(len, some)))
        yield b"".join(some)
    for start in range(0, len(rooms), _ROOMS_STEP):
        yield b"".join(_json(_facts(room)) + b"\n" for room in rooms[start : start + _ROOMS_STEP])
    for room in rooms:
        yield from _pieces(room, LONG)
    for line in rows.lines(more):
        yield line + b"\n"


def _gathered(buckets: list[bytes]) -> Iterator[bytes]:
    """The buckets run together, in pieces; lets go of them at once.

    While a document holds them, each one that gets a record is there twice, and what that takes of the memory stays
    the process's: 16 bytes a post.  The pieces go back to the system whole.
    """
    memory = mmap(-1, max(sum(map(len, buckets)), 1))
    for start in range(0, len(buckets), _STEP):
        memory.write(b"".join(buckets[start : start + _STEP]))
        buckets[start : start + _STEP] = [b""] * len(buckets[start : start + _STEP])
    end = memory.tell()
    memory.seek(0)
    return iter(lambda: memory.read(min(_DATA_BYTES, end - memory.tell())), b"")


def _name_of(room: RoomCopy) -> str:
    return room[0][0]


def _typecode_of(rooms: list[RoomCopy]) -> str:
    return LONG if any(room[1].typecode == LONG for room in rooms) else SHORT


def _facts_lines(rooms: list[RoomCopy], more: rows.Copied, sizes: list[int]) -> Iterator[bytes]:
    """The header, the rooms, which are in order, and the sections; `sizes` are the buckets'."""
    header: dict[str, object] = {
        "Chat": FORMAT,
        "Rooms": len(rooms),
        "IndexBytes": array(_typecode_of(rooms)).itemsize,
        "Buckets": len(sizes),
        "Filled": sum(map(bool, sizes)),
        "Sections": {name: len(rows) for name, rows in more.items()},
    }
    yield _json(header)
    for room in rooms:
        yield _json(_facts(room))
    yield from rows.lines(more)


def _filled_lines(sizes: list[int]) -> Iterator[bytes]:
    filled = list(compress(range(len(sizes)), sizes))
    for start in range(0, len(filled), _FILLED_MAX):
        some = filled[start : start + _FILLED_MAX]
        counts = (sizes[number] // RECORD_BYTES for number in some)
        yield _json({"Filled": list(chain.from_iterable(zip(some, counts, strict=True)))})


def decode(lines: Iterable[bytes], index: int) -> Tables:
    """The tables of a document made at log index `index`.

    Raises InvalidMessage where `encode` did not make these lines of any state at that index.
    """
    document = _Lines(lines)
    try:
        tables = _read(document, index)
        # Anything that could have been encoded in another way: members in another order, a room twice, white space.
        again = copied(tables)
        rooms, sizes = sorted(again.rooms, key=_name_of), [*map(len, again.buckets)]
        if digest(chain(_facts_lines(rooms, again.sections, sizes), _filled_lines(sizes))) != document.said.hexdigest():
            raise ValueError("written otherwise")
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidMessage(f"not a document of the chat's state: {error!r}") from None
    return tables


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 over a document, in hex."""
    hashed = sha256()
    for line in lines:
        hashed.update(line + b"\n")
    return hashed.hexdigest()


class _Lines:
    """A document's lines as they come: values, and data in between."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.said = sha256()  # of the values' lines

    def value(self) -> dict[str, object]:
        """The next line's object; {} where there is none."""
        line = next(self._lines, b"{}")
        self.said.update(line + b"\n")
        value = json.loads(line)
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return value

    def data(self, name: str) -> bytes:
        """The bytes under this name in the next line, decoded from base64."""
        line, opens = next(self._lines, b""), b'{"%b":"' % name.encode()
        if not (line.startswith(opens) and line.endswith(b'"}')):
            raise ValueError(name)
        return b64decode(line[len(opens) : -2], validate=True)  # binascii.Error is a ValueError

    def check_end(self) -> None:
        if next(self._lines, None) is not None:
            raise ValueError("more than a state has")


def _read(lines: _Lines, index: int) -> Tables:
    header = lines.value()
    if header["Chat"] != FORMAT:
        raise ValueError(f"it has format {header['Chat']!r}, and this program reads format {FORMAT} only")
    rooms = [_read_facts(lines.value(), index) for _ in range(_integer(header, "Rooms", index))]
    tables = Tables()
    tables.rooms = RoomDirectory(room for room, _ in rooms)
    sections.restore(tables, header["Sections"], lines.value, index)
    index_bytes = _integer(header, "IndexBytes")
    if index_bytes not in {4, 8}:
        raise ValueError("IndexBytes")
    places = _Data("At", index_bytes, sum(posts for _, posts in rooms), lines)
    for room, posts in rooms:
        indexes = _indexes(places.take(posts), SHORT if index_bytes == 4 else LONG)
        if posts and not (room.deleted_at < indexes[0] and _ascends(indexes) and indexes[-1] <= index):
            raise ValueError("At")
        room.restore(indexes if posts and indexes[-1] > SHORT_MAX else _converted(indexes, SHORT))
        if not (posts or room.details or _is_gone(room) or room.name in tables.rooms.turned_private):
            raise ValueError("Posts")
    if not all(tables.rooms.by_name[name].exists for name in tables.rooms.looks):
        raise ValueError("Looks")
    if not all(tables.rooms.by_name[name].exists for name in tables.imports):
        raise ValueError("Imports")
    if not all(tables.rooms.by_name[name].exists for name in tables.preferences):
        raise ValueError("Preferences")
    tables.derive()
    tables.live_bytes = sum(room.record_bytes for room, _ in rooms)
    tables.client_ids.restore(_read_buckets(header, lines, index))
    lines.check_end()
    return tables


class _Data:
    """Numbers that are run together under one name, so many in all."""

    def __init__(self, name: str, width: int, count: int, lines: _Lines) -> None:
        self._name = name
        self._width = width
        self._left = count  # in the lines that are not read yet
        self._lines = lines
        self._piece = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next so many; ValueError where there are not."""
        size, pieces = self._width * count, []
        while size > len(self._piece) - self._at:
            pieces.append(self._piece[self._at :])
            size -= len(pieces[-1])
            self._piece, self._at = self._next_piece(), 0
        self._at += size
        return b"".join((*pieces, self._piece[self._at - size : self._at]))

    def _next_piece(self) -> bytes:
        count = min(self._left, _items_in_a_line(self._width))
        self._left -= count
        return packed_numbers.unpack(self._lines.data(self._name), self._width, count)


def _items_in_a_line(width: int) -> int:
    return _DATA_BYTES // width - packed_numbers.LENGTH_BYTES


def _data_lines(name: str, width: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The numbers of all the pieces in lines of as many as there are for one."""
    line_bytes = width * _items_in_a_line(width)
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= line_bytes:
            data = b"".join(waiting)
            whole = size - size % line_bytes
            for start in range(0, whole, line_bytes):
                yield _data_line(name, width, data[start : start + line_bytes])
            waiting, size = [data[whole:]], size - whole
    if size:
        yield _data_line(name, width, b"".join(waiting))


def _data_line(name: str, width: int, data: bytes) -> bytes:
    return b'{"%b":"%b"}' % (name.encode(), b64encode(packed_numbers.pack(data, width)))


def _read_facts(value: dict[str, object], index: int) -> tuple[Room, int]:
    """A room without its posts, and how many it has."""
    name = value["Room"]
    if not isinstance(name, str):
        raise TypeError("Room")
    room = Room(name)
    room.newest_id = _integer(value, "NewestId", index)
    room.last_posted_at = _integer(value, "LastPostedAt", _TIME_MAX)
    room.deleted_at = _integer(value, "DeletedAt", index)
    room.max_messages = _integer(value, "MaxMessages")
    room.record_bytes = _integer(value, "RecordBytes")
    posts = _integer(value, "Posts", min(room.newest_id, room.max_messages or room.newest_id))
    return room, posts


def _is_gone(room: Room) -> bool:
    """Return whether the room was deleted, or is only a name that a room had."""
    return bool(room.deleted_at or room.newest_id) and not (
        room.last_posted_at or room.max_messages or room.record_bytes
    )


def _read_buckets(header: dict[str, object], lines: _Lines, index: int) -> list[bytes]:
    count = _integer(header, "Buckets", BUCKETS_MIN + index // RECORDS_MEAN)  # one more with so many records at most
    numbers, records = _read_filled(_integer(header, "Filled", count), lines)
    if count < BUCKETS_MIN or (numbers and numbers[-1] >= count):
        raise ValueError("Buckets")
    buckets = [b""] * count
    data = _Data("ClientIds", RECORD_BYTES, sum(records), lines)
    for first in range(0, len(numbers), _STEP):
        ends = list(accumulate(records[first : first + _STEP]))
        starts = [0, *ends[:-1]]
        some = data.take(ends[-1])
        indexes = indexes_of(some)
        firsts, lasts = [indexes[start] for start in starts], [indexes[end - 1] for end in ends]
        # In a bucket they ascend: where they fall, the next bucket begins.
        falls = sum(map(ge, lasts[:-1], firsts[1:]))
        if not min(firsts) or max(lasts) > index or sum(map(ge, indexes, indexes[1:])) != falls:
            raise ValueError("ClientIds")
        for number, start, end in zip(numbers[first : first + _STEP], starts, ends, strict=True):
            buckets[number] = some[RECORD_BYTES * start : RECORD_BYTES * end]
    return buckets


def _read_filled(count: int, lines: _Lines) -> tuple[list[int], list[int]]:
    """The numbers of the buckets that are not empty, ascending, and how many records each has."""
    flat: list[int] = []
    while len(flat) < 2 * count:
        some = lines.value()["Filled"]
        if not isinstance(some, list) or set(map(type, some)) != {int}:
            raise TypeError("Filled")
        flat += some
    numbers, records = flat[::2], flat[1::2]
    if len(flat) != 2 * count or (flat and (numbers[0] < 0 or not _ascends(numbers) or min(records) < 1)):
        raise ValueError("Filled")
    return numbers, records


def _ascends(numbers: "Sequence[int] | array[int]") -> bool:
    return not any(map(ge, numbers, numbers[1:]))


def _converted(indexes: "array[int]", typecode: str) -> "array[int]":
    return indexes if indexes.typecode == typecode else array(typecode, indexes)


def _pieces(room: RoomCopy, typecode: str) -> Iterator[bytes]:
    """Yield a room's log indexes in pieces: a line of a room of ten million posts takes no longer than another."""
    _, indexes, first, end = room
    for start in range(first, end, _PIECE_ITEMS):
        yield _bytes_of(_converted(indexes[start : min(start + _PIECE_ITEMS, end)], typecode))


def _bytes_of(indexes: "array[int]") -> bytes:
    if sys.byteorder == "big":
        indexes = indexes[:]
        indexes.byteswap()
    return indexes.tobytes()


def _indexes(data: bytes, typecode: str) -> "array[int]":
    indexes = array(typecode, data)
    if sys.byteorder == "big":
        indexes.byteswap()
    return indexes


def _integer(value: dict[str, object], name: str, high: int = (1 << 63) - 1) -> int:
    found = value[name]
    if type(found) is not int or not 0 <= found <= high:
        raise ValueError(name)
    return found


def _json(value: object) -> bytes:
    return _encoder.encode(value).encode()
