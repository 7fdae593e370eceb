"""What becomes of a room as a whole, as values and as the JSON that the log holds."""

from dataclasses import dataclass
from json.encoder import encode_basestring


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """A room goes with all its posts."""

    room: str


@dataclass(frozen=True, slots=True)
class SetRetention:
    """A room keeps its newest `max_messages` posts, at least 1, from now on; None: all."""

    room: str
    max_messages: int | None


def encode_deletion(command: DeleteRoom) -> bytes:
    """The command's bytes."""
    return f'{{"Type":"delete-room","RoomName":{encode_basestring(command.room)}}}'.encode()


def encode_retention(command: SetRetention) -> bytes:
    """The command's bytes."""
    kept = "null" if command.max_messages is None else command.max_messages
    room = encode_basestring(command.room)
    return f'{{"Type":"retention","RoomName":{room},"MaxMessages":{kept}}}'.encode()


def read_deletion(value: dict[str, object]) -> DeleteRoom:
    """The command that a JSON object stands for.  Raises KeyError or TypeError."""
    room = value["RoomName"]
    if not isinstance(room, str):
        raise TypeError("RoomName")
    return DeleteRoom(room)


def read_retention(value: dict[str, object]) -> SetRetention:
    """The command that a JSON object stands for.  Raises KeyError or TypeError."""
    room, max_messages = value["RoomName"], value["MaxMessages"]
    if not isinstance(room, str) or not (max_messages is None or (isinstance(max_messages, int) and max_messages > 0)):
        raise TypeError("retention")
    return SetRetention(room, max_messages)
