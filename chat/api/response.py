"""The answers that a route may return: a whole response, a deferred or a detached one, or a Read."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from chat.api.query import Query
from chat.errors import Problem
from chat.replica import Replica
from chat.server import failure_log
from chat.server.durations import Durations
from chat.server.problem_json import PROBLEM_JSON
from chat.services.cursors import Place, raft_index
from raft.errors import RaftError

Headers = list[tuple[str, str]]
Environ = dict[str, Any]


class Deferred(Protocol):
    """A response that any thread may send later (`environ["raft_chat.defer"]()`)."""

    durations: Durations

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the response; exactly once."""


class Detached:
    """The answer of a route that gave its connection to somebody else: the server has nothing to send."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class Response(NamedTuple):  # one is made for each request: a frozen dataclass costs four times as much
    """A whole response or, with `pieces`, one that is made while it is sent, in the request's own thread.

    `log_index`: the index of the log that it reflects, if not this node's `last_applied`.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()
    log_index: int | None = None
    pieces: Iterator[bytes] | None = None  # of the body
    problem: Problem | None = None  # that it tells of

    def head(self, replica: Replica) -> Headers:
        """The response's headers, except Content-Length, which the server adds."""
        index = replica.last_applied if self.log_index is None else self.log_index
        head = [("X-Raft-Index", raft_index(replica, index)), ("X-Content-Type-Options", "nosniff"), *self.headers]
        if self.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            head.append(("Content-Type", self.content_type))
        return head


def response_of(problem: Problem) -> Response:
    """The response for a problem, whose body is made with the request's id (`request.py`).  A failure is logged."""
    failure_log.answered(problem.status, problem.code, problem.detail)
    headers = [*problem.headers, ("Cache-Control", "no-store")]
    return Response(problem.status, b"", PROBLEM_JSON, headers, problem=problem)


@dataclass(frozen=True, slots=True)
class Read:
    """The answer of a route that reads.  `render` raises Problem or RaftError.

    It may return a deferred response that another thread sends.
    """

    render: Callable[[], Response | Deferred | Detached]
    place: Place | None = None  # in the log, that the state must have come to
    stale: bool = False  # this node's own state is enough
    by_caller: bool = False  # rendering takes long or waits, so the request's own thread does it
    start: Callable[[Callable[[RaftError | Problem | None], None]], None] | None = None  # in place of a confirmed read

    @staticmethod
    def asked(query: Query, render: Callable[[], Response], *, by_caller: bool = False) -> "Read":
        """A read with the query's `min_index` and `consistency`.  Raises Problem if they are malformed."""
        return Read(render, query.place("min_index"), is_stale(query), by_caller)


def is_stale(query: Query) -> bool:
    """Return True if the query wants this node's own state, not all that was acknowledged (ReadIndex)."""
    return query.choice("consistency", "stale", "linearizable") == "stale"


def json_line(value: object) -> bytes:
    """A value as a line of JSON, for a body."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
