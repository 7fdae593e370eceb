"""Configurations as values: majorities, changes, and their JSON."""

from itertools import combinations

import pytest

from raft.core.configuration import (
    MEMBERS_MAX,
    AddMember,
    Change,
    Configuration,
    DescribeMember,
    Member,
    MoveMember,
    PlanPromotion,
    PromoteMember,
    RemoveMember,
    decode_configuration,
)
from raft.errors import ChangeRefused, InvalidMessage


def configuration(voters: int, *learners: int) -> Configuration:
    ids = {id: Member(id, f"http://{id}", True) for id in range(1, voters + 1)}
    return Configuration(ids | {id: Member(id, f"http://{id}", False, promote=True) for id in learners})


def code_of(configuration: Configuration, change: Change) -> str:
    with pytest.raises(ChangeRefused) as refused:
        configuration.after(change)
    return refused.value.code


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_more_than_half_of_the_voters_decide(voters: int, needed: int) -> None:
    members = configuration(voters, 8, 9)
    assert members.is_majority(range(1, needed + 1))
    assert not members.is_majority(range(1, needed))


def test_learners_strangers_and_repetitions_do_not_count() -> None:
    assert not configuration(3, 4, 5).is_majority([1, 1, 1, 4, 5, 99])


def test_without_voters_nobody_decides() -> None:
    assert not Configuration({}).is_majority([1, 2, 3])
    assert Configuration({}).agreed_index({1: 7}) == 0


def test_the_agreed_index_is_the_highest_that_a_majority_holds() -> None:
    assert configuration(3).agreed_index({1: 9, 2: 4, 3: 7}) == 7
    assert configuration(4).agreed_index({1: 9, 2: 4, 3: 7, 4: 8}) == 7
    assert configuration(5).agreed_index({1: 9, 2: 9}) == 0  # who was never heard of holds nothing
    assert configuration(1, 2).agreed_index({1: 3, 2: 8}) == 3  # a learner does not count


