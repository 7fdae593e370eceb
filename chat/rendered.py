"""The posts that were read last, as readers see them, so that a page read again is not read from the log again.

Rules.  The key is a post's log index: what is committed there never changes, whatever is compacted, deleted or
restored around it.  Which posts make a page is not asked here: the state decides that for every read.  Bounded by
bytes.  Any thread: each step on a dict is one of its own, and two threads that read the same post keep it twice at
worst.

There are two generations instead of a list by age: a page of 50 posts costs 50 lookups and nothing else, 2 µs, where
moving each to the end of an OrderedDict cost 10.  When the young one is full it becomes the old one, and what is read
of that is young again.
"""

from threading import Lock
from typing import Final

from chat.history import Page, render_post
from chat.replica import Replica

BYTES_MAX: Final = 16 << 20
_OVERHEAD_BYTES: Final = 160  # of a post in here: its object, its key and their place in the dict


class RenderedPosts:
    """A cache of rendered posts."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._generation_bytes_max = bytes_max // 2
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self._lock = Lock()  # for counting and for the change of generations
        self._young_bytes = 0

    def read(self, page: Page, replica: Replica) -> list[bytes]:
        """The page's posts as JSON, oldest first; what is not here from the disk's cache, without a lock.

        Raises LookupError where one of them has left the log: then the state knows that it is gone.
        """
        try:
            return [*map(self._young.__getitem__, page.positions)]
        except KeyError:
            return self._read_missing(page, replica)

    def _read_missing(self, page: Page, replica: Replica) -> list[bytes]:
        young, old = self._young, self._old
        found = {index: post for index in page.positions if (post := young.get(index) or old.get(index))}
        missing = [index for index in page.positions if index not in found]
        offset = {index: offset for offset, index in enumerate(page.positions)}
        for entry in replica.entries(missing):
            found[entry.index] = render_post(entry, page.first_id + offset[entry.index])
        self._keep({index: post for index, post in found.items() if index not in young})
        return [found[index] for index in page.positions]

    def _keep(self, posts: dict[int, bytes]) -> None:
        size = sum(map(len, posts.values())) + _OVERHEAD_BYTES * len(posts)
        if size > self._generation_bytes_max:
            return
        with self._lock:
            if self._young_bytes + size > self._generation_bytes_max:
                self._old, self._young, self._young_bytes = self._young, {}, 0
            self._young.update(posts)
            self._young_bytes += size
