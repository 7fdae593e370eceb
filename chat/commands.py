"""What can be asked of the replicated state, as values and as the JSON that the log holds.

A command has one form of bytes: members in a fixed order, no white space, UTF-8, no newline.  `decode` takes no
other, so whoever holds a decoded command's bytes may cut them at known places (`history.render` does), and equal
commands have equal bytes.
"""

import json
from dataclasses import dataclass
from json.encoder import encode_basestring

# Where a reader's JSON is cut from a post's command.  No string can hold these bytes: its quotes are escaped.
POST_OPENS = b',"Post":{'
CLIENT_ID_OPENS = b',"ClientId":"'

LEVEL = 1  # the newest that this program knows


@dataclass(frozen=True, slots=True)
class Post:
    """A user says something in a room; its Id is found when it is applied.  `reply_to` 0: not a reply."""

    room: str
    user: str
    message: str
    client_id: str
    reply_to: int = 0


Command = Post


def encode(command: Command) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    quoted = encode_basestring
    reply_to = f',"ReplyTo":{command.reply_to}' if command.reply_to else ""
    return (
        f'{{"Type":"post","RoomName":{quoted(command.room)},"Post":{{"User":{quoted(command.user)},'
        f'"Message":{quoted(command.message)},"ClientId":{quoted(command.client_id)}{reply_to}}}}}'
    ).encode()


def decode(body: bytes) -> Command | None:
    """The command of these bytes; None where `encode` did not make them, whatever they are."""
    try:
        value = json.loads(body.decode())
        command = _post(value)
        return command if encode(command) == body else None
    # KeyError, TypeError: not the members of a post.  ValueError: not JSON, not UTF-8 or not encodable.  Commands are
    # flat, so what is nested deeper than a stack allows is none on any stack.
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _post(value: dict[str, object]) -> Post:
    if value["Type"] != "post":
        raise KeyError("Type")
    room, post = value["RoomName"], value["Post"]
    if not isinstance(post, dict):
        raise TypeError("Post")
    user, message, client_id, reply_to = post["User"], post["Message"], post["ClientId"], post.get("ReplyTo", 0)
    if not isinstance(room, str) or not isinstance(reply_to, int) or reply_to < 0:
        raise TypeError("Post")
    return Post(room, user, message, client_id, reply_to)  # encode() takes nothing but strings for the others
