"""Commands on accounts: users, tokens, invites, tickets; and the actor of every command.

A command has the SHA-256 of a credential, never the credential, and the scrypt hash of a password.
Times (`expires_at`, microseconds since 1970, 0 for never) are computed by the node that proposes.
"""

from dataclasses import dataclass
from typing import NamedTuple

NOBODY, OPERATOR, SETUP = 0, -1, -2


class Actor(NamedTuple):
    """The actor that a command names."""

    by: int = NOBODY  # the number of a token; OPERATOR: with a node's token file; SETUP: with its set-up token
    user: str = ""  # the name as the proposing node knows it


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Make a user.  An invite, if there is one, decides the role and the rooms."""

    actor: Actor
    name: str
    display_name: str
    skeleton: str  # of the name (chat/confusable_names.py)
    password_hash: str
    role: str
    invite: bytes = b""
    rooms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """Change the fields that are not None.  `password_at`: log index of the password that the user proved to know."""

    actor: Actor
    name: str
    display_name: str | None = None
    password_hash: str | None = None
    password_at: int | None = None
    role: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class LogIn:
    """Make a token for a user who knew the password that log index `password_at` set, or whom a proxy vouches for."""

    actor: Actor  # by NOBODY with a password; by OPERATOR for a proxy's user, whose token is of the kind "proxy"
    password_at: int
    digest: bytes
    kind: str
    label: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class CreateToken:
    """Make one more token for the actor's own user."""

    actor: Actor
    digest: bytes
    kind: str
    label: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RevokeTokens:
    """Revoke these tokens, or with `name` all of that user."""

    actor: Actor
    tokens: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class CreateInvite:
    """Make an invite: so many users may sign up with this role, as members of these rooms."""

    actor: Actor
    digest: bytes
    role: str
    rooms: tuple[str, ...]
    uses: int
    expires_at: int
    label: str


@dataclass(frozen=True, slots=True)
class RevokeInvite:
    """Revoke an invite."""

    actor: Actor
    digest: bytes


@dataclass(frozen=True, slots=True)
class CreateTicket:
    """Make a ticket, for one websocket that acts as the actor's token."""

    actor: Actor
    digest: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class RedeemTicket:
    """Use up a ticket."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class RecordTokenUse:
    """Record that these tokens were used."""

    tokens: tuple[int, ...]


Command = (
    CreateUser | ChangeUser | LogIn | CreateToken | RevokeTokens | CreateInvite | RevokeInvite | CreateTicket
    | RedeemTicket | RecordTokenUse
)  # fmt: skip
KINDS: dict[str, type[Command]] = {
    "create-user": CreateUser,
    "change-user": ChangeUser,
    "login": LogIn,
    "token": CreateToken,
    "revoke": RevokeTokens,
    "invite": CreateInvite,
    "revoke-invite": RevokeInvite,
    "ticket": CreateTicket,
    "redeem": RedeemTicket,
    "used": RecordTokenUse,
}
