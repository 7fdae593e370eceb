"""The command of an imported message: one of an export of this cluster or another, with its author and its time.

An entry of the log holds one message, as an entry of a post does, since a message is found by its log index.  The
messages of an import have the numbers 1, 2, 3 …, and an applier takes only the one that follows the last: so a command
that comes twice, or after one that was lost, changes nothing.
"""

import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from chat.commands.accounts import NOBODY, Actor

Reactions = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class ImportedPost:
    """The message as readers see it.  A deleted one has no text."""

    user: str
    message: str
    client_id: str
    reply_to: int = 0  # an Id in the room that it is imported into
    edited_at: int = 0  # microseconds since 1970; 0: never
    deleted: bool = False


# `post_json.render_post` finds `posted_at` and the post at the end: they stay there, in this order.


@dataclass(frozen=True, slots=True)
class ImportPost:
    """Import a message.  Its Id is given when it is applied, and the time of its import is the entry's.

    `source`: names the import, in this room; `number`: of the message in the import.
    """

    actor: Actor
    room: str
    source: str
    number: int
    reactions: Reactions
    pinned: bool
    posted_at: int
    post: ImportedPost


Command = ImportPost
KINDS: dict[str, type[Command]] = {"import": ImportPost}

_reactions = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(command: ImportPost) -> bytes:
    """The command's bytes, as `json_codec.to_json` makes them of any command: an import has many, and this is quicker.

    Raises UnicodeEncodeError where a text has a lone surrogate.
    """
    quoted, (by, user), post = encode_basestring, command.actor, command.post
    actor = (f'"By":{by},' if by != NOBODY else "") + (f'"User":{quoted(user)},' if user else "")
    rest = (
        (f',"ReplyTo":{post.reply_to}' if post.reply_to else "")
        + (f',"EditedAt":{post.edited_at}' if post.edited_at else "")
        + (',"Deleted":true' if post.deleted else "")
    )
    return (
        f'{{"Type":"import",{actor}"RoomName":{quoted(command.room)},"Source":{quoted(command.source)},'
        f'"Number":{command.number},"Reactions":{_reactions(command.reactions) if command.reactions else "[]"},'
        f'"Pinned":{"true" if command.pinned else "false"},"PostedAt":{command.posted_at},'
        f'"Post":{{"User":{quoted(post.user)},"Message":{quoted(post.message)},"ClientId":{quoted(post.client_id)}'
        f"{rest}}}}}"
    ).encode()


_INTEGERS = range(-(1 << 63), 1 << 63)


def read(value: dict[str, object]) -> ImportPost:
    """The command that a JSON object stands for, quicker than `json_codec.reader` is.

    Raises KeyError, TypeError or ValueError where it has not an import's members.  A member of another type is found
    when the result is encoded: a text must be one to be quoted there, and a bool has one form.
    """
    post, reactions = value["Post"], value["Reactions"]
    if not isinstance(post, dict) or not isinstance(reactions, list):
        raise TypeError("Post, Reactions")
    numbers = (
        value.get("By", NOBODY), value["Number"], value["PostedAt"], post.get("ReplyTo", 0), post.get("EditedAt", 0)
    )  # fmt: skip
    for number in numbers:
        if type(number) is not int or number not in _INTEGERS:
            raise TypeError("not an integer of 64 bits")
    by, at, posted_at, reply_to, edited_at = numbers
    texts: Any = (value.get("User", ""), value["RoomName"], value["Source"])
    pinned: Any = value["Pinned"]
    found = ImportedPost(
        post["User"], post["Message"], post["ClientId"], reply_to, edited_at, post.get("Deleted", False)
    )
    user, room, source = texts
    reacted = tuple(map(_reaction, reactions))
    return ImportPost(Actor(by, user), room, source, at, reacted, pinned, posted_at, found)  # type: ignore[arg-type]


def _reaction(value: object) -> tuple[str, tuple[str, ...]]:
    match value:
        case [str(emoji), list(users)] if all(isinstance(user, str) for user in users):
            return emoji, tuple(users)
    raise TypeError("Reactions")
