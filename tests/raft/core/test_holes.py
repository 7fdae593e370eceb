"""A member whose own disk has lost an uncommitted entry does not come to lead, but its vote and its log count."""

from random import Random

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node, Role, Settings
from raft.core.raft_messages import HardState, RequestVote, RequestVoteReply, TimeoutNow

TIMEOUT_MS = Settings().election_timeout_ms


def node(voters: int = 3, commit_index: int = 4) -> Node:
    """Member 1, with entries 1 to 9 of term 2."""
    members = {id: Member(id, f"http://m{id}:1", True) for id in range(1, voters + 1)}
    return Node(
        1, log=Log([(1, 2)], 9), hard_state=HardState(2, 0, commit_index), configurations=[(0, Configuration(members))],
        rng=Random(1),
    )  # fmt: skip


def wait_for_election(member: Node) -> list[RequestVote]:
    """Let two election timeouts pass; the votes that it asks for."""
    asked: list[RequestVote] = []
    for tick in range(100):
        member.tick(tick * TIMEOUT_MS / 10, 0)
        ready = member.ready()
        asked += [one for one in (*ready.messages, *ready.messages_after) if isinstance(one, RequestVote)]
    return asked


@pytest.mark.parametrize("hole", [5, 9])
def test_it_does_not_campaign_until_the_entry_is_mended(hole: int) -> None:
    member = node()
    member.set_hole(hole)
    assert wait_for_election(member) == [] and member.role is Role.FOLLOWER
    member.set_hole(0)
    assert wait_for_election_again(member)


def wait_for_election_again(member: Node) -> bool:
    for tick in range(100, 200):
        member.tick(tick * TIMEOUT_MS / 10, 0)
        if any(isinstance(one, RequestVote) for one in member.ready().messages):
            return True
    return False


def test_a_committed_entry_that_is_lost_keeps_it_from_nothing() -> None:
    member = node()
    member.set_hole(4)
    assert wait_for_election(member)


def test_the_only_voter_leads_all_the_same() -> None:
    member = node(voters=1)
    member.set_hole(9)
    wait_for_election(member)
    assert member.role is Role.CANDIDATE, "its own vote only has to be durable"


def test_it_takes_no_leadership_that_is_handed_to_it() -> None:
    member = node()
    member.set_hole(9)
    member.step(TimeoutNow(2, 1, 2))
    assert member.role is Role.FOLLOWER and member.current_term == 2


@pytest.mark.parametrize(("last_index", "granted"), [(9, True), (8, False)])
def test_its_vote_compares_the_log_as_long_as_it_was(last_index: int, granted: bool) -> None:
    member = node()
    member.set_hole(9)
    member.step(RequestVote(2, 1, 3, last_index, 2, request=7))
    ready = member.ready()
    member.persisted(ready.sequence)
    answers = [one for one in (*ready.messages, *ready.messages_after) if isinstance(one, RequestVoteReply)]
    assert [answer.vote_granted for answer in answers] == [granted]
