"""Commands on posts, and the encoding of a new post.

A log holds posts almost only, so a post has no `Type`: that saves 14 bytes a message.
An edit and a deletion hold all that readers are shown from then on, so that one entry is enough to show a post.
"""

import re
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import NamedTuple

from chat.commands.accounts import Actor

# The places where a reader's JSON is cut from a post's command.  No string can hold these bytes: quotes are escaped.
POST_OPENS = b',"Post":{'
CLIENT_ID_OPENS = b',"ClientId":"'


WHOLE_ROOM = "@room"  # in a post's mentions: all members of the room; no user has a name that begins with "@"


class Post(NamedTuple):
    """Post a message in a room.  Its Id is given when it is applied.  `reply_to` 0: not a reply.

    `by`: the number of the actor's token.  `mentions`: the users that the message names.  `looks`: what look-alikes of
    the room's name have in common, if the post was to make the room.
    """

    room: str
    user: str
    message: str
    client_id: str
    reply_to: int = 0
    by: int = 0
    mentions: tuple[str, ...] = ()
    looks: str = ""


@dataclass(frozen=True, slots=True)
class EditedPost:
    """A post as an edit makes it."""

    user: str
    message: str
    client_id: str
    reply_to: int = 0
    imported_at: int = 0  # microseconds since 1970; 0: it was not imported.  The last field, as in Tombstone


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The rest of a deleted post."""

    user: str
    client_id: str
    imported_at: int = 0


# `at` is the log index of the post itself, from which the proposing node has read the author and `posted_at`.
# `post_json.render_post` finds `posted_at` and the post at the end: they stay there, in this order.


@dataclass(frozen=True, slots=True)
class EditPost:
    """Edit a post."""

    actor: Actor
    room: str
    id: int
    at: int
    posted_at: int
    post: EditedPost


@dataclass(frozen=True, slots=True)
class DeletePost:
    """Delete a post: it keeps its Id and loses its text."""

    actor: Actor
    room: str
    id: int
    at: int
    posted_at: int
    post: Tombstone


@dataclass(frozen=True, slots=True)
class React:
    """Put a reaction to a post, or remove it."""

    actor: Actor
    room: str
    id: int
    emoji: str
    on: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """Pin a post in its room, or unpin it."""

    actor: Actor
    room: str
    id: int
    on: bool


@dataclass(frozen=True, slots=True)
class MarkRead:
    """Move read markers: (the user's token, room, Id)."""

    marks: tuple[tuple[int, str, int], ...]


@dataclass(frozen=True, slots=True)
class MarkUnread:
    """Move read markers back: (the user's token, room, the Id of the first message that is unread then)."""

    marks: tuple[tuple[int, str, int], ...]


Change = EditPost | DeletePost | React | Pin | MarkRead | MarkUnread
KINDS: dict[str, type[Change]] = {
    "edit": EditPost, "delete": DeletePost, "react": React, "pin": Pin, "read": MarkRead, "unread": MarkUnread,
}  # fmt: skip


def encode(post: Post) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    quoted = encode_basestring
    reply_to = f',"ReplyTo":{post.reply_to}' if post.reply_to else ""
    by = f'"By":{post.by},' if post.by else ""
    mentions = f'"Mentions":[{",".join(map(quoted, post.mentions))}],' if post.mentions else ""
    looks = f'"Looks":{quoted(post.looks)},' if post.looks else ""
    return (
        f'{{{by}{mentions}{looks}"RoomName":{quoted(post.room)},"Post":{{"User":{quoted(post.user)},'
        f'"Message":{quoted(post.message)},"ClientId":{quoted(post.client_id)}{reply_to}}}}}'
    ).encode()


# A post without a backslash: each text is its bytes, and `encode` gives the same bytes again.
_PLAIN_TEXT = rb'"([^"\\\x00-\x1f]*)"'
_REST = rb'"RoomName":%b,"Post":\{"User":%b,"Message":%b,"ClientId":%b\}\}' % ((_PLAIN_TEXT,) * 4)
PLAIN_POST = re.compile(rb"\{" + _REST)
# Apart from the other, which would be slower by a tenth with one group more.
PLAIN_POST_BY = re.compile(rb'\{"By":([1-9][0-9]{0,14}),' + _REST)


def read(value: dict[str, object]) -> Post:
    """The post that a JSON object stands for.  Raises KeyError or TypeError where it has not a post's members."""
    room, post = value["RoomName"], value["Post"]
    if not isinstance(post, dict):
        raise TypeError("Post")
    user, message, client_id, reply_to = post["User"], post["Message"], post["ClientId"], post.get("ReplyTo", 0)
    by, mentions, looks = value.get("By", 0), value.get("Mentions", []), value.get("Looks", "")
    if not isinstance(room, str) or not isinstance(reply_to, int) or reply_to < 0:
        raise TypeError("Post")
    if not isinstance(by, int) or not isinstance(mentions, list) or not isinstance(looks, str):
        raise TypeError("By, Mentions, Looks")
    return Post(room, user, message, client_id, reply_to, by, tuple(mentions), looks)
