"""Commands on the state as a whole: its settings, and the removal of what is too old.

Times are in microseconds since 1970.  What goes is proposed by the leader, which has a clock; `apply` decides again.
"""

from dataclasses import dataclass

from chat.commands.accounts import Actor


@dataclass(frozen=True, slots=True)
class SetAuth:
    """Set the mode.  `auth`: "open" or "login"; `signup`: "open" or "invite"."""

    actor: Actor
    auth: str
    signup: str


@dataclass(frozen=True, slots=True)
class SetSettings:
    """Change the settings that are not None; 0 is no bound."""

    actor: Actor
    signup: str | None = None
    max_rooms: int | None = None
    max_messages: int | None = None
    max_age_seconds: int | None = None
    unused_room_seconds: int | None = None
    empty_room_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget ClientIds seen before this time, in so many buckets from `first` on."""

    before: int
    first: int
    buckets: int


@dataclass(frozen=True, slots=True)
class ForgetRooms:
    """Forget the names of these rooms, if they are deleted."""

    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    """Remove posts that these rooms do not keep any more; and the room `gone`, if it is unused or empty."""

    now: int
    rooms: tuple[str, ...]
    gone: str | None = None


@dataclass(frozen=True, slots=True)
class ExpireCredentials:
    """Remove expired credentials: tokens by number, invites and tickets by digest."""

    now: int
    tokens: tuple[int, ...] = ()
    invites: tuple[bytes, ...] = ()
    tickets: tuple[bytes, ...] = ()


Command = SetAuth | SetSettings | Forget | ForgetRooms | Expire | ExpireCredentials
KINDS: dict[str, type[Command]] = {
    "auth": SetAuth,
    "settings": SetSettings,
    "forget": Forget,
    "forget-rooms": ForgetRooms,
    "expire": Expire,
    "expire-credentials": ExpireCredentials,
}
