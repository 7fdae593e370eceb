"""The replicated state as lines of JSON and back, for snapshots and checkpoints.

    {"Chat":2,"Rooms":2,"IndexBytes":4,"Buckets":256,"Filled":2}
    {"Room":"general","NewestId":3,"Posts":2,"LastPostedAt":…,"DeletedAt":0,"MaxMessages":2,"RecordBytes":410}
    {"Room":"old",…}
    {"At":"…"}
    {"Filled":[7,1,35,3]}
    {"Remembered":"…"}

The rooms come by name.  Then, run together in that order and in base64, the places of the posts that are left: log
indexes, little-endian, IndexBytes each (8 instead of 4 where one of them needs it).  Then which buckets of what is
remembered of ClientIds are not empty, each with its number of records, and those records, run together in base64 too.
So a million posts are written and read by a few hundred calls, and not by a million steps.
Equal states give equal bytes, and only bytes that a state gives are taken.
"""

import json
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, chain, compress
from operator import ge

from chat.history import LONG, SHORT, SHORT_MAX, Room
from chat.remembered import BUCKETS_MIN, RECORD_BYTES, RECORDS_MEAN, indexes_of
from raft.errors import InvalidMessage

LINE_BYTES_MAX = 512 * 1024
FORMAT = 2

_DATA_BYTES = (LINE_BYTES_MAX - 32) // 4 * 3  # in a line, before base64
_FILLED_MAX = LINE_BYTES_MAX // 48  # buckets in a line: two numbers of up to 20 digits with their commas
_STEP = 1024  # buckets that are read at a time: about a MB
_TIME_MAX = 253_402_300_799_999_999  # microseconds since 1970: the year 9999 ends

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Described = tuple[dict[str, object], "array[int]"]


def described(room: Room) -> Described:
    """A room as it is now: all but where its posts lie, and where they do."""
    facts: dict[str, object] = {
        "Room": room.name,
        "NewestId": room.newest_id,
        "Posts": len(room),
        "LastPostedAt": room.last_posted_at,
        "DeletedAt": room.deleted_at,
        "MaxMessages": room.max_messages,
        "RecordBytes": room.record_bytes,
    }
    return facts, room.indexes


