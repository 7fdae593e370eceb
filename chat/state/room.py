"""Rooms: the places of their posts in the log, and pages of them.

A room holds four bytes for a post: an array of the log indexes of the posts that are left, in the order of their Ids
(eight bytes once the log has more than 4 billion entries).
Posts are removed from the oldest on (retention), or all at once (the room is deleted).  An Id is never given twice.
Texts stay in the log; a page is read from there by index.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from chat.state.post_revisions import Reactions, Revision, Revisions
from chat.state.room_details import RoomDetails

PAGE_POSTS_MAX = 1_000
PAGE_POSTS_DEFAULT = 100
SHORT, LONG = "I", "Q"  # arrays of log indexes up to 32 bits, and of any
SHORT_MAX = (1 << 32) - 1
_NO_INDEX = 1 << 62


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page of a room to return: at most one of before, after and around is set; none asks for the newest page."""

    limit: int = PAGE_POSTS_DEFAULT
    before: int | None = None
    after: int | None = None
    around: int | None = None

    def span(self, oldest: int, newest: int) -> tuple[int, int]:
        """The first and the last Id of the page in a room that has these; first = last + 1 for an empty page."""
        if self.after is not None:
            first = max(min(self.after, newest) + 1, oldest)
            return first, min(first + self.limit - 1, newest)
        if self.around is not None:
            # Half of the page lies before the post asked for; at an end of the room the page is filled from within.
            last = min(max(self.around - self.limit // 2, oldest) + self.limit - 1, newest)
        else:
            last = newest if self.before is None else min(max(self.before, oldest) - 1, newest)
        return max(last - self.limit + 1, oldest), last

    def pivot(self, first: int, last: int) -> int:
        """Return the Id from which a page from `first` to `last` is filled upwards, and below which downwards.

        So a page that ends early lacks what is furthest from what was asked for.
        """
        if self.after is not None:
            return first
        return last + 1 if self.around is None else min(max(self.around, first), last + 1)


class EventKind(IntEnum):
    """The kind of change that an entry of the log made in a room."""

    POST = 0
    CHANGED = 1  # a post was edited or deleted: the last time
    REACTED = 2  # to a post: the last time
    ROOM = 3  # its details changed: the last time
    DELETION = 4


class LocatedEvent(NamedTuple):
    """A change of a room, by its place in the log."""

    log_index: int
    room: str
    id: int  # of the post; 0 where it is none
    kind: EventKind
    source: int  # log index of the entry that shows it as it is now


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive posts of a room as of one moment."""

    log_index: int  # the state's at that moment
    first_id: int
    last_id: int  # first_id - 1 for an empty page
    oldest_id: int  # that is left in the room; newest_id + 1 where none is
    newest_id: int  # that was ever given in the room
    pivot: int  # as PageRequest has it
    positions: list[
        int
    ]  # log indexes of what shows first_id to last_id now; where a post was changed they do not ascend
    extras: Mapping[int, Reactions] | None = None  # by log index: to the post that this entry shows

    def part(self, first: int, last: int) -> "Page":
        """The posts of the page that have Ids from `first` to `last`."""
        positions = self.positions[first - self.first_id : last + 1 - self.first_id]
        return replace(self, first_id=first, last_id=last, positions=positions)


_NO_REVISION = Revision()
_NO_REVISIONS = Revisions()


# A room as it was at one moment, but for what it has beside its posts: what _FACTS gets, and the log indexes of the
# posts that are left: those in an array (SHORT where they are) between two places.
RoomCopy = tuple[tuple[str, int, int, int, int, int], "array[int]", int, int]

_FACTS = attrgetter("name", "newest_id", "last_posted_at", "deleted_at", "max_messages", "record_bytes")
_POSITIONS = attrgetter("_positions")
_START = attrgetter("_start")


def copies(rooms: Collection["Room"]) -> Iterator[RoomCopy]:
    """Copy these rooms, in about a third of a microsecond each, since posts wait meanwhile; pair the copies later.

    The arrays are not copied: they are only appended to, so what they hold up to their present ends stays.
    """
    positions = [*map(_POSITIONS, rooms)]
    ends = [*map(len, positions)]
    return zip([*map(_FACTS, rooms)], positions, [*map(_START, rooms)], ends, strict=True)


class Room:
    """A room, also a deleted one: its Ids go on when it is made again.

    A room exists as long as it has posts or details: one that its first post makes has no details, and takes no more
    memory than what is here.
    """

    __slots__ = (
        "_positions",
        "_start",
        "deleted_at",
        "details",
        "last_index",
        "last_posted_at",
        "max_messages",
        "name",
        "newest_id",
        "record_bytes",
        "revisions",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        # Ascending; those before _start are of posts that are gone.  It is appended to, or replaced by another one.
        self._positions = array(SHORT)
        self._start = 0
        self.newest_id = 0  # that was ever given
        self.last_index = 0  # log index of the last change of it that `located` returns
        self.last_posted_at = 0  # microseconds since 1970; 0 where there are no posts
        self.deleted_at = 0  # log index of the last deletion, 0 for none
        self.max_messages = 0  # of retention; 0 for no bound
        self.record_bytes = 0  # of the posts that are left, about: the record of one that goes counts as an average one
        self.details: RoomDetails | None = None
        self.revisions: Revisions | None = None  # None: there are none

    @property
    def posts(self) -> int:
        """The number of posts that are left."""
        return len(self._positions) - self._start

    @property
    def exists(self) -> bool:
        """True unless the room was deleted; its name is known here then."""
        return self.details is not None or len(self._positions) > self._start

    @property
    def oldest_id(self) -> int:
        """The Id of the oldest post that is left; newest_id + 1 if none is."""
        return self.newest_id - self.posts + 1

    @property
    def indexes(self) -> "array[int]":
        """Log indexes of the posts that are left, a copy; SHORT where they are."""
        return self._positions[self._start :]

    def id_at(self, log_index: int) -> int:
        """The Id of the post that lies there; 0 where none does that is left."""
        at = bisect_left(self._positions, log_index, self._start)
        if at == len(self._positions) or self._positions[at] != log_index:
            return 0
        return self.newest_id - len(self._positions) + at + 1

    def index_of(self, id: int) -> int:
        """Log index of what was posted under this Id; 0 where that is not left."""
        return self._positions[self._place(id)] if self.oldest_id <= id <= self.newest_id else 0

    def revision_of(self, id: int) -> Revision:
        """The revision of this post; an empty one if it was never changed."""
        return (self.revisions or _NO_REVISIONS).get(id, _NO_REVISION)

    def revise(self, id: int, revision: Revision) -> None:
        """Give this post, which is left, another revision."""
        if self.revisions is None:
            self.revisions = Revisions()
        self.revisions.put(id, revision)
        self.last_index = revision.last_index

    @property
    def text_bytes(self) -> int:
        """The part of `record_bytes` that is not of tombstones."""
        return self.record_bytes - (self.revisions.tombstone_bytes if self.revisions is not None else 0)

    @property
    def texts(self) -> int:
        """The number of posts that are left and were not deleted."""
        return self.posts - (self.revisions.tombstones if self.revisions is not None else 0)

    def live(self) -> "Iterator[array[int]]":
        """Log indexes of the entries whose text may still be asked for, in pieces; copies."""
        start = self._start
        if self.revisions is not None:
            for id in sorted(id for id, revision in self.revisions.items() if revision.deleted):
                place = self._place(id)
                yield self._positions[start:place]
                start = place + 1
            yield array(LONG, [index for revision in self.revisions.values() for index in revision.entries])
        yield self._positions[start:]

    def append(self, log_index: int, time: int, record_bytes: int, max_messages_default: int = 0) -> int:
        """Take in the next post, and let go of what retention does not keep; its Id."""
        if log_index > SHORT_MAX and self._positions.typecode == SHORT:
            self._positions = array(LONG, self._positions)
        self._positions.append(log_index)
        self.newest_id += 1
        self.last_index = log_index
        self.last_posted_at = time
        self.record_bytes += record_bytes
        if self.max_messages or max_messages_default:
            self.trim(max_messages_default)
        return self.newest_id

    def retain(self, max_messages: int) -> None:
        """Keep so many of the newest posts from now on, 0 for all."""
        self.max_messages = max_messages
        self.trim()

    @property
    def oldest_index(self) -> int:
        """Log index of the oldest post that is left; of none a higher one than any."""
        return self._positions[self._start] if self.posts else _NO_INDEX

    @property
    def newest_index(self) -> int:
        """Log index of the newest post that is left; 0 where there is none."""
        return self._positions[-1] if self.posts else 0

    def expire(self, up_to: int) -> None:
        """Let go of the posts with log indexes up to this one."""
        self._let_go(bisect_right(self._positions, up_to, self._start) - self._start)

    def delete(self, log_index: int) -> None:
        """Let go of all posts and settings, but not of the count."""
        self._positions = array(SHORT)
        self._start = 0
        self.last_index = self.deleted_at = log_index
        self.last_posted_at = self.max_messages = self.record_bytes = 0
        self.details = self.revisions = None

    def restore(self, indexes: "array[int]") -> None:
        """Have these posts, the last of which is `newest_id`; for a room that is built from a document.

        Its details and revisions are set before, and with them `last_index`.
        Raises ValueError if there are revisions of other posts.
        """
        self._positions = indexes
        if self.revisions is not None:
            if not self.oldest_id <= min(self.revisions) <= max(self.revisions) <= self.newest_id:
                raise ValueError("Revisions")
            self.revisions.derive()
        self.last_index = max(self.last_index, self.deleted_at, indexes[-1] if indexes else 0)

    def trim(self, max_messages_default: int = 0) -> None:
        """Let go of what retention does not keep; the default holds where the room says nothing of its own."""
        self._let_go(self.excess(max_messages_default))

    def excess(self, max_messages_default: int = 0) -> int:
        """The number of posts that retention does not keep; 0 or less if it keeps all."""
        has_own = self.max_messages or (self.details is not None and self.details.retention_own)
        bound = self.max_messages if has_own else max_messages_default
        return self.posts - bound if bound else 0

    def _let_go(self, gone: int) -> None:
        """Drop so many of the oldest posts."""
        if gone <= 0:
            return
        if self.revisions is None:
            self.record_bytes -= self.record_bytes * gone // self.posts
        else:
            self._forget_revisions(self.revisions, range(self.oldest_id, self.oldest_id + gone))
        self._start += gone
        if 2 * self._start >= len(self._positions):  # each post is moved once at most for one that went
            self._positions = self._positions[self._start :]
            self._start = 0

    def _forget_revisions(self, revisions: Revisions, gone: range) -> None:
        """Drop the revisions of these posts, the oldest that are left, and take their records off the sizes."""
        texts, text_bytes, tombstones = self.texts, self.text_bytes, revisions.tombstones
        for id in gone if len(gone) < len(revisions) else [id for id in revisions if id < gone.stop]:
            revisions.drop(id)
        texts_gone = len(gone) - (tombstones - revisions.tombstones)
        text_bytes -= text_bytes * texts_gone // max(texts, 1)
        self.record_bytes = text_bytes + revisions.tombstone_bytes
        self.revisions = revisions or None

    def page(self, ask: PageRequest, log_index: int) -> Page:
        """The page as of now."""
        newest = self.newest_id
        id = newest - len(self._positions) + 1  # of the first position
        oldest = id + self._start
        first, last = ask.span(oldest, newest)
        positions = self._positions[first - id : last + 1 - id].tolist()
        pivot = ask.pivot(first, last)
        if self.revisions is None:
            return Page(log_index, first, last, oldest, newest, pivot, positions)
        shown, extras = self._shown(positions, first)
        return Page(log_index, first, last, oldest, newest, pivot, shown, extras)

    def version_index(self, id: int) -> int:
        """Log index of the entry that shows this post, which is left, as it is now; 0 where it was deleted."""
        revision = self.revisions.get(id) if self.revisions is not None else None
        if revision is not None and (revision.deleted or revision.version_index):
            return 0 if revision.deleted else revision.version_index
        return self._positions[self._place(id)]

    def _place(self, id: int) -> int:
        """Return the place of a post that is left, among the positions."""
        return id - self.newest_id - 1 + len(self._positions)

    def located(self, after: int, up_to: int, limit: int) -> list[LocatedEvent]:
        """The changes with after < log index <= up_to: the last deletion, posts, and the last change of each post.

        At most `limit` posts and as many changes, the first ones.  Whatever was before the deletion is gone.
        """
        first, end = self._between(after, up_to)
        id, name, post = self.newest_id - len(self._positions) + 1, self.name, EventKind.POST
        ends = range(first, min(end, first + limit))
        found = [LocatedEvent(index := self._positions[k], name, id + k, post, index) for k in ends]
        if after < self.deleted_at <= up_to:
            found.insert(0, LocatedEvent(self.deleted_at, name, 0, EventKind.DELETION, self.deleted_at))
        if self.revisions is not None:
            found = [each._replace(source=self._source(each.id, each.source)) for each in found]
            found += self._changes_between(after, up_to, limit)
        if self.details is not None and after < self.details.changed_index <= up_to:
            changed_index = self.details.changed_index
            found.append(LocatedEvent(changed_index, name, 0, EventKind.ROOM, changed_index))
        return found

    def _changes_between(self, after: int, up_to: int, limit: int) -> Iterator[LocatedEvent]:
        revisions, positions = self.revisions or _NO_REVISIONS, self._positions
        changes = (
            (index, id, revision, own)
            for index, id, revision in revisions.between(after, up_to)
            if (own := positions[self._place(id)]) != index  # else it was imported so, and the post's event has it
        )
        for index, id, revision, own in islice(changes, limit):
            what = EventKind.REACTED if index == revision.reacted_index else EventKind.CHANGED
            yield LocatedEvent(index, self.name, id, what, revision.version_index or own)

    def _source(self, id: int, index: int) -> int:
        """Log index of the entry that shows a post as it is now, a tombstone too; its own is `index`."""
        revision = (self.revisions or _NO_REVISIONS).get(id)
        return index if revision is None else revision.version_index or index

    def _shown(self, positions: list[int], first_id: int) -> tuple[list[int], Mapping[int, Reactions]]:
        """The positions of what shows these posts now, and what their entries do not say."""
        revisions = self.revisions or _NO_REVISIONS
        extras: dict[int, Reactions] = {}
        for at, index in enumerate(positions):
            revision = revisions.get(first_id + at)
            if revision is None:
                continue
            positions[at] = revision.version_index or index
            if revision.reactions and not revision.deleted:
                extras[positions[at]] = revision.reactions
        return positions, extras

    def count_changes(self, after: int, up_to: int) -> int:
        """The number of changes of posts that `located` would return without a limit."""
        return sum(1 for _ in self.revisions.between(after, up_to)) if self.revisions is not None else 0

    def count(self, after: int, up_to: int) -> int:
        """The number of posts that are left with after < log index <= up_to."""
        first, end = self._between(after, up_to)
        return end - first

    def last_up_to(self, up_to: int) -> tuple[int, int]:
        """Log index and Id of the last post with log index <= up_to; there must be one."""
        end = bisect_right(self._positions, up_to, self._start)
        return self._positions[end - 1], self.newest_id - len(self._positions) + end

    def _between(self, after: int, up_to: int) -> tuple[int, int]:
        first = bisect_right(self._positions, after, self._start)
        return first, bisect_right(self._positions, up_to, first)
