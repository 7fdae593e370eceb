"""The replicated state as lines of JSON and back, for snapshots and checkpoints.

    {"Chat":1,"Rooms":2,"Remembered":3}
    {"Room":"general","NewestId":3,"Posts":2,"LastPostedAt":…,"DeletedAt":0,"MaxMessages":2,"RecordBytes":410}
    {"At":[7,1]}
    {"Remembered":"…"}

A room's line is followed by the places of its posts that are left: log indexes, each as its distance from the one
before it in its line (the first from 0), so that a post costs two or three bytes.  Rooms come by name.  What is
remembered of ClientIds is base64, in the order of the log, since nothing could be read in hashes.
Equal states give equal bytes, and only bytes that a state gives are taken.
"""

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import accumulate, chain, islice
from operator import sub
from struct import Struct

from chat.history import Room
from raft.errors import InvalidMessage

LINE_BYTES_MAX = 512 * 1024
FORMAT = 1

KEY_BYTES = 16  # digest of user and ClientId
REMEMBERED = Struct("<QQ16s")  # Id and time of the first post, fingerprint of its command

_AT_MAX = LINE_BYTES_MAX // 24  # places in a line, of up to 20 digits and a comma
_REMEMBERED_MAX = LINE_BYTES_MAX // 64 - 1  # in a line, 64 bytes each
_PAIR_BYTES = KEY_BYTES + REMEMBERED.size
_TIME_MAX = 253_402_300_799_999_999  # microseconds since 1970: the year 9999 ends


def encode(rooms: Iterable[tuple[bytes, "array[int]"]], remembered: bytes) -> Iterator[bytes]:
    """The document's lines, each up to LINE_BYTES_MAX.

    `rooms`: of each its line, from `room_line`, and its indexes, by name.  `remembered`: keys and values run together.
    """
    described = list(rooms)
    yield _json({"Chat": FORMAT, "Rooms": len(described), "Remembered": len(remembered) // _PAIR_BYTES})
    for line, indexes in described:
        yield line
        for start in range(0, len(indexes), _AT_MAX):
            some = indexes[start : start + _AT_MAX]
            yield _json({"At": [some[0], *map(sub, some[1:], some)]})
    for start in range(0, len(remembered), _REMEMBERED_MAX * _PAIR_BYTES):
        some_bytes = remembered[start : start + _REMEMBERED_MAX * _PAIR_BYTES]
        yield b'{"Remembered":"%b"}' % b64encode(some_bytes)


def room_line(room: Room) -> bytes:
    """All of a room but where its posts lie."""
    return _json(
        {
            "Room": room.name,
            "NewestId": room.newest_id,
            "Posts": len(room),
            "LastPostedAt": room.last_posted_at,
            "DeletedAt": room.deleted_at,
            "MaxMessages": room.max_messages,
            "RecordBytes": room.record_bytes,
        }
    )


def join_remembered(remembered: Mapping[bytes, bytes]) -> bytes:
    """Keys and values run together, in steps: in one, a million would hold all other threads up for 0.1 s."""
    pieces = chain.from_iterable(remembered.items())
    return b"".join(iter(lambda: b"".join(islice(pieces, _REMEMBERED_MAX)), b""))


def decode(lines: Iterable[bytes], index: int) -> tuple[dict[str, Room], dict[bytes, bytes]]:
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
        rooms, remembered = _read(objects(), index)
        # All that could have been written otherwise: members in another order, a room twice, white space.
        again = encode(((room_line(room), room.indexes) for room in rooms.values()), join_remembered(remembered))
        if list(rooms) != sorted(rooms) or digest(again) != taken.hexdigest():
            raise ValueError("written otherwise")
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidMessage(f"not a document of the chat's state: {error!r}") from None
    return rooms, remembered


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 over a document, in hex."""
    hashed = sha256()
    for line in lines:
        hashed.update(line + b"\n")
    return hashed.hexdigest()


def _read(objects: Iterator[dict[str, object]], index: int) -> tuple[dict[str, Room], dict[bytes, bytes]]:
    header = next(objects, {})
    if header["Chat"] != FORMAT:
        raise ValueError("Chat")
    rooms = [_read_room(objects, index) for _ in range(_integer(header, "Rooms", index))]
    remembered = b"".join(_remembered(value) for value in objects)
    if len(remembered) != _PAIR_BYTES * _integer(header, "Remembered", index):
        raise ValueError("Remembered")
    return {room.name: room for room in rooms}, dict(_pairs(remembered))


def _read_room(objects: Iterator[dict[str, object]], index: int) -> Room:
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
    indexes = array("Q")
    while len(indexes) < posts:
        indexes.extend(_places(next(objects, {}), indexes[-1] if indexes else room.deleted_at))
    if len(indexes) != posts or (posts and indexes[-1] > index):
        raise ValueError("At")
    if not posts and (not room.deleted_at or room.last_posted_at or room.max_messages or room.record_bytes):
        raise ValueError("Posts")
    room.restore(indexes)
    return room


def _places(value: dict[str, object], after: int) -> "array[int]":
    """A line of places, all of them after `after`."""
    distances = value["At"]
    if not isinstance(distances, list) or not distances or any(type(d) is not int or d < 1 for d in distances):
        raise TypeError("At")
    if distances[0] <= after:
        raise ValueError("At")
    return array("Q", accumulate(distances))


def _remembered(value: dict[str, object]) -> bytes:
    text = value["Remembered"]
    if not isinstance(text, str):
        raise TypeError("Remembered")
    return b64decode(text, validate=True)  # binascii.Error is a ValueError


def _pairs(remembered: bytes) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(remembered), _PAIR_BYTES):
        value = remembered[start + KEY_BYTES : start + _PAIR_BYTES]
        id, time, _ = REMEMBERED.unpack(value)
        if not id or time > _TIME_MAX:
            raise ValueError("Remembered")
        yield remembered[start : start + KEY_BYTES], value


def _integer(value: dict[str, object], name: str, high: int = (1 << 63) - 1) -> int:
    found = value[name]
    if type(found) is not int or not 0 <= found <= high:
        raise ValueError(name)
    return found


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
