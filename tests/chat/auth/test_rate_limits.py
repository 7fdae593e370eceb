"""Buckets: how often, and how much at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.auth import rate_limits
from chat.auth.rate_limits import ACCOUNT_GUESSES, ADDRESS_GUESSES, SPREAD_GUESSES, GuessLimits, Rate, TokenBuckets
from chat.errors import Problem


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 5), max_size=80), st.integers(1, 6), st.integers(1, 4))
def test_a_bucket_lets_through_its_burst_and_its_rate_and_no_more(
    steps: list[float], burst: int, refill_s: int
) -> None:
    clock = Clock()
    some = TokenBuckets(Rate(refill_s, burst), clock)
    held, at = float(burst), clock.now  # as one counts them
    for step in steps:
        clock.now += step
        held, at = min(burst, held + (clock.now - at) / refill_s), clock.now
        wait_s = some.take("k")
        assert (wait_s == 0) == (held >= 1) or held == pytest.approx(1)
        if wait_s:
            assert wait_s == pytest.approx((1 - held) * refill_s, abs=1e-6)
        else:
            held -= 1


def test_after_the_wait_that_was_told_there_is_one() -> None:
    clock = Clock()
    some = TokenBuckets(Rate(3.0, 2), clock)
    assert [some.take("k") for _ in range(3)] == [0.0, 0.0, 3.0]
    clock.now += 2.5
    assert some.take("k") == 0.5
    clock.now += 0.5
    assert some.take("k") == 0.0


def test_keys_have_a_bucket_each() -> None:
    some = TokenBuckets(Rate(3.0, 1), Clock())
    assert [some.take(key) > 0 for key in ("a", "b", "a", "b")] == [False, False, True, True]


def test_what_is_given_back_does_not_count() -> None:
    some = TokenBuckets(Rate(3.0, 2), Clock())
    for _ in range(20):
        assert some.take("k") == 0.0
        some.refund("k")
    some.refund("k")  # a bucket that is full does not run over
    assert [some.take("k") > 0 for _ in range(3)] == [False, False, True]


def test_of_too_many_buckets_the_one_used_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "KEYS_MAX", 3)
    some = TokenBuckets(Rate(3.0, 2), Clock())
    for key in "abcbacd":  # the last of which makes b's go, though a's was made before it
        some.take(key)
    assert [some.take(key) > 0 for key in "acd"] == [True, True, False]
    assert some.take("b") == 0.0


def refused(guesses: GuessLimits, address: str, account: str | None = None) -> int:
    """Seconds that the client is told to wait; 0 where its guess is let through."""
    try:
        guesses.charge(address, account)
    except Problem as problem:
        if (problem.status, problem.code) != (429, "too_many_attempts"):
            raise
        return int(dict(problem.headers)["Retry-After"])
    return 0


def test_an_account_has_ten_wrong_guesses_from_one_network() -> None:
    clock = Clock()
    guesses = GuessLimits(clock)
    assert [refused(guesses, "10.0.0.1", "ann") for _ in range(11)] == [0] * 10 + [30]
    assert refused(guesses, "10.0.0.1", "bob") == 0
    clock.now += 29.5
    assert refused(guesses, "10.0.0.1", "ann") == 1
    clock.now += 0.5
    assert refused(guesses, "10.0.0.1", "ann") == 0


def test_a_stranger_who_guesses_does_not_lock_the_owner_out() -> None:
    guesses = GuessLimits(Clock())
    for _ in range(ACCOUNT_GUESSES.burst):
        guesses.charge("10.6.6.6", "ann")
    assert refused(guesses, "10.6.6.6", "ann")
    assert refused(guesses, "10.0.0.1", "ann") == 0


def test_a_network_that_signed_in_before_goes_first_when_many_networks_guess() -> None:
    guesses = GuessLimits(Clock())
    guesses.charge("10.0.0.1", "ann")
    guesses.refund("10.0.0.1", "ann")
    for k in range(SPREAD_GUESSES.burst):
        guesses.charge(f"10.6.{k}.1", "ann")
    assert refused(guesses, "10.7.0.1", "ann") == 10
    assert refused(guesses, "10.0.0.1", "ann") == 0


def test_an_address_has_thirty_wrong_guesses_of_whichever_accounts() -> None:
    guesses = GuessLimits(Clock())
    assert [refused(guesses, "10.0.0.1", f"user{k}") for k in range(31)] == [0] * 30 + [2]
    assert refused(guesses, "10.0.0.1") == 2
    assert refused(guesses, "10.0.0.2") == 0


def test_an_address_out_of_guesses_costs_an_account_nothing() -> None:
    guesses = GuessLimits(Clock())
    for _ in range(ADDRESS_GUESSES.burst):
        guesses.charge("10.0.0.1")
    assert all(refused(guesses, "10.0.0.1", "ann") for _ in range(ACCOUNT_GUESSES.burst))
    assert refused(guesses, "10.0.0.2", "ann") == 0


def test_an_account_out_of_guesses_costs_an_address_nothing() -> None:
    guesses = GuessLimits(Clock())
    for k in range(SPREAD_GUESSES.burst):
        guesses.charge(f"10.0.{k}.1", "ann")
    assert all(refused(guesses, "10.1.0.1", "ann") for _ in range(ADDRESS_GUESSES.burst))
    assert refused(guesses, "10.0.0.1", "bob") == 0


def test_right_guesses_are_free() -> None:
    guesses = GuessLimits(Clock())
    for _ in range(100):
        assert refused(guesses, "10.0.0.1", "ann") == 0
        guesses.refund("10.0.0.1", "ann")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "unix", False),
    ],
)
def test_a_line_counts_as_one_address(one: str, other: str, same: bool) -> None:
    guesses = GuessLimits(Clock())
    for _ in range(ADDRESS_GUESSES.burst):
        guesses.charge(one)
    assert bool(refused(guesses, other)) == same
