"""What can be asked of the replicated state, as values and as the JSON that the log holds.

A command has one form of bytes: members in a fixed order, no white space, UTF-8, no newline.  `decode` takes no
other, so whoever holds a decoded command's bytes may cut them at known places (`history.render` does), and equal
commands have equal bytes.

A command that is new gets a higher level: it is proposed only once every member of the cluster knows that level, for
a member that does not know a command would apply it as nothing, and be another state from then on.
"""

import json
from collections.abc import Callable

from chat.commands import posts, rooms
from chat.commands.posts import CLIENT_ID_OPENS, POST_OPENS, Post
from chat.commands.rooms import DeleteRoom, SetRetention

__all__ = [
    "CLIENT_ID_OPENS", "LEVEL", "POST_OPENS", "Command", "DeleteRoom", "Post", "SetRetention", "decode", "encode",
    "level_of",
]  # fmt: skip

LEVEL = 2  # the newest that this program knows

Command = Post | DeleteRoom | SetRetention

_LEVELS: dict[type, int] = {Post: 1, DeleteRoom: 2, SetRetention: 2}


def level_of(command: Command) -> int:
    """The level that every member has to know before the command may be proposed; 1 is known to all there are."""
    return _LEVELS[type(command)]


def encode(command: Command) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    match command:
        case Post():
            return posts.encode(command)
        case DeleteRoom():
            return rooms.encode_deletion(command)
        case SetRetention():
            return rooms.encode_retention(command)


_plain_post = posts.PLAIN_POST.fullmatch


def decode(body: bytes) -> Command | None:
    """The command of these bytes; None where `encode` did not make them, whatever they are."""
    try:
        if (plain := _plain_post(body)) is not None:  # as most are: a quarter of the time for the rest
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


# What is read there is no more than encode() needs not to fail on: it takes nothing but strings for texts, and what
# it then makes of the value is compared with the bytes.
_READERS: dict[object, Callable[[dict[str, object]], Command]] = {
    None: posts.read,
    "delete-room": rooms.read_deletion,
    "retention": rooms.read_retention,
}
