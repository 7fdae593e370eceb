"""Which entry was the last before a moment: never too late a one, nearly the last one, from little memory."""

from bisect import bisect_left
from itertools import accumulate
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from chat.state.log_times import CLAIMS_MAX, LogTimes

SECOND = 1_000_000
START = 1_795_428_000_000_000
YEAR = 365 * 86_400 * SECOND
STEPS = st.sampled_from([0, 1, 1000, SECOND - 1, SECOND, 3 * SECOND, 3600 * SECOND, 86_400 * SECOND])


def aged(times: list[int]) -> LogTimes:
    """The times of a log whose first entry is of index 1."""
    log_times = LogTimes()
    for index, time in enumerate(times, 1):
        if time >= log_times.open_until:
            log_times.note(time, index)
    return log_times


def check(times: list[int], log_times: LogTimes, moment: int, now: int) -> None:
    """Never early; late by a hole of a 64th of the age at its far end, or a second, whoever has written since."""
    found = log_times.before(moment, len(times) + 1)
    assert bisect_left(times, moment) >= found
    slack = max((now - moment) // 63, SECOND) + SECOND
    assert found >= bisect_left(times, moment - slack)


@given(st.lists(STEPS, max_size=60), st.lists(st.integers(0, 90 * 86_400), max_size=9))
def test_nothing_is_told_early_and_little_late(steps: list[int], moments: list[int]) -> None:
    times = list(accumulate(steps, initial=START))
    log_times = aged(times)
    for moment in (*times, *(START + SECOND * each for each in moments), times[-1] + SECOND, times[-1] + 2 * SECOND):
        check(times, log_times, moment, max(times[-1], moment))


def test_years_are_told_by_a_few_thousand_claims() -> None:
    times = list(accumulate((SECOND * (1 + k % 7 * 200) for k in range(30_000)), initial=START))
    log_times = aged(times)
    assert len(log_times.moments) < CLAIMS_MAX
    assert log_times.moments == sorted(set(log_times.moments))
    for at in range(0, len(times), 997):
        check(times, log_times, times[at], times[-1])


def test_nothing_is_known_before_the_first_entry() -> None:
    log_times = LogTimes()
    assert log_times.before(START, 9) == 0


def test_all_of_a_log_that_has_fallen_silent_gets_old() -> None:
    log_times = aged([START, START + 1, START + 2])
    assert log_times.before(START + SECOND - 1, 4) == 0
    assert log_times.before(START + SECOND, 4) == 3


def _noted(*seconds: int) -> LogTimes:
    """An entry at each of these seconds, from log index 2 on."""
    log_times = LogTimes()
    log_times.note(START, 1)
    for index, second in enumerate(seconds, 2):
        if START + second * SECOND >= log_times.open_until:
            log_times.note(START + second * SECOND, index)
    return log_times


def test_no_age_changes_by_a_leap_forwards_that_is_followed() -> None:
    log_times = _noted(*range(1, 20))
    before = [log_times.before(START + second * SECOND, 99) for second in range(30)]
    log_times.set_clock(START + 20 * SECOND, START + YEAR)
    leap = YEAR - 20 * SECOND
    assert [log_times.before(START + leap + second * SECOND, 99) for second in range(30)] == before


def test_a_leap_that_was_followed_and_is_taken_back_leaves_each_age_as_it_was() -> None:
    log_times = _noted(*range(1, 20))
    before = [log_times.before(START + second * SECOND, 99) for second in range(30)]
    assert log_times.set_clock(START + 20 * SECOND, START + YEAR) == YEAR - 20 * SECOND
    assert log_times.set_clock(START + YEAR + SECOND, START + 21 * SECOND) == 20 * SECOND - YEAR
    assert [log_times.before(START + second * SECOND, 99) for second in range(30)] == before
    assert log_times.added == 0


def test_what_was_stamped_with_a_time_to_come_is_as_old_as_the_clock_that_is_accepted() -> None:
    """A leap that was not noticed, because the process was down: nothing goes early, and ages go on."""
    log_times = _noted(*range(1, 10), YEAR // SECOND, YEAR // SECOND + 5)
    assert log_times.set_clock(START + YEAR + 6 * SECOND, START + 16 * SECOND) == 0
    assert log_times.before(START + 5 * SECOND, 13) == 5, "what was older stays so old"
    assert log_times.before(START + 16 * SECOND, 13) < 12, (
        "what came after is no older than the moment of the accepting"
    )
    log_times.note(START + 30 * SECOND, 13)
    assert log_times.before(START + 20 * SECOND, 14) == 12, "and then it ages"


def test_no_age_grows_by_any_leaps() -> None:
    rng = Random(7)
    for _ in range(200):
        log_times, time, now, ages_of = LogTimes(), START, 0, {}
        log_times.note(time, 1)
        for index in range(2, 60):
            passed = rng.choice([0, 1, 3]) * SECOND
            now, time = now + passed, time + passed
            if rng.random() < 0.1:
                leap = rng.choice([-30, -5, 20, 400]) * SECOND
                leap = max(leap, START - time)
                log_times.set_clock(time, time + leap)
                time += leap
            if time >= log_times.open_until:
                log_times.note(time, index)
            ages_of[index] = now
            for age_s in (1, 5, 60):
                gone = log_times.before(time - age_s * SECOND, index + 1)
                assert all(now - ages_of[old] >= age_s * SECOND for old in range(2, gone + 1))
