"""Changing what is set for the whole cluster: the command for what a client sent."""

from collections.abc import Mapping

from chat.commands import Actor
from chat.commands.cluster import SetAuth, SetSettings
from chat.errors import invalid
from chat.services import validation
from chat.services.rooms import AGE_S_MAX, MAX_MESSAGES_MAX
from chat.state.settings import INVITE, LOGIN, OPEN

ROOMS_MAX = 1_000_000_000  # as high as a bound on them may be
_NAMES = {"signup", "maxrooms", "retention", "unusedroomseconds", "emptyroomseconds"}
_NONE = 0  # as a command says that there is no bound


def check(fields: Mapping[str, object], actor: Actor) -> SetSettings:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"Signup": "open", "MaxRooms": 1000, "Retention": {"MaxMessages": 100, "MaxAgeSeconds": 86400},
    "UnusedRoomSeconds": 31536000, "EmptyRoomSeconds": 86400}`; null for a bound takes it away, and what is not named
    stays (RFC 7396).
    """
    members = validation.members(fields)
    if not members or members.keys() - _NAMES:
        bounds = "MaxRooms, Retention, UnusedRoomSeconds or EmptyRoomSeconds"
        raise invalid("body", f"must have Signup, {bounds}, or Auth, and nothing else")
    max_messages, max_age_s = _retention(members)
    return SetSettings(
        actor,
        signup=_word("Signup", members["signup"], OPEN, INVITE) if "signup" in members else None,
        max_rooms=_bound("MaxRooms", members, ROOMS_MAX),
        max_messages=max_messages,
        max_age_seconds=max_age_s,
        unused_room_seconds=_bound("UnusedRoomSeconds", members, AGE_S_MAX),
        empty_room_seconds=_bound("EmptyRoomSeconds", members, AGE_S_MAX),
    )


def check_auth(fields: Mapping[str, object], actor: Actor, signup: str) -> SetAuth | None:
    """The command for `{"Auth": "login", "Signup": "invite"}`; None where a client sent no `Auth`.

    `signup`: how it is, where that is not named.  Raises Problem naming the field.
    """
    members = validation.members(fields)
    if "auth" not in members:
        return None
    if members.keys() - {"auth", "signup"}:
        raise invalid("Auth", "must be alone, or with Signup")
    auth = _word("Auth", members["auth"], OPEN, LOGIN)
    return SetAuth(actor, auth, _word("Signup", members.get("signup", signup), OPEN, INVITE))


def _word(field: str, value: object, *words: str) -> str:
    if value not in words or not isinstance(value, str):
        raise invalid(field, f"must be {' or '.join(words)}")
    return value


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
