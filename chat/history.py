"""Where a room's posts lie in the log, and reading pages of them.

A room holds 8 bytes for a post: position k-1 of an array is the log index of the post with Id k.  Texts stay in the
log; a page is read from there by index, and a reader's JSON is cut from the command's bytes, never decoded and
encoded again.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from chat.commands import CLIENT_ID_OPENS, POST_OPENS
from chat.replica import Replica
from raft.messages import Entry

PAGE_POSTS_MAX = 1_000
PAGE_POSTS_DEFAULT = 100


@dataclass(frozen=True, slots=True)
class PageAsk:
    """Which page of a room: at most one of before, after and around is set; none asks for the newest page."""

    limit: int = PAGE_POSTS_DEFAULT
    before: int | None = None
    after: int | None = None
    around: int | None = None

    def span(self, count: int) -> tuple[int, int]:
        """The first and the last Id of the page in a room of `count` posts; first = last + 1 for an empty page."""
        if self.after is not None:
            first = min(self.after, count) + 1
            return first, min(first + self.limit - 1, count)
        if self.around is not None:
            # Half of the page lies before the post asked for; at an end of the room the page is filled from within.
            last = min(max(self.around - self.limit // 2, 1) + self.limit - 1, count)
        else:
            last = count if self.before is None else min(max(self.before - 1, 0), count)
        return max(last - self.limit + 1, 1), last


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive posts of a room as of one moment."""

    log_index: int  # the state's at that moment
    first_id: int
    last_id: int  # first_id - 1 for an empty page
    count: int  # of posts in the whole room
    positions: list[int]  # log indexes of first_id to last_id

    def read(self, replica: Replica) -> list[bytes]:
        """The posts as JSON, oldest first; from the disk's cache, without a lock."""
        entries = replica.entries(self.positions)
        return [render_post(entry, id) for id, entry in enumerate(entries, self.first_id)]


class Room:
    """One room's posts."""

    __slots__ = ("last_posted_at", "name", "positions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.positions = array("Q")  # ascending, without a gap in Ids
        self.last_posted_at = 0  # microseconds since 1970

    def append(self, log_index: int, time: int) -> int:
        """Take in the next post; its Id."""
        self.positions.append(log_index)
        self.last_posted_at = time
        return len(self.positions)

    def page(self, ask: PageAsk, log_index: int) -> Page:
        """The page as of now."""
        count = len(self.positions)
        first, last = ask.span(count)
        return Page(log_index, first, last, count, self.positions[first - 1 : last].tolist())

    def located(self, after: int, up_to: int, limit: int) -> list[tuple[int, int]]:
        """The first `limit` posts with after < log index <= up_to, as (log index, Id)."""
        first = bisect_right(self.positions, after)
        last = min(bisect_right(self.positions, up_to), first + limit)
        return [(self.positions[k], k + 1) for k in range(first, last)]


def render_post(entry: Entry, id: int) -> bytes:
    """The post of a committed post command as readers see it, JSON without a newline."""
    return render(entry.body, id, entry.time)


def render(body: bytes, id: int, time: int) -> bytes:
    """`render_post` by its parts; `body` is what `commands.encode` made of a Post, `time` is in microseconds."""
    opens = body.index(POST_OPENS) + len(POST_OPENS)
    cut = body.rindex(CLIENT_ID_OPENS)
    return b'{"Id":%d,%b,"PostedAt":"%b"%b' % (id, body[opens:cut], timestamp(time).encode(), body[cut:-1])


def timestamp(time: int) -> str:
    """Microseconds since 1970 in ISO 8601, UTC."""
    seconds, microseconds = divmod(time, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


@lru_cache(maxsize=1024)  # posts come many a second, pages span few
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
