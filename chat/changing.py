"""Changing a room as a whole: check what the client sent, propose it once, tell the outcome.

A repetition does no harm, so these changes have no ClientId: after an unknown outcome the client asks again, and a
deletion that has come about meanwhile is then answered as one of a room that does not exist.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from chat import validation
from chat.commands import Actor, Command, DeleteRoom, SetRetention, encode, level_of
from chat.commands.rooms import ChangeRoom
from chat.problems import Problem, invalid, outcome_unknown, problem_of
from chat.refusals import problem_of_refusal
from chat.replica import Replica
from chat.state.events import RoomDeleted
from chat.state.results import Refusal, RoomChanged
from raft.errors import OutcomeUnknown, RaftError

MAX_MESSAGES_MAX = 1_000_000_000  # ten times what a log can be expected to hold

AGE_S_MAX = 315_360_000  # ten years
_INHERITED = -1  # of its own the room has no bound
_RETENTION_LEVEL = level_of(SetRetention("", None))

Change = DeleteRoom | SetRetention | ChangeRoom
Outcome = RoomDeleted | RoomChanged | Problem

# What a room has, or will have, and this version cannot change.
_FIXED = {"name": "Name", "topic": "Topic", "visibility": "Visibility", "members": "Members"}


def check_deletion(room: str) -> DeleteRoom:
    """The command that deletes a room.  Raises Problem naming the field."""
    return DeleteRoom(validation.name("RoomName", room))


def check_settings(room: str, fields: Mapping[str, object], actor: Actor) -> ChangeRoom:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"Retention": {"MaxMessages": 100, "MaxAgeSeconds": 86400}}`; null for any of them takes it away, and what is not
    named stays (RFC 7396).
    """
    room = validation.name("RoomName", room)
    members = validation.members(fields)
    for name in members.keys() - {"retention"}:
        raise invalid(_FIXED.get(name, "body"), "only Retention can be changed")
    if "retention" not in members:
        raise invalid("Retention", "missing")
    retention = members["retention"]
    if retention is None:
        return ChangeRoom(actor, room, max_messages=_INHERITED, max_age_seconds=_INHERITED)
    if not isinstance(retention, dict):
        raise invalid("Retention", 'must be an object like {"MaxMessages":100}, or null')
    bounds = validation.members(retention)
    if not bounds or bounds.keys() - {"maxmessages", "maxageseconds"}:
        raise invalid("Retention", "must have MaxMessages or MaxAgeSeconds, or both, and nothing else")
    max_messages = _bound("MaxMessages", bounds, MAX_MESSAGES_MAX)
    max_age_s = _bound("MaxAgeSeconds", bounds, AGE_S_MAX)
    return ChangeRoom(actor, room, max_messages=max_messages, max_age_seconds=max_age_s)


def _bound(name: str, bounds: Mapping[str, object], most: int) -> int | None:
    """None: not named."""
    if name.lower() not in bounds:
        return None
    found = bounds[name.lower()]
    return _INHERITED if found is None else validation.number(name, found, 1, most)


def propose_change(replica: Replica, change: Change, done: Callable[[Outcome], None]) -> None:
    """Propose a checked change; `done` is called once, by a thread of the engine's.

    Raises Problem (409) at once where a member would not know the change: then nothing was proposed.
    """
    if replica.level == _RETENTION_LEVEL and isinstance(change, ChangeRoom):
        change = _as_retention(change)
    check_level(replica, change)
    replica.propose(encode(change), lambda result: done(_outcome(result)))


def check_level(replica: Replica, command: Command) -> None:
    """Raises Problem (409) where a member of the cluster would not know this command."""
    if level_of(command) > replica.level:
        detail = "a member of the cluster runs a version that does not know this yet: upgrade every member first"
        raise Problem(HTTPStatus.CONFLICT, "level_too_low", detail)


def _as_retention(change: ChangeRoom) -> Change:
    """The same, where members are there that know no ages; but what says one."""
    if change.max_messages is None or (change.max_age_seconds or 0) > 0:
        return change
    return SetRetention(change.room, max(change.max_messages, 0) or None)


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
