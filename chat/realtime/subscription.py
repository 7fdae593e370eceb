"""The subscription of one connection: Hello, the missed events since its cursor, then live events, each exactly once.

Rules
- Everything up to `_position` was sent.  The subscription joins its live channel only at `_position ==
  published_index`, compared and joined in the selector thread, where alone `published_index` moves; or if nothing lies
  between them, as for most that come back after a moment.
- A worker reads the missed events from the log, a page at a time, and the next page only when the queue has drained: a
  slow reader holds up its own backfill and no memory.  Events that the hub still holds are not read.  A page of these
  alone, in a few rooms, needs no worker.
- A client that missed more than `MISSED_POSTS_MAX` gets the rooms' newest Ids instead, and pages by REST.
- With sign-in, missed events are shown by the permissions at the moment of reading.  Someone who has left a room since
  gets none of it; someone who has joined it gets all.
- A node that has heard of no leader for a minute may not know that a token was revoked.  It accepts no subscription.
- A renamed room is followed under both names: events published under the old one are still to come.
- A missed event that is gone since is left out, but the deletion of a room is sent.  A post is sent as it is now, with
  its last change and all reactions.  Earlier texts, and reactions that were removed, are not sent.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from heapq import nlargest

from chat.commands import Actor
from chat.errors import Problem
from chat.realtime.channels import event_payload
from chat.realtime.connection import Connection
from chat.realtime.frames import CloseCode
from chat.realtime.hub import Hub
from chat.realtime.replies import error
from chat.replica import STALE_S_MAX, Replica
from chat.services.cursors import Place, confirm, cursor, history, is_ahead, is_here, is_lost, start_over
from chat.services.post_cache import mending, read_retrying
from chat.state.accounts import Acting
from chat.state.events import Event, PostChanged, PostEvent, ReactedSince, RoomDeleted
from chat.state.machine import ChatState
from chat.state.permissions import ANONYMOUS, acting
from chat.state.post_json import is_import, render_post, with_reactions
from chat.state.results import Missed
from chat.state.room import EventKind, LocatedEvent
from raft.core.raft_messages import Command
from raft.errors import CorruptLog

MISSED_POSTS_MAX = 10_000  # what the log keeps in any case; ten pages of REST are cheaper for both than this
LIMITED_ROOMS_MAX = 10_000  # those that were posted to last
CURSOR_WAIT_S = 5.0

_PAGE_POSTS = 256
_PAGE_BYTES = 64 * 1024  # beside a live step it stays below a websocket's backlog
_FEW_ROOMS = 16  # that the selector thread itself may look into
_READ_POSTS = 32  # entries read at once: of the longest they are 1.5 MB
_NEVER = 1 << 63  # no log index


@dataclass(frozen=True, slots=True)
class _Page:
    """The missed events up to `reached`, encoded; if they are too many, the rooms and their newest Ids."""

    frames: bytes
    count: int  # of the frames
    reached: int
    limited: list[Missed]


class Subscription:
    """The one subscription of a connection; asking again replaces it."""

    def __init__(
        self,
        hub: Hub,
        connection: Connection,
        replica: Replica,
        state: ChatState,
        nodes: Callable[[], list[str]],
        actor: Actor,
        *,
        on_lost: Callable[[Problem], None] | None = None,
    ) -> None:
        """Call `on_lost` in place of sending the Error, if the place that was asked for is in a lost history."""
        self._hub = hub
        self._connection = connection
        self._replica = replica
        self._state = state
        self._nodes = nodes
        self._actor = actor
        self._on_lost = on_lost or self._send_lost
        self._rooms: frozenset[str] | None = None
        self._position = 0
        self._asked = 0  # counts the asks: what was begun for an earlier one comes to nothing
        self._awaited: Place | None = None  # what was asked for, where it is not here yet
        self._confirming = False  # one at a time, however often a client asks
        self._reading = False  # a worker is on it: one at a time, however often a client asks
        self._limited: Iterator[bytes] = iter(())

    def ask(self, rooms: frozenset[str] | None, place: Place | None) -> None:
        """Follow `rooms` (None: all) from after `place` on (None: from now on).

        A place in a lost history is answered with an Error, `start_over`; then nothing is followed.
        """
        self._asked += 1
        self._hub.unsubscribe(self._connection)
        self._rooms = rooms
        self._limited = iter(())
        is_behind = self._state.guarded and self._replica.contact_age_s() > STALE_S_MAX
        if is_behind or self._replica.is_set_aside:
            self._connection.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
            return
        self._awaited = None
        self._position = max(self._replica.last_applied, self._hub.published_index) if place is None else place.index
        if place is None or is_here(self._replica, place):
            self._begin(self._asked)
        else:
            self._wait(place)

    def _wait(self, place: Place) -> None:
        self._awaited = place
        begin = partial(self._begin, self._asked)
        reached = place.index if is_ahead(self._replica, place) else _NEVER
        self._hub.when_published(self._connection, reached, begin, CURSOR_WAIT_S)
        self._confirm()

    def _confirm(self) -> None:
        if self._awaited is None or self._confirming:
            return
        self._confirming = True
        decided = partial(self._decided, self._awaited)
        confirm(self._replica, self._awaited, lambda problem: self._call(partial(decided, problem)))

    def _call(self, job: Callable[[], None]) -> None:
        self._hub.call(job)

    def _decided(self, place: Place, problem: Problem | None) -> None:
        self._confirming = False
        if place is not self._awaited:  # the client has asked for another one since, or it came by itself
            self._confirm()
        elif self._connection.closing:
            return
        elif problem is None:
            self._begin(self._asked)
        elif is_lost(problem):
            self._start_over(problem)

    def _start_over(self, problem: Problem) -> None:
        self._asked += 1  # what is under way comes to nothing
        self._awaited = None
        self._hub.unsubscribe(self._connection)
        self._on_lost(problem)

    def _send_lost(self, problem: Problem) -> None:
        self._connection.send(error(problem, None))

    def _begin(self, asked: int) -> None:
        self._awaited = None
        if self._is_forgotten():
            return
        place = self._cursor(self._position)
        hello = {"Cursor": place.decode(), "User": self._actor.user or None, "Nodes": self._nodes()}
        self._queue(self._connection.encode(json.dumps({"Hello": hello}).encode(), place), 1)
        self._advance(asked)

    def _advance(self, asked: int) -> None:
        if asked != self._asked or self._connection.closing or self._reading:
            return
        published = self._hub.published_index
        if frames := _some(self._limited):
            self._queue(b"".join(frames), len(frames))
            self._connection.when_drained(partial(self._advance, asked))
        elif self._position > published:
            # Applied here, not fanned out yet; or nothing was applied since this node started.
            self._hub.when_published(self._connection, self._position, partial(self._advance, asked))
        elif self._position == published:
            self._hub.subscribe(self._connection, self._present_names())
        elif self._is_quiet():
            if not self._is_forgotten():
                self._hub.subscribe(self._connection, self._present_names())
        elif page := self._recent_page(published):
            self._got(asked, page)
        else:
            self._reading = True
            read = partial(self._read, self._rooms, self._position, published)
            self._hub.work(self._connection, read, partial(self._got, asked))

    def _is_forgotten(self) -> bool:
        """Return True if this node has forgotten deletions of rooms since `_position`; the client has to start over.

        Asked after a read, which may have missed some of them.
        """
        if self._position >= self._state.forgotten_index:
            return False
        self._start_over(start_over(Place(self._position, self._replica.generation, self._replica.cluster_id)))
        return True

    def _is_quiet(self) -> bool:
        return self._state.is_quiet(self._position, self._rooms, self._acting())

    def _present_names(self) -> frozenset[str] | None:
        """The names that the asked rooms have now, and those by which they were asked for."""
        if self._rooms is None or not self._state.has_aliases:
            return self._rooms
        return self._rooms | self._state.present_names(self._rooms)

    def _acting(self) -> Acting:
        """The permissions of the subscriber, as the state knows them now; any thread."""
        if not self._state.guarded:
            return ANONYMOUS
        found = self._state.ask(lambda tables: acting(tables, self._actor))
        return found if isinstance(found, Acting) else ANONYMOUS

    def _got(self, asked: int, page: _Page | None) -> None:
        self._reading = False
        if asked != self._asked:
            self._advance(self._asked)
            return
        if page is None:
            self._connection.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
            return
        if self._is_forgotten():
            return
        if page.limited:
            self._limited = self._limited_frames(page)
        self._position = page.reached
        self._queue(page.frames, page.count)
        self._connection.when_drained(partial(self._advance, asked))

    def _queue(self, frames: bytes, count: int) -> None:
        self._connection.counts.frames_out += count
        self._connection.queue(frames)

    def _limited_frames(self, page: _Page) -> Iterator[bytes]:
        """Encode a message a room.  Only the last has a Cursor: a client cut off before it gets all of them again."""
        frames: list[dict[str, object]] = []
        for missed in page.limited:
            if missed.deleted:
                frames.append({"Event": {"Type": "RoomDeleted", "RoomName": missed.room}})
            if missed.posts or missed.changes:
                frames.append({"Limited": {"RoomName": missed.room, "NewestId": missed.newest_id}})
        place = self._cursor(page.reached)
        frames[-1]["Cursor"] = place.decode()
        for frame in frames[:-1]:
            yield self._connection.encode(json.dumps(frame).encode(), b"")
        yield self._connection.encode(json.dumps(frames[-1]).encode(), place)

    def _cursor(self, index: int) -> bytes:
        return cursor(history(self._replica), index)

    def _recent_page(self, up_to: int) -> _Page | None:
        """Return a page of missed events if the hub holds all of them; otherwise None."""
        if self._rooms is None or len(self._rooms) > _FEW_ROOMS or up_to - self._position > MISSED_POSTS_MAX:
            return None
        located = self._state.located(self._position, up_to, _PAGE_POSTS, self._rooms, self._acting())
        if any(event is None for event in self._known(located)):
            return None
        return self._page(located, up_to)

    # In a worker

    def _read(self, rooms: frozenset[str] | None, after: int, up_to: int) -> _Page | None:
        """Read a page from the log.  None: the state does not catch up with what a compaction took from the log."""
        if up_to - after > MISSED_POSTS_MAX:  # there are no more posts than indexes
            missed = self._state.missed(after, up_to, rooms, self._acting())
            if sum(room.posts + room.changes for room in missed) > MISSED_POSTS_MAX:
                return _Page(b"", 0, up_to, nlargest(LIMITED_ROOMS_MAX, missed, key=lambda room: room.newest_index))
        try:
            return mending(lambda: self._read_page(rooms, after, up_to), self._mended)
        except Problem:
            return None
        except CorruptLog:  # no node has it: the client pages by REST, which serves all else
            missed = self._state.missed(after, up_to, rooms, self._acting())
            limited = nlargest(LIMITED_ROOMS_MAX, missed, key=lambda room: room.newest_index)
            return _Page(b"", 0, up_to, limited) if limited else None

    def _read_page(self, rooms: frozenset[str] | None, after: int, up_to: int) -> _Page:
        return read_retrying(
            lambda: self._state.located(after, up_to, _PAGE_POSTS, rooms, self._acting()),
            lambda located: self._page(located, up_to),
        )

    def _mended(self, damage: CorruptLog) -> bool:
        return self._hub.substituted(lambda: self._replica.mended(damage))

    def _page(self, located: list[LocatedEvent], up_to: int) -> _Page:
        prefix = history(self._replica)
        frames: list[bytes] = []
        size = 0
        for first in range(0, len(located), _READ_POSTS):
            some = located[first : first + _READ_POSTS]
            for event in self._events(some):
                place = cursor(prefix, event.index)
                frames.append(self._connection.encode(event_payload(place, event), place))
                size += len(frames[-1])
                if size >= _PAGE_BYTES:
                    return _Page(b"".join(frames), len(frames), event.index, [])
        reached = up_to if len(located) < _PAGE_POSTS else located[-1].log_index
        return _Page(b"".join(frames), len(frames), reached, [])

    def _events(self, located: list[LocatedEvent]) -> Iterator[Event]:
        """The events at these places.  Raises LookupError if a post has left the log."""
        known = self._known(located)
        missing = sorted({each.source for each, event in zip(located, known, strict=True) if event is None})
        commands = {command.index: command for command in self._replica.commands(missing)} if missing else {}
        for each, event in zip(located, known, strict=True):
            yield event or self._changed(each, commands[each.source])

    def _changed(self, located: LocatedEvent, command: Command) -> Event:
        """The event of a post or of its change, with the post as it is now; later changes follow in their own place."""
        index, room, id, what, _ = located
        post = render_post(command, id)
        if what is EventKind.POST:
            if is_import(command.body):  # with the reactions that it brought
                post = with_reactions(post, self._state.reactions(room, id))
            return PostEvent(index, room, id, post)
        return PostChanged(index, room, id, with_reactions(post, self._state.reactions(room, id)))

    def _known(self, located: list[LocatedEvent]) -> list[Event | None]:
        """The events that need no read of the log.  A changed post needs one: the hub has it as it was."""
        return [*map(self._known_one, located)]

    def _known_one(self, located: LocatedEvent) -> Event | None:
        index, room, id, what, source = located
        match what:
            case EventKind.DELETION:
                return RoomDeleted(index, room)
            case EventKind.ROOM:
                return self._state.room_event(index, room)
            case EventKind.REACTED:
                return ReactedSince(index, room, id, self._state.reactions(room, id))
            case _:
                event = self._hub.recent(index) if source == index else None
                # What the room was called then is not its name any more.
                return event if event is None or event.room == room else replace(event, room=room)


def _some(frames: Iterator[bytes]) -> list[bytes]:
    """Take the next messages, a page's worth of bytes."""
    taken: list[bytes] = []
    size = 0
    for frame in frames:
        taken.append(frame)
        size += len(frame)
        if size >= _PAGE_BYTES:
            break
    return taken
