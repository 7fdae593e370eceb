"""Commands on the state as a whole: its settings, and the removal of what is too old.

Times are in microseconds since 1970.  What goes is proposed by the leader, which has a clock; `apply` decides again.
"""

from dataclasses import dataclass

from chat.commands.accounts import Actor


@dataclass(frozen=True, slots=True)
class SetAuth:
    """`auth`: "open" or "login"; `signup`: "open" or "invite"."""

    actor: Actor
    auth: str
    signup: str


@dataclass(frozen=True, slots=True)
class SetSettings:
    """The cluster's settings; what is None stays, 0 is no bound."""

    actor: Actor
    signup: str | None = None
    max_rooms: int | None = None
    max_messages: int | None = None
    max_age_seconds: int | None = None
    unused_room_seconds: int | None = None
    empty_room_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """ClientIds that were seen before this time, of so many buckets from `first` on."""

    before: int
    first: int
    buckets: int


@dataclass(frozen=True, slots=True)
class ForgetRooms:
    """The names of these rooms, those of them that are gone."""

    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    """Of these rooms what is too old by now, or too much; and the room `gone` as a whole, if it is unused or empty."""

    now: int
    rooms: tuple[str, ...]
    gone: str | None = None


@dataclass(frozen=True, slots=True)
class ExpireCredentials:
    """Tokens by their numbers, invites and tickets by their digests."""

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
