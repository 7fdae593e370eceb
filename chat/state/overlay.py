"""What became of posts after they were made: a layer over a room's positions, for the few that were touched."""

from typing import NamedTuple

Reactions = tuple[tuple[str, tuple[str, ...]], ...]


class Change(NamedTuple):
    """What became of one post.  A value: a change puts another one in its place, at the end of the room's."""

    version_index: int = 0  # log index of the entry that shows it now, the last edit or the tombstone; 0: its own
    edits: tuple[int, ...] = ()  # log indexes of all edits, ascending; none of a tombstone
    edited_index: int = 0  # log index of the last edit or the deletion, 0: none
    reacted_index: int = 0  # log index of the last reaction put or taken, 0: none
    reactions: Reactions = ()  # emoji in the order of their first use, and who, in order
    deleted: bool = False

    @property
    def entries(self) -> tuple[int, ...]:
        """Log indexes of the entries that hold what it says beside what was posted, or instead of that."""
        return (self.version_index,) if self.deleted else self.edits

    @property
    def last_index(self) -> int:
        """Log index of the last thing that became of it."""
        return max(self.edited_index, self.reacted_index)
