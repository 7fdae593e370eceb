"""Posts as clients send them: check the fields, and build the command of a new post, an edit, a deletion, a reaction.

Rules
- REST and the websocket both come here.
- An edit and a deletion repeat what was posted, so that the post can be shown from that one entry.  What was posted is
  read here, since `apply` has no disk: after the state holds all that was acknowledged.  An entry never changes.
- Mentions are found here, since `apply` must not depend on what a user's name looks like.  The command names the users
  who are mentioned, and `apply` decides which of them see the room.
"""

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from secrets import token_bytes
from typing import NamedTuple

from chat.commands import OPERATOR, Actor, Post, decode
from chat.commands.imports import ImportPost
from chat.commands.posts import WHOLE_ROOM, DeletePost, EditedPost, EditPost, React, Tombstone
from chat.errors import invalid, problem_of_refusal
from chat.replica import Replica
from chat.services import validation
from chat.services.post_cache import mending, read_retrying
from chat.services.validation import NAME_POINTS_MAX
from chat.state.apply.posts import TAKEN_BACK, FoundPost, find, refused_change
from chat.state.events import PostChanged
from chat.state.permissions import NAMELESS, NOT_YOUR_NAME
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Done, Refusal
from chat.state.tables import StateReader
from raft.errors import CorruptLog

CLIENT_ID_BYTES = 12  # random; as long as nobody guesses them, nobody can use one up before its owner's retry
CLIENT_IDS_MADE = 256  # at a time: asking the kernel for each one lets another thread run in between, at each post
MENTIONS_MAX = 20  # of a message: the first ones; to mention more people, mention the room
_ROOM = WHOLE_ROOM[1:]  # no user's name: `validation.user_name` refuses it
_LOOKED_AT_MAX = 100  # of a message's "@", so that 8,000 of them cost no more

_NOBODY = Actor()
_client_ids: deque[str] = deque()  # made and not used yet; its steps are atomic


def check_post(room: str, fields: Mapping[str, object], actor: Actor = _NOBODY) -> Post:
    """The command of a new post, from fields in any case.  Raises Problem naming the field."""
    members = validation.members(fields)
    get = members.get
    if "message" not in members:
        raise invalid("Message", "missing")
    return Post(
        validation.name("RoomName", room),
        user_of(actor, "User", members),
        validation.message("Message", get("message")),
        validation.client_id("ClientId", get("clientid")) if "clientid" in members else _new_client_id(),
        validation.post_id("ReplyTo", get("replyto")) if "replyto" in members else 0,
        actor.by,
    )


def with_mentions(post: Post, state: StateReader) -> Post:
    """The post with the users that its message mentions; nobody in the open mode, which has no users."""
    if not post.by or "@" not in post.message:
        return post

    def known(texts: set[str]) -> set[str]:
        return state.ask(lambda tables: {text for text in texts if text in tables.users})

    return post._replace(mentions=mentioned(post.message, known))


def user_of(actor: Actor, field: str, members: Mapping[str, object]) -> str:
    """The user to record: the token's user, or in the open mode the name in the request.

    `members` by their names in lower case.  Raises Problem: 400 if a name is missing, 403 if it is not the token's
    and for the operator, who has none.
    """
    if actor.by == OPERATOR:
        raise problem_of_refusal(NAMELESS)
    said = members.get(field.lower())
    if said is None and field.lower() not in members:
        if not actor.user:
            raise invalid(field, "missing")
        return actor.user
    name = validation.name(field, said)
    if actor.user and name != actor.user:
        raise problem_of_refusal(NOT_YOUR_NAME)
    return name


