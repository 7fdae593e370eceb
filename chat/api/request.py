"""The request, between WSGI and the routes.

It reads `environ` directly: for the busiest route a framework's request object would cost as much as all the rest.
The path and the query come from the raw request target, because a decoded path cannot tell the room "a/b" from two
segments. A route that waits holds no CPU slot of the server meanwhile.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from threading import Event
from time import monotonic, time
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote_from_bytes

from chat.api.query import Query, percent_decoded
from chat.api.response import Deferred, Environ, Headers, Response
from chat.auth.authenticator import Authenticator, refused
from chat.auth.guest_pages import GUEST_PAGE, headers_for_page
from chat.auth.origins import sharing_headers
from chat.commands import Actor, Command
from chat.errors import Problem, invalid, problem_of, problem_of_refusal, unavailable
from chat.logs import request_log
from chat.logs.answered import NOTHING, Answered
from chat.logs.request_log import REFUSED
from chat.metrics.node import NodeMetrics
from chat.metrics.requests import RequestDurations
from chat.replica import STALE_S_MAX, Replica
from chat.server.base_path import prefixed
from chat.server.durations import NOT_COUNTED, Durations
from chat.server.networks import network
from chat.services.cursors import Place, arrive, is_here
from chat.services.post_cache import PostCache
from chat.services.proposals import dry_run, propose, unanswered
from chat.services.read_markers import PendingMarkers
from chat.state import permissions
from chat.state.accounts import Acting
from chat.state.machine import ChatState
from chat.state.permissions import ANYBODY
from chat.state.results import Refusal, Success

BODY_BYTES_MAX = 128 * 1024
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))  # others may be any text
ANSWER_WAIT_S = 30.0  # the engine answers by its own, shorter deadlines; this one is for an engine that is stuck

_T = TypeVar("_T")


def no_recent_leader() -> Problem:
    """The answer of a node whose permissions may be outdated: a token, for instance, may have been revoked."""
    detail = f"consistency: this node has had no contact with a leader for {STALE_S_MAX:.0f} seconds. Ask another node."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "no_recent_leader", detail, (("Retry-After", "1"),))


class Streams(Protocol):
    """The event streams of this node (`chat.realtime.sse.EventStreams`)."""

    def open(
        self, environ: Mapping[str, Any], head: bytes, rooms: frozenset[str] | None, place: Place | None, actor: Actor
    ) -> None:
        """Take the connection over and answer with `head`, then with the events in `rooms` (None: all).

        They begin after `place`, or from now on.  Raises Problem (503); then the connection is not taken.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one application that its routes share, beside the engine and the state.  For any thread.

    `streams` is None while the node is starting.  `is_draining()`: it is stopping.
    """

    authenticator: Authenticator
    streams: Streams | None = None
    pending_markers: PendingMarkers = field(default_factory=PendingMarkers)
    rendered: PostCache = field(default_factory=PostCache)
    is_draining: Callable[[], bool] = bool
    metrics: NodeMetrics = field(default_factory=lambda: NodeMetrics("", RequestDurations([])))
    template_of: Callable[["Request"], str] = lambda request: NOTHING  # its route's path; "-" where there is none


class Request:
    """A request: its parts, its user, and the ways of a route to wait and to propose."""

    __slots__ = (
        "_answer", "_began_s", "actor", "durations", "environ", "is_for_anybody", "method", "path", "raw_query",
        "replica", "services", "state", "target",
    )  # fmt: skip

    def __init__(self, environ: Environ, replica: Replica, state: ChatState, services: Services) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.replica = replica
        self.state = state
        self.services = services
        self.actor = Actor()  # the user; set before the route is called, and again before a read is rendered
        self.is_for_anybody = True  # then only the route itself looks at the user
        self.durations: Durations = NOT_COUNTED  # of the route
        self._answer: Deferred | None = None
        self._began_s = monotonic()
        self.target = _target(environ)  # in origin form, not decoded
        self.path, _, self.raw_query = self.target.partition("?")  # the query as sent

    def segments(self) -> list[str]:
        """The path's segments, decoded each for itself.  Raises Problem for what is not UTF-8."""
        first, *segments = self.path.split("/")
        if first:
            return []
        if "%" not in self.path and self.path.isascii():
            return segments
        return [percent_decoded("path", segment) for segment in segments]

    def query(self) -> Query:
        """The query's parameters."""
        return Query(self.raw_query)

    def body(self) -> bytes:
        """The whole body, whatever its Content-Type says.  Raises Problem: 413 past the bound, 415 if compressed."""
        coding = self.environ.get("HTTP_CONTENT_ENCODING")
        if coding is not None and coding.lower() != "identity":
            raise _coded()
        length = self.environ.get("CONTENT_LENGTH") or ""
        if not length:
            # Without a length there is a body only where the server marks its end (it decoded a chunked one).
            ends = self.environ.get("wsgi.input_terminated")
            body: bytes = self.environ["wsgi.input"].read(BODY_BYTES_MAX + 1) if ends else b""
            if len(body) > BODY_BYTES_MAX:
                raise _too_large()
            return body
        if not length.isascii() or not length.isdecimal():
            raise invalid("Content-Length", "must be a number")
        if len(length) > 18 or (size := int(length)) > BODY_BYTES_MAX:
            raise _too_large()
        body = self.environ["wsgi.input"].read(size)
        if len(body) < size:
            raise invalid("body", "shorter than its Content-Length")
        return body

    def off_cpu(self) -> AbstractContextManager[object]:
        """Wait in this context: the CPU slot of this thread is for others meanwhile."""
        context: AbstractContextManager[object] = self.environ["raft_chat.off_cpu"]()
        return context

    def defer(self) -> Deferred:
        """A response to be sent after this thread has gone on, always the same one."""
        if self._answer is None:
            self._answer = self.environ["raft_chat.defer"]()
            self._answer.durations = self.durations
        return self._answer

    def identify(self) -> None:
        """Authenticate the request, blocking if its token is not known here yet.

        Raises Problem: 401 for a wrong token, 403 for a wrong user of a proxy, 429 after too many, 503.
        """
        authenticator = self.services.authenticator
        actor = authenticator.authenticate(self.environ)
        if actor is None:
            authenticator.charge_unknown_token(self.environ)
            late = unavailable("the cluster did not answer in time")
            failed = self.wait_for(partial(authenticator.make_known, self.environ), late)
            if failed is not None:
                raise failed if isinstance(failed, Problem) else problem_of(failed)
            actor = authenticator.authenticate(self.environ)
            if actor is None:
                raise refused()
            authenticator.refund_unknown_token(self.environ)
        self.actor = actor

    def acting(self) -> Acting:
        """The permissions of the user, as the state knows them now.  Raises Problem (401, 403)."""
        if not self.state.guarded and not self.actor.by:
            return ANYBODY
        found = self.state.ask(lambda tables: permissions.acting(tables, self.actor))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        return found

    @property
    def is_stranger(self) -> bool:
        """True if sign-in is on, or may be, and the request is not authenticated."""
        return not self.actor.by and self.services.authenticator.hides_from_strangers()

    def administering(self) -> Actor:
        """Catch up, and return the operator or the admin who asks to change the cluster as a whole.

        Raises Problem: 401, 403, 503.  Before the first account anybody may, in the open mode.
        """
        self.catch_up()
        actor = self.services.authenticator.authenticate_admin(self.environ)
        if actor is None:
            raise refused()
        found = self.state.ask(lambda tables: permissions.administering(tables, actor))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        return actor

    def acting_on_accounts(self) -> Acting:
        """The permissions of the user concerning accounts.  Raises Problem: 401, 403, and 409 in open mode."""
        found = self.state.ask(lambda tables: permissions.acting_on_accounts(tables, self.actor))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        return found

    def send(self, answer: Deferred, response: Response) -> None:
        """Send a deferred response; any thread."""
        response = self.completed(response)
        answer.send(response.status, self.head(response), response.body)

    def completed(self, response: Response) -> Response:
        """The response as it is sent: with the request's id where that has one, or needs one for its line of the log.

        Called once for each answer.
        """
        if (
            response.status < REFUSED
            and "HTTP_X_REQUEST_ID" not in self.environ
            and monotonic() - self._began_s < request_log.log.noted_from_s
        ):
            return response
        return self._completed_with_id(response)

    def _completed_with_id(self, response: Response) -> Response:
        request_id = request_log.id_of(self.environ.get("HTTP_X_REQUEST_ID"))
        problem, body = response.problem, response.body
        if problem is not None:
            body = problem.to_json(request_id)
        code = "" if problem is None else problem.code
        length = None if response.pieces is not None else len(body)
        self.note_answer(response.status, request_id, code, length)
        headers = [*response.headers, (request_log.HEADER, request_id)]
        return response._replace(body=body, headers=headers)

    def note_answer(self, status: int, request_id: str = "", code: str = "", length: int | None = None) -> None:
        """Have the log note the answer."""
        method = self.method if self.method in METHODS else "OTHER"
        address = network(self.environ.get("REMOTE_ADDR", ""))
        given_id = self.environ.get("HTTP_X_REQUEST_ID")
        request_log.log.note(
            Answered(
                time(), method, self.services.template_of(self), status, code, length, monotonic() - self._began_s,
                self.actor.user, self.actor.by, address, request_id or request_log.id_of(given_id),
            )
        )  # fmt: skip

    def head(self, response: Response) -> Headers:
        """The response's headers, except Content-Length, which the server adds."""
        head = response.head(self.replica)
        if response.log_index is None and self.is_stranger:
            head = [field for field in head if field[0] != "X-Raft-Index"]  # it would tell of private activity
        if prefix := self.environ.get("SCRIPT_NAME"):
            head = prefixed(prefix, head)
        if GUEST_PAGE in self.environ:
            head += headers_for_page(self.environ)
        if "HTTP_ORIGIN" in self.environ and self.method in ("GET", "HEAD"):
            head += sharing_headers(self.environ["HTTP_ORIGIN"], self.replica.status())
        return head

    def wait_for_min_index(self) -> None:
        """Block until the state has come to the query's `min_index`, if there is one.  Raises Problem (503)."""
        if self.raw_query:
            self._wait_for_place(self.query().place("min_index"))

    def catch_up(self) -> None:
        """Block until the state holds all that was acknowledged before.  Raises Problem (503)."""
        error = self.wait_for(self.replica.read, unavailable("the cluster did not answer in time"))
        if error is not None:
            raise problem_of(error)

    def wait_for(self, start: Callable[[Callable[[_T], None]], None], late: Problem) -> _T:
        """Call `start` with a callback, and block until that is called with a result.  Raises `late` if it never is."""
        waiting = _Waiting[_T]()
        start(waiting.done)
        with self.off_cpu():
            waiting.event.wait(ANSWER_WAIT_S)
        if not waiting.event.is_set():
            raise late
        return waiting.results[0]

    def execute(self, command: Command) -> Success:
        """Propose a command that may be proposed twice without harm, and return its result, applied here.

        A command that would change nothing is not proposed, but confirmed by a state that holds all that was
        acknowledged.  Raises Problem if it was refused, or if its outcome is unknown.
        """
        self.wait_for_min_index()
        outcome = dry_run(self.replica, self.state, command)
        if outcome is not None:
            self.catch_up()
            outcome = dry_run(self.replica, self.state, command)
        if outcome is None:
            late = unanswered(None, "the change was not answered in time")
            outcome = self.wait_for(partial(propose, self.replica, command), late)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    def _wait_for_place(self, place: Place | None) -> None:
        if place is None or is_here(self.replica, place):
            return
        late = unavailable("min_index: the cluster did not answer in time")
        problem = self.wait_for(partial(arrive, self.replica, place), late)
        if problem is not None:
            raise problem


