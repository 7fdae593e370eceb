"""The posts that were read last, as readers see them, so that a page read again is not read from the log again.

Rules.  The key is the log index of what shows a post now: what is committed there never changes, whatever is
compacted, edited, deleted or restored around it.  Which entries make a page, and what these do not say (reactions),
the state decides for every read.  Bounded by bytes.  Any thread: each step on a dict is one of its own, and two
threads that read the same post keep it twice at worst.

There are two generations instead of a list by age: a page of 50 posts costs 50 lookups and nothing else, 2 µs, where
moving each to the end of an OrderedDict cost 10.  When the young one is full it becomes the old one, and what is read
of that is young again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Final, TypeVar

from chat.errors import unavailable
from chat.replica import Replica
from chat.state.post_json import render_post, spliced
from chat.state.room import Page
from raft.errors import CorruptLog

BYTES_MAX: Final = 16 << 20
PAGE_BYTES_MAX: Final = 4 << 20  # 1,000 posts of 4 KB
PIECE_POSTS: Final = 100  # as many as a page has by default
READ_TRIES: Final = 4  # a second one is needed if a compaction comes between, a third one hardly ever
MEND_S: Final = 10.0  # for all damage that one read meets, place by place
_OVERHEAD_BYTES: Final = 160  # of a post in here: its object, its key and their place in the dict


Located = TypeVar("Located")
Found = TypeVar("Found")


def read_retrying(locate: Callable[[], Located], read: Callable[[Located], Found]) -> Found:
    """Ask the state where entries lie and read them, again if a compaction removed one in between.

    `locate` asks the state, which then knows that an entry is gone.  `read` raises LookupError if the log has it no
    more.  Raises Problem (503) after READ_TRIES: this node is installing one snapshot after the other.
    """
    for _ in range(READ_TRIES):
        located = locate()
        with suppress(LookupError):
            return read(located)
    raise unavailable("this node is installing a snapshot")


def mending(read: Callable[[], Found], mended: Callable[[CorruptLog], bool]) -> Found:
    """Read from the log, and again once the damage is mended that was met.

    `mended` is `Replica.mended`, so this is for a thread that nobody else waits for.  Raises CorruptLog: no node has
    what is damaged, or mending takes longer.
    """
    until_s = 0.0
    while True:
        try:
            return read()
        except CorruptLog as damage:
            until_s = until_s or monotonic() + MEND_S
            if monotonic() >= until_s or not mended(damage):
                raise


class PostCache:
    """A cache of rendered posts."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._generation_bytes_max = bytes_max // 2
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self._lock = Lock()  # for counting and for the change of generations
        self._young_bytes = 0

    def read(self, page: Page, replica: Replica) -> tuple[Page, list[bytes]]:
        """The page and its posts as JSON, oldest first; what is not here from the disk's cache, without a lock.

        A page ends early, at one end or both, before it has more than PAGE_BYTES_MAX.
        Raises LookupError where one of the posts has left the log: then the state knows that it is gone.
        """
        if len(page.positions) <= PIECE_POSTS:
            posts = spliced(page, self._posts(page, replica))
            if sum(map(len, posts)) <= PAGE_BYTES_MAX:
                return page, posts
        upper, lower = page.part(page.pivot, page.last_id), page.part(page.first_id, page.pivot - 1)
        bytes_max = PAGE_BYTES_MAX // 2 if lower.positions else PAGE_BYTES_MAX
        newer = self._filled(_pieces_up(upper), bytes_max, replica)
        left = PAGE_BYTES_MAX - sum(map(len, newer))
        older = self._filled(_pieces_down(lower), left, replica, downwards=True)
        first = page.pivot - len(older)
        shown = page.part(first, page.pivot + len(newer) - 1)
        return shown, older + newer

    def _filled(
        self, pieces: Iterable[Page], bytes_max: int, replica: Replica, *, downwards: bool = False
    ) -> list[bytes]:
        """The posts of the pieces, with reactions, as many as fit into `bytes_max`; in the order of their Ids."""
        filled: list[bytes] = []
        for piece in pieces:
            posts = spliced(piece, self._posts(piece, replica))
            for post in reversed(posts) if downwards else posts:
                bytes_max -= len(post)
                if bytes_max < 0:
                    return filled[::-1] if downwards else filled
                filled.append(post)
        return filled[::-1] if downwards else filled

    def _posts(self, page: Page, replica: Replica) -> list[bytes]:
        try:
            return [*map(self._young.__getitem__, page.positions)]
        except KeyError:
            return self._read_missing(page, replica)

    def _read_missing(self, page: Page, replica: Replica) -> list[bytes]:
        young, old = self._young, self._old
        found = {index: post for index in page.positions if (post := young.get(index) or old.get(index))}
        missing = [index for index in page.positions if index not in found]
        offset = {index: offset for offset, index in enumerate(page.positions)}
        for command in replica.commands(sorted(missing)):
            found[command.index] = render_post(command, page.first_id + offset[command.index])
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


def read_posts(page: Page, replica: Replica) -> list[bytes]:
    """The page's posts as JSON, oldest first, without a cache.  Raises LookupError as `PostCache.read` does."""
    commands = {command.index: command for command in replica.commands(sorted(page.positions))}
    posts = [render_post(commands[index], id) for id, index in enumerate(page.positions, page.first_id)]
    return spliced(page, posts)


def _pieces_up(page: Page) -> Iterator[Page]:
    for first in range(page.first_id, page.last_id + 1, PIECE_POSTS):
        yield page.part(first, min(first + PIECE_POSTS - 1, page.last_id))


def _pieces_down(page: Page) -> Iterator[Page]:
    for last in range(page.last_id, page.first_id - 1, -PIECE_POSTS):
        yield page.part(max(last - PIECE_POSTS + 1, page.first_id), last)
