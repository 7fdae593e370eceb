"""A member that knows that its leader's process has ended campaigns soon, and disturbs nobody who hears the leader."""

from random import Random

import pytest

from raft.core.log import Log
from raft.core.node import Node, Role, Settings
from raft.core.raft_messages import AppendEntries, HardState, RequestVote, RequestVoteReply
from tests.raft.disks import entries
from tests.raft.machines import Machines, founders

SETTINGS = Settings()
SLOT_MS = SETTINGS.heartbeat_ms / 2
SOON_MS = 100.0  # three slots: of five members four may campaign
LEADER, OWN, OTHER = 1, 2, 3
SEEDS = range(20)


def following(id: int = OWN, seed: int = 0) -> Node:
    """A member of three that follows member 1 in term 1, and has one entry."""
    configurations = [(0, founders([LEADER, OWN, OTHER]))]
    node = Node(id, log=Log(), hard_state=HardState(), configurations=configurations, rng=Random(seed))
    node.tick(0, 0)
    node.step(AppendEntries(LEADER, id, 1, 0, 0, tuple(entries(1, 1)), 1, 0))
    node.persisted(node.ready().sequence)
    return node


def asked(node: Node, ms: float) -> list[RequestVote]:
    """What it asks the other follower for in so many milliseconds."""
    found = []
    for _ in range(int(ms)):
        now_ms = node.clock_ms + 1
        node.tick(now_ms, 0)
        found += [m for m in node.ready().messages if isinstance(m, RequestVote) and m.target in (OWN, OTHER)]
    return found


def answer_to(node: Node, request: RequestVote) -> RequestVoteReply:
    node.step(request)
    ready = node.ready()
    node.persisted(ready.sequence)
    [reply] = [m for m in ready.messages + ready.messages_after if isinstance(m, RequestVoteReply)]
    return reply


def heartbeat(term: int = 1) -> AppendEntries:
    return AppendEntries(LEADER, OWN, term, 1, 1, (), 1, 0, heartbeat=True)


def test_it_asks_for_pre_votes_in_its_own_slot_and_keeps_its_term() -> None:
    for place, id in enumerate((OWN, OTHER)):
        for seed in SEEDS:
            node = following(id, seed)
            assert node.leader_gone(LEADER, 1)
            assert (node.role, node.leader_id, node.current_term) == (Role.FOLLOWER, 0, 1)
            assert asked(node, SLOT_MS * place) == []
            first, *_ = asked(node, SLOT_MS)
            assert (first.pre_vote, first.transfer, first.term) == (True, False, 2)
            assert (node.role, node.current_term) == (Role.PRE_CANDIDATE, 1)


def test_a_pre_vote_that_is_refused_is_asked_for_again_soon_but_not_for_longer_than_an_election_timeout() -> None:
    for seed in SEEDS:
        node = following(seed=seed)
        node.leader_gone(LEADER, 1)
        soon = asked(node, SETTINGS.election_timeout_ms)
        assert SETTINGS.election_timeout_ms / SLOT_MS - 1 <= len(soon) <= SETTINGS.election_timeout_ms / (SLOT_MS / 4)
        assert all(request.pre_vote for request in soon)
        later = asked(node, 3 * SETTINGS.election_timeout_ms)
        assert 1 <= len(later) <= 4


@pytest.mark.parametrize(("leader", "term"), [(OTHER, 1), (LEADER, 0), (LEADER, 2)])
def test_only_the_leader_that_it_follows_in_this_term_is_forgotten(leader: int, term: int) -> None:
    node = following()
    assert not node.leader_gone(leader, term)
    assert node.leader_id == LEADER
    assert asked(node, SOON_MS) == []


def test_a_leader_does_not_give_up_leading() -> None:
    _, node = led()
    assert not node.leader_gone(1, node.current_term)
    assert node.role is Role.LEADER


def test_a_member_that_hears_the_leader_refuses_a_candidate_that_does_not() -> None:
    gone, hears = following(OWN), following(OTHER)
    gone.leader_gone(LEADER, 1)
    [request, *_] = asked(gone, SLOT_MS)
    reply = answer_to(hears, request)
    assert (reply.vote_granted, hears.leader_id, hears.current_term) == (False, LEADER, 1)
    hears.leader_gone(LEADER, 1)
    assert answer_to(hears, request).vote_granted


def test_an_append_of_the_leader_ends_the_doubt() -> None:
    for after_ms in (0, SLOT_MS):  # before it asks for pre-votes, and after
        node = following()
        node.leader_gone(LEADER, 1)
        asked(node, after_ms)
        node.step(heartbeat())
        assert (node.role, node.leader_id) == (Role.FOLLOWER, LEADER)
        assert asked(node, SETTINGS.election_timeout_ms - 1) == []
        refused = answer_to(node, RequestVote(OTHER, OWN, 2, 9, 1, pre_vote=True, transfer=False))
        assert not refused.vote_granted


def led(size: int = 3, seed: int = 0) -> tuple[Machines, Node]:
    cluster = Machines(size, lambda id: Random(100 * seed + id))
    while cluster.machines[1].running.role is not Role.LEADER:
        cluster.tick(1, 60)
        settle(cluster)
    return cluster, cluster.machines[1].running


def settle(cluster: Machines) -> None:
    while cluster.network:
        cluster.deliver(cluster.network.pop(0))


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("seed", SEEDS[:5])
def test_members_that_all_know_elect_one_of_them_at_the_first_try(size: int, seed: int) -> None:
    cluster, leader = led(size, seed)
    term = leader.current_term
    cluster.crash(1)
    others = range(2, size + 1)
    for id in others:
        cluster.act(id, lambda node: node.leader_gone(1, term))
    for _ in range(int(SLOT_MS)):
        for id in others:
            cluster.tick(id, 1)
            settle(cluster)
    states = [(cluster.machines[id].running.leader_id, cluster.machines[id].running.current_term) for id in others]
    assert states == [(2, term + 1)] * (size - 1)
