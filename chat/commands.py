"""What can be asked of the replicated state, as values and as the JSON that the log holds.

A command has one form of bytes: members in a fixed order, no white space, UTF-8, no newline.  `decode` takes no
other, so whoever holds a decoded command's bytes may cut them at known places (`history.render` does), and equal
commands have equal bytes.  A post is nearly all there is, and the one command that no `Type` names.

A command that is new gets a higher level: it is proposed only once every member of the cluster knows that level, for
a member that does not know a command would apply it as nothing, and be another state from then on.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import NamedTuple

# Where a reader's JSON is cut from a post's command.  No string can hold these bytes: its quotes are escaped.
POST_OPENS = b',"Post":{'
CLIENT_ID_OPENS = b',"ClientId":"'

LEVEL = 2  # the newest that this program knows


class Post(NamedTuple):
    """A user says something in a room; its Id is found when it is applied.  `reply_to` 0: not a reply."""

    room: str
    user: str
    message: str
    client_id: str
    reply_to: int = 0


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """A room goes with all its posts."""

    room: str


@dataclass(frozen=True, slots=True)
class SetRetention:
    """A room keeps its newest `max_messages` posts, at least 1, from now on; None: all."""

    room: str
    max_messages: int | None


Command = Post | DeleteRoom | SetRetention

_LEVELS: dict[type, int] = {Post: 1, DeleteRoom: 2, SetRetention: 2}


def level_of(command: Command) -> int:
    """The level that every member has to know before the command may be proposed; 1 is known to all there are."""
    return _LEVELS[type(command)]


def encode(command: Command) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    match command:
        case Post():
            return _encode_post(command)
        case DeleteRoom():
            return f'{{"Type":"delete-room","RoomName":{encode_basestring(command.room)}}}'.encode()
        case SetRetention():
            kept = "null" if command.max_messages is None else command.max_messages
            room = encode_basestring(command.room)
            return f'{{"Type":"retention","RoomName":{room},"MaxMessages":{kept}}}'.encode()


def _encode_post(post: Post) -> bytes:
    quoted = encode_basestring
    reply_to = f',"ReplyTo":{post.reply_to}' if post.reply_to else ""
    return (
        f'{{"RoomName":{quoted(post.room)},"Post":{{"User":{quoted(post.user)},'
        f'"Message":{quoted(post.message)},"ClientId":{quoted(post.client_id)}{reply_to}}}}}'
    ).encode()


# A post without a backslash in it: each text is its bytes, and what `encode` makes of the command is what there is.
_PLAIN_TEXT = rb'"([^"\\\x00-\x1f]*)"'
_PLAIN_POST = re.compile(rb'\{"RoomName":%b,"Post":\{"User":%b,"Message":%b,"ClientId":%b\}\}' % ((_PLAIN_TEXT,) * 4))


def decode(body: bytes) -> Command | None:
    """The command of these bytes; None where `encode` did not make them, whatever they are."""
    try:
        if (plain := _PLAIN_POST.fullmatch(body)) is not None:  # as most are: a quarter of the time for the rest
            room, user, message, client_id = plain.groups()
            return Post(room.decode(), user.decode(), message.decode(), client_id.decode())
        value = json.loads(body.decode())
        if not isinstance(value, dict):
            return None
        command = _READERS[value.get("Type")](value)
        return command if encode(command) == body else None
    # KeyError, TypeError: not the members of a command.  ValueError: not JSON, not UTF-8 or not encodable.  Commands
    # are flat, so what is nested deeper than a stack allows is none on any stack.
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


# What is read here is no more than encode() needs not to fail on: it takes nothing but strings for texts, and what it
# then makes of the value is compared with the bytes.


def _post(value: dict[str, object]) -> Post:
    room, post = value["RoomName"], value["Post"]
    if not isinstance(post, dict):
        raise TypeError("Post")
    user, message, client_id, reply_to = post["User"], post["Message"], post["ClientId"], post.get("ReplyTo", 0)
    if not isinstance(room, str) or not isinstance(reply_to, int) or reply_to < 0:
        raise TypeError("Post")
    return Post(room, user, message, client_id, reply_to)


def _delete_room(value: dict[str, object]) -> DeleteRoom:
    room = value["RoomName"]
    if not isinstance(room, str):
        raise TypeError("RoomName")
    return DeleteRoom(room)


def _retention(value: dict[str, object]) -> SetRetention:
    room, max_messages = value["RoomName"], value["MaxMessages"]
    if not isinstance(room, str) or not (max_messages is None or (isinstance(max_messages, int) and max_messages > 0)):
        raise TypeError("retention")
    return SetRetention(room, max_messages)


_READERS: dict[object, Callable[[dict[str, object]], Command]] = {
    None: _post,  # 14 bytes a message less than with a name
    "delete-room": _delete_room,
    "retention": _retention,
}
