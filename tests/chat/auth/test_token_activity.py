"""Which tokens were used: told once an hour, and as many as there are."""

import pytest

from chat.auth import token_activity
from chat.auth.token_activity import TokenActivity


def test_a_token_is_told_of_once_an_hour() -> None:
    found = TokenActivity()
    for hour in (7, 7, 8, 8):
        found.note(1, hour)
        found.note(2, 7)
    assert found.take(9) == (1, 2)
    found.note(1, 8)
    found.note(2, 7)
    assert found.take(9) == ()
    found.note(2, 8)
    assert found.take(9) == (2,)


def test_many_are_told_of_in_turn() -> None:
    found = TokenActivity()
    for number in range(5):
        found.note(number, 7)
    assert found.take(3) == (0, 1, 2)
    assert found.take(3) == (3, 4)


def test_what_could_not_be_told_is_told_later() -> None:
    found = TokenActivity()
    found.note(1, 7)
    taken = found.take(9)
    found.put_back(taken)
    assert found.take(9) == (1,)


def test_no_more_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_activity, "TOKENS_MAX", 3)
    found = TokenActivity()
    for number in range(5):
        found.note(number, 7)
    assert found.take(9) == (2, 3, 4)
    found.put_back((0, 2))
    assert found.take(9) == (2,)