def with_key(fields: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The fields, with the value of the `Idempotency-Key` header (an IETF draft) as ClientId.

    The draft has it in quotes, most clients send it without: both are the same key.  Raises Problem (400) if the fields
    have another ClientId, and for a key beyond ASCII, for which HTTP has no encoding.
    """
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key.isascii():
        raise invalid("Idempotency-Key", "must be ASCII")
    key = validation.client_id("Idempotency-Key", key)
    if validation.members(fields).get("clientid", key) != key:
        raise invalid("Idempotency-Key", "must be the same as ClientId, or one of them left out")
    return {name: value for name, value in fields.items() if name.lower() != "clientid"} | {"ClientId": key}


def _new_client_id() -> str:
    try:
        return _client_ids.popleft()
    except IndexError:
        random = token_bytes(CLIENT_ID_BYTES * CLIENT_IDS_MADE)
        pieces = (random[start : start + CLIENT_ID_BYTES] for start in range(0, len(random), CLIENT_ID_BYTES))
        _client_ids.extend(urlsafe_b64encode(piece).decode() for piece in pieces)
        return _client_ids.popleft()


# --- changes of one post


class PostChange(NamedTuple):
    """An edit of a post as a client asks for it, or (`message` None) a deletion."""

    actor: Actor
    room: str
    id: int
    message: str | None


def check_edit(actor: Actor, room: str, id: int, fields: Mapping[str, object]) -> PostChange:
    """Check the fields of an edit, in any case.  Raises Problem naming the field."""
    members = validation.only(fields, "Message", "User")
    if "message" not in members:
        raise invalid("Message", "missing")
    actor = actor._replace(user=user_of(actor, "User", members))
    return PostChange(actor, validation.name("RoomName", room), id, validation.message("Message", members["message"]))


def check_deletion(actor: Actor, room: str, id: int, user: str | None) -> PostChange:
    """Check a deletion.  Raises Problem naming the field."""
    return PostChange(_named(actor, user), validation.name("RoomName", room), id, None)


def check_reaction(actor: Actor, room: str, id: int, emoji: str, user: str | None, *, on: bool) -> React:
    """The command that puts or removes a reaction.  Raises Problem naming the field."""
    return React(_named(actor, user), validation.name("RoomName", room), id, validation.emoji("Emoji", emoji), on)


def _named(actor: Actor, user: str | None) -> Actor:
    return actor._replace(user=user_of(actor, "user", {} if user is None else {"user": user}))


def command_for(
    replica: Replica, state: StateReader, change: PostChange, mended: Callable[[CorruptLog], bool] | None = None
) -> EditPost | DeletePost | PostChanged | Done:
    """The command of a change; or the post as it is, if nothing would change.

    Blocks for a read of the log, and until damage is mended that it meets: `mended`, or None for `Replica.mended`.
    Raises Problem if the post does not exist, or the user may not change it.
    """

    def locate() -> FoundPost:
        found = state.ask(lambda tables: find(tables, change.actor, change.room, change.id))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        return found

    return mending(
        lambda: read_retrying(locate, lambda found: _command(replica, state, change, found)), mended or replica.mended
    )


def _command(
    replica: Replica, state: StateReader, change: PostChange, found: FoundPost
) -> EditPost | DeletePost | PostChanged | Done:
    actor, room, id, message = change
    index, revision = found
    (entry,) = replica.commands([revision.version_index or index])
    shown = decode(entry.body)
    assert isinstance(shown, Post | EditPost | DeletePost | ImportPost)
    post, posted_at = (shown, entry.time) if isinstance(shown, Post) else (shown.post, shown.posted_at)
    imported_at = entry.time if isinstance(shown, ImportPost) else getattr(post, "imported_at", 0)
    author, deletes = post.user, message is None
    refused = state.ask(lambda tables: refused_change(tables, actor, room, id, author, deletes=deletes))
    if refused is not None:
        raise problem_of_refusal(refused)
    if revision.deleted or isinstance(post, Tombstone):
        if message is None:
            return Done(entry.index)
        raise problem_of_refusal(TAKEN_BACK)
    if message is None:
        return DeletePost(actor, room, id, index, posted_at, Tombstone(post.user, post.client_id, imported_at))
    if message == post.message:
        return PostChanged(entry.index, room, id, with_reactions(render_post(entry, id), revision.reactions))
    edited = EditedPost(post.user, message, post.client_id, post.reply_to, imported_at)
    return EditPost(actor, room, id, index, posted_at, edited)


# --- mentions


def mentioned(message: str, known: Callable[[set[str]], set[str]]) -> tuple[str, ...]:
    """The users that the message mentions, each once, and WHOLE_ROOM for "@room", in the order of the message.

    A mention is an "@" and the longest user's name that follows it; neither the "@" nor the name's end may be within a
    word.  `known` returns the texts that are users' names.
    """
    tails = [message[at + 1 : at + 2 + NAME_POINTS_MAX] for at in islice(_opens(message), _LOOKED_AT_MAX)]
    texts = [[tail[:end] for end in _ends(tail)] for tail in tails]
    names = known({text for each in texts for text in each}) | {_ROOM}
    found = [next((text for text in reversed(each) if text in names), "") for each in texts]
    return tuple(islice(dict.fromkeys(WHOLE_ROOM if name == _ROOM else name for name in found if name), MENTIONS_MAX))


def _opens(message: str) -> Iterator[int]:
    at = message.find("@")
    while at >= 0:
        if not at or not message[at - 1].isalnum():
            yield at
        at = message.find("@", at + 1)


def _ends(tail: str) -> Iterator[int]:
    """The places where a name may end, ascending."""
    for end in range(1, min(len(tail), NAME_POINTS_MAX) + 1):
        if end == len(tail) or not (tail[end - 1].isalnum() and tail[end].isalnum()):
            yield end
