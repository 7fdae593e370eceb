"""Events: the outcome of a committed command, for the clients whom it concerns; made on every node.

An entry makes at most one event of a room.  A client gets it with a cursor, and a client that is cut off between two
events of one cursor would miss the second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from chat.state.accounts import ADMIN, GUEST, Acting
from chat.state.post_revisions import Reactions


class Reach(NamedTuple):
    """The users whom an event concerns.  Holds references only, so it costs nothing."""

    public: bool = True  # everybody but guests
    members: frozenset[str] = frozenset()  # these in any case
    admins: bool = True  # these too
    without: "Reach | None" = None  # but nobody whom this one reaches

    @property
    def is_common(self) -> bool:
        """True if users whose role or membership does not matter here are reached."""
        return self.public and (self.without is None or not self.without.public)


EVERYBODY = Reach()


def is_told(acting: Acting, reach: Reach) -> bool:
    """Return whether an event concerns this signed-in user: they saw its room when the event came."""
    if reach.without is not None and is_told(acting, reach.without):
        return False
    if acting.name and acting.name in reach.members:
        return True
    return (reach.public and acting.role != GUEST) or (reach.admins and acting.role == ADMIN)


@dataclass(slots=True)  # not frozen: one is made for each post, and that would cost three times as much
class PostEvent:
    """A new post."""

    index: int
    room: str
    id: int
    post: bytes  # as readers see it
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.post)


@dataclass(frozen=True, slots=True)
class RoomDeleted:
    """A room was deleted with all its posts; also the result of that command."""

    index: int
    room: str
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.room)


@dataclass(frozen=True, slots=True)
class PostChanged:
    """A post was edited or deleted; also the result of that command."""

    index: int
    room: str
    id: int
    post: bytes  # as readers see it now
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.post)


@dataclass(frozen=True, slots=True)
class Reacted:
    """A user reacted to a post, or took a reaction back; also the result of that command.

    It has this one reaction only, so a frame stays short for a post with many.  A client that has all earlier ones
    has all of them then, also if it gets one twice.
    """

    index: int
    room: str
    id: int
    emoji: str
    user: str
    on: bool
    count: int  # of the users who react with this emoji now
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.emoji) + len(self.user)


@dataclass(frozen=True, slots=True)
class ReactedSince:
    """The reactions to a post, for a client that missed single ones."""

    index: int  # of the last one
    room: str
    id: int
    reactions: Reactions
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return sum(len(user) for _, users in self.reactions for user in users)


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """A room was made, or its details changed."""

    index: int
    room: str  # its name now
    names: tuple[str, ...]  # that it has or had; a subscriber of one of them follows the room
    details: bytes  # JSON, as the list of rooms has it
    reach: Reach = EVERYBODY
    lost: RoomDeleted | None = None  # for those who saw the room before and do not see it now

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.details)


@dataclass(frozen=True, slots=True)
class UsersChanged:
    """A user was made or changed, or became a member of rooms by signing up."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """Tokens were revoked: connections that use them are to be closed."""

    index: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AuthChanged:
    """The mode changed: every connection has to authenticate again."""

    index: int


@dataclass(frozen=True, slots=True)
class ReadMarkerMoved:
    """A user has read a room up to this Id; for their other devices."""

    index: int
    user: str
    room: str
    id: int


@dataclass(frozen=True, slots=True)
class PreferencesChanged:
    """A user prefers this about a room; for their other devices."""

    index: int
    user: str
    room: str
    favourite: bool
    notify: str


Event = PostEvent | PostChanged | Reacted | ReactedSince | RoomEvent | RoomDeleted
# Events that do not concern everybody who sees a room: sent without a cursor, and not again after a client was away.
AccountEvent = UsersChanged | Revoked | AuthChanged | ReadMarkerMoved | PreferencesChanged
Emit = Callable[[Event | AccountEvent], None]
