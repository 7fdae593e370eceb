"""Users, and what proves who one is, as values: a change puts another one in its place.

Digests are SHA-256; times are microseconds since 1970, 0 for never.
"""

from typing import NamedTuple

ADMIN, MEMBER, GUEST = "admin", "member", "guest"  # roles
ROLES = (ADMIN, MEMBER, GUEST)
# Kinds of tokens.  PROXY: of a user for whom a trusted proxy vouches, request by request.
SESSION, API, PROXY = "session", "api", "proxy"
KINDS = (SESSION, API, PROXY)

USERS_MAX = 50_000  # 35 MB: five times a large company's chat
TOKENS_MAX = 64  # of a user: every device and bot a person may have; a session more ends the oldest session
API_TOKENS_MAX = 48  # of them for programs: with the rest a user can always sign in
INVITES_MAX = 5_000  # 1 MB; only admins get near it
MEMBERS_INVITES_MAX = 1_000  # of all active users who are no admins: the rest is for admins
INVITES_OF_ONE_MAX = 50  # of a user who is no admin: more guests than anybody expects at once
TICKETS_MAX = 4  # of a token: a page asks for one at a time, and tries again after a lost answer
HOUR = 3_600_000_000  # microseconds


class User(NamedTuple):
    """A name is never given twice, so a user is never removed."""

    name: str
    display_name: str
    role: str
    password_hash: str  # scrypt's; "": none
    password_index: int  # log index of the command that set it
    active: bool
    created_at: int
    skeleton: str  # of the name (chat/confusable_names.py)


class Acting(NamedTuple):
    """The acting user, as the state knows them."""

    name: str  # "" where nobody is named
    role: str
    operator: bool = False


class Token(NamedTuple):
    """A secret, known by its digest, that a request proves its user with."""

    number: int
    digest: bytes
    user: str
    kind: str
    label: str
    created_at: int
    expires_at: int
    used_hour: int  # hours since 1970


class Invite(NamedTuple):
    """An invite: the role and the rooms that it gives, for how many users and until when."""

    digest: bytes
    role: str
    rooms: tuple[str, ...]
    uses_left: int
    expires_at: int
    label: str
    made_by: str
    made_at: int = 0


class Ticket(NamedTuple):
    """Opens one websocket that acts as this token."""

    digest: bytes
    number: int
    expires_at: int
