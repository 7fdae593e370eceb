"""Whom a message mentions."""

import pytest

from chat.services.posts import MENTIONS_MAX, mentioned

USERS = {"ann", "ann lee", "bob", "\u00c9mile", "o'neil", "room service", "x" * 64}


def found(message: str) -> tuple[str, ...]:
    return mentioned(message, USERS.intersection)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("hello", ()),
        ("@ann", ("ann",)),
        ("hi @bob, @ann!", ("bob", "ann")),
        ("@ann lee", ("ann lee",)),
        ("@ann leek", ("ann",)),
        ("@annabel", ()),
        ("ann@bob.example", ()),
        ("(@bob)", ("bob",)),
        ("@@bob", ("bob",)),
        ("@\u00c9mile", ("\u00c9mile",)),
        ("@o'neil's", ("o'neil",)),
        ("@ann @ann", ("ann",)),
        ("@nobody @", ()),
        ("@room", ("@room",)),
        ("@rooms", ()),
        ("@room service", ("room service",)),
        ("@" + "x" * 64, ("x" * 64,)),
        ("@" + "x" * 65, ()),
        ("@ann\n@bob", ("ann", "bob")),
    ],
)
def test_a_mention_is_the_longest_name_behind_an_at_that_no_word_goes_on_from(
    message: str, names: tuple[str, ...]
) -> None:
    assert found(message) == names


def test_a_message_mentions_so_many_and_no_more() -> None:
    users = {f"u{number}" for number in range(30)}
    message = " ".join(f"@u{number}" for number in range(30))
    assert mentioned(message, users.intersection) == tuple(f"u{number}" for number in range(MENTIONS_MAX))


def test_however_many_ats_there_are_only_the_first_are_looked_at() -> None:
    asked: list[set[str]] = []

    def known(texts: set[str]) -> set[str]:
        asked.append(texts)
        return set()

    assert mentioned("@a! " * 2000, known) == ()
    assert mentioned("@" * 8000, known) == ()
    assert sum(map(len, asked)) < 1000
    assert mentioned("@zzz " * 100 + "@ann", USERS.intersection) == ()
