"""Making users and changing them: the commands for what a client sent.

A password goes into a command as its hash only, which is made here once all else is known to be right: it takes a
core for a third of a second, and nobody is to have that for the asking.
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
    """Who is to have an account, checked."""

    name: str
    display_name: str
    password: str  # "": nobody can log in until there is one
    invite: str  # the secret; "" for none
    role: str
    rooms: tuple[str, ...]

    def command(self, actor: Actor, password_hash: str) -> CreateUser:
        """What is to be proposed."""
        invite = secrets.digest(self.invite) if self.invite else b""
        looks = skeleton(self.name)
        return CreateUser(actor, self.name, self.display_name, looks, password_hash, self.role, invite, self.rooms)


def check_new_user(fields: Mapping[str, object], *, is_stranger: bool) -> NewUser:
    """Who is to have an account, found whatever the members' case.  Raises Problem naming the field.

    `{"Name": "ann", "Password": "…", "DisplayName": "Ann", "Invite": "ri_…"}` for who signs up himself; an admin says
    `Role` and `Rooms` in place of `Invite`, and may leave `Password` out.
    """
    members = validation.only(fields, "Name", "Password", "DisplayName", "Invite", "Role", "Rooms")
    name = validation.user_name("Name", members.get("name"))
    if not skeleton(name):
        raise invalid("Name", "nothing of it would be seen")
    for field in ("role", "rooms"):
        if is_stranger and field in members:
            raise invalid(field.capitalize(), "only an admin says that of who has no account yet")
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
    """What somebody was invited with.  Raises Problem."""
    if not isinstance(value, str) or not value.isascii() or len(value) > validation.URL_POINTS_MAX:
        raise invalid("Invite", "must be a text as POST /invites gives it")
    return value


def role(value: object) -> str:
    """A user's role.  Raises Problem."""
    if value not in ROLES or not isinstance(value, str):
        raise invalid("Role", "must be admin, member or guest")
    return value


def room_names(value: object) -> tuple[str, ...]:
    """The rooms that somebody new becomes a member of, each once.  Raises Problem."""
    if not isinstance(value, list) or len(value) > ROOMS_MAX:
        raise invalid("Rooms", f"must be a list of at most {ROOMS_MAX} names")
    return tuple(dict.fromkeys(validation.name("Rooms", name) for name in value))


def refused_new_user(tables: Tables, actor: Actor, new_user: NewUser, now: int) -> Refusal | None:
    """Why this one gets no account, as far as this member knows; `now` in microseconds since 1970."""
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
    """Why this user is not to be shown by such a name: it is, or looks like, the name of another one.

    That is asked where the name is said, and not where it is applied: a user may get, later, a name that another one
    is shown by, or nobody could sign up whose name somebody else likes.
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
    """What is to become of a user, checked; None stays."""

    name: str
    display_name: str | None
    password: str | None
    old_password: str | None
    role: str | None
    active: bool | None

    def command(self, actor: Actor, password_hash: str | None, password_at: int | None) -> ChangeUser:
        """What is to be proposed; `password_at`: the log index of the password that was proved to be known."""
        return ChangeUser(actor, self.name, self.display_name, password_hash, password_at, self.role, self.active)


def check_change(name: str, fields: Mapping[str, object]) -> Wish:
    """What is to become of a user, found whatever the members' case.  Raises Problem naming the field.

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
