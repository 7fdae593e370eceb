"""Revisions of posts: edits, deletions and reactions, kept beside the positions of a room for posts that have any."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

Reactions = tuple[tuple[str, tuple[str, ...]], ...]


class Revision(NamedTuple):
    """The edits, deletion and reactions of one post.  A value: a change replaces it, at the end of the room's."""

    version_index: int = 0  # log index of the entry that shows it now, the last edit or the tombstone; 0: its own
    edits: tuple[int, ...] = ()  # log indexes of all edits, ascending; none of a tombstone
    edited_index: int = 0  # log index of the last edit or the deletion, 0: none
    reacted_index: int = 0  # log index of the last reaction put or taken, 0: none
    reactions: Reactions = ()  # emoji in the order of their first use, and who, in order
    deleted: bool = False
    tombstone_bytes: int = 0  # of the tombstone's record, if there is one

    @property
    def entries(self) -> tuple[int, ...]:
        """Log indexes of the entries that hold what it says beside what was posted, or instead of that."""
        return (self.version_index,) if self.deleted else self.edits

    @property
    def last_index(self) -> int:
        """Log index of the last thing that became of it."""
        return max(self.edited_index, self.reacted_index)


_TOUCHES_FEW = 64


class Revisions(dict[int, Revision]):
    """The revisions of a room's posts that are left, by Id, in the order of the last change.

    Two arrays beside them hold when that was: log indexes, ascending, and the Ids of their posts.  So a client that was
    away gets the first changes it missed without a look at all later ones.  A replaced edit or reaction stays in the
    arrays until half of them are such: each is moved once for one that was dropped.
    """

    __slots__ = ("_ids", "_indexes", "tombstone_bytes", "tombstones")

    def __init__(self) -> None:
        super().__init__()
        self.tombstones = 0  # of the posts
        self.tombstone_bytes = 0  # of their records
        self._indexes = array("Q")
        self._ids = array("Q")

    def put(self, id: int, revision: Revision) -> None:
        """Something became of this post, with the newest entry of all."""
        self.drop(id)
        self[id] = revision
        self.tombstones += revision.deleted
        self.tombstone_bytes += revision.tombstone_bytes
        self._indexes.append(revision.last_index)
        self._ids.append(id)
        if len(self._ids) > 4 * len(self) + _TOUCHES_FEW:  # of each post two are what it was last: an edit, a reaction
            self.derive()

    def drop(self, id: int) -> None:
        """The post is gone, or is to be another."""
        before = self.pop(id, None)
        if before is not None:
            self.tombstones -= before.deleted
            self.tombstone_bytes -= before.tombstone_bytes

    def derive(self) -> None:
        """Make anew what says when each was changed."""
        touched = sorted(
            (index, id)
            for id, revision in self.items()
            for index in (revision.edited_index, revision.reacted_index)
            if index
        )
        self._indexes = array("Q", [index for index, _ in touched])
        self._ids = array("Q", [id for _, id in touched])

    def between(self, after: int, up_to: int) -> Iterator[tuple[int, int, Revision]]:
        """The last edit or deletion of each post, and the last reaction, with after < log index <= up_to.

        The log index, the post's Id and what became of it, in the order of the log.
        """
        for place in range(bisect_right(self._indexes, after), bisect_right(self._indexes, up_to)):
            index, id = self._indexes[place], self._ids[place]
            revision = self.get(id)
            if revision is not None and index in (revision.edited_index, revision.reacted_index):
                yield index, id, revision
