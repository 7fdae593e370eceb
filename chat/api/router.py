"""The table of routes: which method and path lead where, who may go there, and what is sent and answered.

Every module of `chat/routes/` has its ROUTES, `chat/app.py` puts them together, and all that knows the routes is made
from that one tuple: the dispatch, which requests never wait, which names no room is found by under `/{room}`,
`/openapi.json` and what the table in docs/api.md is held to.

A path has `{name}` for one segment, whatever it is, and may end with `{name*}` for all that follow.  Where two paths
fit, the one that spells out more of the segments is meant.  The order of a path's methods is that of their routes.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple

from chat.api.reads import Read
from chat.api.request import Deferred, Detached, Response
from chat.api.schemas import Schema

JSON = "application/json"
Handler = Callable[..., Response | Deferred | Detached | Read]  # (request, what the path's names stand for…)


class Who(StrEnum):
    """Who may call a route under a login, in the words of docs/api.md; what of it is theirs, the state decides."""

    ANYBODY = "anybody"
    USER = "any user"
    MEMBER = "members, admins"  # no guest
    SELF = "the user, admins"
    AUTHOR = "its author, admins"
    AUTHOR_OR_OWNER = "its author, the room's owner, admins"
    OWNER = "the room's owner, admins"
    ADMIN = "admins, the operator"
    OPERATOR = "the operator"


class Body(NamedTuple):
    """What a request's body is; JSON whatever its Content-Type says, unless it is named here."""

    schema: Schema
    required: bool = True
    content_type: str = JSON


class Answer(NamedTuple):
    """One way for a request to succeed; `schema` None: without a body, or one that is no JSON."""

    what: str
    schema: Schema | None = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    `waits` False: the application defers its answer, or has it at once.  `login`: only under one; in open mode it is
    409 `open_mode`.  `problems`: the codes of what can go wrong beside what can with every route (`openapi.py`).
    """

    method: str
    path: str
    handler: Handler
    who: Who
    summary: str
    waits: bool = True
    body: Body | None = None
    answers: Mapping[int, Answer] = field(default_factory=lambda: {204: Answer("Done")})
    problems: Sequence[str] = ()
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    login: bool = False

    @property
    def segments(self) -> list[str]:
        """Of its path, the braces with them."""
        return self.path.split("/")[1:]


Methods = dict[str, Route]
Segments = Sequence[str]
Found = tuple[Methods, Segments]


class _Shape(NamedTuple):
    """The paths of so many segments that are spelled out at the same places."""

    key_of: Callable[[Segments], Any]  # the segments at these places
    names_of: Callable[[Segments], Segments]  # the others
    paths: dict[Any, Methods]  # by their keys


class Table:
    """Finds a path's routes by its number of segments and those of them that are spelled out."""

    def __init__(self, routes: Sequence[Route], reserved: Collection[str] = ()) -> None:
        """`reserved`: what no path of one name alone is found by, beside the first segments of other routes."""
        self._shapes: dict[int, list[_Shape]] = {}
        self._open_ended: dict[str, Methods] = {}  # by their first segment; the rest is their one name
        self._alone: Methods = {}  # of a path that is one name
        self._taken = {*reserved, *(route.segments[0] for route in routes if not _is_name(route.segments[0]))}
        shapes: dict[tuple[int, tuple[int, ...]], _Shape] = {}
        for route in routes:
            segments = route.segments
            spelled = tuple(at for at, segment in enumerate(segments) if not _is_name(segment))
            if segments[-1].endswith("*}"):
                methods = self._open_ended.setdefault(segments[0], {})
            elif not spelled:
                methods = self._alone
            else:
                shape = shapes.setdefault((len(segments), spelled), _shape(spelled, len(segments)))
                methods = shape.paths.setdefault(shape.key_of(segments), {})
            methods[route.method] = route
        for count, spelled in sorted(shapes, key=lambda shape: len(shape[1]), reverse=True):
            self._shapes.setdefault(count, []).append(shapes[count, spelled])

    def find(self, segments: Segments) -> Found | None:
        """What a path can do, by method, and what its names stand for."""
        for key_of, names_of, paths in self._shapes.get(len(segments), ()):
            methods = paths.get(key_of(segments))
            if methods is not None:
                return methods, names_of(segments)
        if not segments:
            return None
        first, *rest = segments
        if first in self._open_ended:
            return self._open_ended[first], rest
        return (self._alone, segments) if not rest and first not in self._taken else None


def _is_name(segment: str) -> bool:
    return segment.startswith("{")


def _shape(spelled: tuple[int, ...], count: int) -> _Shape:
    return _Shape(itemgetter(*spelled), _getter([at for at in range(count) if at not in spelled]), {})


def _getter(places: list[int]) -> Callable[[Segments], Segments]:
    """Of a sequence of these items; in Python it would cost as much as all the rest of finding a path."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def waitless(routes: Sequence[Route], reserved: Collection[str] = ()) -> Callable[[str, str], bool]:
    """A function of method and request target: whether the application defers its answer, or has it at once.

    Only a GET does with a query, for a change may have to wait for `min_index`; and no stale read, which is answered
    at once, and so may wait for the disk.  A path that leads nowhere is answered at once too, and so is one that is a
    name alone, whose route says so: nobody gets a thread for asking what is not there.
    """
    table = Table(routes, reserved)
    paths: dict[str, list[str]] = {}
    for route in routes:
        if not route.waits and not _is_name(route.segments[0]):
            spelled = re.split(r"\{\w+\}", route.path)
            paths.setdefault(route.method, []).append("[^/?]+".join(map(re.escape, spelled)))
    query = r"(?:\?(?!.*consistency).*)?"
    targets = {
        method: re.compile(f"(?:{'|'.join(known)}){query if method == 'GET' else ''}").fullmatch
        for method, known in paths.items()
    }

    def never_waits(method: str, target: str) -> bool:
        matches = targets.get(method)
        if matches is not None and matches(target) is not None:
            return True
        return method in ("GET", "HEAD") and leads_nowhere(target.partition("?")[0])

    def leads_nowhere(path: str) -> bool:
        found = None if "%" in path else table.find(path.split("/")[1:])
        if found is None:
            return "%" not in path
        route = found[0].get("GET")
        return route is None or (_is_name(route.segments[0]) and not route.waits)

    return never_waits
