"""Pending read markers: how far users have read on this node, until the state has it.

Rules.  Only the newest marker of a user in a room counts, and markers are proposed in batches.  So a message in a room
of a thousand readers costs the log two commands, and not a thousand.  After a crash, the messages of a few seconds show
as unread once more.
"""

from collections.abc import Iterable
from itertools import islice
from threading import Lock

from chat.commands import Actor
from chat.errors import invalid, problem_of_refusal
from chat.services import validation
from chat.state import permissions
from chat.state.permissions import LOGIN_NEEDED, OPEN_MODE
from chat.state.results import Refusal
from chat.state.settings import OPEN
from chat.state.tables import StateReader, Tables

MARKS_MAX = 10_000  # then the oldest one goes of the token that has the most

_NAMELESS = Refusal("forbidden", "Authorization: this token belongs to no user, so it has no read markers")

ReadMarker = tuple[int, str, int]  # by which token, the room, up to which Id


class PendingMarkers:
    """The read markers of this node's clients that are not proposed yet.  Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: dict[int, dict[str, int]] = {}  # by token, then by room, in the order they were noted
        self._count = 0
        self._unread: dict[tuple[int, str], int] = {}  # by token and room, the Id from which all is unread

    def note(self, mark: ReadMarker) -> None:
        """Note how far the user of this token has read a room.  Does not block."""
        with self._lock:
            self._unread.pop(mark[:2], None)
            self._note(mark)

    def note_unread(self, mark: ReadMarker) -> None:
        """Note from which Id on all is unread again: what was noted as read before does not count.  Does not block."""
        by, room, id = mark
        with self._lock:
            if room in self._ids.get(by, ()):
                self._drop(by, room)
            self._unread[by, room] = id
            if len(self._unread) > MARKS_MAX:
                del self._unread[next(iter(self._unread))]

    def take_unread(self, count: int) -> tuple[ReadMarker, ...]:
        """Take up to so many markers that go back, which the caller proposes."""
        with self._lock:
            marks = tuple(islice(((by, room, id) for (by, room), id in self._unread.items()), count))
            for by, room, _ in marks:
                del self._unread[by, room]
            return marks

    def put_back_unread(self, marks: Iterable[ReadMarker]) -> None:
        """Keep these for another try, where nothing newer was noted."""
        with self._lock:
            for by, room, id in marks:
                if room not in self._ids.get(by, ()):
                    self._unread.setdefault((by, room), id)

    def take(self, count: int) -> tuple[ReadMarker, ...]:
        """Take up to so many markers, which the caller proposes."""
        with self._lock:
            marks = tuple(islice(((by, room, id) for by, ids in self._ids.items() for room, id in ids.items()), count))
            for by, room, _ in marks:
                self._drop(by, room)
            return marks

    def put_back(self, marks: Iterable[ReadMarker]) -> None:
        """Keep these for another try: the report failed."""
        with self._lock:
            for mark in marks:
                self._note(mark)

    def _note(self, mark: ReadMarker) -> None:
        by, room, id = mark
        ids = self._ids.setdefault(by, {})
        self._count += room not in ids
        ids[room] = max(id, ids.get(room, 0))
        if self._count > MARKS_MAX:  # the user with the most gives way, so nobody uses up the room of others
            most = max(self._ids, key=lambda token: len(self._ids[token]))
            self._drop(most, next(iter(self._ids[most])))

    def _drop(self, by: int, room: str) -> None:
        del self._ids[by][room]
        self._count -= 1
        if not self._ids[by]:
            del self._ids[by]


def check_read_marker(state: StateReader, actor: Actor, room: object, id: object) -> ReadMarker:
    """Check the fields of a read marker.

    Raises Problem: 409 in the open mode, 401 without a token, 403 for the operator, 400 naming the field, 404 for a
    room that the user does not see.
    """
    if state.ask(lambda tables: tables.settings.auth) == OPEN:
        raise problem_of_refusal(OPEN_MODE)
    if actor.by <= 0:
        raise problem_of_refusal(_NAMELESS if actor.by else LOGIN_NEEDED)
    name, number = validation.name("RoomName", room), validation.post_id("Id", id)
    if not state.ask(lambda tables: _sees(tables, actor, name)):
        raise problem_of_refusal(permissions.NO_SUCH_ROOM)
    return actor.by, name, number


def note_marker(pending: PendingMarkers, mark: ReadMarker, unread: object) -> None:
    """Note a marker that was checked; `unread` as the client sent it.  Raises Problem: 400 naming the field."""
    if not isinstance(unread, bool):
        raise invalid("Unread", "must be true or false")
    if unread:
        pending.note_unread(mark)
    else:
        pending.note(mark)


def _sees(tables: Tables, actor: Actor, name: str) -> bool:
    who, room = permissions.acting(tables, actor), tables.rooms.existing(name)
    return room is not None and not isinstance(who, Refusal) and permissions.sees(tables, who, room)