class _Waiting(Generic[_T]):
    """A callback that another thread waits for."""

    __slots__ = ("event", "results")

    def __init__(self) -> None:
        self.event = Event()
        self.results: list[_T] = []

    def done(self, result: _T) -> None:
        self.results.append(result)
        self.event.set()


def _target(environ: Environ) -> str:
    """The request target as it was sent, in origin form; joined from its parts if the server does not give it."""
    target: str | None = environ.get("RAW_URI")
    if target is None:
        path = quote_from_bytes(environ.get("PATH_INFO", "/").encode("latin-1", "replace"), safe="/")
        query = environ.get("QUERY_STRING")
        return f"{path}?{query}" if query else path
    if target.startswith("/"):
        return target
    scheme, separator, rest = target.partition("://")  # absolute form, as sent to a proxy (RFC 9112 §3.2.2)
    if separator and "/" not in scheme and "?" not in scheme:
        return rest[slash:] if (slash := rest.find("/")) >= 0 else "/"
    return target


def _coded() -> Problem:
    """The answer to a compressed body (RFC 9110 §15.5.16)."""
    detail = "Content-Encoding: compressed bodies are not read. Send the body as it is."
    headers = (("Accept-Encoding", "identity"),)
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_coding", detail, headers)


def _too_large() -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"body: more than {BODY_BYTES_MAX:,} bytes")
