"""What came of a committed command, for those who listen; on every member."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PostEvent:
    """A new post."""

    index: int
    room: str
    id: int
    post: bytes  # as readers see it

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.post)


@dataclass(frozen=True, slots=True)
class RoomDeleted:
    """A room is gone with all its posts, for those who subscribed; also the answer to who asked for it."""

    index: int
    room: str

    @property
    def size(self) -> int:
        """About what it costs to hold, in bytes."""
        return len(self.room)


Event = PostEvent | RoomDeleted
Tell = Callable[[Event], None]
