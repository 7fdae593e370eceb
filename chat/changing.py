"""Changing a room as a whole: check what the client sent, propose it once, tell the outcome.

A repetition does no harm, so these changes have no ClientId: after an unknown outcome the client asks again, and a
deletion that has come about meanwhile is then answered as one of a room that does not exist.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from chat import validation
from chat.commands import Command, DeleteRoom, SetRetention, encode, level_of
from chat.problems import Problem, invalid, outcome_unknown, problem_of
from chat.refusals import problem_of_refusal
from chat.replica import Replica
from chat.state.events import RoomDeleted
from chat.state.results import Refusal, RoomChanged
from raft.errors import OutcomeUnknown, RaftError

MAX_MESSAGES_MAX = 1_000_000_000  # ten times what a log can be expected to hold

Change = DeleteRoom | SetRetention
Outcome = RoomDeleted | RoomChanged | Problem

# What a room has, or will have, and this version cannot change.
_FIXED = {"name": "Name", "topic": "Topic", "visibility": "Visibility", "members": "Members"}


def check_deletion(room: str) -> DeleteRoom:
    """The command that deletes a room.  Raises Problem naming the field."""
    return DeleteRoom(validation.name("RoomName", room))


def check_settings(room: str, fields: Mapping[str, object]) -> SetRetention:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"Retention": {"MaxMessages": 100}}`; null for either takes it away (RFC 7396).
    """
    room = validation.name("RoomName", room)
    members = validation.members(fields)
    for name in members.keys() - {"retention"}:
        raise invalid(_FIXED.get(name, "body"), "only Retention can be changed")
    if "retention" not in members:
        raise invalid("Retention", "missing")
    retention = members["retention"]
    if retention is None:
        return SetRetention(room, None)
    if not isinstance(retention, dict):
        raise invalid("Retention", 'must be an object like {"MaxMessages":100}, or null')
    return SetRetention(room, _max_messages(validation.members(retention)))


def _max_messages(retention: Mapping[str, object]) -> int | None:
    if "maxageseconds" in retention:
        raise invalid("MaxAgeSeconds", "this version keeps posts by their number only")
    if retention.keys() != {"maxmessages"}:
        raise invalid("Retention", "must have MaxMessages and nothing else")
    kept = retention["maxmessages"]
    return None if kept is None else validation.number("MaxMessages", kept, 1, MAX_MESSAGES_MAX)


def propose_change(replica: Replica, change: Change, done: Callable[[Outcome], None]) -> None:
    """Propose a checked change; `done` is called once, by a thread of the engine's.

    Raises Problem (409) at once where a member would not know the change: then nothing was proposed.
    """
    check_level(replica, change)
    replica.propose(encode(change), lambda result: done(_outcome(result)))


def check_level(replica: Replica, command: Command) -> None:
    """Raises Problem (409) where a member of the cluster would not know this command."""
    if level_of(command) > replica.level:
        detail = "a member of the cluster runs a version that does not know this yet: upgrade every member first"
        raise Problem(HTTPStatus.CONFLICT, "level_too_low", detail)


def unanswered(detail: str) -> Problem:
    """Nobody knows what became of the change."""
    return outcome_unknown(f"{detail}; ask again: a second time does no harm")


def _outcome(result: object) -> Outcome:
    match result:
        case RoomDeleted() | RoomChanged():
            return result
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(str(result))
        case RaftError():
            return problem_of(result)
        case _:
            raise AssertionError(f"the engine answered a change with {type(result).__name__}")
