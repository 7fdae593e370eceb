"""Proposing a checked command once, and telling in the client's terms what came of it.

What would change nothing is not proposed: it is refused, or is so already.  The state's own appliers say that, here
once before and once after a read that confirms the state (`Replica.read`), for the log is to hold no command that
anybody can have refused as often as they like.

For whatever may be sent again, so that it needs no ClientId: all but posts.  What gets a secret, or a part of its name,
drawn at each asking may then be there twice, which is told.
"""

from collections.abc import Callable
from http import HTTPStatus

from chat.commands import Command, encode, level_of
from chat.errors import Problem, outcome_unknown, problem_of, problem_of_refusal
from chat.replica import Replica
from chat.state.machine import ChatState
from chat.state.results import Refusal, Success
from raft.errors import OutcomeUnknown, RaftError


def propose(replica: Replica, command: Command, done: Callable[[Success | Problem], None]) -> None:
    """`done` is called once, by a thread of the engine's.

    Raises Problem (409) at once where a member would not know the command: then nothing was proposed.
    """
    check_level(replica, command)
    replica.propose(encode(command), lambda result: done(_outcome(result)))


def dry_run(replica: Replica, state: ChatState, command: Command) -> Success | Problem | None:
    """What would come of this command now, where it would change nothing; None: it is to be proposed.

    That is an answer only where the state holds all that was acknowledged before the command was sent.
    Raises as `check_level` does.
    """
    check_level(replica, command)
    result = state.dry_run(command, replica.last_applied)
    return None if result is None else _outcome(result)


def check_level(replica: Replica, command: Command) -> None:
    """Raises Problem (409) where a member of the cluster would not know this command."""
    if level_of(command) > replica.level:
        detail = "a member of the cluster runs a version that does not know this yet: upgrade every member first"
        raise Problem(HTTPStatus.CONFLICT, "level_too_low", detail)


def unanswered(detail: str) -> Problem:
    """Nobody knows what became of the change."""
    again = "ask again: only a private room, a token or an invite may then be there twice"
    return outcome_unknown(f"{detail}; {again}")


def _outcome(result: object) -> Success | Problem:
    match result:
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(str(result))
        case RaftError():
            return problem_of(result)
    assert isinstance(result, Success), f"the engine answered a command with {type(result).__name__}"
    return result
