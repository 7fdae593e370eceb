"""The cluster's settings as clients send them: check the fields, and build the command."""

from collections.abc import Mapping

from chat.commands import Actor
from chat.commands.cluster import SetAuth, SetSettings
from chat.errors import invalid
from chat.services import validation
from chat.services.validation import AGE_S_MAX
from chat.state.settings import INVITE, LOGIN, OPEN

ROOMS_MAX = 1_000_000_000  # as high as a bound on them may be
_NONE = 0  # as a command says that there is no bound


def check(fields: Mapping[str, object], actor: Actor) -> SetSettings:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"Signup": "open", "MaxRooms": 1000, "Retention": {"MaxMessages": 100, "MaxAgeSeconds": 86400},
    "UnusedRoomSeconds": 31536000, "EmptyRoomSeconds": 86400}`; null for a bound takes it away, and what is not named
    stays (RFC 7396).
    """
    members = validation.some(fields, "Signup", "MaxRooms", "Retention", "UnusedRoomSeconds", "EmptyRoomSeconds")
    max_messages, max_age_s = (
        validation.retention(members["retention"], _NONE) if "retention" in members else (None, None)
    )
    return SetSettings(
        actor,
        signup=_word("Signup", members["signup"], OPEN, INVITE) if "signup" in members else None,
        max_rooms=validation.bound("MaxRooms", members, ROOMS_MAX, _NONE),
        max_messages=max_messages,
        max_age_seconds=max_age_s,
        unused_room_seconds=validation.bound("UnusedRoomSeconds", members, AGE_S_MAX, _NONE),
        empty_room_seconds=validation.bound("EmptyRoomSeconds", members, AGE_S_MAX, _NONE),
    )


def check_auth(fields: Mapping[str, object], actor: Actor, signup: str) -> SetAuth | None:
    """The command for `{"Auth": "login", "Signup": "invite"}`; None where a client sent no `Auth`.

    `signup`: how it is, where that is not named.  Raises Problem naming the field.
    """
    members = validation.members(fields)
    if "auth" not in members:
        return None
    if members.keys() - {"auth", "signup"}:
        raise invalid("Auth", "can be changed only alone, or with Signup")
    auth = _word("Auth", members["auth"], OPEN, LOGIN)
    return SetAuth(actor, auth, _word("Signup", members.get("signup", signup), OPEN, INVITE))


def _word(field: str, value: object, *words: str) -> str:
    if value not in words or not isinstance(value, str):
        raise invalid(field, f"must be {' or '.join(words)}")
    return value
