"""Which entry was the last before a moment: never too late a one, nearly the last one, from little memory."""

from bisect import bisect_left
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from chat.state.ages import CLAIMS_MAX, Ages

SECOND = 1_000_000
START = 1_795_428_000_000_000
STEPS = st.sampled_from([0, 1, 1000, SECOND - 1, SECOND, 3 * SECOND, 3600 * SECOND, 86_400 * SECOND])


def aged(times: list[int]) -> Ages:
    """The ages of a log whose first entry, of index 1, begins it."""
    ages = Ages()
    ages.begin(times[0])
    for index, time in enumerate(times[1:], 2):
        if time >= ages.open_until:
            ages.note(time, index)
    return ages


def check(times: list[int], ages: Ages, moment: int, now: int) -> None:
    """Never early; late by a hole of a 64th of the age at its far end, or a second, whoever has written since."""
    found = ages.before(moment, len(times) + 1)
    assert bisect_left(times, moment) >= found
    slack = max((now - moment) // 63, SECOND) + SECOND
    assert found >= bisect_left(times, moment - slack)


@given(st.lists(STEPS, max_size=60), st.lists(st.integers(0, 90 * 86_400), max_size=9))
def test_nothing_is_told_early_and_little_late(steps: list[int], moments: list[int]) -> None:
    times = list(accumulate(steps, initial=START))
    ages = aged(times)
    for moment in (*times, *(START + SECOND * each for each in moments), times[-1] + SECOND, times[-1] + 2 * SECOND):
        check(times, ages, moment, max(times[-1], moment))


def test_years_are_told_by_a_few_thousand_claims() -> None:
    times = list(accumulate((SECOND * (1 + k % 7 * 200) for k in range(30_000)), initial=START))
    ages = aged(times)
    assert len(ages.moments) < CLAIMS_MAX
    assert ages.moments == sorted(set(ages.moments))
    for at in range(0, len(times), 997):
        check(times, ages, times[at], times[-1])


def test_nothing_is_known_before_it_begins() -> None:
    ages = Ages()
    assert not ages.begun
    assert ages.before(START, 9) == 0


def test_all_of_a_log_that_has_fallen_silent_gets_old() -> None:
    ages = aged([START, START + 1, START + 2])
    assert ages.before(START + SECOND - 1, 4) == 0
    assert ages.before(START + SECOND, 4) == 3