def encode(rooms: list[Described], buckets: list[bytes]) -> Iterator[bytes]:
    """The document's lines, each up to LINE_BYTES_MAX; `buckets` are those of `Remembered`."""
    rooms.sort(key=lambda room: str(room[0]["Room"]))
    typecode = LONG if any(indexes.typecode == LONG for _, indexes in rooms) else SHORT
    filled = list(compress(range(len(buckets)), buckets))
    yield _json(
        {
            "Chat": FORMAT,
            "Rooms": len(rooms),
            "IndexBytes": array(typecode).itemsize,
            "Buckets": len(buckets),
            "Filled": len(filled),
        }
    )
    for facts, _ in rooms:
        yield _json(facts)
    yield from _data_lines("At", (_bytes_of(_converted(indexes, typecode)) for _, indexes in rooms))
    for start in range(0, len(filled), _FILLED_MAX):
        some = filled[start : start + _FILLED_MAX]
        counts = (len(buckets[number]) // RECORD_BYTES for number in some)
        yield _json({"Filled": list(chain.from_iterable(zip(some, counts, strict=True)))})
    yield from _data_lines("Remembered", filter(None, buckets))


def decode(lines: Iterable[bytes], index: int) -> tuple[dict[str, Room], list[bytes]]:
    """The rooms, by name, and what is remembered, of a document made at log index `index`.

    Raises InvalidMessage where `encode` did not make these lines of any state at that index.
    """
    taken = sha256()

    def objects() -> Iterator[dict[str, object]]:
        for line in lines:
            taken.update(line + b"\n")
            value = json.loads(line)
            if not isinstance(value, dict):
                raise TypeError("not an object")
            yield value

    try:
        rooms, buckets = _read(objects(), index)
        # All that could have been written otherwise: members in another order, a room twice, white space.
        if digest(encode([described(room) for room in rooms.values()], buckets)) != taken.hexdigest():
            raise ValueError("written otherwise")
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidMessage(f"not a document of the chat's state: {error!r}") from None
    return rooms, buckets


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 over a document, in hex."""
    hashed = sha256()
    for line in lines:
        hashed.update(line + b"\n")
    return hashed.hexdigest()


def _read(objects: Iterator[dict[str, object]], index: int) -> tuple[dict[str, Room], list[bytes]]:
    header = next(objects, {})
    if header["Chat"] != FORMAT:
        raise ValueError(f"of format {header['Chat']!r}, this program reads {FORMAT} only")
    rooms = [_read_facts(objects, index) for _ in range(_integer(header, "Rooms", index))]
    index_bytes = _integer(header, "IndexBytes")
    if index_bytes not in {4, 8}:
        raise ValueError("IndexBytes")
    places = _Data("At", objects)
    for room, posts in rooms:
        indexes = _indexes(places.take(index_bytes * posts), SHORT if index_bytes == 4 else LONG)
        if posts and not (room.deleted_at < indexes[0] and _ascends(indexes) and indexes[-1] <= index):
            raise ValueError("At")
        room.restore(indexes if posts and indexes[-1] > SHORT_MAX else _converted(indexes, SHORT))
    return {room.name: room for room, _ in rooms}, _read_buckets(header, objects, index)


class _Data:
    """Bytes that run through lines of base64, under one name."""

    def __init__(self, name: str, objects: Iterator[dict[str, object]]) -> None:
        self._name = name
        self._objects = objects
        self._piece = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next ones."""
        pieces = []
        while size > len(self._piece) - self._at:
            pieces.append(self._piece[self._at :])
            size -= len(pieces[-1])
            self._piece, self._at = self._next_piece(), 0
        self._at += size
        return b"".join((*pieces, self._piece[self._at - size : self._at]))

    def _next_piece(self) -> bytes:
        text = next(self._objects, {})[self._name]
        if not isinstance(text, str):
            raise TypeError(self._name)
        piece = b64decode(text, validate=True)  # binascii.Error is a ValueError
        if not piece:
            raise ValueError(self._name)
        return piece


def _data_lines(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of all the pieces in lines of base64."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _DATA_BYTES:
            data = b"".join(waiting)
            whole = size - size % _DATA_BYTES
            for start in range(0, whole, _DATA_BYTES):
                yield _data_line(name, data[start : start + _DATA_BYTES])
            waiting, size = [data[whole:]], size - whole
    if size:
        yield _data_line(name, b"".join(waiting))


def _data_line(name: str, data: bytes) -> bytes:
    return b'{"%b":"%b"}' % (name.encode(), b64encode(data))


def _read_facts(objects: Iterator[dict[str, object]], index: int) -> tuple[Room, int]:
    """A room without its posts, and how many it has."""
    value = next(objects, {})
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
    if not posts and (not room.deleted_at or room.last_posted_at or room.max_messages or room.record_bytes):
        raise ValueError("Posts")
    return room, posts


def _read_buckets(header: dict[str, object], objects: Iterator[dict[str, object]], index: int) -> list[bytes]:
    count = _integer(header, "Buckets", BUCKETS_MIN + index // RECORDS_MEAN)  # one more with so many records at most
    numbers, records = _read_filled(_integer(header, "Filled", count), objects)
    if count < BUCKETS_MIN or (numbers and numbers[-1] >= count):
        raise ValueError("Buckets")
    buckets = [b""] * count
    data = _Data("Remembered", objects)
    for first in range(0, len(numbers), _STEP):
        ends = list(accumulate(records[first : first + _STEP]))
        starts = [0, *ends[:-1]]
        some = data.take(RECORD_BYTES * ends[-1])
        indexes = indexes_of(some)
        firsts, lasts = [indexes[start] for start in starts], [indexes[end - 1] for end in ends]
        # In a bucket they ascend: where they fall, the next bucket begins.
        falls = sum(map(ge, lasts[:-1], firsts[1:]))
        if not min(firsts) or max(lasts) > index or sum(map(ge, indexes, indexes[1:])) != falls:
            raise ValueError("Remembered")
        for number, start, end in zip(numbers[first : first + _STEP], starts, ends, strict=True):
            buckets[number] = some[RECORD_BYTES * start : RECORD_BYTES * end]
    if next(objects, None) is not None:
        raise ValueError("more than a state has")
    return buckets


def _read_filled(count: int, objects: Iterator[dict[str, object]]) -> tuple[list[int], list[int]]:
    """The numbers of the buckets that are not empty, ascending, and how many records each has."""
    flat: list[int] = []
    while len(flat) < 2 * count:
        some = next(objects, {})["Filled"]
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
