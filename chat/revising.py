"""Changing one post: check what the client sent, read what was posted, propose the change once, tell the outcome.

An edit and a deletion say again what was posted, so that readers are shown them without it.  It is read here, for
`apply` has no disk: after the state holds all that was acknowledged, and what is read never changes.
A repetition does no harm, so these changes have no ClientId: a text that is the post's already is not posted again.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from chat import validation
from chat.changing import check_level, unanswered
from chat.commands import Actor, Post, decode, encode
from chat.commands.posts import DeletePost, EditPost, React, Said, Tombstone
from chat.history import render_post, with_reactions
from chat.problems import Problem, invalid, problem_of, unavailable
from chat.refusals import problem_of_refusal
from chat.replica import Replica
from chat.state.events import PostChanged, Reacted
from chat.state.machine import ChatState
from chat.state.post_changes import NOT_THE_AUTHOR, TAKEN_BACK, Found, find
from chat.state.results import Done, Refusal
from raft.errors import OutcomeUnknown, RaftError

Change = EditPost | DeletePost | React
Outcome = PostChanged | Reacted | Done | Problem

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
    for name in ("message", "user"):
        if name not in members:
            raise invalid(name.capitalize(), "missing")
    if members.keys() - {"message", "user"}:
        raise invalid("body", "only Message can be changed, by the User who posted it")
    actor = actor._replace(user=validation.name("User", members["user"]))
    return Wish(actor, validation.name("RoomName", room), id, validation.message("Message", members["message"]))


def check_deletion(actor: Actor, room: str, id: int, user: str | None) -> Wish:
    """A deletion as a client asked for it.  Raises Problem naming the field."""
    return Wish(_named(actor, user), validation.name("RoomName", room), id, None)


def check_reaction(actor: Actor, room: str, id: int, emoji: str, user: str | None, *, on: bool) -> React:
    """The command that puts an emoji to a post, or takes it away.  Raises Problem naming the field."""
    return React(_named(actor, user), validation.name("RoomName", room), id, validation.emoji("Emoji", emoji), on)


def _named(actor: Actor, user: str | None) -> Actor:
    if user is None:
        raise invalid("user", "missing")
    return actor._replace(user=validation.name("user", user))


def command_for(replica: Replica, state: ChatState, wish: Wish) -> EditPost | DeletePost | PostChanged | Done:
    """What is to be proposed; or, where the post is as it is asked for already, how it is.

    Blocks for a read of the log.  Raises Problem where the post is not there, or not this user's.
    """
    for _ in range(_READ_TRIES):
        found = state.ask(lambda tables: find(tables, wish.actor, wish.room, wish.id))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        with suppress(LookupError):  # a compaction took it: then the state knows a newer version
            return _command(replica, wish, found)
    raise unavailable("this member is taking in a snapshot")


def _command(replica: Replica, wish: Wish, found: Found) -> EditPost | DeletePost | PostChanged | Done:
    actor, room, id, message = wish
    index, change = found
    (entry,) = replica.commands([change.version_index or index])
    shown = decode(entry.body)
    assert isinstance(shown, Post | EditPost | DeletePost)
    post, posted_at = (shown, entry.time) if isinstance(shown, Post) else (shown.post, shown.posted_at)
    if post.user != actor.user:
        raise problem_of_refusal(NOT_THE_AUTHOR)
    if isinstance(post, Tombstone):
        if message is None:
            return Done(entry.index)
        raise problem_of_refusal(TAKEN_BACK)
    if message is None:
        return DeletePost(actor, room, id, index, posted_at, Tombstone(post.user, post.client_id))
    if message == post.message:
        return PostChanged(entry.index, room, id, with_reactions(render_post(entry, id), change.reactions))
    return EditPost(actor, room, id, index, posted_at, Said(post.user, message, post.client_id, post.reply_to))


def propose(replica: Replica, change: Change, done: Callable[[Outcome], None]) -> None:
    """Propose a checked change; `done` is called once, by a thread of the engine's.

    Raises Problem (409) at once where a member would not know the change: then nothing was proposed.
    """
    check_level(replica, change)
    replica.propose(encode(change), lambda result: done(_outcome(result)))


def _outcome(result: object) -> Outcome:
    match result:
        case PostChanged() | Reacted() | Done():
            return result
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(str(result))
        case RaftError():
            return problem_of(result)
        case _:
            raise AssertionError(f"the engine answered a change of a post with {type(result).__name__}")
