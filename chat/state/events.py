"""What came of a committed command, for those who listen, and whom it concerns; on every member.

An entry makes at most one event that has a room: a client is told of it with a Cursor, and two with one Cursor would
be a hole for who is cut off between them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from chat.state.post_revisions import Reactions


class Reach(NamedTuple):
    """Whom an event concerns; only references, so that it costs nothing."""

    public: bool = True  # everybody but guests
    members: frozenset[str] = frozenset()  # these in any case
    admins: bool = True  # these too
    without: "Reach | None" = None  # but nobody whom this one reaches

    @property
    def is_common(self) -> bool:
        """Whether users without a role or membership that matters here are reached."""
        return self.public and (self.without is None or not self.without.public)


EVERYBODY = Reach()


@dataclass(frozen=True, slots=True)
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
    """A room is gone with all its posts, for those who subscribed; also the answer to who asked for it."""

    index: int
    room: str
    reach: Reach = EVERYBODY

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.room)


@dataclass(frozen=True, slots=True)
class PostChanged:
    """A post was edited or deleted; also the answer to who asked for it."""

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
    """Somebody reacts to a post, or not any more; also the answer to who asked for it.

    It tells of this one reaction, so that a frame is as short for a post with many: who has all of them as they were
    has all as they are, also where he is told of one that he has already.
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
    """All reactions to a post, for who missed how they came about."""

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
    """A room was made, or is another than before beside its posts."""

    index: int
    room: str  # its name now
    names: tuple[str, ...]  # that it has or had, whoever follows one of them follows it
    details: bytes  # JSON, as the list of rooms has it
    reach: Reach = EVERYBODY
    lost: RoomDeleted | None = None  # for those who saw the room before and do not see it now

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.details)


@dataclass(frozen=True, slots=True)
class UsersChanged:
    """A user is new or another than before, or a member of other rooms by signing up."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """These tokens are good for nothing any more, and whoever is connected by one of them is to go."""

    index: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AuthChanged:
    """The mode is another one: everybody is to say anew who he is."""

    index: int


@dataclass(frozen=True, slots=True)
class ReadMarkerMoved:
    """Somebody has read a room up to this Id, which is for his own other devices to know."""

    index: int
    user: str
    room: str
    id: int


Event = PostEvent | PostChanged | Reacted | ReactedSince | RoomEvent | RoomDeleted
# What does not concern all who see a room: told without a Cursor, and not again to who was away meanwhile.
AccountEvent = UsersChanged | Revoked | AuthChanged | ReadMarkerMoved
Emit = Callable[[Event | AccountEvent], None]
