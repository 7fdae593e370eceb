"""Who acts, what he sees and what he may do: every rule of authorisation is here.

Pure functions of the tables, for the appliers and for who reads alike.  A room that somebody does not see is to him as
one that does not exist: whoever asks here gets None for both.
"""

import re
from typing import NamedTuple

from chat.commands.accounts import OPERATOR, Actor
from chat.history import Room
from chat.state.accounts import ADMIN, GUEST
from chat.state.details import DIRECT
from chat.state.events import EVERYBODY, Reach
from chat.state.results import Refusal
from chat.state.rooms import is_public
from chat.state.settings import OPEN
from chat.state.tables import Tables

# A private room's name ends so, and nobody can ask for one that does: so what is not seen need not be hidden.
_PRIVATE_NAME = re.compile("~[a-z2-7]{10}$")

_LOGIN_NEEDED = Refusal("login_needed", "Authorization: log in first")
_BAD_TOKEN = Refusal("bad_token", "Authorization: this token is not known, or no longer")
_NOT_YOUR_NAME = Refusal("not_your_name", "User: not the name that this token was given to")
_NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")
ARCHIVED = Refusal("archived", "RoomName: this room is archived")
_NAMELESS = Refusal("forbidden", "Authorization: this token has no user, and so cannot post")


class Acting(NamedTuple):
    """Who acts, as the state knows it."""

    name: str  # "" where nobody is named
    role: str
    operator: bool = False


ANYBODY = Acting("", ADMIN)  # of the open mode
STRANGER = Acting("", GUEST)  # sees what is public in the open mode, and nothing where there is a login


def acting(tables: Tables, actor: Actor) -> Acting | Refusal:
    """Who it is that a command or a request says acts; now, that is at this place in the log."""
    if tables.settings.auth == OPEN:
        return Acting(actor.user, ADMIN) if actor.user else ANYBODY
    if actor.by == OPERATOR:
        return Acting("", ADMIN, operator=True)
    if actor.by <= 0:
        return _LOGIN_NEEDED
    token = tables.tokens.get(actor.by)
    if token is None:
        return _BAD_TOKEN
    if actor.user and actor.user != token.user:
        return _NOT_YOUR_NAME
    return Acting(token.user, tables.users[token.user].role)


def sees(tables: Tables, acting: Acting, room: Room) -> bool:
    """Whether the room is there for this one."""
    details = room.details
    if tables.settings.auth == OPEN:
        return is_public(room)  # what was private is not opened with the mode
    if details is not None and acting.name and acting.name in details.members:
        return True
    if acting.role == GUEST:
        return False
    return is_public(room) or (acting.role == ADMIN and details is not None and details.visibility != DIRECT)


def manages(tables: Tables, acting: Acting, room: Room) -> bool:
    """Whether this one, who sees the room, may change it as a whole."""
    if acting.role == ADMIN:
        return True
    return room.details is not None and bool(acting.name) and room.details.owner == acting.name


def visible_room(tables: Tables, acting: Acting, name: str) -> Room | None:
    """The room that has or had this name; None where there is none, or not for this one."""
    room = tables.rooms.existing(name)
    return room if room is not None and sees(tables, acting, room) else None


def reach(room: Room) -> Reach:
    """Whom it concerns what happens there."""
    details = room.details
    if details is None:
        return EVERYBODY
    return Reach(is_public(room), details.members)


def is_private_name(name: str) -> bool:
    """Whether a room of this name cannot be asked for."""
    return _PRIVATE_NAME.search(name) is not None


def refused_post(tables: Tables, actor: Actor, room: Room | None, name: str) -> Refusal | None:
    """Why this one may not post there, where `tables.guarded`; `room` None or deleted: it would be made."""
    who = acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    if who.operator:
        return _NAMELESS
    if room is None or not room.exists:
        return _NO_SUCH_ROOM if who.role == GUEST or is_private_name(name) else None
    if not sees(tables, who, room):
        return _NO_SUCH_ROOM
    return ARCHIVED if room.details is not None and room.details.archived else None
