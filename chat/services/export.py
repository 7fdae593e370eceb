"""Exports: a whole room, one message a line, and the history of a message.

Both are read from the log piece by piece while they are sent, so they may be of any size.

Rules.
- An export has the messages that the room held when it began.  One that is removed meanwhile is left out.
- Those that were pinned then have `"Pinned":true`, which no other answer has, so that an import can pin them again.
- A client whose token is revoked, or who loses the room, gets no further piece.
- Memory holds one piece, of at most PIECE_BYTES and GROUP_POSTS posts, so that clients that do not read cost little.
- One piece is made at a time, over all exports of this process, followed by a rest as long as it took.  So exports take
  at most half of a processor.
- What is damaged is mended before the export goes on.  Nobody's turn lasts for that long.
- The cache of rendered posts is not used: an export would push out what people are reading.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic, sleep

from chat.errors import unavailable
from chat.replica import Replica
from chat.server.limits import KIB
from chat.services.post_cache import mending, read_posts, read_retrying
from chat.state.accounts import Acting
from chat.state.machine import ChatState
from chat.state.permissions import ANONYMOUS
from chat.state.post_json import render_post
from chat.state.room import Page, PageRequest
from chat.state.room_views import pinned

PIECE_POSTS = 200  # some 40 KB
PIECE_BYTES = 64 * KIB  # a piece ends early once it has so many
GROUP_POSTS = 4  # read at once


def export(
    state: ChatState, replica: Replica, room: str, acting: Callable[[], Acting] = lambda: ANONYMOUS
) -> tuple[int, Iterator[bytes]]:
    """The log index that the export reflects, and its pieces: lines of JSON, each a post as readers see it.

    `acting` returns the acting user before each piece, or raises Problem.
    The pieces raise Problem (503) if this node installs one snapshot after the other.
    """

    def page_of(ask: PageRequest) -> Page:
        return state.page(room, ask, acting())

    now = page_of(PageRequest(limit=1))
    pins = state.ask(lambda tables: frozenset(pinned(found) if (found := tables.rooms.existing(room)) else ()))
    return now.log_index, _pieces(page_of, replica, now.newest_id, pins)


def _pieces(
    page_of: Callable[[PageRequest], Page], replica: Replica, newest_id: int, pins: frozenset[int]
) -> Iterator[bytes]:
    last_id = 0
    while last_id < newest_id:
        page, lines = _read(page_of, replica, PageRequest(PIECE_POSTS, after=last_id), newest_id)
        if not lines:
            return
        for id in pins.intersection(range(page.first_id, page.last_id + 1)):
            lines[id - page.first_id] = b'%b,"Pinned":true}' % lines[id - page.first_id][:-1]
        yield b"\n".join(lines) + b"\n"
        last_id = page.last_id


def whole_history(indexes_of: Callable[[], list[int]], replica: Replica, id: int) -> Iterator[bytes]:
    """Yield all versions of post `id` as pieces of a JSON array; `indexes_of` returns the log indexes of its versions.

    `indexes_of` is called before each piece, and raises Problem if the user may not read the post.  The pieces raise
    Problem (503) if the post is deleted meanwhile, or this node installs one snapshot after the other.  The first piece
    raises CorruptLog at once, because its caller may hold what others wait for.
    """
    indexes = indexes_of()
    told = 0
    while told < len(indexes):
        piece = _versions(indexes_of, replica, id, indexes, told)
        opening, told = b"," if told else b"[", told + len(piece)
        yield opening + b",".join(piece) + (b"" if told < len(indexes) else b"]\n")


def _versions(
    indexes_of: Callable[[], list[int]], replica: Replica, id: int, indexes: list[int], first: int
) -> list[bytes]:
    """The versions of the post from `first` on, up to the group with which they reach PIECE_BYTES."""

    def check() -> None:
        if indexes_of()[: len(indexes)] != indexes:
            raise unavailable("the message was deleted while its history was sent")

    def read() -> list[bytes]:
        with _TURNS.taken():
            return read_retrying(check, lambda _: _rendered(replica, id, indexes, first))

    return mending(read, replica.mended) if first else read()  # the caller waits for the first piece


def _rendered(replica: Replica, id: int, indexes: list[int], first: int) -> list[bytes]:
    piece: list[bytes] = []
    size = 0
    for start in range(first, len(indexes), GROUP_POSTS):
        group = [render_post(command, id) for command in replica.commands(indexes[start : start + GROUP_POSTS])]
        piece += group
        size += sum(map(len, group))
        if size >= PIECE_BYTES:
            break
    return piece


class _Turns:
    """Turns at making pieces: one at a time, each followed by a rest as long as it took."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._free_at = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and have it."""
        with self._lock:
            sleep(max(0.0, self._free_at - monotonic()))
            began = monotonic()
            try:
                yield
            finally:
                self._free_at = 2 * monotonic() - began


_TURNS = _Turns()


def _read(
    page_of: Callable[[PageRequest], Page], replica: Replica, ask: PageRequest, newest_id: int
) -> tuple[Page, list[bytes]]:
    def read() -> tuple[Page, list[bytes]]:
        with _TURNS.taken():
            return _read_now(page_of, replica, ask, newest_id)

    return mending(read, replica.mended)


def _read_now(
    page_of: Callable[[PageRequest], Page], replica: Replica, ask: PageRequest, newest_id: int
) -> tuple[Page, list[bytes]]:
    def locate() -> Page:
        page = page_of(ask)
        return page.part(page.first_id, max(min(page.last_id, newest_id), page.first_id - 1))

    return read_retrying(locate, lambda page: _filled(page, replica))


def _filled(page: Page, replica: Replica) -> tuple[Page, list[bytes]]:
    """The page up to the group of posts with which it reaches PIECE_BYTES.  Raises LookupError as `read_posts` does."""
    lines: list[bytes] = []
    size = 0
    for first in range(page.first_id, page.last_id + 1, GROUP_POSTS):
        group = read_posts(page.part(first, min(first + GROUP_POSTS - 1, page.last_id)), replica)
        lines += group
        size += sum(map(len, group))
        if size >= PIECE_BYTES:
            break
    return page.part(page.first_id, page.first_id + len(lines) - 1), lines
