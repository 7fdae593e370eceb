"""Authorisation: the acting user, what they see and what they may do.  Every rule is here, but `events.is_told`.

Pure functions of the tables, for appliers and for reads.  A room that a user does not see looks to them like one that
does not exist: both are None here.
"""

from collections.abc import Iterator, Sequence

from chat.commands.accounts import OPERATOR, Actor
from chat.state.accounts import ADMIN, GUEST, Acting, Invite, User
from chat.state.results import Refusal
from chat.state.room import Room
from chat.state.room_details import DIRECT, PUBLIC, RoomDetails
from chat.state.room_directory import is_private_name, is_public
from chat.state.settings import LOGIN, OPEN
from chat.state.tables import Tables

LOGIN_NEEDED = Refusal("login_needed", "Authorization: sign in first")
BAD_TOKEN = Refusal("bad_token", "Authorization: this token is not valid, or was revoked. Sign in again.")
NOT_YOUR_NAME = Refusal("not_your_name", "User: this is not the user of the token")
NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")
ROOM_GONE = Refusal("room_gone", "RoomName: this room is not public any more. PUT makes a new room of this name.")
ARCHIVED = Refusal("archived", "RoomName: this room is archived. Its owner can restore it.")
_NOT_A_MEMBER = Refusal("forbidden", "RoomName: only members may post in this room")
NOT_AN_ADMIN = Refusal("forbidden", "Authorization: only an admin or the operator may do that")
OPEN_MODE = Refusal(
    "open_mode", "Authorization: there are no accounts in the open mode. Start a node with --auth login."
)
NAMELESS = Refusal("forbidden", "Authorization: this token belongs to no user, so it cannot post")


ANYBODY = Acting("", ADMIN)  # of the open mode
ANONYMOUS = Acting("", GUEST)  # sees public rooms in the open mode, and nothing with sign-in
_THE_OPERATOR = Acting("", ADMIN, operator=True)


def acting(tables: Tables, actor: Actor) -> Acting | Refusal:
    """Resolve the actor of a command or a request, at this place in the log."""
    if actor.by == OPERATOR:
        return _THE_OPERATOR
    if tables.settings.auth == OPEN:
        return Acting(actor.user, ADMIN) if actor.user else ANYBODY
    if actor.by <= 0:
        return LOGIN_NEEDED
    token = tables.tokens.get(actor.by)
    if token is None:
        return BAD_TOKEN
    if actor.user and actor.user != token.user:
        return NOT_YOUR_NAME
    user = tables.users[token.user]
    return Acting(user.name, user.role) if user.active else BAD_TOKEN


def administering(tables: Tables, actor: Actor) -> Acting | Refusal:
    """The operator or an admin, for changes of the cluster as a whole; in the open mode too, once there is an account.

    The log may hold private rooms and password hashes from then on, so not everybody may add a node that copies it.
    """
    if actor.by == OPERATOR or not tables.users:
        who = acting(tables, actor)
    elif actor.by <= 0:
        who = LOGIN_NEEDED
    else:
        token = tables.tokens.get(actor.by)
        user = None if token is None else tables.users[token.user]
        who = BAD_TOKEN if user is None or not user.active else Acting(user.name, user.role)
    return who if isinstance(who, Refusal) or who.role == ADMIN else NOT_AN_ADMIN


def acting_on_accounts(tables: Tables, actor: Actor) -> Acting | Refusal:
    """Return the user who changes accounts; in the open mode only the operator may.

    Names are taken on trust there, so anybody could set anybody's password.
    """
    who = acting(tables, actor)
    if tables.settings.auth == OPEN and isinstance(who, Acting) and not who.operator:
        return OPEN_MODE
    return who


def sees(tables: Tables, acting: Acting, room: Room) -> bool:
    """Return whether this user sees the room."""
    details = room.details
    if tables.settings.auth == OPEN:
        return is_public(room)  # private rooms are not opened with the mode
    if details is not None and acting.name and acting.name in details.members:
        return True
    if acting.role == GUEST:
        return False
    return is_public(room) or (acting.role == ADMIN and details is not None and details.visibility != DIRECT)


def seen_names(tables: Tables, acting: Acting) -> Sequence[Sequence[str]]:
    """The names of all rooms that this user sees, in ascending lists.  Valid while the lock is held."""
    rooms = tables.rooms
    if tables.settings.auth == OPEN:
        return [rooms.names]
    own = rooms.of_user.get(acting.name, ())
    if acting.role == GUEST:
        return [own]
    return [rooms.names, rooms.privates, own] if acting.role == ADMIN else [rooms.names, own]


def manages(tables: Tables, acting: Acting, room: Room) -> bool:
    """Return whether this user, who sees the room, may change it as a whole; nobody changes a direct room."""
    details = room.details
    if details is None or details.visibility != DIRECT:
        return acting.role == ADMIN or (details is not None and _is_owner(acting, details))
    return False


def may_delete(tables: Tables, acting: Acting, room: Room) -> bool:
    """Return whether this user, who sees the room, may delete it; members may delete a direct room without messages."""
    details = room.details
    if details is not None and details.visibility == DIRECT:
        return acting.name in details.members and not room.newest_id
    return manages(tables, acting, room)


def _is_owner(acting: Acting, details: RoomDetails) -> bool:
    return acting.role != GUEST and bool(acting.name) and details.owner == acting.name


