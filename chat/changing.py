"""Changing a room as a whole: the commands for what a client sent.

A repetition does no harm, so these changes have no ClientId: after an unknown outcome the client asks again, and a
deletion that has come about meanwhile is then answered as one of a room that does not exist.
"""

from collections.abc import Mapping

from chat import validation
from chat.commands import Actor, DeleteRoom, SetRetention, level_of
from chat.commands.rooms import ChangeRoom
from chat.problems import invalid

MAX_MESSAGES_MAX = 1_000_000_000  # ten times what a log can be expected to hold

AGE_S_MAX = 315_360_000  # ten years
_INHERITED = -1  # of its own the room has no bound
_RETENTION_LEVEL = level_of(SetRetention("", None))

Change = DeleteRoom | SetRetention | ChangeRoom

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


def as_known(change: Change, level: int) -> Change:
    """The same, where members are there that know no ages; but what says one."""
    if level != _RETENTION_LEVEL or not isinstance(change, ChangeRoom):
        return change
    if change.max_messages is None or (change.max_age_seconds or 0) > 0:
        return change
    return SetRetention(change.room, max(change.max_messages, 0) or None)
