"""How far who reads here has read, until the state is told of it.

Rules.  Of each room that somebody reads only the newest place counts, and the state is told of it in batches: so a
room of a thousand readers costs the log two commands for a message, and not a thousand.  What is lost here, by a crash
say, is that a few seconds' messages show as unread once more.
"""

from collections.abc import Iterable
from threading import Lock

from chat import validation
from chat.commands import Actor
from chat.refusals import problem_of_refusal
from chat.state.access import LOGIN_NEEDED, OPEN_MODE
from chat.state.machine import ChatState
from chat.state.results import Refusal
from chat.state.settings import OPEN

MARKS_MAX = 10_000  # then those go that were noted first

_NAMELESS = Refusal("forbidden", "Authorization: this token has no user, and so reads nothing")

Mark = tuple[int, str, int]  # by which token, the room, up to which Id


class Marks:
    """Of one node.  Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: dict[tuple[int, str], int] = {}  # by token and room, in the order they were noted

    def note(self, mark: Mark) -> None:
        """Who acts by this token has read the room so far; at once."""
        with self._lock:
            self._note(mark)

    def take(self, count: int) -> tuple[Mark, ...]:
        """Up to so many, of which the state is to be told by the caller from now on."""
        with self._lock:
            keys = tuple(self._ids)[:count]
            return tuple((*key, self._ids.pop(key)) for key in keys)

    def put_back(self, marks: Iterable[Mark]) -> None:
        """The state could not be told of these."""
        with self._lock:
            for mark in marks:
                self._note(mark)

    def _note(self, mark: Mark) -> None:
        by, room, id = mark
        key = by, room
        self._ids[key] = max(id, self._ids.get(key, 0))
        if len(self._ids) > MARKS_MAX:
            del self._ids[next(iter(self._ids))]


def check_mark(state: ChatState, actor: Actor, room: object, id: object) -> Mark:
    """How far this one, whom the state knows, has read, as he said it.

    Raises Problem: 409 where nobody logs in, 401 for who has not, 403 for the operator, 400 naming the field.
    """
    if state.ask(lambda tables: tables.settings.auth) == OPEN:
        raise problem_of_refusal(OPEN_MODE)
    if actor.by <= 0:
        raise problem_of_refusal(_NAMELESS if actor.by else LOGIN_NEEDED)
    return actor.by, validation.name("RoomName", room), validation.post_id("Id", id)
