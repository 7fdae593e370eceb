"""The table of routes: method, path, handler, access, and the schemas of request and answers.

Every module of `chat/api/routes/` has its ROUTES, and `chat/app.py` joins them.  That one tuple is the source of the
dispatch, of the requests that never wait, of the names that no room is found by under `/{room}`, of `/openapi.json` and
of the table in docs/api.md.

A path has `{name}` for any one segment, and may end with `{name*}` for all that follow.  If two paths fit, the one with
more literal segments wins.  The order of a path's methods is that of their routes.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple

from chat.api.response import Deferred, Detached, Read, Response
from chat.api.schemas import Schema

JSON = "application/json"
Handler = Callable[..., Response | Deferred | Detached | Read]  # (request, what the path's names stand for…)


class Access(StrEnum):
    """The users that may call a route with sign-in, in the words of docs/api.md.  The state decides the details."""

    ANYBODY = "anybody"
    USER = "any user"
    MEMBER = "members, admins"  # no guest
    SELF = "the user, admins"
    AUTHOR = "its author, admins"
    AUTHOR_OR_OWNER = "its author, the room's owner, admins"
    OWNER = "the room's owner, admins"
    ADMIN = "admins, the operator"
    OPERATOR = "the operator"
    SCRAPER = "this machine, admins, the metrics token"


class Body(NamedTuple):
    """A request's body: JSON, whatever its Content-Type says, unless `content_type` is another."""

    schema: Schema
    required: bool = True
    content_type: str = JSON


class Answer(NamedTuple):
    """A way for a request to succeed; `schema` None: no body, or one that is no JSON."""

    what: str
    schema: Schema | None = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table.

    `waits` False: the application defers its answer, or has it at once.  `login`: only with sign-in; in open mode the
    answer is 409 `open_mode`.  `problems`: the codes of errors beside those of every route (`openapi.py`).
    """

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    waits: bool = True
    body: Body | None = None
    answers: Mapping[int, Answer] = field(default_factory=lambda: {204: Answer("Done")})
    problems: Sequence[str] = ()
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    login: bool = False
    is_open: bool = field(init=False)  # nobody is authenticated before the route is called

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_open", self.access in (Access.ANYBODY, Access.SCRAPER))

    @property
    def segments(self) -> list[str]:
        """The segments of the path, with their braces."""
        return self.path.split("/")[1:]


Methods = dict[str, Route]
Segments = Sequence[str]
Found = tuple[Methods, Segments]


class _Shape(NamedTuple):
    """The paths of one length whose literal segments are at the same places."""

    key_of: Callable[[Segments], Any]  # the segments at these places
    names_of: Callable[[Segments], Segments]  # the others
    paths: dict[Any, Methods]  # by their keys


class RouteTable:
    """The routes, found by a path's number of segments and its literal ones."""

    def __init__(self, routes: Sequence[Route], reserved: Collection[str] = ()) -> None:
        """`reserved`: names that `/{room}` does not match, beside the first segments of other routes."""
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
        """Return the routes of a path by method, and the values of its names."""
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
    """Return a function that takes these items of a sequence; in Python it would cost as much as the rest of `find`."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def never_waiting(routes: Sequence[Route], reserved: Collection[str] = ()) -> Callable[[str, str], bool]:
    """Return a function of method and target: True if the application defers its answer, or has it at once.

    Only a GET does with a query, for a change may have to wait for `min_index`; and no stale read, which is answered
    at once, and so may wait for the disk.  A path that leads nowhere is answered at once too, and so is one that is a
    name alone, whose route says so: nobody gets a thread for asking what is not there.
    """
    table = RouteTable(routes, reserved)
    paths: dict[str, list[str]] = {}
    for route in routes:
        if not route.waits and not _is_name(route.segments[0]):
            spelled = re.split(r"\{\w+\}", route.path)
            paths.setdefault(route.method, []).append("[^/?]+".join(map(re.escape, spelled)))
            if route.method == "GET" and route.access is Access.ANYBODY:  # health checks: answered at once, not read
                paths.setdefault("HEAD", []).append("[^/?]+".join(map(re.escape, spelled)))
    query = r"(?:\?(?!.*consistency).*)?"
    targets = {
        method: re.compile(f"(?:{'|'.join(known)}){query if method in ('GET', 'HEAD') else ''}").fullmatch
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
