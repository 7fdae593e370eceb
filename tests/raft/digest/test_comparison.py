"""Which members differ, by the digests that they tell."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.digest.comparison import REMEMBERED_MAX, Comparison, Findings
from raft.digest.state_digest import TOLD_MAX, StateDigest, decode_digests, encode_digests


def digest(index: int, value: str, format: str = "1.1") -> StateDigest:
    return StateDigest(format, index, value)


def of(voters: int, **told: list[StateDigest]) -> tuple[Comparison, int]:
    comparison = Comparison()
    for member, digests in told.items():
        comparison.note(int(member.removeprefix("m")), digests)
    return comparison, voters


def find(comparison: Comparison, voters: int, doubted: Collection[int] = ()) -> Findings:
    def is_majority(members: Collection[int]) -> bool:
        return len({*members} & {*range(1, voters + 1)}) > voters // 2

    return comparison.find(is_majority, doubted)


def test_a_member_that_differs_from_a_majority_is_found() -> None:
    found = find(*of(3, m1=[digest(7, "a")], m2=[digest(7, "b")], m3=[digest(7, "a")]))
    assert found == Findings({2: 7}, {1: 7, 3: 7}, {})


def test_digests_of_different_indexes_are_not_compared() -> None:
    found = find(*of(3, m1=[digest(7, "a")], m2=[digest(8, "b")], m3=[digest(7, "a")]))
    assert found == Findings({}, {1: 7, 3: 7}, {})


def test_digests_of_different_formats_are_not_compared() -> None:
    found = find(*of(3, m1=[digest(7, "a")], m2=[digest(7, "b", "1.2")], m3=[digest(7, "a")]))
    assert found == Findings({}, {1: 7, 3: 7}, {})


def test_of_two_voters_that_differ_nobody_is_right() -> None:
    assert find(*of(2, m1=[digest(7, "a")], m2=[digest(7, "b")])) == Findings({}, {}, {1: 7, 2: 7})


def test_learners_make_no_majority_and_are_compared_with_it() -> None:
    told = {"m1": [digest(7, "a")], "m2": [digest(7, "b")], "m3": [digest(7, "b")]}
    assert find(*of(2, **told)) == Findings({}, {}, {1: 7, 2: 7, 3: 7})
    assert find(*of(1, **told)) == Findings({2: 7, 3: 7}, {1: 7}, {})


def test_the_newest_index_that_could_be_compared_decides() -> None:
    comparison, voters = of(
        3, m1=[digest(7, "a"), digest(9, "c")], m2=[digest(7, "b"), digest(9, "c")], m3=[digest(7, "a")]
    )
    assert find(comparison, voters) == Findings({}, {1: 9, 2: 9, 3: 7}, {})


def test_a_member_in_doubt_makes_no_majority() -> None:
    comparison, voters = of(3, m1=[digest(7, "a")], m2=[digest(7, "a")], m3=[digest(7, "b")])
    assert find(comparison, voters, doubted=[2]) == Findings({}, {}, {1: 7, 3: 7})


def test_a_member_is_not_undecided_because_of_one_that_differs() -> None:
    comparison, voters = of(
        3, m1=[digest(7, "a"), digest(9, "x")], m2=[digest(7, "a")], m3=[digest(7, "b"), digest(9, "y")]
    )
    assert find(comparison, voters) == Findings({3: 7}, {1: 7, 2: 7}, {})


def test_a_member_that_agrees_by_now_makes_no_other_undecided_at_an_earlier_index() -> None:
    comparison, voters = of(
        5, m1=[digest(7, "b"), digest(9, "a")], m2=[digest(7, "a")], m3=[digest(9, "a")], m4=[digest(9, "a")]
    )
    assert find(comparison, voters) == Findings({}, {1: 9, 3: 9, 4: 9}, {})


def test_a_digest_that_is_told_again_for_an_index_counts_as_it_was_told_last() -> None:
    comparison, voters = of(3, m1=[digest(7, "a")], m2=[digest(7, "b")], m3=[digest(7, "a")])
    comparison.note(2, [digest(7, "a")])
    assert find(comparison, voters).differing == {}


def test_of_each_member_the_newest_digests_are_remembered() -> None:
    comparison = Comparison()
    comparison.note(1, [digest(index, "a") for index in range(1, REMEMBERED_MAX + 3)])
    comparison.note(2, [digest(index, "a") for index in (1, 2, 3)])
    assert find(comparison, 2) == Findings({}, {1: 3, 2: 3}, {})
    comparison.forget_all_but([1])
    assert find(comparison, 2) == Findings({}, {}, {})


told_digests = st.lists(
    st.builds(digest, st.integers(1, 4), st.sampled_from(["a", "b", "c"]), st.sampled_from(["1.1", "1.2"])), max_size=6
)


@given(st.integers(1, 7), st.dictionaries(st.integers(1, 8), told_digests), st.sets(st.integers(1, 8)))
def test_whatever_is_told_no_more_than_a_minority_of_the_voters_that_are_not_in_doubt_differs_at_an_index(
    voters: int, told: dict[int, list[StateDigest]], doubted: set[int]
) -> None:
    comparison = Comparison()
    for member, digests in told.items():
        comparison.note(member, digests)
    found = find(comparison, voters, doubted)
    for index in {*found.differing.values()}:
        at = [id for id, where in found.differing.items() if where == index and id <= voters]
        assert len(at) <= (voters - 1) // 2 * len({d.format for digests in told.values() for d in digests})
    if found.differing:
        assert len([id for id in range(1, voters + 1) if id in told and id not in doubted]) > voters // 2
    assert not {*found.differing} & {*found.agreeing}


def test_digests_are_told_as_a_text() -> None:
    digests = [StateDigest("1.1", index, f"{index:032x}") for index in range(1, TOLD_MAX + 1)]
    assert decode_digests(encode_digests(digests)) == digests


@pytest.mark.parametrize("text", ["", "1.1@0x7=aa", "1.1@7=" + "g" * 32, "1.1@7=" + "a" * 31, "a" * 3000])
def test_a_text_that_tells_no_digests_tells_none(text: str) -> None:
    assert decode_digests(text) == []
