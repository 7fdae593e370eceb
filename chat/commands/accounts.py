"""Who acts, and what becomes of accounts: users, tokens, invites, tickets.

A credential is never in a command, only its SHA-256; a password only as the hash that scrypt made of it.  What
depends on a clock (`expires_at`, microseconds since 1970, 0 for never) was computed by who proposed it.
"""

from dataclasses import dataclass
from typing import NamedTuple

NOBODY, OPERATOR, SETUP = 0, -1, -2


class Actor(NamedTuple):
    """Who a command says acts."""

    by: int = (
        NOBODY  # the number of a token; OPERATOR: who holds a node's token file; SETUP: who holds its set-up token
    )
    user: str = ""  # the name as the proposing node knows it


@dataclass(frozen=True, slots=True)
class CreateUser:
    """A new user, by an invite where there is one: its role and rooms are given then."""

    actor: Actor
    name: str
    display_name: str
    skeleton: str  # what look-alikes of the name have in common
    password_hash: str
    role: str
    invite: bytes = b""
    rooms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """What is None stays.  `password_at`: the log index of the password that the caller proved to know."""

    actor: Actor
    name: str
    display_name: str | None = None
    password_hash: str | None = None
    password_at: int | None = None
    role: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class LogIn:
    """A token for who knew the password that log index `password_at` set."""

    actor: Actor  # by NOBODY
    password_at: int
    digest: bytes
    kind: str
    label: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class CreateToken:
    """One more token for the actor's own user."""

    actor: Actor
    digest: bytes
    kind: str
    label: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RevokeTokens:
    """These tokens end; with `name`, all of that user."""

    actor: Actor
    tokens: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class CreateInvite:
    """So many may sign up, with this role, as members of these rooms."""

    actor: Actor
    digest: bytes
    role: str
    rooms: tuple[str, ...]
    uses: int
    expires_at: int
    label: str


@dataclass(frozen=True, slots=True)
class RevokeInvite:
    """It is good for nothing from now on."""

    actor: Actor
    digest: bytes


@dataclass(frozen=True, slots=True)
class CreateTicket:
    """Good for one websocket that acts as the actor's token."""

    actor: Actor
    digest: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class RedeemTicket:
    """It is used up."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class RecordTokenUse:
    """A node has seen these tokens used."""

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
