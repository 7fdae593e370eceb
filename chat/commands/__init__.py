"""The commands of the replicated state, as values and as the JSON that the log holds.

A command has one encoding: fields in a fixed order, no white space, UTF-8, no newline.  `decode` takes no other.
So equal commands have equal bytes, and the bytes may be cut at known places (`chat.state.post_json.render` does).

A program's level is a number that grows with the commands that it knows.  A command of a later version gets a higher
level in `_LEVELS`, and is proposed only once every member of the cluster has that level: a member that does not know a
command would apply nothing, and have another state from then on.
"""

import json
from collections.abc import Callable
from typing import Any

from chat.commands import accounts, cluster, imports, posts, rooms
from chat.commands.accounts import NOBODY, OPERATOR, SETUP, Actor
from chat.commands.json_codec import reader, to_json
from chat.commands.posts import CLIENT_ID_OPENS, POST_OPENS, Post

# Other commands are named by their modules: `chat.commands.posts.EditPost`.
__all__ = [
    "CLIENT_ID_OPENS", "KINDS", "LEVEL", "NOBODY", "OPERATOR", "POST_OPENS", "SETUP", "Actor", "Command", "Post",
    "decode", "encode", "frees_space", "level_of",
]  # fmt: skip

LEVEL = 1  # of this program: the highest level in `_LEVELS`, or 1

Command = Post | posts.Change | imports.Command | rooms.Command | accounts.Command | cluster.Command

# By the name that is their `Type`; a post has none.
KINDS: dict[str, type] = {**posts.KINDS, **imports.KINDS, **rooms.KINDS, **accounts.KINDS, **cluster.KINDS}

_LEVELS: dict[type, int] = {}  # of commands that came after the first release; all others are of level 1
_NAMES = {kind: name for name, kind in KINDS.items()}
_READERS: dict[object, Callable[[dict[str, object]], Any]] = {
    None: posts.read,
    **{name: reader(kind) for name, kind in KINDS.items()},
    "import": imports.read,
}


def level_of(command: Command) -> int:
    """The level that every member needs before this command may be proposed."""
    return _LEVELS.get(type(command), 1)


# Commands that nearly always free space.  `frees_space` looks into changes of rooms and settings.
_FREEING = (
    posts.DeletePost, rooms.DeleteRoom, cluster.Expire, cluster.ExpireCredentials, cluster.Forget,
    accounts.RevokeTokens, accounts.RevokeInvite,
)  # fmt: skip


def frees_space(body: bytes) -> bool:
    """Return whether the command of these bytes frees space, so that it is accepted on a full disk."""
    match decode(body):
        case rooms.ChangeRoom() as change:
            bounds = rooms.ChangeRoom(
                change.actor,
                change.room,
                max_messages=change.max_messages,
                max_age_seconds=change.max_age_seconds,
            )
            return change == bounds
        case cluster.SetSettings() as change:
            return change.signup is None and change.max_rooms is None
        case command:
            return isinstance(command, _FREEING)


def encode(command: Command) -> bytes:
    """The command's bytes.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    if type(command) is Post:
        return posts.encode(command)
    return imports.encode(command) if type(command) is imports.ImportPost else to_json(_NAMES[type(command)], command)


_plain_post = posts.PLAIN_POST.fullmatch
_plain_post_by = posts.PLAIN_POST_BY.fullmatch


def decode(body: bytes) -> Command | None:
    """The command of these bytes; None if `encode` did not make them."""
    try:
        if (plain := _plain_post(body)) is not None:  # as most are: a quarter of the time for the rest
            room, user, message, client_id = plain.groups()
            return Post(room.decode(), user.decode(), message.decode(), client_id.decode())
        if (plain := _plain_post_by(body)) is not None:  # as most are with sign-in
            by, room, user, message, client_id = plain.groups()
            return Post(room.decode(), user.decode(), message.decode(), client_id.decode(), 0, int(by))
        value = json.loads(body.decode())
        if not isinstance(value, dict):
            return None
        # The readers check only as much as encode() needs.  Its result is compared with the bytes.
        command: Command = _READERS[value.get("Type")](value)
        return command if encode(command) == body else None
    # KeyError, TypeError: not the members of a command.  ValueError: not JSON, not UTF-8 or not encodable.  Commands
    # are flat, so JSON that is nested deeper than a stack allows is no command on any stack.
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
