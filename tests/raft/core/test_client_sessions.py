"""A proposal is applied once, however often it is tried, and what is remembered for that has a bound."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.client_sessions import PRUNE_AT, Sessions
from raft.core.raft_messages import ProposalId
from raft.errors import InvalidMessage


def proposal(sequence: int, lowest_unanswered: int = 0, boot: int = 1, member: int = 1) -> ProposalId:
    return ProposalId(member, boot, sequence, sequence - lowest_unanswered)


def test_a_proposal_is_admitted_once() -> None:
    sessions = Sessions()
    assert [sessions.admit(proposal(7)) for _ in range(3)] == [True, False, False]


def test_a_repetition_is_known_whatever_lowest_unanswered_it_carries() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(7, lowest_unanswered=7))
    assert not sessions.admit(proposal(7, lowest_unanswered=5))


def test_proposals_are_admitted_in_any_order() -> None:
    sessions = Sessions()
    assert all(sessions.admit(proposal(sequence, 1)) for sequence in (5, 1, 3, 2, 4))


def test_members_do_not_share_their_sequences() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(1, member=1)) and sessions.admit(proposal(1, member=2))


def test_a_new_boot_counts_from_one_again() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(1, boot=1)) and sessions.admit(proposal(1, boot=2))


def test_what_an_earlier_boot_left_behind_is_refused() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(1, boot=2))
    assert not sessions.admit(proposal(9, boot=1))


def test_what_lies_below_the_lowest_unanswered_is_refused_though_it_was_never_seen() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(10, lowest_unanswered=5))
    assert [sessions.admit(proposal(sequence)) for sequence in (4, 5)] == [False, True]


def test_the_lowest_unanswered_never_falls() -> None:
    sessions = Sessions()
    assert sessions.admit(proposal(10, lowest_unanswered=5))
    assert sessions.admit(proposal(6, lowest_unanswered=1))
    assert not sessions.admit(proposal(4))


def test_the_memory_stays_small_while_proposals_are_answered() -> None:
    sessions = Sessions()
    for sequence in range(1, 20 * PRUNE_AT):
        assert sessions.admit(proposal(sequence, max(1, sequence - 10)))
        assert remembered(sessions) <= PRUNE_AT


def test_the_memory_is_twice_what_waits_at_most_and_shrinks_again() -> None:
    sessions, in_flight = Sessions(), 5 * PRUNE_AT
    for sequence in range(1, 20 * PRUNE_AT):
        assert sessions.admit(proposal(sequence, max(1, sequence - in_flight)))
        assert remembered(sessions) <= 2 * in_flight + PRUNE_AT
    for sequence in range(20 * PRUNE_AT, 40 * PRUNE_AT):
        assert sessions.admit(proposal(sequence, sequence))
    assert remembered(sessions) <= PRUNE_AT


def test_one_proposal_that_stays_unanswered_does_not_slow_down_all_others() -> None:
    """Every admission used to pass over all that was remembered: quadratic, on the apply thread."""
    sessions = Sessions()
    began_s = time.process_time()
    for sequence in range(2, 50_000):
        assert sessions.admit(proposal(sequence, lowest_unanswered=1))
    assert time.process_time() - began_s < 5  # it takes 0.1
    assert sessions.admit(proposal(1, lowest_unanswered=1))


def remembered(sessions: Sessions) -> int:
    return sum(len(session.applied) for session in sessions._sessions.values())


def small(largest: int) -> st.SearchStrategy[int]:
    return st.integers(1, largest)


ids = st.builds(ProposalId, small(3), small(3), small(30), small(30))


@settings(deadline=None)
@given(st.lists(ids, max_size=60))
def test_nothing_is_ever_admitted_twice(proposals: list[ProposalId]) -> None:
    sessions = Sessions()
    admitted = [(id.member, id.boot, id.sequence) for id in proposals if sessions.admit(id)]
    assert len(set(admitted)) == len(admitted)


@settings(deadline=None)
@given(st.lists(ids, max_size=60))
def test_members_that_apply_the_same_log_decide_the_same(proposals: list[ProposalId]) -> None:
    one, other = Sessions(), Sessions()
    assert [one.admit(id) for id in proposals] == [other.admit(id) for id in proposals]


@settings(deadline=None)
@given(st.lists(ids, max_size=60), st.integers(1, 20))
def test_when_it_is_forgotten_decides_nothing(proposals: list[ProposalId], prune_at: int) -> None:
    """Forgetting is an economy: a member that forgets earlier must not decide otherwise."""
    patient, hasty = Sessions(), Sessions()
    for id in proposals:
        for session in hasty._sessions.values():
            session.prune_at = min(session.prune_at, prune_at)
        assert patient.admit(id) == hasty.admit(id)


proposals = st.builds(proposal, st.integers(1, 9), st.integers(0, 9), st.integers(1, 2), st.integers(1, 2))


@settings(deadline=None)
@given(st.lists(proposals, max_size=40), st.lists(proposals, max_size=40))
def test_sessions_restored_from_their_document_go_on_as_if_nothing_had_been(
    before: list[ProposalId], after: list[ProposalId]
) -> None:
    sessions = Sessions()
    for id in before:
        sessions.admit(id)
    restored = Sessions.restored(json.loads(json.dumps(sessions.document())))
    assert restored.document() == sessions.document()
    assert [restored.admit(id) for id in after] == [sessions.admit(id) for id in after]
    assert restored.document() == sessions.document()


def test_a_document_says_runs_of_sequences_not_each_of_them() -> None:
    sessions = Sessions()
    for sequence in (1, 2, 3, 7, 8, 5):
        sessions.admit(proposal(sequence))
    (session,) = sessions.document()
    assert session == [1, 1, 0, [[1, 3], [5, 5], [7, 8]]]


def test_what_may_never_be_asked_for_again_is_not_in_a_document() -> None:
    sessions = Sessions()
    for sequence, following in pairwise(range(1, 6)):
        sessions.admit(proposal(sequence, following))
    assert sessions.document() == [[1, 1, 5, []]]


@pytest.mark.parametrize(
    "document",
    [
        1,
        "x",
        {"1": 2},
        [1],
        [[1, 1, 1]],
        [[1, 1, 1, [1]]],
        [["1", 1, 1, []]],
        [[1, 1, -1, []]],
        [[1, 1, 1, [[1, 1 << 40]]]],
    ],
)
def test_a_document_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(InvalidMessage):
        Sessions.restored(document)
