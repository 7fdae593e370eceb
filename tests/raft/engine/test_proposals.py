"""What a client is told of its proposal: 503 only where nothing was proposed, 504 where that is not known."""

import random
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raft.core.raft_messages import ProposalId
from raft.engine.proposals import (
    HANDED_OVER_TIMEOUT_S,
    UNPROPOSED_TIMEOUT_S,
    WAITING_BYTES_MAX,
    WAITING_MAX,
    PendingProposal,
    Proposals,
)
from raft.errors import DiskFull, OutcomeUnknown, Unavailable
from tests.support.slicing import examples

MEMBER, BOOT = 3, 7
DEADLINE_S = 10.0


def id_of(waiting: PendingProposal) -> ProposalId:
    return ProposalId(MEMBER, BOOT, waiting.sequence, 0)


class Client:
    """Collects what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    @property
    def kinds(self) -> list[type]:
        return [type(said) for said in self.told]


def admitted(proposals: Proposals, client: Client, now_s: float = 0.0, command: bytes = b"1") -> PendingProposal:
    return proposals.admit(command, client.told.append, now_s)


# What expires how


def test_what_was_never_handed_over_is_unavailable_after_its_time() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    admitted(proposals, client)
    proposals.expire(UNPROPOSED_TIMEOUT_S - 0.1)
    assert client.told == []
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert client.kinds == [Unavailable]
    assert proposals.all() == []


def test_what_was_handed_over_is_given_longer_and_then_its_outcome_is_unknown() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    proposals.hand_over([admitted(proposals, client)])
    proposals.expire(HANDED_OVER_TIMEOUT_S - 0.1)
    assert client.told == []
    proposals.expire(HANDED_OVER_TIMEOUT_S)
    assert client.kinds == [OutcomeUnknown]


def test_both_times_are_within_the_five_seconds_that_are_promised() -> None:
    assert UNPROPOSED_TIMEOUT_S < HANDED_OVER_TIMEOUT_S < 5


def test_a_hand_over_that_was_refused_as_a_whole_proposed_nothing() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    proposals.hand_over([waiting])
    proposals.undo_hand_over([waiting])
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert client.kinds == [Unavailable]


def test_a_refusal_says_nothing_of_an_earlier_hand_over_whose_answer_got_lost() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    proposals.hand_over([waiting])  # sent, and never answered
    proposals.hand_over([waiting])
    proposals.undo_hand_over([waiting])
    proposals.expire(HANDED_OVER_TIMEOUT_S)
    assert client.kinds == [OutcomeUnknown]


def test_of_two_that_hand_it_over_at_once_the_refused_one_does_not_speak_for_the_other() -> None:
    """While a leader changes, the flush thread and the forwarding thread may both hold it."""
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    proposals.hand_over([waiting])  # to another member, which accepts
    proposals.hand_over([waiting])  # to the own log, which refuses: this member does not lead any more
    proposals.undo_hand_over([waiting])
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert client.told == []
    proposals.expire(HANDED_OVER_TIMEOUT_S)
    assert client.kinds == [OutcomeUnknown]


def test_what_expired_is_not_handed_over_any_more() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert proposals.hand_over([waiting]) == []


def test_a_hand_over_between_the_look_and_the_answer_makes_the_outcome_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    overdue = proposals._overdue

    def look_and_be_overtaken(now_s: float) -> list[PendingProposal]:
        found = overdue(now_s)
        assert proposals.hand_over([waiting])
        return found

    monkeypatch.setattr(proposals, "_overdue", look_and_be_overtaken)
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert client.kinds == [OutcomeUnknown]


def test_younger_proposals_stay_when_older_ones_expire() -> None:
    proposals, old, young = Proposals(MEMBER, BOOT), Client(), Client()
    admitted(proposals, old, now_s=0.0)
    waiting = admitted(proposals, young, now_s=1.0)
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert (old.kinds, young.kinds) == ([Unavailable], [])
    assert proposals.all() == [waiting]


def test_an_old_one_that_may_still_come_about_does_not_hide_younger_ones_that_were_never_proposed() -> None:
    proposals, old, young = Proposals(MEMBER, BOOT), Client(), Client()
    proposals.hand_over([admitted(proposals, old, now_s=0.0)])
    admitted(proposals, young, now_s=0.5)
    proposals.expire(0.5 + UNPROPOSED_TIMEOUT_S)
    assert (old.kinds, young.kinds) == ([], [Unavailable])


# Who is told


def test_the_result_goes_to_who_proposed_once() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    assert proposals.answered(id_of(waiting)) == waiting.done
    assert proposals.answered(id_of(waiting)) is None
    proposals.expire(100.0)
    assert client.told == []


@pytest.mark.parametrize("foreign", [ProposalId(MEMBER + 1, BOOT, 1, 0), ProposalId(MEMBER, BOOT - 1, 1, 0)])
def test_what_another_member_or_an_earlier_boot_proposed_answers_nobody_here(foreign: ProposalId) -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    waiting = admitted(proposals, client)
    assert waiting.sequence == foreign.sequence
    assert proposals.answered(foreign) is None
    assert proposals.all() == [waiting]


def test_callbacks_are_called_without_the_lock() -> None:
    proposals = Proposals(MEMBER, BOOT)
    seen: list[int] = []
    proposals.admit(b"1", lambda said: seen.append(len(proposals.all())), 0.0)
    thread = threading.Thread(target=proposals.expire, args=(UNPROPOSED_TIMEOUT_S,), name="expire", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert seen == [0]


# Ids


def test_sequences_count_from_one_and_every_hand_over_reaches_down_to_the_lowest_that_still_waits() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    first, second, third = (admitted(proposals, client, command=b"%d" % n) for n in (1, 2, 3))
    assert proposals.hand_over([second]) == [(ProposalId(MEMBER, BOOT, 2, 1), b"2")]
    proposals.answered(id_of(first))
    assert proposals.hand_over([second, third]) == [
        (ProposalId(MEMBER, BOOT, 2, 0), b"2"),
        (ProposalId(MEMBER, BOOT, 3, 1), b"3"),
    ]


def test_a_proposal_that_still_waits_never_lies_below_a_lowest_unanswered_that_was_sent() -> None:
    """Else the sessions would refuse it, and it would wait for an answer that never comes."""
    proposals, rng = Proposals(MEMBER, BOOT), random.Random(1)
    sent = 0
    for _ in range(2_000):
        admitted(proposals, Client())
        handed_over = proposals.hand_over(rng.sample(proposals.all(), k=1))
        sent = max(sent, *(id.sequence - id.reach for id, _ in handed_over))
        if rng.random() < 0.9:
            proposals.answered(id_of(rng.choice(proposals.all())))
        assert all(waiting.sequence >= sent for waiting in proposals.all())


# Bounds


def test_one_too_many_is_unavailable_and_a_place_that_gets_free_is_given_again() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    first = admitted(proposals, client)
    for _ in range(WAITING_MAX - 1):
        admitted(proposals, client)
    with pytest.raises(Unavailable, match="nothing was changed"):
        admitted(proposals, client)
    proposals.answered(id_of(first))
    admitted(proposals, client)


def test_too_many_bytes_are_unavailable_and_room_that_gets_free_is_given_again() -> None:
    proposals, client = Proposals(MEMBER, BOOT), Client()
    large = bytes(WAITING_BYTES_MAX)
    first = admitted(proposals, client, command=large)
    with pytest.raises(Unavailable, match="nothing was changed"):
        admitted(proposals, client)
    proposals.expire(UNPROPOSED_TIMEOUT_S)
    assert proposals.answered(id_of(first)) is None
    admitted(proposals, client, now_s=5.0, command=large)


# All at once


@pytest.fixture
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_whatever_threads_do_at_once_each_client_is_told_once_and_503_only_if_nothing_was_sent(
    eager_switching: None,
) -> None:
    proposals = Proposals(MEMBER, BOOT)
    sent: set[int] = set()  # sequences that were given to somebody who did not refuse them
    clients: dict[int, Client] = {}

    def hand_over_and_answer(seed: int) -> None:
        rng = random.Random(seed)
        while not expired.is_set():
            for id, _ in proposals.hand_over(proposals.all()[:5]):
                sent.add(id.sequence)
                if rng.random() < 0.3 and (done := proposals.answered(id)):
                    done("applied")

    expired = threading.Event()
    threads = [threading.Thread(target=hand_over_and_answer, args=(seed,), name=f"hand-{seed}") for seed in range(3)]
    for thread in threads:
        thread.start()
    for round in range(2_000):
        client = Client()
        clients[admitted(proposals, client, now_s=float(round)).sequence] = client
        proposals.expire(round + (UNPROPOSED_TIMEOUT_S if round % 2 else 1.0))
    proposals.expire(1e9)
    expired.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert {len(client.told) for client in clients.values()} == {1}
    unproposed = {sequence for sequence, client in clients.items() if client.kinds == [Unavailable]}
    assert not unproposed & sent


class Model(RuleBasedStateMachine):
    """Any order of calls: who is told what, against a plain account of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.proposals = Proposals(MEMBER, BOOT)
        self.now_s = 0.0
        self.clients: list[Client] = []
        self.waitings: list[PendingProposal] = []
        self.may_be_known: set[int] = set()  # handed over and not refused

    @rule()
    def propose(self) -> None:
        self.clients.append(Client())
        self.waitings.append(admitted(self.proposals, self.clients[-1], self.now_s))

    @rule(data=st.data(), refused=st.booleans())
    def hand_over(self, data: st.DataObject, refused: bool) -> None:
        batch = data.draw(st.lists(st.sampled_from(self.waitings), max_size=3)) if self.waitings else []
        handed_over = self.proposals.hand_over(batch)
        if refused:
            self.proposals.undo_hand_over(batch)
        else:
            self.may_be_known |= {id.sequence for id, _ in handed_over}

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        known = [waiting for waiting in self.waitings if waiting.sequence in self.may_be_known]
        if known:
            waiting = data.draw(st.sampled_from(known))
            done = self.proposals.answered(id_of(waiting))
            if done:
                done("applied")

    @rule(step_s=st.sampled_from([0.1, 1.0, 4.0, 4.8]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s
        self.proposals.expire(self.now_s)

    @invariant()
    def everybody_is_told_once_and_the_truth(self) -> None:
        waiting = {w.sequence for w in self.proposals.all()}
        for client, w in zip(self.clients, self.waitings, strict=True):
            assert len(client.told) == (w.sequence not in waiting)
            if w.sequence in waiting:
                assert self.now_s - w.since_s < HANDED_OVER_TIMEOUT_S
            elif client.kinds == [Unavailable]:
                assert w.sequence not in self.may_be_known
            elif client.kinds == [OutcomeUnknown]:
                assert w.sequence in self.may_be_known


Model.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
TestModel = Model.TestCase


def test_every_proposal_counts_once_by_its_outcome() -> None:
    proposals = Proposals(1, 1)
    told: list[object] = []
    committed, late, unknown, full, refused = (proposals.admit(b"x", told.append, 0.0) for _ in range(5))
    assert proposals.outcomes() == {"committed": 0, "unavailable": 0, "unknown": 0, "disk_full": 0}
    ids = proposals.hand_over([committed, unknown])
    assert proposals.answered(ids[0][0]) is not None
    assert proposals.answered(ids[0][0]) is None
    proposals.refuse([full], DiskFull("no room"))
    proposals.refuse([refused, unknown], Unavailable("no leader"))
    proposals.not_admitted(Unavailable("too much waits"))
    proposals.expire(HANDED_OVER_TIMEOUT_S)
    assert proposals.outcomes() == {"committed": 1, "unavailable": 3, "unknown": 1, "disk_full": 1}
    assert [type(error) for error in told] == [DiskFull, Unavailable, Unavailable, OutcomeUnknown]
    assert late.handed_over == 0
