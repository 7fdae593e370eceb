"""The replicated state as a whole: the state machine that the engine drives.

It has the engine's side, the lock and the questions.  The appliers have the commands, and `tables.py` the fields.

Rules.
- `apply` is deterministic: no clock, no randomness, no Unicode tables, no order of hashes.
- `apply` is total: an applier checks everything before it changes anything, and returns a Refusal otherwise.
- One lock is held for one entry or one question at a time.  The events of a batch are handed on after it, without it.
- `document` has everything that `apply` looks at, so a node that restores it goes on like the others.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from threading import Lock
from typing import TypeVar

from chat.commands import Command, Post, decode
from chat.commands.cluster import ExpireCredentials
from chat.state import permissions
from chat.state.accounts import Acting
from chat.state.apply import (
    clock_leaps,
    credentials,
    expiry,
    imports,
    posts,
    preferences,
    read_markers,
    rooms,
    settings,
    users,
)
from chat.state.events import AccountEvent, Event, PostEvent, RoomDeleted, RoomEvent
from chat.state.name_pages import NamePageRequest
from chat.state.permissions import ANONYMOUS
from chat.state.post_revisions import Reactions
from chat.state.results import Missed, Refusal, Result, RoomsPage
from chat.state.room import LocatedEvent, Page, PageRequest, Room
from chat.state.room_views import room_event, summary_for
from chat.state.snapshot import document
from chat.state.tables import Tables, WouldChange
from raft.core.raft_messages import Entry, Kind

T = TypeVar("T")

# Of every command but a post: called with the tables, the command, its entry and a Tell.
APPLIERS: dict[type, Callable[..., Result]] = {
    **rooms.APPLIERS, **posts.APPLIERS, **imports.APPLIERS, **read_markers.APPLIERS,
    **preferences.APPLIERS, **users.APPLIERS, **credentials.APPLIERS, **settings.APPLIERS, **expiry.APPLIERS,
}  # fmt: skip
# Only a leader proposes these, so they are never tried in a dry run.
_UNTRIED = {*expiry.APPLIERS, ExpireCredentials}


def _discard(event: object) -> None:
    """Drop what nobody listens to."""


class ChatState:
    """The state machine that the engine drives (`raft.engine.state_machine`)."""

    def __init__(self) -> None:
        self._on_applied: Callable[[int, list[Event]], None] | None = None
        self._on_accounts: Callable[[list[AccountEvent]], None] = _discard
        self._on_restored: Callable[[int], None] = _discard
        self._lock = Lock()
        self.posts = 0  # handed on as events; those of long ago, which a start applies again, are not
        self._last_index = 0  # of the last command applied
        self._tables = Tables()
        self._events: list[Event] = []  # of the batch under way; only the applying thread touches it
        self._account_events: list[AccountEvent] = []  # likewise

    def listen(
        self,
        on_applied: Callable[[int, list[Event]], None],
        on_accounts: Callable[[list[AccountEvent]], None] = _discard,
        on_restored: Callable[[int], None] = _discard,
    ) -> None:
        """Report what happens from now on, by the applying thread.

        Not asked of the constructor: nobody listens to events of long ago, which a start applies again.
        `on_applied` gets each batch's last log index and its events; before it `on_accounts` those of accounts, if
        there are any.  `on_restored` gets the log index up to which events have been missed.
        """
        self._on_accounts, self._on_restored = on_accounts, on_restored
        self._on_applied = on_applied

    # --- the engine's side: one thread at a time

    def apply(self, entry: Entry) -> Result:
        """Carry out a committed command."""
        command = decode(entry.body)
        emit = None if self._on_applied is None else self._events.append
        with self._lock:
            self._last_index = entry.index
            tables = self._tables
            if entry.time >= tables.log_times.open_until:
                tables.log_times.note(entry.time, entry.index)
            if type(command) is Post:
                return posts.post(tables, command, entry, emit)
            applier = APPLIERS.get(type(command))
            if applier is None or command is None:
                return _UNKNOWN
            return applier(tables, command, entry, _discard if emit is None else self._collect)

    def set_clock(self, index: int, before: int, time: int) -> None:
        """The log's time was `before` and is `time` from here on: no age changes by that."""
        with self._lock:
            self._last_index = index
            clock_leaps.set_clock(self._tables, before, time)

    def _collect(self, event: Event | AccountEvent) -> None:
        if isinstance(event, AccountEvent):
            self._account_events.append(event)
        else:
            self._events.append(event)

    def applied(self, index: int) -> None:
        """Hand the batch's events on."""
        accounts, self._account_events = self._account_events, []
        if accounts:
            self._on_accounts(accounts)
        events, self._events = self._events, []
        if self._on_applied is not None:
            self.posts += [*map(type, events)].count(PostEvent)
            self._on_applied(index, events)

    def document(self) -> Iterator[bytes]:
        """Return the replicated state as of now, in lines that `restore` takes; any thread."""
        with self._lock:  # for as long as it takes to copy some MB; the lines are made when they are asked for
            copied = document.copied(self._tables)
        return document.encode(copied)

    @property
    def digest_format(self) -> int:
        """The number of the form of `digest_input`."""
        return document.DIGEST_FORMAT

    def digest_input(self) -> Iterator[bytes]:
        """Return the replicated state as of now in bytes that are equal wherever it is equal; any thread."""
        with self._lock:
            copied = document.copied(self._tables)
        return document.digest_input(copied)

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        """Be the state that gave these lines at log index `index`.

        Raises InvalidMessage where no state could have: then nothing has changed.
        """
        tables = document.decode(lines, index)
        with self._lock:
            self._tables = tables
            self._last_index = index
        self._events = []
        self._account_events = []
        self._on_restored(index)

    def live(self) -> "array[int]":
        """Ascending log indexes of the entries whose text may still be asked for.

        These are the posts that are left and not taken back, all edits of them, and the tombstones.
        """
        with self._lock:
            pieces = [piece for room in self._tables.rooms.by_name.values() for piece in room.live()]
        return array("Q", sorted(chain.from_iterable(pieces)))

    @property
    def live_bytes(self) -> int:
        """About the sum of the lengths of these entries' records; the same on every node."""
        return self._tables.live_bytes

    @property
    def erased_index(self) -> int:
        """Log index of the newest command that took a text back, which is to leave the disk within a day; 0: none."""
        return self._tables.erased_index

    # --- questions: any thread

    def counts(self) -> tuple[int, int, int]:
        """Return how many messages, rooms and users there are."""
        with self._lock:
            rooms = [room for room in self._tables.rooms.by_name.values() if room.exists]
            return sum(room.posts for room in rooms), len(rooms), len(self._tables.users)

    @property
    def guarded(self) -> bool:
        """True if answers depend on the user who asks.  Takes no lock."""
        return self._tables.guarded

    def ask(self, question: Callable[[Tables], T]) -> T:
        """Return what `question` finds in the tables.  It must be short, keep no table and change nothing."""
        with self._lock:
            return question(self._tables)

    def dry_run(self, command: Command, log_index: int = 0) -> Result | None:
        """The result of `apply` for this command now, if it would change nothing; None if it would, or might.

        The appliers themselves decide, in a dry run that ends before the first change.  `log_index`: the engine's last
        applied index, which the answer reflects.
        """
        if type(command) is Post:
            with self._lock:
                return posts.dry_run(self._tables, command)
        applier = APPLIERS.get(type(command))
        if applier is None or type(command) in _UNTRIED:
            return None
        with self._lock:
            tables = self._tables
            tables.is_dry_run = True
            try:
                entry = Entry(max(log_index, self._last_index), 0, 0, Kind.COMMAND, None, b"", b"")
                return applier(tables, command, entry, _discard)
            except WouldChange:
                return None
            finally:
                tables.is_dry_run = False

    def takes(self, post: Post) -> bool:
        """Return whether the post's room exists, and nothing speaks against the post.

        Takes no lock: it only looks up single values.  So it may be late, and the applier decides.
        """
        tables = self._tables
        room = tables.rooms.by_name.get(post.room)
        return room is not None and room.exists and posts.refused(tables, post, post.room, room) is None

    def has_room(self, name: str) -> bool:
        """Return whether a room has or had this name.  Takes no lock."""
        return self._tables.rooms.existing(name) is not None

    # `acting` is the acting user: what they do not see does not exist for them.  Not used if sign-in was never on.

    def page(self, room: str, ask: PageRequest, acting: Acting = ANONYMOUS) -> Page:
        """A page of a room; an unknown room is one without posts."""
        with self._lock:
            tables = self._tables
            found = tables.rooms.by_name.get(room) or tables.rooms.get(room) or _NO_ROOM
            if tables.guarded and not permissions.sees(tables, acting, found):
                found = _NO_ROOM
            return found.page(ask, self._last_index)

    def rooms(self, ask: NamePageRequest, acting: Acting = ANONYMOUS) -> RoomsPage:
        """A page of the rooms that this one sees."""
        with self._lock:
            tables = self._tables
            page = ask.page(*permissions.seen_names(tables, acting))
            rooms = [summary_for(tables, tables.rooms.by_name[name], acting) for name in page.names]
            return RoomsPage(self._last_index, rooms, page)

    def located(
        self, after: int, up_to: int, limit: int, rooms: Iterable[str] | None = None, acting: Acting = ANONYMOUS
    ) -> list[LocatedEvent]:
        """The first `limit` things with after < log index <= up_to, in log order; `rooms` None: of every room.

        These are posts that are left, and the last change of each of them and of each room, its deletion too.
        """
        with self._lock:
            chosen = self._touched_after_locked(after, rooms, acting)
            found = [located for room in chosen for located in room.located(after, up_to, limit)]
        return sorted(found)[:limit]

    def is_quiet(self, after: int, rooms: Iterable[str] | None = None, acting: Acting = ANONYMOUS) -> bool:
        """Return whether nothing came to these rooms (None: to all) with log index > `after`."""
        with self._lock:
            if self._last_index <= after:
                return True
            return rooms is not None and not self._touched_after_locked(after, rooms, acting)

    @property
    def forgotten_index(self) -> int:
        """The log index before which a client's cursor misses rooms that were deleted since.  Takes no lock."""
        return self._tables.rooms.forgotten.log_index

    @property
    def has_aliases(self) -> bool:
        """True if a room was renamed and is still found by an old name.  Takes no lock."""
        return bool(self._tables.rooms.aliases)

    def present_names(self, rooms: Iterable[str]) -> frozenset[str]:
        """The present names of the rooms that have or had these names."""
        with self._lock:
            found = map(self._tables.rooms.get, rooms)
            return frozenset(room.name for room in found if room is not None)

    def reactions(self, room: str, id: int) -> Reactions:
        """The reactions to a post; () for a post that is gone."""
        with self._lock:
            found = self._tables.rooms.get(room)
            return found.revision_of(id).reactions if found is not None else ()

    def room_event(self, index: int, name: str) -> RoomEvent | RoomDeleted:
        """The event of a room's last change, at this log index, with the room as it is now."""
        with self._lock:
            room = self._tables.rooms.existing(name)
            return RoomDeleted(index, name) if room is None else room_event(room, index)

    def missed(
        self, after: int, up_to: int, rooms: Iterable[str] | None = None, acting: Acting = ANONYMOUS
    ) -> list[Missed]:
        """The rooms that have posts, or changes of them, or were deleted, with after < log index <= up_to.

        `rooms` None: of all.
        """
        with self._lock:
            chosen = self._touched_after_locked(after, rooms, acting)
            return [missed for room in chosen if (missed := _missed(room, after, up_to))]

    def _touched_after_locked(self, log_index: int, names: Iterable[str] | None, acting: Acting) -> list[Room]:
        tables = self._tables
        touched = tables.rooms.touched_after(log_index, names)
        if not tables.guarded:
            return touched
        seen = [room for room in touched if permissions.sees(tables, acting, room)]
        return [room for room in seen if room.exists or permissions.lost_by(tables, acting, room)]

    def digest(self) -> str:
        """SHA-256 over all that is replicated: equal on nodes that applied the same log."""
        return document.digest(self.document())


def _missed(room: Room, after: int, up_to: int) -> Missed | None:
    deleted, posts = after < room.deleted_at <= up_to, room.count(after, up_to)
    changes = room.count_changes(after, up_to)
    if posts or changes:
        newest_index, newest_id = room.last_up_to(up_to)
        return Missed(room.name, deleted, posts, newest_id, newest_index, changes)
    return Missed(room.name, True, 0, 0, room.deleted_at) if deleted else None


_NO_ROOM = Room("")
_UNKNOWN = Refusal("unknown_command", "Type: this node does not know the command")
