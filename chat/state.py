"""The replicated state of the chat: rooms, which posts each has and where they lie, and the ClientIds seen.

Rules.  `apply` is deterministic (no clock, no randomness, no Unicode tables, nothing ordered by hash) and total: it
checks all before it changes anything, and answers a Refusal where it changes nothing.  One lock, held for one entry
or one question at a time; the events of a batch are handed on after it, without the lock.
What a member that restores a document goes on with is what the others have: nothing that `apply` looks at is missing
from `document`.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from threading import Lock

from chat import document
from chat.commands import Command, DeleteRoom, Post, SetRetention, decode
from chat.history import Page, PageAsk, Room, render
from chat.remembered import Remembered
from raft.messages import Entry


@dataclass(frozen=True, slots=True)
class Posted:
    """A post that was made.  `created` False: an earlier one that this request repeats."""

    room: str
    id: int
    index: int  # the log's
    created: bool
    json: bytes  # as readers see it, no newline


@dataclass(frozen=True, slots=True)
class Repeated:
    """A post whose (User, ClientId) made one before, so that nothing was made of this one.

    Whether it is the same post is not asked here but of the log, by whoever answers (`posting.py`).
    """

    id: int  # of the earlier one; 0 where it is gone or was never in the room that is named now
    index: int  # the log's, of the earlier one


@dataclass(frozen=True, slots=True)
class Refusal:
    """A committed command that changed nothing; `detail` begins with the field's name."""

    code: str  # "no_such_post", "no_such_room", "unknown_command"
    detail: str


@dataclass(frozen=True, slots=True)
class PostEvent:
    """A new post, for those who listen."""

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


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """What the list of rooms tells of one."""

    name: str
    posts: int  # that are left
    last_posted_at: int  # microseconds since 1970
    max_messages: int | None = None  # of retention


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room's settings are what was asked for."""

    index: int
    room: RoomSummary


@dataclass(frozen=True, slots=True)
class Missed:
    """What somebody who knows the log up to some index has not seen of a room."""

    room: str
    deleted: bool  # before these posts
    posts: int
    newest_id: int
    newest_index: int  # the log's, of the last post or of the deletion


Result = Posted | Repeated | RoomDeleted | RoomChanged | Refusal


