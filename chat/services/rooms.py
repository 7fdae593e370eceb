"""Rooms as clients send them: check the fields, and build the commands that make, change and delete rooms.

These changes have no ClientId, since repeating them does no harm: after an unknown outcome the client asks again.  A
deletion that was carried out meanwhile is then answered with 404.
"""

from collections.abc import Mapping

from chat.auth.secrets import room_letters
from chat.commands import Actor
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from chat.confusable_names import room_looks
from chat.errors import invalid
from chat.services import validation
from chat.state.apply.preferences import LEVELS
from chat.state.apply.rooms import DIRECT_USERS, PLAIN_POINTS_MAX
from chat.state.room_details import DIRECT, MEMBERS_MAX, PRIVATE, PUBLIC
from chat.state.room_directory import is_private_name

_INHERITED = -1  # of its own the room has no bound
Members = dict[str, object]

_CHANGEABLE = ("Topic", "Name", "Visibility", "Members", "Archived", "Owner", "Retention")


def check_room(actor: Actor, room: str, fields: Mapping[str, object]) -> CreateRoom:
    """The command for a public room of this name, `{"Topic": "…"}`.  Raises Problem naming the field."""
    members = validation.only(fields, "Topic")
    name = _plain_name("RoomName", room)
    return CreateRoom(actor, name, PUBLIC, _topic(members), looks=room_looks(name))


def check_creation(actor: Actor, fields: Mapping[str, object]) -> CreateRoom:
    """The command of a new room, as a client describes it; the answer has the name of a private one.

    `{"Name": "plans", "Topic": "…", "Visibility": "private", "Members": ["bob"]}`; all but Name may be left out.
    Raises Problem naming the field.
    """
    members = validation.only(fields, "Name", "Topic", "Visibility", "Members")
    if "name" not in members:
        raise invalid("Name", "missing")
    name = _plain_name("Name", members["name"])
    visibility, looks = _visibility(members.get("visibility", PUBLIC)), room_looks(name)
    if visibility == PRIVATE:
        if len(name) > PLAIN_POINTS_MAX:
            raise invalid("Name", f"must have {PLAIN_POINTS_MAX} code points at most for a private room")
        name = f"{name}~{room_letters()}"
    users = _users("Members", members.get("members", []), MEMBERS_MAX)
    return CreateRoom(actor, name, visibility, _topic(members), users, looks)


def check_direct(actor: Actor, fields: Mapping[str, object]) -> CreateRoom:
    """The command for the room of some users and who asks, `{"Users": ["bob"]}`.  Raises Problem naming the field."""
    members = validation.only(fields, "Users")
    users = _users("Users", members.get("users"), DIRECT_USERS[-1])
    if not set(users) - {actor.user}:
        raise invalid("Users", "must name somebody else")
    return CreateRoom(actor, f"direct~{room_letters()}", DIRECT, members=users)


def check_membership(actor: Actor, room: str, user: str, *, on: bool) -> ChangeMembers:
    """The command that makes somebody a member, or ends that.  Raises Problem naming the field."""
    return ChangeMembers(actor, validation.name("RoomName", room), (validation.name("User", user),), on)


def check_deletion(actor: Actor, room: str) -> DeleteRoom:
    """The command that deletes a room.  Raises Problem naming the field."""
    return DeleteRoom(actor, validation.name("RoomName", room))


def check_preferences(actor: Actor, room: str, fields: Mapping[str, object]) -> SetPreferences:
    """The command for what a user prefers about a room, `{"Favourite": true, "Notify": "none"}`.

    With null for Notify the page's default level holds.  Raises Problem naming the field.
    """
    members = validation.some(fields, "Favourite", "Notify")
    favourite, notify = members.get("favourite", False), members.get("notify", "")
    if not isinstance(favourite, bool):
        raise invalid("Favourite", "must be true or false")
    if notify not in (None, "", *LEVELS) or ("notify" in members and notify == ""):
        raise invalid("Notify", "must be all, mentions, none or null")
    return SetPreferences(
        actor,
        validation.name("RoomName", room),
        favourite if "favourite" in members else None,
        str(notify or "") if "notify" in members else None,
    )


def check_settings(actor: Actor, room: str, fields: Mapping[str, object]) -> ChangeRoom:
    """The command for what a client sent, found whatever its members' case.  Raises Problem naming the field.

    `{"Topic": "…", "Name": "…", "Visibility": "private", "Members": ["ann"], "Archived": true, "Owner": "ann",
    "Retention": {"MaxMessages": 100, "MaxAgeSeconds": 86400}}`; null takes a topic, an owner, retention or one of its
    bounds away, and what is not named stays (RFC 7396).
    """
    room = validation.name("RoomName", room)
    members = validation.some(fields, *_CHANGEABLE)
    max_messages, max_age_s = (
        validation.retention(members["retention"], _INHERITED) if "retention" in members else (None, None)
    )
    archived, owner = members.get("archived", False), members.get("owner")
    if not isinstance(archived, bool):
        raise invalid("Archived", "must be true or false")
    return ChangeRoom(
        actor,
        room,
        topic=_topic(members) if "topic" in members else None,
        name=_plain_name("Name", members["name"]) if "name" in members else None,
        visibility=_visibility(members["visibility"]) if "visibility" in members else None,
        archived=archived if "archived" in members else None,
        owner=("" if owner is None else validation.name("Owner", owner)) if "owner" in members else None,
        members=_users("Members", members["members"], MEMBERS_MAX) if "members" in members else None,
        max_messages=max_messages,
        max_age_seconds=max_age_s,
        drawn=room_letters() if members.keys() & {"name", "visibility"} else "",
    )


def _plain_name(field: str, value: object) -> str:
    name = validation.name(field, value)
    if is_private_name(name):
        raise invalid(field, 'must not end with "~" and ten letters, as the names of private rooms do')
    return name


def _topic(members: Members) -> str:
    topic = members.get("topic")
    return "" if topic is None else validation.topic("Topic", topic)


def _visibility(value: object) -> str:
    if value not in (PUBLIC, PRIVATE):
        raise invalid("Visibility", f"must be {PUBLIC} or {PRIVATE}")
    return str(value)


def _users(field: str, value: object, most: int) -> tuple[str, ...]:
    """Return each name once, sorted by code point."""
    if not isinstance(value, list) or len(value) > most:
        raise invalid(field, f"must be a list of up to {most:,} users' names")
    return tuple(sorted({validation.name(field, each) for each in value}))
