"""Cursors: places in the log that mean the same on every node, and whether the log here has them.

    17   <generation>-17                             X-Raft-Index and min_index
    <cluster id>-17   <cluster id>-<generation>-17   a Cursor of the websocket, the id of a server-sent event

Rules
- The first generation has no name.  Another one begins where a sole voter starts from an older copy of its data.
- A place holds in one generation of one cluster: another history may have other messages at the same index.
- A place that is not known here lies ahead of this node, or in a history that is lost.  A confirmed read (ReadIndex)
  tells which: by then all that was ever acknowledged is applied here, and the generation with it.
- A place in a lost history is answered at once with `start_over`, whichever way it came.  While no leader confirms a
  read nothing is decided, and the client waits as for anything else.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Final

from chat.errors import Problem, invalid, problem_of, unavailable
from chat.replica import Replica
from raft.errors import RaftError

START_OVER: Final = "start_over"
PLACE: Final = r"(?:(?P<generation>[0-9a-f]{1,64})-)?(?P<index>[0-9]{1,16})"

_INDEX: Final = re.compile(r"[0-9]{1,16}")
_PLACE: Final = re.compile(PLACE)
_CURSOR: Final = re.compile(rf"(?P<cluster>[0-9A-Za-z]{{1,64}})-{PLACE}")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the log; without a `cluster_id` in that of the cluster that is asked."""

    index: int
    generation: str = ""
    cluster_id: str = ""


def parse_cursor(text: object) -> Place:
    """The place that a cursor names; it may be an X-Raft-Index without a name.  Raises Problem, code "bad_cursor"."""
    if isinstance(text, str) and _INDEX.fullmatch(text):
        return Place(int(text))
    match = _CURSOR.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_cursor", "Cursor: not one that a node gave out")
    return Place(int(match["index"]), match["generation"] or "", match["cluster"])


def parse_index(name: str, text: str) -> Place | None:
    """The place that an X-Raft-Index names; None for 0, which every node has.  Raises Problem."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise invalid(name, "must be what a node sent as X-Raft-Index")
    return Place(int(match["index"]), match["generation"] or "") if int(match["index"]) else None


def history(replica: Replica) -> str:
    """The beginning of all cursors of this cluster and generation."""
    return f"{replica.cluster_id}-{replica.generation}" if replica.generation else replica.cluster_id


def cursor(history: str, index: int) -> bytes:
    """The cursor of a place in a history."""
    return b"%b-%d" % (history.encode("ascii"), index)


def raft_index(replica: Replica, index: int) -> str:
    """The X-Raft-Index of an answer that reflects the log up to `index`."""
    return f"{replica.generation}-{index}" if replica.generation else str(index)


def is_here(replica: Replica, place: Place) -> bool:
    """Return whether the state here has come to this place."""
    return _is_same_history(replica, place) and place.index <= replica.last_applied


def is_ahead(replica: Replica, place: Place) -> bool:
    """Return whether the history here may come to this place."""
    return _is_same_history(replica, place) and place.index > replica.last_applied


def confirm(replica: Replica, place: Place, done: Callable[[Problem | None], None]) -> None:
    """Find out whether the cluster has this place: `done(None)` once the state here has it too.

    Else `done` gets `start_over`, or what kept the leader from deciding.  Called once, by any thread, maybe at once.
    """

    def decide(error: RaftError | None) -> None:
        if error is not None:
            done(problem_of(error))
        else:
            done(None if is_here(replica, place) else start_over(place))

    if place.cluster_id not in ("", replica.cluster_id):
        done(start_over(place))
    else:
        replica.read(decide)


def arrive(replica: Replica, place: Place, done: Callable[[Problem | None], None]) -> None:
    """Call `done(None)` as soon as the log here has the place; unlike `confirm`, this asks no other node."""
    first = _First(done)
    behind = unavailable("min_index: this node has not applied that index yet. Try again, or ask another node.")
    if is_ahead(replica, place):
        replica.read(lambda error: first.tell(behind if error else None), min_index=place.index, stale=True)
    else:  # of a generation that is not known here
        first.tell(behind)
    confirm(replica, place, lambda problem: first.tell(problem if problem is None or is_lost(problem) else behind))


class _First:
    """Passes on the first of two answers that decides; where none does, the second."""

    def __init__(self, done: Callable[[Problem | None], None]) -> None:
        self._lock = Lock()
        self._done: Callable[[Problem | None], None] | None = done
        self._told = 0

    def tell(self, problem: Problem | None) -> None:
        decides = problem is None or is_lost(problem)
        with self._lock:
            self._told += 1
            done = self._done
            if done is None or not (decides or self._told == 2):
                return
            self._done = None
        done(problem)


def is_lost(problem: Problem) -> bool:
    """Return whether the Problem says that the place is in a lost history."""
    return problem.code == START_OVER


def start_over(place: Place) -> Problem:
    """The Problem for a client whose place is in a lost history."""
    field = "Cursor" if place.cluster_id else "min_index"
    detail = f"{field}: of a history that this cluster does not have. Drop what you have read, and start over."
    return Problem(HTTPStatus.GONE, START_OVER, detail)


def _is_same_history(replica: Replica, place: Place) -> bool:
    return place.cluster_id in ("", replica.cluster_id) and place.generation == replica.generation