def may_add(tables: Tables, acting: Acting, room: Room, name: str) -> bool:
    """Return whether this user, who sees the room, may add `name`: themselves if it is public, anybody to their own."""
    details = room.details or RoomDetails()
    if acting.role == GUEST or details.visibility == DIRECT:
        return False
    if acting.role == ADMIN or acting.name in details.members:
        return True
    return details.visibility == PUBLIC and acting.name == name


def may_remove(tables: Tables, acting: Acting, room: Room, name: str) -> bool:
    """Return whether this user, who sees the room, may remove `name`; everybody may leave."""
    if room.details is not None and room.details.visibility == DIRECT:
        return False
    return (bool(acting.name) and acting.name == name) or manages(tables, acting, room)


def visible_users(tables: Tables, acting: Acting) -> Sequence[str]:
    """The names of the users that this user may see, by code point; a guest sees those of their own rooms.

    In the open mode only the operator sees users: names are taken on trust there, and are no accounts.
    """
    if acting.operator or (acting.role != GUEST and tables.settings.auth != OPEN):
        return tables.user_names
    if tables.settings.auth == OPEN:
        return ()
    return sorted({acting.name}.union(*_members_of_shared_rooms(tables, acting)))


def _members_of_shared_rooms(tables: Tables, acting: Acting) -> Iterator[frozenset[str]]:
    """The members of each room that this user is a member of."""
    for name in tables.rooms.of_user.get(acting.name, ()):
        details = tables.rooms.by_name[name].details
        if details is not None:
            yield details.members


def visible_user(tables: Tables, acting: Acting, name: str) -> User | None:
    """The user of this name; None if there is none, or this user may not see them."""
    if acting.role == GUEST and tables.settings.auth != OPEN:
        is_known = name == acting.name or any(name in members for members in _members_of_shared_rooms(tables, acting))
    else:
        is_known = acting.operator or tables.settings.auth != OPEN
    return tables.users.get(name) if is_known else None


def visible_invites(tables: Tables, acting: Acting) -> list[Invite]:
    """The invites that this user may see and revoke: all for an admin, else their own."""
    return [invite for invite in tables.invites.values() if acting.role == ADMIN or invite.made_by == acting.name]


def granted(tables: Tables, invite: Invite) -> tuple[str, tuple[str, ...]] | None:
    """The role and the rooms that an invite gives: what its maker could give now; None if it is no longer valid.

    So a user who lost rights cannot get them back by an invite made before.
    """
    if not invite.made_by:
        return invite.role, invite.rooms  # the operator's
    maker = tables.users.get(invite.made_by)
    if maker is None or not maker.active or maker.role == GUEST or (maker.role != ADMIN and invite.role != GUEST):
        return None
    who = Acting(maker.name, maker.role)
    rooms = [(name, visible_room(tables, who, name)) for name in invite.rooms]
    return invite.role, tuple(name for name, room in rooms if room is not None and may_add(tables, who, room, ""))


def visible_room(tables: Tables, acting: Acting, name: str) -> Room | None:
    """The room that has or had this name; None if there is none that this user sees."""
    room = tables.rooms.existing(name)
    return room if room is not None and sees(tables, acting, room) else None


def unseen(tables: Tables, acting: Acting, name: str) -> Refusal:
    """The Refusal for a room that this user does not see: it became private, or there is none."""
    return ROOM_GONE if name in tables.rooms.turned_private and acting.role != GUEST else NO_SUCH_ROOM


def lost_by(tables: Tables, acting: Acting, room: Room) -> bool:
    """Return whether a public room of this name became private, and this user does not see it now."""
    name = tables.rooms.turned_private.get(room.name)
    return name is None or visible_room(tables, acting, name) is None


def may_revise(tables: Tables, acting: Acting, room: Room, author: str, *, deletes: bool) -> bool:
    """Return whether this user, who sees the room, may edit or (`deletes`) delete a message of `author` there.

    With sign-in an admin may do both, and the room's owner may delete.
    """
    if acting.name and acting.name == author:
        return True
    if tables.settings.auth == OPEN:
        return False
    return manages(tables, acting, room) and (deletes or acting.role == ADMIN)


def refused_part(tables: Tables, acting: Acting, room: Room) -> Refusal | None:
    """The Refusal for a user who sees the room and may not take part in it; None if they may."""
    if acting.operator:
        return NAMELESS
    details = room.details
    if details is None:
        return None
    if tables.settings.auth == LOGIN and details.visibility != PUBLIC and acting.name not in details.members:
        return _NOT_A_MEMBER  # an admin sees it, and may add themselves
    return ARCHIVED if details.archived else None


def refused_post(tables: Tables, actor: Actor, room: Room | None, name: str) -> Refusal | None:
    """The Refusal for a post to this room, if `tables.guarded`; `room` None or deleted: the post would make it."""
    who = acting(tables, actor)
    if isinstance(who, Refusal):
        return who
    if who.operator:
        return NAMELESS
    if room is None or not room.exists:
        if who.role == GUEST or is_private_name(name):
            return NO_SUCH_ROOM
        return ROOM_GONE if name in tables.rooms.turned_private else None
    return refused_part(tables, who, room) if sees(tables, who, room) else NO_SUCH_ROOM
