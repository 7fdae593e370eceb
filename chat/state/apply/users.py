"""Apply the commands on users.

Rules.
- The actor is checked first, then the request; both before anything changes.
- The proposing node has checked a password, an invite or the set-up token.  They are checked here again, since the
  place in the log decides: of two users with an invite's last use, the same one is first on every node.
"""

from bisect import insort
from collections.abc import Callable, Iterable

from chat.commands import NOBODY, SETUP
from chat.commands.accounts import ChangeUser, CreateUser
from chat.state import permissions
from chat.state.accounts import ADMIN, MEMBER, ROLES, USERS_MAX, Acting, User
from chat.state.events import Emit, Revoked, UsersChanged
from chat.state.results import Refusal, Result, UserChanged, UserMade
from chat.state.room_details import DIRECT, MEMBERS_MAX, RoomDetails
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

FORBIDDEN = Refusal("forbidden", "Authorization: this user may not do that")
BAD_INVITE = Refusal("bad_invite", "Invite: this invite has expired or was already used. Ask for a new one.")
SIGNUP_CLOSED = Refusal("signup_closed", "Invite: you need an invite to sign up here. Ask an admin for one.")
SET_UP_DONE = Refusal("set_up_done", "Token: the first user exists already. Sign in instead.")
NAME_TAKEN = Refusal("name_taken", "Name: this name is taken. Choose another one.")
LOOKS_LIKE = Refusal("looks_like", "Name: looks like another user's name. Choose another one.")
DISPLAY_LOOKS_LIKE = Refusal("looks_like", "DisplayName: looks like another user's name. Choose another one.")
_ROLE = Refusal("invalid_field", "Role: must be admin, member or guest")
NO_SUCH_USER = Refusal("no_such_user", "Name: there is no such user")
_LAST_ADMIN = Refusal("last_admin", "Name: this is the last active admin. Make another user an admin first.")
WRONG_PASSWORD = Refusal("bad_login", "OldPassword: this is not the present password")
_TOO_MANY_USERS = Refusal("too_many_users", f"Name: this cluster has {USERS_MAX:,} users, and cannot have more")


def create_user(tables: Tables, command: CreateUser, entry: Entry, emit: Emit) -> UserMade | Refusal:
    """Make a user, with the role and rooms of the invite if there is one."""
    terms = _terms(tables, command)
    if isinstance(terms, Refusal):
        return terms
    role, rooms = terms
    if command.name in tables.users:
        return NAME_TAKEN
    if command.skeleton in tables.skeletons:
        return LOOKS_LIKE
    if len(tables.users) >= USERS_MAX:
        return _TOO_MANY_USERS
    tables.change()
    user = User(
        command.name, command.display_name, role, command.password_hash, entry.index, True, entry.time, command.skeleton
    )
    tables.users[user.name] = user
    insort(tables.user_names, user.name)
    tables.skeletons[user.skeleton] = user.name
    if command.actor.by == NOBODY:
        _use_up(tables, command.invite)
    _join(tables, user.name, rooms)
    emit(UsersChanged(entry.index, user.name))
    return UserMade(entry.index, user)


def _terms(tables: Tables, command: CreateUser) -> tuple[str, tuple[str, ...]] | Refusal:
    """The role and the rooms of the new user, by what their maker has proved."""
    if command.role not in ROLES:
        return _ROLE
    if command.actor.by == SETUP:
        return SET_UP_DONE if tables.users else (ADMIN, ())
    if command.actor.by == NOBODY and tables.settings.auth != OPEN:
        if not command.invite:
            return (MEMBER, ()) if tables.settings.signup == OPEN else SIGNUP_CLOSED
        invite = tables.invites.get(command.invite)
        return (None if invite is None else permissions.granted(tables, invite)) or BAD_INVITE
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    return (command.role, command.rooms) if who.role == ADMIN else FORBIDDEN


def _use_up(tables: Tables, digest: bytes) -> None:
    invite = tables.invites.get(digest)
    if invite is None:
        return
    if invite.uses_left > 1:
        tables.invites[digest] = invite._replace(uses_left=invite.uses_left - 1)
    else:
        del tables.invites[digest]


def _join(tables: Tables, name: str, rooms: Iterable[str]) -> None:
    """Make a new user a member of the rooms that still exist and are not full.

    These rooms get no event: an entry makes one event of a room only.  UsersChanged stands for all of them.
    """
    for room_name in rooms:
        room = tables.rooms.existing(room_name)
        if room is None:
            continue
        details = room.details or RoomDetails()
        if details.visibility != DIRECT and len(details.members) < MEMBERS_MAX:
            tables.rooms.describe(room, details._replace(members=details.members | {name}))
            tables.add_readers(room, (name,))


def change_user(tables: Tables, command: ChangeUser, entry: Entry, emit: Emit) -> UserChanged | Refusal:
    """Change a user.  A new password, or deactivation, revokes their tokens."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    user = tables.users.get(command.name)
    refusal = _refused_change(who, command, user)
    if refusal is not None or user is None:
        return refusal or NO_SUCH_USER
    changed = _changed(user, command, entry.index)
    if _is_admin(user) and not _is_admin(changed) and _is_last_admin(tables, user):
        return _LAST_ADMIN
    if changed == user:
        return UserChanged(entry.index, user)
    tables.change()
    tables.users[user.name] = changed
    tables.rooms.retire(user.name, is_active=changed.active)
    if not changed.active or command.password_hash is not None:
        kept = command.actor.by if changed.active else NOBODY  # a user who changes their own password stays signed in
        gone = tables.remove_tokens(number for number in tables.tokens_of.get(user.name, ()) if number != kept)
        if gone:
            emit(Revoked(entry.index, gone))
    emit(UsersChanged(entry.index, user.name))
    return UserChanged(entry.index, changed)


def _refused_change(who: Acting, command: ChangeUser, user: User | None) -> Refusal | None:
    rights_change = command.role is not None or command.active is not None
    if who.role != ADMIN and (who.name != command.name or rights_change):
        return FORBIDDEN
    if user is None:
        return NO_SUCH_USER
    if command.role is not None and command.role not in ROLES:
        return _ROLE
    if command.password_hash is None:
        return None
    # An admin who gives an old password has it checked too.
    proved = command.password_at == user.password_index
    return None if proved or (who.role == ADMIN and command.password_at is None) else WRONG_PASSWORD


def _changed(user: User, command: ChangeUser, index: int) -> User:
    if command.password_hash is not None:
        user = user._replace(password_hash=command.password_hash, password_index=index)
    return user._replace(
        display_name=user.display_name if command.display_name is None else command.display_name,
        role=command.role or user.role,
        active=user.active if command.active is None else command.active,
    )


def _is_admin(user: User) -> bool:
    return user.active and user.role == ADMIN


def _is_last_admin(tables: Tables, admin: User) -> bool:
    return not any(_is_admin(user) for user in tables.users.values() if user.name != admin.name)


APPLIERS: dict[type, Callable[..., Result]] = {CreateUser: create_user, ChangeUser: change_user}