def test_majorities_before_and_after_any_change_meet() -> None:
    for voters in range(2, 7):
        before = configuration(voters, 8)
        changes: list[Change] = [PromoteMember(8), *(RemoveMember(id) for id in range(1, voters + 1))]
        for change in changes:
            after = before.after(change)
            for old in combinations(before.voters, len(before.voters) // 2 + 1):
                for new in combinations(after.voters, len(after.voters) // 2 + 1):
                    assert set(old) & set(new), (old, new, change)


def test_a_new_member_learns_first_and_is_to_vote_unless_it_shall_not() -> None:
    added = configuration(1).after(AddMember(2, "http://2")).after(AddMember(3, "http://3", voting=False))
    assert (added.voters, added.members[2].promote, added.members[3].promote) == ((1,), True, False)
    promoted = added.after(PromoteMember(2))
    assert (promoted.voters, promoted.members[2].promote) == ((1, 2), False)


def test_a_planned_promotion_is_kept_with_the_learner_and_takes_no_vote_away() -> None:
    planned = configuration(1).after(AddMember(2, "http://2", voting=False)).after(PlanPromotion(2))
    assert (planned.voters, planned.members[2].promote) == ((1,), True)
    assert configuration(2).after(PlanPromotion(2)) == configuration(2)


def test_a_change_makes_a_new_value() -> None:
    before = configuration(3)
    before.after(RemoveMember(3))
    before.after(MoveMember(1, "http://elsewhere"))
    assert before == configuration(3)


def test_ids_are_never_used_again() -> None:
    removed = configuration(3).after(RemoveMember(3))
    assert (sorted(removed.members), sorted(removed.removed)) == ([1, 2], [3])
    assert code_of(removed, AddMember(3, "http://new")) == "id_used"
    assert code_of(removed, AddMember(2, "http://new")) == "id_used"


def test_each_removal_keeps_the_ids_that_were_removed_before() -> None:
    removed = configuration(4).after(RemoveMember(2)).after(RemoveMember(3))
    assert removed.removed == {2, 3}
    assert decode_configuration(removed.encode()).removed == {2, 3}
    assert [code_of(removed, AddMember(id, f"http://new-{id}")) for id in (2, 3)] == ["id_used", "id_used"]


def test_changes_that_make_no_sense_are_refused() -> None:
    assert code_of(configuration(1), AddMember(2, "http://1")) == "invalid"
    assert code_of(configuration(1), AddMember(2, "HTTP://1")) == "invalid"
    assert code_of(configuration(2), MoveMember(2, "http://1")) == "invalid"
    assert configuration(2).after(MoveMember(2, "http://2")) == configuration(2)  # its own
    assert code_of(configuration(MEMBERS_MAX), AddMember(99, "http://99")) == "invalid"
    assert code_of(configuration(1, 2), RemoveMember(1)) == "no_majority"
    for change in (RemoveMember(9), PromoteMember(9), PlanPromotion(9), MoveMember(9, "http://9")):
        assert code_of(configuration(3), change) == "unknown_member"


def test_what_a_member_says_of_itself_is_kept_with_it() -> None:
    described = configuration(2).after(DescribeMember(2, "ab12", "http://chat", 3))
    assert described.members[2].level == 3
    assert (described.members[2].incarnation, described.members[2].advertise) == ("ab12", "http://chat")
    moved = described.after(MoveMember(2, "http://elsewhere"))
    assert (moved.members[2].url, moved.members[2].incarnation) == ("http://elsewhere", "ab12")


def test_json_keeps_everything_and_is_the_same_bytes_whatever_the_order() -> None:
    value = configuration(2, 5).after(DescribeMember(5, "ab", "http://x", 2)).after(RemoveMember(1))
    assert decode_configuration(value.encode()) == value
    reordered = Configuration(dict(reversed(list(value.members.items()))), value.removed, value.cluster_id)
    assert reordered.encode() == value.encode()
    assert b"\n" not in value.encode()


def at_levels(*levels: int) -> Configuration:
    return Configuration({id: Member(id, f"http://{id}", True, level=level) for id, level in enumerate(levels, 1)})


def test_the_level_is_the_least_of_all_members() -> None:
    assert at_levels(3, 2, 4).raised().level == 2
    assert at_levels(3, 2, 4).after(DescribeMember(2, "", "", 9)).level == 3
    assert at_levels(3, 2, 4).after(RemoveMember(2)).level == 3
    assert Configuration({}).raised().level == 1


def test_a_member_that_was_not_met_holds_the_level_where_it_is() -> None:
    assert at_levels(3, 0).raised().level == 1
    assert at_levels(3, 3).raised().after(AddMember(3, "http://3")).level == 3


def test_a_learner_holds_the_level_like_a_voter() -> None:
    learner = at_levels(3, 3).after(AddMember(3, "http://3", voting=False)).after(DescribeMember(3, "", "", 3))
    assert learner.after(DescribeMember(1, "", "", 4)).after(DescribeMember(2, "", "", 4)).level == 3


def test_the_level_never_falls() -> None:
    assert at_levels(3, 3).raised().after(DescribeMember(2, "", "", 1)).level == 3


def test_a_configuration_of_an_earlier_version_lacks_what_came_later() -> None:
    body = b'{"cluster_id":"c","members":[{"id":1,"url":"u","voting":true}],"removed":[2]}'
    assert decode_configuration(body) == Configuration({1: Member(1, "u", True)}, frozenset({2}), "c", 1)


def test_a_configuration_of_a_later_version_may_have_more() -> None:
    body = b'{"cluster_id":"c","mood":1,"members":[{"id":1,"url":"u","voting":true,"mood":"good"}],"removed":[]}'
    assert decode_configuration(body) == Configuration({1: Member(1, "u", True)}, frozenset(), "c", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        b'"level":"2"',
        b'"removed":[true]',
        b'"removed":{}',
        b'"cluster_id":1',
        b'"members":[{"id":1,"url":"u"}]',
        b'"members":[{"id":1,"url":"u","voting":1}]',
        b'"members":[{"id":1,"url":"u","voting":true,"level":"2"}]',
        b'"members":[[1]]',
        b'"members":' + b"[" * 100_000,
    ],
)
def test_known_members_have_their_types_wherever_a_configuration_comes_from(wrong: bytes) -> None:
    good = b'"cluster_id":"c","members":[],"removed":[]'
    decode_configuration(b"{%b}" % good)
    with pytest.raises(InvalidMessage, match="a configuration"):
        decode_configuration(b"{%b,%b}" % (good, wrong))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"members":[{}],"removed":[],"cluster_id":""}', b"\xff"]
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_configuration(body)
