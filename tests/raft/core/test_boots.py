"""The boots of a member: no directory that goes on from a start is taken for an older copy, and older ones are."""

from random import Random

import pytest

from raft.core.boots import BOOTS_MAX, is_list_of_boots, is_of_older_copy, since_recorded, with_boot


def started(boots: tuple[int, ...], times: int, rng: Random) -> list[tuple[int, ...]]:
    """The lists of so many starts, one after the other."""
    lists = []
    for _ in range(times):
        boots = with_boot(boots, boots[-1] + rng.randint(1, 1 << 31))
        lists.append(boots)
    return lists


@pytest.mark.repeated
@pytest.mark.parametrize("starts", [1, 5, BOOTS_MAX - 1, BOOTS_MAX, 3 * BOOTS_MAX])
def test_a_member_is_not_refused_by_the_record_of_any_start_of_its_own(starts: int) -> None:
    lists = started((7,), starts, Random(starts))
    for recorded in (7, *(boots[-1] for boots in lists)):
        cut = since_recorded(lists[-1], recorded)
        assert not is_of_older_copy(lists[-1], recorded)
        assert not any(is_of_older_copy(cut, boots[-1]) for boots in lists)


@pytest.mark.parametrize("starts", [1, 2, 5, 100])
def test_a_directory_from_before_a_recorded_start_is_found_out_however_often_it_is_started(starts: int) -> None:
    rng = Random(starts)
    for _ in range(20):
        older = started((7,), 3, rng)[-1]
        recorded = started(older, 2, rng)[-1][-1]
        assert is_of_older_copy(started(older, starts, rng)[-1], recorded)


def test_a_list_that_begins_above_the_record_says_nothing() -> None:
    assert not is_of_older_copy((9, 12), 8)
    assert not is_of_older_copy((9, 12), 0)
    assert not is_of_older_copy((), 8)


def test_a_list_is_cut_to_begin_with_what_is_recorded_and_only_where_it_has_that() -> None:
    assert since_recorded((7, 9, 12), 9) == (9, 12)
    assert since_recorded((7, 9, 12), 8) == (7, 9, 12)


def test_a_list_stays_below_its_bound_and_keeps_its_ends() -> None:
    lists = started((7,), 2 * BOOTS_MAX, Random(1))
    assert max(map(len, lists)) == BOOTS_MAX
    assert lists[-1][:2] == lists[0][:2]
    assert lists[-1][-1] > lists[-2][-1]


def test_a_full_list_still_judges_what_is_recorded_outside_of_its_gap() -> None:
    full = started((7,), 2 * BOOTS_MAX, Random(1))[-1]
    assert is_of_older_copy(full, 8)
    assert not is_of_older_copy(full, full[1] + 1)
    assert is_of_older_copy(full, full[2] + 1)


@pytest.mark.parametrize(
    "value", [None, "1", [True], [2, 1], [1, 1], [0], [-1, 2], ["1"], list(range(1, BOOTS_MAX + 2))]
)
def test_what_is_no_list_of_boots_is_told(value: object) -> None:
    assert not is_list_of_boots(value)


def test_a_list_of_boots_may_be_empty() -> None:
    assert is_list_of_boots([])
    assert is_list_of_boots([1, 5])
