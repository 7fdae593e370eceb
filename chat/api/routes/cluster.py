"""`/raft`: show the cluster, and change its members."""

import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Response, json_line
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import BOOLEAN, MEMBER_ID, MOMENT, TEXT, array, integer, record, text, word
from chat.commands import Actor
from chat.errors import Problem, problem_of
from chat.services import validation
from chat.state.post_json import timestamp
from raft.core.configuration import AddMember, Change, MoveMember, PlanPromotion, RemoveMember
from raft.errors import RaftError

HEALTH = ("Id", "Leader", "Term", "Role")


def status(request: Request) -> Response:
    """GET /raft[?refresh=true]: this node's view; always answers.  With sign-in, strangers get only its health."""
    refresh = request.query().choice("refresh", "true", "false") == "true"
    with suppress(Problem):  # a bad token is a stranger's
        request.actor = request.services.authenticator.authenticate(request.environ) or Actor()
    is_stranger = request.is_stranger
    if refresh and not is_stranger:
        with request.off_cpu():
            request.replica.ask_members()
    status = request.replica.status()
    if is_stranger:
        status = {name: status[name] for name in HEALTH if name in status}
    body = json.dumps(status, ensure_ascii=False).encode() + b"\n"
    return Response(HTTPStatus.OK, body, headers=[("Cache-Control", "no-store")])


def add(request: Request, id: str) -> Response:
    """POST /raft/{id}[?voting=false], body = the peer URL: add a member."""
    voting = request.query().choice("voting", "true", "false") != "false"
    return _change(request, AddMember(_member(id), validation.peer_url("Url", request.body()), voting))


def move(request: Request, id: str) -> Response:
    """PUT /raft/{id}, body = a new peer URL: move the member."""
    return _change(request, MoveMember(_member(id), validation.peer_url("Url", request.body())))


def remove(request: Request, id: str) -> Response:
    """DELETE /raft/{id}: remove the member for good."""
    return _change(request, RemoveMember(_member(id)))


def promote(request: Request, id: str) -> Response:
    """POST /raft/{id}/promote: make the member vote, and wait until it has caught up."""
    return _change(request, PlanPromotion(_member(id)))


def lead(request: Request, id: str) -> Response:
    """POST /raft/{id}/lead: make the member the leader."""
    return _administer(request, lambda: request.replica.transfer(_member(id)))


def accept_clock(request: Request) -> Response:
    """POST /raft/clock: set the log's time to the clock; returns the time before and after."""
    before = after = 0

    def act() -> None:
        nonlocal before, after
        before, after = request.replica.accept_clock()

    _administer(request, act)
    return Response(HTTPStatus.OK, json_line({"Before": timestamp(before), "After": timestamp(after)}))


def scrub(request: Request) -> Response:
    """POST /raft/scrub: look for damage in all files of this node, now."""
    return _administer(request, request.replica.scrub, HTTPStatus.ACCEPTED)


def _member(id: str) -> int:
    return validation.integer("Id", id, low=1)


def _change(request: Request, change: Change) -> Response:
    """Change the membership; 204 once that is committed and applied here."""
    return _administer(request, lambda: request.replica.change(change))


def _administer(request: Request, act: Callable[[], None], status: HTTPStatus = HTTPStatus.NO_CONTENT) -> Response:
    """Call `act` for an operator or an admin; return the status, 204, once it has returned.

    The membership belongs to the engine, so permissions are checked here and not when it is applied.
    """
    request.administering()
    try:
        with request.off_cpu():
            act()
    except RaftError as error:
        raise problem_of(error) from None
    return Response(status)


_MEMBER = record(
    {"Id": MEMBER_ID, "Url": text(validation.URL_POINTS_MAX), "Voting": BOOLEAN, "Advertise": TEXT},
    {
        "Level": integer(),
        "MatchIndex": integer(),
        "LastContactMs": {"type": "integer"},
        "Role": word("follower", "candidate", "leader"),
        "Term": integer(),
        "LastApplied": integer(),
        "Version": TEXT,
        "DiskFreeBytes": integer(),
        "ClockOffsetMs": {"type": "integer"},
        "HeardMs": integer(),
    },
)
_STATE_DIGEST = record(
    {},
    {
        "Index": integer(),
        "Digest": TEXT,
        "Format": TEXT,
        "AgreedIndex": integer(),
        "SetAside": word("differs", "compares"),
        "Differing": array(MEMBER_ID),
        "Undecided": array(MEMBER_ID),
    },
)
_STATUS = record(
    {
        "Id": MEMBER_ID,
        "Leader": integer(),
        "Term": integer(),
        "Role": word("follower", "candidate", "leader", "starting"),
    },
    {
        "CommitIndex": integer(),
        "LastApplied": integer(),
        "LastIndex": integer(),
        "ClusterId": TEXT,
        "Members": array(_MEMBER),
        "WaitingFor": TEXT,
        "Damage": array(record({"File": TEXT, "Offset": integer()})),
        "StateDigest": _STATE_DIGEST,
        "Scrub": record(
            {"Running": BOOLEAN},
            {"DoneBytes": integer(), "TotalBytes": integer(), "LastEnd": MOMENT, "LastFound": integer()},
        ),
    },
)
_URL = Body(text(validation.URL_POINTS_MAX), content_type="text/plain")
_REFUSED = ("invalid", "unknown_member", "id_used", "no_majority", "change_in_progress")

ROUTES = (
    Route(
        "GET", "/raft", status, Access.ANYBODY, "Show the cluster as this node knows it; always answers",
        answers={200: Answer("The node's view", _STATUS)}, query={"refresh": word("true", "false")},
    ),
    Route(
        "POST", "/raft/clock", accept_clock, Access.ADMIN, "Accept the clock: set the log's time to it",
        answers={200: Answer("The log's time before and after", record({"Before": MOMENT, "After": MOMENT}))},
        problems=("clocks_differ",),
    ),
    Route(
        "POST", "/raft/scrub", scrub, Access.ADMIN, "Look for damage in this node's files, and mend it",
        answers={202: Answer("It has begun; `GET /raft` shows how far it is")},
    ),
    Route(
        "POST", "/raft/{member}", add, Access.ADMIN, "Add a node by its peer URL; it votes once it has caught up",
        body=_URL, problems=_REFUSED, query={"voting": word("true", "false")},
    ),
    Route(
        "PUT", "/raft/{member}", move, Access.ADMIN, "Move a node: set the URL at which its peers reach it",
        body=_URL, problems=_REFUSED,
    ),
    Route("DELETE", "/raft/{member}", remove, Access.ADMIN, "Remove a node; it stops by itself", problems=_REFUSED),
    Route("POST", "/raft/{member}/promote", promote, Access.ADMIN, "Make a node vote", problems=_REFUSED),
    Route(
        "POST", "/raft/{member}/lead", lead, Access.ADMIN, "Make a node the leader",
        problems=(*_REFUSED, "not_a_voter", "not_in_contact", "not_taken_over"),
    ),
)  # fmt: skip