class ChatState:
    """The state machine that the engine drives (`chat.replica.StateMachine`)."""

    def __init__(self) -> None:
        # Set before the engine starts, or while it cannot apply anything.
        self.on_applied: Callable[[int, list[Event]], None] | None = None
        self.on_restored: Callable[[int], None] | None = None  # events up to this log index have been missed
        self._lock = Lock()
        self._last_index = 0  # of the last command applied
        self._rooms: dict[str, Room] = {}  # those that were deleted too
        self._names: list[str] = []  # of the rooms that exist, by code point
        self._live_bytes = 0
        # To be bounded by a command of the leader's that has what is older than 24 h forgotten: apply has no clock.
        self._remembered = Remembered()
        self._events: list[Event] = []  # of the batch under way; only the applying thread touches it

    # --- the engine's side: one thread

    def apply(self, entry: Entry) -> Result:
        """Carry out a committed command."""
        command = decode(entry.body)
        with self._lock:
            self._last_index = entry.index
            return self._apply_locked(command, entry)

    def applied(self, index: int) -> None:
        """Hand the batch's events on."""
        events, self._events = self._events, []
        if self.on_applied is not None:
            self.on_applied(index, events)

    def document(self) -> Iterator[bytes]:
        """All that is replicated, as of now, in lines that `restore` takes; any thread."""
        with self._lock:  # for as long as it takes to copy some MB; the lines are made when they are asked for
            rooms = [document.described(room) for room in self._rooms.values()]
            buckets = self._remembered.buckets()
        return document.encode(rooms, buckets)

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        """Be the state that gave these lines at log index `index`.

        Raises InvalidMessage where no state could have: then nothing has changed.
        """
        rooms, buckets = document.decode(lines, index)
        names = [name for name, room in rooms.items() if len(room)]
        with self._lock:
            self._rooms, self._names = rooms, names
            self._remembered.restore(buckets)
            self._live_bytes = sum(room.record_bytes for room in rooms.values())
            self._last_index = index
        self._events = []
        if self.on_restored is not None:
            self.on_restored(index)

    def live(self) -> "array[int]":
        """Ascending log indexes of the entries whose text may still be asked for: the posts that are left."""
        with self._lock:
            pieces = [room.indexes for room in self._rooms.values()]
        return array("Q", sorted(chain.from_iterable(pieces)))

    @property
    def live_bytes(self) -> int:
        """About the sum of the lengths of these entries' records; the same on every member."""
        return self._live_bytes

    def _apply_locked(self, command: Command | None, entry: Entry) -> Result:
        match command:
            case Post():
                return self._post_locked(command, entry)
            case DeleteRoom():
                return self._delete_locked(command, entry)
            case SetRetention():
                return self._retain_locked(command, entry)
            case None:
                return Refusal("unknown_command", "Type: not a command that this member knows")

    def _post_locked(self, post: Post, entry: Entry) -> Posted | Repeated | Refusal:
        room = self._rooms.get(post.room)
        hash = self._remembered.hash_of(post.user, post.client_id)
        # Of this room; one that is gone was there to be answered.
        no_such_post = post.reply_to > (0 if room is None else room.newest_id)
        earlier = self._remembered.find(hash) if no_such_post else self._remembered.admit(hash, entry.index)
        if earlier:
            return Repeated(0 if room is None else room.id_at(earlier), earlier)
        if no_such_post:
            return Refusal("no_such_post", "ReplyTo: names no post of this room")
        if room is None:
            room = self._rooms[post.room] = Room(post.room)
        if not room:
            insort(self._names, room.name)
        before = room.record_bytes
        id = room.append(entry.index, entry.time, len(entry.record))
        self._live_bytes += room.record_bytes - before
        posted = Posted(post.room, id, entry.index, True, render(entry.body, id, entry.time))
        if self.on_applied is not None:
            self._events.append(PostEvent(entry.index, post.room, id, posted.json))
        return posted

    def _delete_locked(self, command: DeleteRoom, entry: Entry) -> RoomDeleted | Refusal:
        room = self._rooms.get(command.room)
        if not room:
            return _NO_SUCH_ROOM
        del self._names[bisect_left(self._names, room.name)]
        self._live_bytes -= room.record_bytes
        room.delete(entry.index)
        deleted = RoomDeleted(entry.index, room.name)
        if self.on_applied is not None:
            self._events.append(deleted)
        return deleted

    def _retain_locked(self, command: SetRetention, entry: Entry) -> RoomChanged | Refusal:
        room = self._rooms.get(command.room)
        if not room:
            return _NO_SUCH_ROOM
        before = room.record_bytes
        room.retain(command.max_messages or 0)
        self._live_bytes += room.record_bytes - before
        return RoomChanged(entry.index, _summary(room))

    # --- questions: any thread

    def page(self, room: str, ask: PageAsk) -> Page:
        """A page of a room; an unknown room is one without posts."""
        with self._lock:
            return self._rooms.get(room, _NO_ROOM).page(ask, self._last_index)

    def rooms(self, after: str, limit: int) -> tuple[int, list[RoomSummary]]:
        """The log index, and the first `limit` rooms whose names come after `after` ("" for the first of all)."""
        with self._lock:
            first = bisect_right(self._names, after)
            rooms = [self._rooms[name] for name in self._names[first : first + limit]]
            return self._last_index, [_summary(room) for room in rooms]

    def located(
        self, after: int, up_to: int, limit: int, rooms: Iterable[str] | None = None
    ) -> list[tuple[int, str, int]]:
        """The first `limit` things with after < log index <= up_to, as (log index, room, Id), in log order.

        These are posts that are left, and with Id DELETION the last deletion of a room.  `rooms` None: of every room.
        """
        with self._lock:
            chosen = self._touched_after_locked(after, rooms)
            found = [(index, room.name, id) for room in chosen for index, id in room.located(after, up_to, limit)]
        return sorted(found)[:limit]

    def is_quiet(self, after: int, rooms: Iterable[str] | None = None) -> bool:
        """Whether nothing was posted to these rooms, and none of them deleted, with log index > `after`; None: all."""
        with self._lock:
            return self._last_index <= after or (rooms is not None and not self._touched_after_locked(after, rooms))

    def missed(self, after: int, up_to: int, rooms: Iterable[str] | None = None) -> list[Missed]:
        """The rooms that have posts, or were deleted, with after < log index <= up_to; `rooms` None: of all."""
        with self._lock:
            chosen = self._touched_after_locked(after, rooms)
            return [missed for room in chosen if (missed := _missed(room, after, up_to))]

    def _touched_after_locked(self, log_index: int, names: Iterable[str] | None) -> list[Room]:
        """Most rooms are quiet: one look at each room's end spares the others' bisection."""
        rooms = self._rooms.values() if names is None else [self._rooms[name] for name in names if name in self._rooms]
        return [room for room in rooms if room.last_index > log_index]

    def digest(self) -> str:
        """SHA-256 over all that is replicated: equal on members that applied the same log."""
        return document.digest(self.document())


def _summary(room: Room) -> RoomSummary:
    return RoomSummary(room.name, len(room), room.last_posted_at, room.max_messages or None)


def _missed(room: Room, after: int, up_to: int) -> Missed | None:
    deleted, posts = after < room.deleted_at <= up_to, room.count(after, up_to)
    if posts:
        newest_index, newest_id = room.last_up_to(up_to)
        return Missed(room.name, deleted, posts, newest_id, newest_index)
    return Missed(room.name, True, 0, 0, room.deleted_at) if deleted else None


_NO_ROOM = Room("")
_NO_SUCH_ROOM = Refusal("no_such_room", "RoomName: there is no such room")
