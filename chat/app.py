"""The chat as one WSGI application: which path and method leads where, and how an answer becomes HTTP.

Clients may meet any member.  A path's segments are matched decoded; where a path is known and the method is not, the
answer is 405 and says what is allowed.  Everything that goes wrong on purpose is a Problem; anything else is a bug
and left to the server to log.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from chat.gatekeeper import Gatekeeper, refused
from chat.origins import check_change
from chat.problems import Problem, not_found, problem_of, unavailable
from chat.reads import Read, Reads
from chat.replica import Replica
from chat.request import Deferred, Environ, Request, Response, response_of
from chat.routes import cluster, messages, post_changes, rooms, settings
from chat.routes.events import Events
from chat.routes.pages import Pages
from chat.state.machine import ChatState
from chat.stream import Streams
from raft.errors import RaftError

StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
Handler = Callable[..., Response | Deferred | Read]
Methods = dict[str, Handler]

# First segments that are routes here or will be (`/search`, `/login` …): no room is found under `/{room}` by these.
NAMES_TAKEN = frozenset(
    {"rooms", "raft", "static", "ws", "ws-ticket", "cluster", "search", "events", "settings"}
    | {"login", "logout", "me", "users", "tokens", "invites"}
    | {"backup", "livez", "readyz", "healthz", "metrics", "openapi.json", "favicon.ico"}
)

_SAFE = ("GET", "HEAD")  # methods that change nothing

_NEVER_WAITS = {
    "POST": re.compile("/rooms/[^/?]+"),
    # A stale read is answered at once, and so may wait for the disk.
    "GET": re.compile(r"/ws|/rooms(/[^/?]+(/messages/[^/?]+)?)?(\?(?!.*consistency).*)?"),
}


def never_waits(method: str, target: str) -> bool:
    """Whether the application defers its answer to such a request: a post without `min_index`, or a read.

    Or has it at once: a websocket is the hub's from its first byte on.
    """
    waitless = _NEVER_WAITS.get(method)
    return waitless is not None and waitless.fullmatch(target) is not None


def create_app(
    replica: Replica,
    state: ChatState,
    *,
    gatekeeper: Gatekeeper | None = None,
    websocket: WsgiApp | None = None,
    streams: Streams | None = None,
) -> WsgiApp:
    """The application of one member; `websocket` answers `/ws`, `streams` tells what `/events` does."""
    return _App(replica, state, gatekeeper or Gatekeeper(replica, state), websocket, streams)


class _App:
    def __init__(
        self,
        replica: Replica,
        state: ChatState,
        gatekeeper: Gatekeeper,
        websocket: WsgiApp | None,
        streams: Streams | None,
    ) -> None:
        self._replica = replica
        self._state = state
        self._gatekeeper = gatekeeper
        self._websocket = websocket
        self._pages = Pages()
        history = messages.History()
        self._reads = Reads(replica, self._identify)
        self._room: Methods = {
            "GET": history.read_page,
            "POST": messages.post,
            "PATCH": rooms.configure,
            "DELETE": rooms.delete,
        }
        self._rooms: Methods = {"GET": rooms.list_rooms}
        self._message: Methods = {
            "GET": history.read_post,
            "PATCH": post_changes.edit,
            "DELETE": post_changes.delete,
        }
        self._versions: Methods = {"GET": history.read_versions}
        self._reaction: Methods = {"PUT": post_changes.react, "DELETE": post_changes.take_back}
        self._export: Methods = {"GET": messages.export_room}
        self._events: Methods = {"GET": Events(streams).follow}
        self._settings: Methods = {"GET": settings.show, "PATCH": settings.configure}
        self._cluster: Methods = {"GET": cluster.status}
        self._member: Methods = {"POST": cluster.add, "PUT": cluster.move, "DELETE": cluster.remove}
        self._promote: Methods = {"POST": cluster.promote}
        self._lead: Methods = {"POST": cluster.lead}
        self._index: Methods = {"GET": self._pages.index}
        self._static: Methods = {"GET": self._pages.static}
        self._short: Methods = {"GET": rooms.redirect}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, self._replica, self._state)
        try:
            if environ["REQUEST_METHOD"] not in _SAFE:
                check_change(environ, self._replica.status)
            if request.path == "/ws":
                if self._websocket is None:
                    raise unavailable("this node is starting")
                return self._websocket(environ, start_response)
            response = self._answer(request)
        except Problem as problem:
            response = response_of(problem)
        except RaftError as error:
            response = response_of(problem_of(error))
        if not isinstance(response, Response):
            return cast(Iterable[bytes], response)  # deferred: the server knows its own answers
        return _start(request, start_response, response)

    def _answer(self, request: Request) -> Response | Deferred:
        actor = self._gatekeeper.recognise(request.environ)
        if actor is None:
            return self._answer_stranger(request)
        request.actor = actor
        response = self._dispatch(request)
        return self._reads.answer(request, response) if isinstance(response, Read) else response

    def _answer_stranger(self, request: Request) -> Response | Deferred:
        """The token is not known here: once the state holds all that was acknowledged, it is or it never will be."""
        self._gatekeeper.pay(request.environ)
        waits = not never_waits(request.environ["REQUEST_METHOD"], request.target)
        return self._reads.answer(request, Read(partial(self._answer_known, request), by_caller=waits))

    def _answer_known(self, request: Request) -> Response | Deferred:
        self._gatekeeper.give_back(request.environ)
        return self._answer(request)

    def _identify(self, request: Request) -> None:
        """Find out anew who asks, by what is known here now.  Raises Problem (401)."""
        actor = self._gatekeeper.recognise(request.environ)
        if actor is None:
            raise refused()
        request.actor = actor

    def _dispatch(self, request: Request) -> Response | Deferred | Read:
        methods, arguments = self._route(request.segments())
        method = request.environ["REQUEST_METHOD"]
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            detail = f"method: this path knows {allowed}"
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, (("Allow", allowed),))
        return handler(request, *arguments)

    def _route(self, segments: list[str]) -> tuple[Methods, list[str]]:
        """What a path can do, and what its names stand for."""
        match segments:
            case ["rooms", room]:
                return self._room, [room]
            case ["rooms"]:
                return self._rooms, []
            case ["rooms", room, "messages", id]:
                return self._message, [room, id]
            case ["rooms", room, "messages", id, "history"]:
                return self._versions, [room, id]
            case ["rooms", room, "messages", id, "reactions", emoji]:
                return self._reaction, [room, id, emoji]
            case ["rooms", room, "export"]:
                return self._export, [room]
            case ["events"]:
                return self._events, []
            case ["settings"]:
                return self._settings, []
            case ["raft"]:
                return self._cluster, []
            case ["raft", id]:
                return self._member, [id]
            case ["raft", id, "promote"]:
                return self._promote, [id]
            case ["raft", id, "lead"]:
                return self._lead, [id]
            case [""]:
                return self._index, []
            case ["static", *path]:
                return self._static, path
            case [room] if room not in NAMES_TAKEN:
                return self._short, [room]
            case _:
                raise not_found("path: nothing is here")


def _start(request: Request, start_response: StartResponse, response: Response) -> Iterable[bytes]:
    headers = request.head(response)
    if response.pieces is None and response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status:d} {HTTPStatus(response.status).phrase}", headers)
    if request.environ["REQUEST_METHOD"] == "HEAD":
        return []
    return [response.body] if response.pieces is None else response.pieces
