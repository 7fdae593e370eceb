"""Each code that the state refuses with has its status, chosen and not by chance."""

import pytest

from chat.errors import STATUS_OF, problem_of_refusal
from chat.state import permissions
from chat.state.apply import credentials, settings, users
from chat.state.results import Refusal

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
