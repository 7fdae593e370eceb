"""What a client is told."""

import json

import pytest

from chat.errors import STATUS_OF, Problem, problem_of, problem_of_refusal
from chat.state import permissions
from chat.state.apply import credentials, settings, users
from chat.state.results import Refusal
from raft.errors import (
    ChangeRefused,
    CorruptLog,
    DiskFailed,
    DiskFull,
    NotLeader,
    OutcomeUnknown,
    RaftError,
    Unavailable,
)


def test_a_problem_is_its_standard_members_and_the_code() -> None:
    body = json.loads(Problem(400, "invalid_field", "User: missing", members={"ClientId": "c"}).to_json())
    assert body == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "User: missing",
        "code": "invalid_field",
        "ClientId": "c",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("no quorum"), 503, "unavailable"),
        (OutcomeUnknown("lost"), 504, "outcome_unknown"),
        (ChangeRefused("change_in_progress", ""), 409, "change_in_progress"),
        (ChangeRefused("no_majority", ""), 409, "no_majority"),
        (ChangeRefused("id_used", ""), 409, "id_used"),
        (ChangeRefused("not_a_voter", ""), 409, "not_a_voter"),
        (ChangeRefused("unknown_member", ""), 404, "unknown_member"),
        (ChangeRefused("invalid", ""), 400, "invalid"),
        (DiskFull("no room"), 507, "disk_full"),
        (DiskFailed("EIO"), 503, "unavailable"),
        (CorruptLog("log-1", 7, "damaged", "act"), 500, "damaged_record"),
        (NotLeader(2), 500, "internal_error"),
    ],
)
def test_an_error_of_the_engine_has_its_status(error: RaftError, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)


def test_unavailable_says_when_to_come_back() -> None:
    assert problem_of(Unavailable("no quorum")).headers == (("Retry-After", "1"),)


REFUSALS = [
    value
    for module in (permissions, users, credentials, settings)
    for value in vars(module).values()
    if isinstance(value, Refusal)
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
def test_what_is_refused_to_who_acts_has_a_status_and_a_field(refusal: Refusal) -> None:
    assert refusal.code in STATUS_OF or refusal.code == "no_such_room"
    problem = problem_of_refusal(refusal)
    assert 400 <= problem.status < 500
    assert problem.detail.partition(": ")[0].isidentifier()
    assert (problem.status == 401) == (dict(problem.headers).get("WWW-Authenticate") == "Bearer")


def test_there_are_some() -> None:
    assert len(REFUSALS) > 30
