"""Users as clients send them: check the fields, and build the commands that make and change users.

A command holds only the hash of a password.  It is computed after all other checks, since it takes a core for a third
of a second.
"""

from collections.abc import Mapping
from typing import NamedTuple

from chat.auth import secrets
from chat.commands import NOBODY, Actor
from chat.commands.accounts import ChangeUser, CreateUser
from chat.confusable_names import skeleton
from chat.errors import invalid
from chat.services import validation
from chat.state import permissions
from chat.state.accounts import ADMIN, MEMBER, ROLES
from chat.state.apply.credentials import NO_SUCH_ROOM
from chat.state.apply.users import BAD_INVITE, DISPLAY_LOOKS_LIKE, FORBIDDEN, LOOKS_LIKE, NAME_TAKEN, SIGNUP_CLOSED
from chat.state.results import Refusal
from chat.state.settings import OPEN
from chat.state.tables import Tables

ROOMS_MAX = 20  # that somebody new becomes a member of at once


class NewUser(NamedTuple):
    """A user to be made, checked."""

    name: str
    display_name: str
    password: str  # "": nobody can sign in until there is one
    invite: str  # the secret; "" for none
    role: str
    rooms: tuple[str, ...]

    def command(self, actor: Actor, password_hash: str) -> CreateUser:
        """The command that makes this user."""
        invite = secrets.digest(self.invite) if self.invite else b""
        looks = skeleton(self.name)
        return CreateUser(actor, self.name, self.display_name, looks, password_hash, self.role, invite, self.rooms)


def check_new_user(fields: Mapping[str, object], *, is_stranger: bool) -> NewUser:
    """Check the fields of a new user, in any case.  Raises Problem naming the field.

    `{"Name": "ann", "Password": "…", "DisplayName": "Ann", "Invite": "ri_…"}` to sign up; an admin gives `Role` and
    `Rooms` instead of `Invite`, and may leave `Password` out.
    """
    members = validation.only(fields, "Name", "Password", "DisplayName", "Invite", "Role", "Rooms")
    name = validation.user_name("Name", members.get("name"))
    if not skeleton(name):
        raise invalid("Name", "must have a visible character")
    for field in ("role", "rooms"):
        if is_stranger and field in members:
            raise invalid(field.capitalize(), "only an admin may set this for a new user")
    has_password = is_stranger or "password" in members
    return NewUser(
        name,
        validation.display_name("DisplayName", members["displayname"]) if "displayname" in members else name,
        validation.password("Password", members.get("password")) if has_password else "",
        invite_secret(members["invite"]) if "invite" in members else "",
        role(members["role"]) if "role" in members else MEMBER,
        room_names(members["rooms"]) if "rooms" in members else (),
    )


def invite_secret(value: object) -> str:
    """The secret of an invite.  Raises Problem."""
    if not isinstance(value, str) or not value.isascii() or len(value) > validation.URL_POINTS_MAX:
        raise invalid("Invite", "must be the secret of an invite, as POST /invites returns it")
    return value


def role(value: object) -> str:
    """A user's role.  Raises Problem."""
    if value not in ROLES or not isinstance(value, str):
        raise invalid("Role", "must be admin, member or guest")
    return value


def room_names(value: object) -> tuple[str, ...]:
    """The rooms that a new user becomes a member of, each once.  Raises Problem."""
    if not isinstance(value, list) or len(value) > ROOMS_MAX:
        raise invalid("Rooms", f"must be a list of at most {ROOMS_MAX} names")
    return tuple(dict.fromkeys(validation.name("Rooms", name) for name in value))


def refused_new_user(tables: Tables, actor: Actor, new_user: NewUser, now: int) -> Refusal | None:
    """The Refusal for this new user by this node's state; None if there is none.  `now`: microseconds since 1970."""
    if actor.by == NOBODY and tables.settings.auth != OPEN:
        refusal = _refused_stranger(tables, new_user, now)
    else:
        refusal = _refused_maker(tables, actor, new_user)
    if refusal is not None:
        return refusal
    if new_user.name in tables.users:
        return NAME_TAKEN
    if skeleton(new_user.name) in tables.skeletons:
        return LOOKS_LIKE
    return refused_display_name(tables, new_user.name, new_user.display_name)


def refused_display_name(tables: Tables, user: str, display_name: str) -> Refusal | None:
    """The Refusal for a display name that is, or looks like, another user's name; None if it may be given.

    Checked when the name is given and not when it is applied: a new user may get a name that is another one's display
    name, or anybody could keep others from signing up.
    """
    named = tables.skeletons.get(skeleton(display_name), user)
    return None if named == user else DISPLAY_LOOKS_LIKE


def _refused_stranger(tables: Tables, new_user: NewUser, now: int) -> Refusal | None:
    if not new_user.invite:
        return None if tables.settings.signup == OPEN else SIGNUP_CLOSED
    invite = tables.invites.get(secrets.digest(new_user.invite))
    is_good = invite is not None and now < invite.expires_at and permissions.granted(tables, invite) is not None
    return None if is_good else BAD_INVITE


def _refused_maker(tables: Tables, actor: Actor, new_user: NewUser) -> Refusal | None:
    who = permissions.acting_on_accounts(tables, actor)
    if isinstance(who, Refusal):
        return who
    if who.role != ADMIN:
        return FORBIDDEN
    is_unseen = any(permissions.visible_room(tables, who, room) is None for room in new_user.rooms)
    return NO_SUCH_ROOM if is_unseen else None


class Wish(NamedTuple):
    """A change of a user, checked; None stays."""

    name: str
    display_name: str | None
    password: str | None
    old_password: str | None
    role: str | None
    active: bool | None

    def command(self, actor: Actor, password_hash: str | None, password_at: int | None) -> ChangeUser:
        """The command of this change.  `password_at`: the log index of the password that the user proved to know."""
        return ChangeUser(actor, self.name, self.display_name, password_hash, password_at, self.role, self.active)


def check_change(name: str, fields: Mapping[str, object]) -> Wish:
    """Check the fields of a change of a user, in any case.  Raises Problem naming the field.

    `{"DisplayName": "Ann", "Password": "…", "OldPassword": "…", "Role": "admin", "Active": false}`, any of them.
    """
    members = validation.some(fields, "DisplayName", "Password", "OldPassword", "Role", "Active")
    if "oldpassword" in members and "password" not in members:
        raise invalid("Password", "missing")
    active = members.get("active")
    if "active" in members and not isinstance(active, bool):
        raise invalid("Active", "must be true or false")
    return Wish(
        validation.name("Name", name),
        validation.display_name("DisplayName", members["displayname"]) if "displayname" in members else None,
        validation.password("Password", members["password"]) if "password" in members else None,
        validation.password("OldPassword", members["oldpassword"]) if "oldpassword" in members else None,
        role(members["role"]) if "role" in members else None,
        active if isinstance(active, bool) else None,
    )
