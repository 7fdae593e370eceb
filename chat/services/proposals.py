"""Propose a checked command once, and say in the client's terms how it ended.

A command that would change nothing is not proposed: it is refused, or is done already.  The state's own appliers decide
that in a dry run, before and after a read that confirms the state (`Replica.read`).  So nobody can fill the log with
commands that are refused.

A post carries a ClientId, by which a retry is recognised.  Every other command may be sent again without one.  Only a
private room, a token or an invite, which get a random part at each request, may then exist twice.
"""

from collections.abc import Callable, Sequence
from typing import Any, overload

from chat.commands import Actor, Command, Post, decode, encode, level_of
from chat.errors import Problem, outcome_unknown, problem, problem_of, problem_of_refusal
from chat.replica import Replica
from chat.services.room_names import told_looks
from chat.state.machine import ChatState
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Posted, Refusal, Repeated, Success
from raft.core import raft_messages
from raft.errors import OutcomeUnknown, RaftError


@overload
def propose(
    replica: Replica, command: Post, done: Callable[[Posted | Problem], None], *, flushes: bool = False
) -> None: ...


@overload
def propose(
    replica: Replica, command: Command, done: Callable[[Success | Problem], None], *, flushes: bool = False
) -> None: ...


def propose(replica: Replica, command: Command, done: Callable[[Any], None], *, flushes: bool = False) -> None:
    """Propose the command.  `done` is called once, by a thread of the engine's.  `flushes`: as Replica has it.

    Raises Problem (409) at once if a node would not know the command: then nothing was proposed.
    """
    if type(command) is not Post:
        check_level(replica, command)
    replica.propose(encode(command), lambda result: done(_outcome(replica, command, result)), flushes=flushes)


def dry_run(replica: Replica, state: ChatState, command: Command) -> Success | Problem | None:
    """The outcome of this command now, if it would change nothing; None if it is to be proposed.

    The outcome counts only if the state holds all that was acknowledged before the command was sent.
    Raises as `check_level` does.
    """
    check_level(replica, command)
    result = state.dry_run(command, replica.last_applied)
    return None if result is None else _outcome(replica, command, result)


def post_to_propose(post: Post, actor: Actor, state: ChatState) -> Post | Problem:
    """Return the post to propose, or the reason not to propose it, as far as the state here knows.

    A reason counts only if the state holds all that was acknowledged before the post was sent.
    """
    if state.takes(post):  # nearly all
        return post
    refusal = state.dry_run(post)
    if isinstance(refusal, Refusal):
        return problem_of_refusal(refusal)
    return told_looks(post, actor, state)


def check_level(replica: Replica, command: Command) -> None:
    """Raise Problem (409) if a node of the cluster would not know this command."""
    if level_of(command) > replica.level:
        detail = "a node of the cluster runs an older version, which does not know this; upgrade every node first"
        raise problem("level_too_low", detail)


def unanswered(command: Command | None, detail: str) -> Problem:
    """A Problem (504) that says how to ask again; a post's names the ClientId to retry with."""
    if not isinstance(command, Post):
        return outcome_unknown(f"{detail}; ask again: only a private room, a token or an invite may then exist twice")
    unknown = outcome_unknown(f"ClientId: {detail}; retry with the ClientId in this answer")
    unknown.members = {"ClientId": command.client_id}
    return unknown


def _outcome(replica: Replica, command: Command, result: object) -> Success | Problem:
    match result:
        case Posted():  # first: nearly all are
            return result
        case Repeated() if isinstance(command, Post):
            return answer_to_repeat(command, result, replica.commands)
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(command, str(result))
        case RaftError():
            return problem_of(result)
    assert isinstance(result, Success), f"the engine answered a command with {type(result).__name__}"
    return result


def answer_to_repeat(
    post: Post, repeated: Repeated, read: Callable[[Sequence[int]], list[raft_messages.Command]]
) -> Posted | Problem:
    """The earlier post with this (User, ClientId), as it is now, if it says the same; else a Problem.

    `read` is `Replica.commands`: from the disk's cache.
    """
    if repeated.id and not repeated.version_index:
        return _gone()  # deleted: the log may still have its text until the next compaction
    try:
        command, *_ = commands = read(sorted({repeated.index, repeated.version_index or repeated.index}))
    except LookupError:
        return _unreadable(post) if repeated.id else _gone()  # entries of a post that is left are in the log, or soon
    except (RaftError, OSError):
        return _unreadable(post)
    # If not even user and ClientId are the same, two hashes met: the answer is the same.
    if not _is_same(command.body, post):
        return problem("client_id_reused", "ClientId: used before with another RoomName, Message or ReplyTo")
    if not repeated.id:
        return _gone()
    now = with_reactions(render_post(commands[-1], repeated.id), repeated.reactions)
    return Posted(post.room, repeated.id, repeated.index, False, now)


def _is_same(body: bytes, post: Post) -> bool:
    """Return whether a command is the same post; its token, and the users and rooms of its time, do not matter."""
    if body == encode(post):  # equal commands have equal bytes
        return True
    earlier = decode(body)
    return isinstance(earlier, Post) and _said(earlier) == _said(post)


def _said(post: Post) -> Post:
    return post._replace(by=0, mentions=(), looks="")


def _gone() -> Problem:
    return problem("gone", "ClientId: the message posted with it is gone; nothing was posted now")


def _unreadable(post: Post) -> Problem:
    return unanswered(post, "the message is posted, but this node cannot read it at the moment")
