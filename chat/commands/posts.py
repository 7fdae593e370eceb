"""What is said in a room, as a value and as the JSON that the log holds.

A post is nearly all that a log holds, and the one command that no `Type` names: 14 bytes a message less.
"""

import re
from json.encoder import encode_basestring
from typing import NamedTuple

# Where a reader's JSON is cut from a post's command.  No string can hold these bytes: its quotes are escaped.
POST_OPENS = b',"Post":{'
CLIENT_ID_OPENS = b',"ClientId":"'


class Post(NamedTuple):
    """A user says something in a room; its Id is found when it is applied.  `reply_to` 0: not a reply."""

    room: str
    user: str
    message: str
    client_id: str
    reply_to: int = 0


def encode(post: Post) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    quoted = encode_basestring
    reply_to = f',"ReplyTo":{post.reply_to}' if post.reply_to else ""
    return (
        f'{{"RoomName":{quoted(post.room)},"Post":{{"User":{quoted(post.user)},'
        f'"Message":{quoted(post.message)},"ClientId":{quoted(post.client_id)}{reply_to}}}}}'
    ).encode()


# A post without a backslash in it: each text is its bytes, and what `encode` makes of the command is what there is.
_PLAIN_TEXT = rb'"([^"\\\x00-\x1f]*)"'
PLAIN_POST = re.compile(rb'\{"RoomName":%b,"Post":\{"User":%b,"Message":%b,"ClientId":%b\}\}' % ((_PLAIN_TEXT,) * 4))


def read(value: dict[str, object]) -> Post:
    """The post that a JSON object stands for.  Raises KeyError or TypeError where it has not a post's members."""
    room, post = value["RoomName"], value["Post"]
    if not isinstance(post, dict):
        raise TypeError("Post")
    user, message, client_id, reply_to = post["User"], post["Message"], post["ClientId"], post.get("ReplyTo", 0)
    if not isinstance(room, str) or not isinstance(reply_to, int) or reply_to < 0:
        raise TypeError("Post")
    return Post(room, user, message, client_id, reply_to)
