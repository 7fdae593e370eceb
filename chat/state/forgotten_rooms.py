"""Rooms deleted so long ago that even their names are forgotten: what is kept of them.

Rules.
- No Id is given twice under one name.  So of a forgotten name that had messages a hash is kept, with the newest Id: a
  room that is made there counts on from it, and no other room takes the name.
- There are NAMES_MAX hashes at most.  Past it those with the lowest Ids go, and any room that is new counts from their
  highest one on.  A room that is renamed to such a name keeps its own Ids: that is what is given up.
- `log_index` is that of the last deletion that is forgotten.  A client that was away since before it would miss
  deletions, and has to start over.
"""

from array import array
from bisect import bisect_left
from hashlib import sha256

NAMES_MAX = 1 << 15  # 512 KiB; past it an eighth goes at once, which takes 25 ms


class ForgottenRooms:
    """The hashes, ascending, with the newest Id under each name; and two numbers for all that has no hash."""

    __slots__ = ("hashes", "ids", "log_index", "lowest_id")

    def __init__(self) -> None:
        self.hashes = array("Q")
        self.ids = array("Q")  # none is 0
        self.lowest_id = 0  # the highest Id under the names whose hashes are gone too
        self.log_index = 0

    def __bool__(self) -> bool:
        return bool(self.hashes or self.lowest_id or self.log_index)

    def newest_id(self, name: str) -> int:
        """The Id after which a room that is made under this name starts counting."""
        place = self._place(hash_of(name))
        return self.lowest_id if place is None else max(self.ids[place], self.lowest_id)

    def knows(self, name: str) -> bool:
        """Return whether Ids were given under this name."""
        return self._place(hash_of(name)) is not None

    def add(self, name: str, newest_id: int, deleted_at: int) -> None:
        """Forget a name, with the newest Id under it and the log index of its deletion."""
        self.log_index = max(self.log_index, deleted_at)
        if not newest_id:
            return
        hash = hash_of(name)
        place = bisect_left(self.hashes, hash)
        if self._place(hash) is not None:
            self.ids[place] = max(self.ids[place], newest_id)
            return
        self.hashes.insert(place, hash)
        self.ids.insert(place, newest_id)
        if len(self.hashes) > NAMES_MAX:
            self._drop_an_eighth()

    def _drop_an_eighth(self) -> None:
        known = sorted(zip(self.ids, self.hashes, strict=True))
        count = len(known) - (NAMES_MAX - NAMES_MAX // 8)
        self.lowest_id = max(self.lowest_id, known[count - 1][0])
        left = sorted((hash, id) for id, hash in known[count:])
        self.hashes = array("Q", [hash for hash, _ in left])
        self.ids = array("Q", [id for _, id in left])

    def _place(self, hash: int) -> int | None:
        place = bisect_left(self.hashes, hash)
        return place if place < len(self.hashes) and self.hashes[place] == hash else None


def hash_of(name: str) -> int:
    """64 bits of it: two names with the same ones count as one, which does no harm."""
    return int.from_bytes(sha256(name.encode()).digest()[:8])
