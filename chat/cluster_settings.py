"""Changing what is set for the whole cluster: check what the client sent, propose it once, tell the outcome.

A repetition does no harm, so these changes have no ClientId.
"""

from collections.abc import Callable, Mapping

from chat import validation
from chat.changing import AGE_S_MAX, MAX_MESSAGES_MAX, check_level, unanswered
from chat.commands import Actor, encode
from chat.commands.cluster import SetSettings
from chat.problems import Problem, invalid, problem_of
from chat.refusals import problem_of_refusal
from chat.replica import Replica
from chat.state.results import Refusal, SettingsChanged
from raft.errors import OutcomeUnknown, RaftError

ROOMS_MAX = 1_000_000_000  # as high as a bound on them may be
_NAMES = {"maxrooms", "retention", "unusedroomseconds", "emptyroomseconds"}
_NONE = 0  # as a command says that there is no bound

Outcome = SettingsChanged | Problem


def check(fields: Mapping[str, object], actor: Actor) -> SetSettings:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"MaxRooms": 1000, "Retention": {"MaxMessages": 100, "MaxAgeSeconds": 86400}, "UnusedRoomSeconds": 31536000,
    "EmptyRoomSeconds": 86400}`; null for any of them takes it away, and what is not named stays (RFC 7396).
    """
    members = validation.members(fields)
    if not members or members.keys() - _NAMES:
        raise invalid("body", "must have MaxRooms, Retention, UnusedRoomSeconds or EmptyRoomSeconds, and nothing else")
    max_messages, max_age_s = _retention(members)
    return SetSettings(
        actor,
        max_rooms=_bound("MaxRooms", members, ROOMS_MAX),
        max_messages=max_messages,
        max_age_seconds=max_age_s,
        unused_room_seconds=_bound("UnusedRoomSeconds", members, AGE_S_MAX),
        empty_room_seconds=_bound("EmptyRoomSeconds", members, AGE_S_MAX),
    )


def _retention(members: Mapping[str, object]) -> tuple[int | None, int | None]:
    if "retention" not in members:
        return None, None
    retention = members["retention"]
    if retention is None:
        return _NONE, _NONE
    if not isinstance(retention, dict):
        raise invalid("Retention", 'must be an object like {"MaxMessages":100}, or null')
    bounds = validation.members(retention)
    if not bounds or bounds.keys() - {"maxmessages", "maxageseconds"}:
        raise invalid("Retention", "must have MaxMessages or MaxAgeSeconds, or both, and nothing else")
    return _bound("MaxMessages", bounds, MAX_MESSAGES_MAX), _bound("MaxAgeSeconds", bounds, AGE_S_MAX)


def _bound(name: str, members: Mapping[str, object], most: int) -> int | None:
    """None: not named."""
    if name.lower() not in members:
        return None
    found = members[name.lower()]
    return _NONE if found is None else validation.number(name, found, 1, most)


def propose(replica: Replica, change: SetSettings, done: Callable[[Outcome], None]) -> None:
    """Propose a checked change; `done` is called once, by a thread of the engine's.

    Raises Problem (409) at once where a member would not know the change: then nothing was proposed.
    """
    check_level(replica, change)
    replica.propose(encode(change), lambda result: done(_outcome(result)))


def _outcome(result: object) -> Outcome:
    match result:
        case SettingsChanged():
            return result
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(str(result))
        case RaftError():
            return problem_of(result)
        case _:
            raise AssertionError(f"the engine answered a change with {type(result).__name__}")
