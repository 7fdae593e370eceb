"""Changing one post: check what the client sent, read what was posted, and say what is to be proposed.

An edit and a deletion say again what was posted, so that readers are shown them without it.  It is read here, for
`apply` has no disk: after the state holds all that was acknowledged, and what is read never changes.
A repetition does no harm, so these changes have no ClientId: a text that is the post's already is not posted again.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from chat.commands import Actor, Post, decode
from chat.commands.posts import DeletePost, EditedPost, EditPost, React, Tombstone
from chat.errors import invalid, problem_of_refusal, unavailable
from chat.replica import Replica
from chat.services import validation
from chat.services.posts import user_of
from chat.state.apply.posts import TAKEN_BACK, FoundPost, find, refused_change
from chat.state.events import PostChanged
from chat.state.machine import ChatState
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Done, Refusal

_READ_TRIES = 4  # a second one is needed where a compaction comes between, a third one hardly ever


class Wish(NamedTuple):
    """What a client asks for: that a post says something else, or (`message` None) nothing any more."""

    actor: Actor
    room: str
    id: int
    message: str | None


def check_edit(actor: Actor, room: str, id: int, fields: Mapping[str, object]) -> Wish:
    """An edit as a client sent it; members are found whatever their case.  Raises Problem naming the field."""
    members = validation.members(fields)
    if "message" not in members:
        raise invalid("Message", "missing")
    if members.keys() - {"message", "user"}:
        raise invalid("body", "only Message can be changed, by the User who posted it")
    actor = actor._replace(user=user_of(actor, "User", members))
    return Wish(actor, validation.name("RoomName", room), id, validation.message("Message", members["message"]))


def check_deletion(actor: Actor, room: str, id: int, user: str | None) -> Wish:
    """A deletion as a client asked for it.  Raises Problem naming the field."""
    return Wish(_named(actor, user), validation.name("RoomName", room), id, None)


def check_reaction(actor: Actor, room: str, id: int, emoji: str, user: str | None, *, on: bool) -> React:
    """The command that puts an emoji to a post, or takes it away.  Raises Problem naming the field."""
    return React(_named(actor, user), validation.name("RoomName", room), id, validation.emoji("Emoji", emoji), on)


def _named(actor: Actor, user: str | None) -> Actor:
    return actor._replace(user=user_of(actor, "user", {} if user is None else {"user": user}))


def command_for(replica: Replica, state: ChatState, wish: Wish) -> EditPost | DeletePost | PostChanged | Done:
    """What is to be proposed; or, where the post is as it is asked for already, how it is.

    Blocks for a read of the log.  Raises Problem where the post is not there, or not this user's.
    """
    for _ in range(_READ_TRIES):
        found = state.ask(lambda tables: find(tables, wish.actor, wish.room, wish.id))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        with suppress(LookupError):  # a compaction took it: then the state knows a newer version
            return _command(replica, state, wish, found)
    raise unavailable("this member is taking in a snapshot")


def _command(
    replica: Replica, state: ChatState, wish: Wish, found: FoundPost
) -> EditPost | DeletePost | PostChanged | Done:
    actor, room, id, message = wish
    index, revision = found
    (entry,) = replica.commands([revision.version_index or index])
    shown = decode(entry.body)
    assert isinstance(shown, Post | EditPost | DeletePost)
    post, posted_at = (shown, entry.time) if isinstance(shown, Post) else (shown.post, shown.posted_at)
    author, deletes = post.user, message is None
    refused = state.ask(lambda tables: refused_change(tables, actor, room, id, author, deletes=deletes))
    if refused is not None:
        raise problem_of_refusal(refused)
    if isinstance(post, Tombstone):
        if message is None:
            return Done(entry.index)
        raise problem_of_refusal(TAKEN_BACK)
    if message is None:
        return DeletePost(actor, room, id, index, posted_at, Tombstone(post.user, post.client_id))
    if message == post.message:
        return PostChanged(entry.index, room, id, with_reactions(render_post(entry, id), revision.reactions))
    return EditPost(actor, room, id, index, posted_at, EditedPost(post.user, message, post.client_id, post.reply_to))
