"""The replicated state of the chat: rooms, how many posts each has and where they lie, and the ClientIds seen.

Rules.  `apply` is deterministic (no clock, no randomness, no Unicode tables, nothing ordered by hash) and total: it
checks all before it changes anything, and answers a Refusal where it changes nothing.  One lock, held for one entry
or one question at a time; the events of a batch are handed on after it, without the lock.
"""

import sys
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from struct import Struct
from threading import Lock

from chat.commands import Command, Post, decode
from chat.history import Page, PageAsk, Room, render
from raft.messages import Entry

_REMEMBERED = Struct("<QQ16s")  # Id and time of the first post, fingerprint of its command


@dataclass(frozen=True, slots=True)
class Posted:
    """A post that stands.  `created` False: an earlier one that this request repeats."""

    room: str
    id: int
    index: int  # the log's
    created: bool
    json: bytes  # as readers see it, no newline


@dataclass(frozen=True, slots=True)
class Refusal:
    """A committed command that changed nothing; `detail` begins with the field's name."""

    code: str  # "client_id_reused", "no_such_post", "unknown_command"
    detail: str


@dataclass(frozen=True, slots=True)
class PostEvent:
    """A new post, for those who listen."""

    index: int
    room: str
    id: int
    post: bytes  # as readers see it


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """What the list of rooms tells of one."""

    name: str
    posts: int
    last_posted_at: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class Missed:
    """What somebody who knows the log up to some index has not seen of a room."""

    room: str
    posts: int
    newest_id: int
    newest_index: int  # the log's


class ChatState:
    """The state machine that the engine drives (`chat.replica.StateMachine`)."""

    def __init__(self) -> None:
        self.on_applied: Callable[[int, list[PostEvent]], None] | None = None  # set before the engine starts
        self._lock = Lock()
        self._last_index = 0  # of the last command applied
        self._rooms: dict[str, Room] = {}
        self._names: list[str] = []  # of all rooms, by code point
        # (User, ClientId) -> the post it made; about 220 bytes each, the one thing here that is not 8 bytes a post.
        # It is to be bounded by a command of the leader's that expires what is older than 24 h: apply has no clock.
        self._remembered: dict[bytes, bytes] = {}
        self._events: list[PostEvent] = []  # of the batch under way; only the applying thread touches it

    # --- the engine's side: one thread

    def apply(self, entry: Entry) -> Posted | Refusal:
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

    def _apply_locked(self, command: Command | None, entry: Entry) -> Posted | Refusal:
        match command:
            case Post():
                return self._post_locked(command, entry)
            case None:
                return Refusal("unknown_command", "Type: not a command that this member knows")

    def _post_locked(self, post: Post, entry: Entry) -> Posted | Refusal:
        room = self._rooms.get(post.room)
        # A name has no NUL, so no two pairs run together alike.
        key = _digest(f"{post.user}\0{post.client_id}".encode())
        fingerprint = _digest(entry.body)
        seen = self._remembered.get(key)
        if seen is not None:
            return _repeated(post, room, entry.body, fingerprint, seen)
        if post.reply_to > (len(room.positions) if room else 0):
            return Refusal("no_such_post", "ReplyTo: names no post of this room")
        if room is None:
            room = self._open_locked(post.room)
        id = room.append(entry.index, entry.time)
        self._remembered[key] = _REMEMBERED.pack(id, entry.time, fingerprint)
        posted = Posted(post.room, id, entry.index, True, render(entry.body, id, entry.time))
        if self.on_applied is not None:
            self._events.append(PostEvent(entry.index, post.room, id, posted.json))
        return posted

    def _open_locked(self, name: str) -> Room:
        room = self._rooms[name] = Room(name)
        insort(self._names, name)
        return room

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
            return self._last_index, [
                RoomSummary(room.name, len(room.positions), room.last_posted_at) for room in rooms
            ]

    def located(
        self, after: int, up_to: int, limit: int, rooms: Iterable[str] | None = None
    ) -> list[tuple[int, str, int]]:
        """The first `limit` posts with after < log index <= up_to, as (log index, room, Id), in log order.

        `rooms` None: of every room.
        """
        with self._lock:
            chosen = self._posted_after_locked(after, rooms)
            found = [(index, room.name, id) for room in chosen for index, id in room.located(after, up_to, limit)]
        return sorted(found)[:limit]

    def missed(self, after: int, up_to: int, rooms: Iterable[str] | None = None) -> list[Missed]:
        """The rooms that have posts with after < log index <= up_to; `rooms` None: of all."""
        with self._lock:
            chosen = self._posted_after_locked(after, rooms)
            return [missed for room in chosen if (missed := _missed(room, after, up_to))]

    def _posted_after_locked(self, log_index: int, names: Iterable[str] | None) -> list[Room]:
        """Most rooms are quiet: one look at each room's end spares the others' bisection."""
        rooms = self._rooms.values() if names is None else [self._rooms[name] for name in names if name in self._rooms]
        return [room for room in rooms if room.positions[-1] > log_index]

    def digest(self) -> str:
        """SHA-256 over all that is replicated: equal on members that applied the same log."""
        hashed = sha256()
        with self._lock:
            for name in self._names:
                room = self._rooms[name]
                positions = room.positions[:]
                if sys.byteorder == "big":
                    positions.byteswap()
                encoded = name.encode()
                hashed.update(b"room %d %d %d\n" % (len(encoded), len(positions), room.last_posted_at))
                hashed.update(encoded + positions.tobytes())
            for key in sorted(self._remembered):
                hashed.update(key + self._remembered[key])
        return hashed.hexdigest()


def _missed(room: Room, after: int, up_to: int) -> Missed | None:
    first, end = bisect_right(room.positions, after), bisect_right(room.positions, up_to)
    return Missed(room.name, end - first, end, room.positions[end - 1]) if first < end else None


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _repeated(post: Post, room: Room | None, body: bytes, fingerprint: bytes, seen: bytes) -> Posted | Refusal:
    """The answer to a (User, ClientId) that made a post before: that post, where the request is the same one."""
    id, time, first_fingerprint = _REMEMBERED.unpack(seen)
    if fingerprint != first_fingerprint or room is None:
        return Refusal("client_id_reused", "ClientId: used before with another RoomName, Message or ReplyTo")
    # The same command: the first post's JSON is this body's with the first's Id and time.
    return Posted(post.room, id, room.positions[id - 1], False, render(body, id, time))


_NO_ROOM = Room("")
