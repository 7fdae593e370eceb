"""The chat as one WSGI application: dispatch a request to its route, and make HTTP of the response.

Any node serves any client.  A path's segments are matched decoded.  If the path is known and the method is not, the
answer is 405 with the allowed ones.  An expected error is a Problem; any other is a bug, which the server logs.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, cast

from chat.api.openapi import describe
from chat.api.page_files import page
from chat.api.reads import Reads
from chat.api.request import Request, Services, Streams
from chat.api.response import Deferred, Detached, Environ, Read, Response, response_of
from chat.api.router import Access, Answer, Route, RouteTable, never_waiting
from chat.api.routes import (
    backup,
    cluster,
    events,
    health,
    imports,
    invites,
    messages,
    metrics,
    read_markers,
    rooms,
    sessions,
    settings,
    static_files,
    tokens,
    users,
)
from chat.auth.authenticator import Authenticator, refused
from chat.auth.guest_pages import is_of_guest_page, preflight_headers
from chat.auth.origins import check_change
from chat.errors import Problem, not_found, problem_of, unavailable
from chat.logs import request_log
from chat.logs.answered import NOTHING
from chat.metrics.node import NodeMetrics
from chat.metrics.requests import RequestDurations
from chat.replica import Replica
from chat.server.durations import NOT_COUNTED
from chat.services.post_cache import PostCache
from chat.services.read_markers import PendingMarkers
from chat.state.machine import ChatState
from chat.state.settings import OPEN
from chat.version import program_version
from raft.errors import RaftError

StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

# First segments that will be routes here: no room is found under `/{room}` by these, nor by those of the routes.
RESERVED = frozenset({"cluster", "search", "healthz", "favicon.ico"})

_SAFE = ("GET", "HEAD")  # methods that change nothing


def _no_websockets(request: Request) -> Response:
    raise unavailable("this node is starting")


WEBSOCKET = Route(
    "GET", "/ws", _no_websockets, Access.USER, "Open a websocket for live messages", waits=False,
    answers={101: Answer("The websocket")}, problems=("upgrade_required", "foreign_origin", "too_many_websockets"),
)  # fmt: skip


def _describe(request: Request) -> Response:
    """GET /openapi.json."""
    logs_in = request.state.ask(lambda tables: tables.settings.auth) != OPEN
    body = _description(logs_in)
    return Response(HTTPStatus.OK, body, headers=[("Cache-Control", "no-cache")])


@lru_cache(maxsize=2)  # 200 KB, the same for all; making them holds up whatever else runs for 9 ms
def _description(logs_in: bool) -> bytes:
    document = describe(ROUTES, login=logs_in)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


DESCRIPTION = Route(
    "GET", "/openapi.json", _describe, Access.ANYBODY, "This description",
    answers={200: Answer("OpenAPI 3.1", {"type": "object"})},
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *messages.ROUTES,
    *imports.ROUTES,
    *rooms.ROUTES,
    *read_markers.ROUTES,
    *events.ROUTES,
    *users.ROUTES,
    *invites.ROUTES,
    *settings.ROUTES,
    *sessions.ROUTES,
    *tokens.ROUTES,
    *cluster.ROUTES,
    *backup.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *static_files.ROUTES,
    WEBSOCKET,
    DESCRIPTION,
)

# Whether the application defers its answer to a method and a target, or has it at once: a websocket is the hub's from
# its first byte on.
never_waits = never_waiting(ROUTES, RESERVED)


def request_durations() -> RequestDurations:
    """The durations of requests to these routes, before the first one."""
    return RequestDurations((route.method, route.path) for route in ROUTES)


def create_app(
    replica: Replica,
    state: ChatState,
    *,
    authenticator: Authenticator | None = None,
    websocket: Callable[[Environ], None] | None = None,
    streams: Streams | None = None,
    pending_markers: PendingMarkers | None = None,
    rendered: PostCache | None = None,
    is_draining: Callable[[], bool] = bool,
    metrics: NodeMetrics | None = None,
) -> WsgiApp:
    """The application of one node; `websocket` opens those of `/ws`, `streams` has the streams of `/events`.

    `pending_markers`: where it is noted how far somebody has read; whoever hands it in has it told to the state.
    `rendered`: a cache that the websockets use too.  `is_draining()`: the node is stopping, and not ready.
    `metrics` are shown by `/metrics`, and count the requests of this application.
    """
    page()  # made before the first request, and before somebody replaces the file that they are in
    authenticator = authenticator or Authenticator(replica, state)
    table = RouteTable(ROUTES, RESERVED)
    services = Services(
        authenticator,
        streams,
        pending_markers or PendingMarkers(),
        rendered or PostCache(),
        is_draining,
        metrics or NodeMetrics(program_version(), request_durations()),
        partial(_template_of, table),
    )
    return _App(replica, state, services, websocket, table)


class _App:
    def __init__(
        self,
        replica: Replica,
        state: ChatState,
        services: Services,
        websocket: Callable[[Environ], None] | None,
        table: RouteTable,
    ) -> None:
        self._replica = replica
        self._state = state
        self._services = services
        self._authenticator = services.authenticator
        self._websocket = websocket
        self._reads = Reads(replica, self._identify, self._authenticator.knows_mode, self._authenticator.note_mode)
        self._table = table
        self._durations = services.metrics.requests.by_method

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, self._replica, self._state, self._services)
        response: Response | Deferred | Detached
        try:
            # Only browsers send these headers, and most changes come from programs.
            if request.method not in _SAFE and ("HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ):
                self._check_page(environ)
            if request.method == "OPTIONS":
                response = self._options(request)
            elif self._websocket is not None and request.path == WEBSOCKET.path:
                request.durations = self._durations["GET"][WEBSOCKET.path]
                self._authenticator.check_started()
                self._websocket(environ)
                if request_log.log.access is not None:
                    request.note_answer(HTTPStatus.SWITCHING_PROTOCOLS)
                response = Detached()
            else:
                response = self._answer(request)
        except Problem as problem:
            response = response_of(problem)
        except RaftError as error:
            response = response_of(problem_of(error))
        if not isinstance(response, Response):
            return cast(Iterable[bytes], response)  # deferred: the server knows its own answers
        if request.durations is NOT_COUNTED:
            request.durations = self._services.metrics.requests.without_route(request.method)
        return _start(request, start_response, response)

    def _check_page(self, environ: Environ) -> None:
        """Refuse a change that a browser sends for a foreign page.  Raises Problem (403)."""
        if not is_of_guest_page(environ):
            check_change(environ, self._replica.status)

    def _answer(self, request: Request) -> Response | Deferred | Detached:
        route, arguments = self._find(request)
        request.durations = self._durations[request.method][route.path]
        request.is_for_anybody = route.is_open
        if not request.is_for_anybody:
            self._authenticator.check_started()
            if not self._is_known(request):
                # No thread may wait here: another one goes on once the user is known.
                known = partial(self._authenticator.make_known, request.environ)
                return self._reads.answer(request, Read(partial(self._answer_known, request), start=known))
            if route.method != "GET":
                request.acting()  # before anything is proposed
                if route.handler is not messages.post:  # which charges for itself, as posts over a websocket do
                    self._authenticator.admit_change(request.actor, request.environ)
        response = route.handler(request, *arguments)
        return self._reads.answer(request, response) if isinstance(response, Read) else response

    def _is_known(self, request: Request) -> bool:
        """Authenticate the request, and return True if its user is known; wait for that if a thread may wait.

        Raises Problem (401, 429).
        """
        actor = self._authenticator.authenticate(request.environ)
        if actor is not None:
            request.actor = actor
        elif never_waits(request.method, request.target):
            self._authenticator.charge_unknown_token(request.environ)
            return False
        else:
            request.identify()
        return True

    def _answer_known(self, request: Request) -> Response | Deferred | Detached:
        self._authenticator.refund_unknown_token(request.environ)
        return self._answer(request)

    def _identify(self, request: Request) -> None:
        """Authenticate the request again, by the present state.  Raises Problem (401)."""
        if request.is_for_anybody:
            return
        actor = self._authenticator.authenticate(request.environ)
        if actor is None:
            raise refused()
        request.actor = actor

    def _options(self, request: Request) -> Response:
        """RFC 9110 §9.3.7: the methods of a path.  Health checks of proxies ask so, and the page after a refusal.

        The refusal of a foreign page comes before (`check_change`), so a page learns why its websocket was refused.
        """
        methods = sorted({route.method for route in ROUTES})
        if request.target != "*":
            found = self._table.find(request.segments())
            if found is None:
                raise not_found("path: there is nothing at this path")
            methods = [*found[0]]
        allowed = _allowed(methods)
        headers = [("Allow", allowed), *preflight_headers(request.environ, allowed)]
        return Response(HTTPStatus.NO_CONTENT, headers=headers)

    def _find(self, request: Request) -> tuple[Route, Sequence[str]]:
        found = self._table.find(request.segments())
        if found is None:
            raise not_found("path: there is nothing at this path")
        methods, arguments = found
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allowed = _allowed(methods)
            detail = f"method: not allowed for this path. Use {allowed}."
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, (("Allow", allowed),))
        return route, arguments


def _template_of(table: RouteTable, request: Request) -> str:
    """The path of the request's route, with its names in braces."""
    try:
        found = table.find(request.segments())
    except Problem:
        found = None
    return NOTHING if found is None else next(iter(found[0].values())).path


def _allowed(methods: Iterable[str]) -> str:
    """The header Allow of a path with these methods."""
    known = [*methods]
    return ", ".join([*known, *(["HEAD"] if "GET" in known else []), "OPTIONS"])


def _start(request: Request, start_response: StartResponse, response: Response) -> Iterable[bytes]:
    response = request.completed(response)
    headers = request.head(response)
    if response.pieces is None and response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers.append(("Content-Length", str(len(response.body))))
    request.environ["raft_chat.durations"] = request.durations
    start_response(f"{response.status:d} {HTTPStatus(response.status).phrase}", headers)
    if request.method == "HEAD":
        return []
    if response.pieces is None:
        return [response.body]
    request.environ["raft_chat.user"] = request.actor.user
    return response.pieces
