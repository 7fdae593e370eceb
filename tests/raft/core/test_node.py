"""The core, fact by fact, where a golden script would be clumsy."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from raft.core.configuration import AddMember, Configuration
from raft.core.entries import clock_entry, configuration_entry, noop_entry
from raft.core.log import Log
from raft.core.node import Node, Ready, Role, Settings
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    HardState,
    Kind,
    Message,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft.errors import ChangeRefused, InvalidMessage, NotLeader
from tests.raft.disks import entries, entry
from tests.raft.machines import Machines, founders

SETTINGS = Settings()


def follower(id: int = 2, *, seed: int = 0, members: Configuration | None = None) -> Node:
    """A new member of three."""
    configurations = [(0, members or founders([1, 2, 3]))]
    return Node(id, log=Log(), hard_state=HardState(), configurations=configurations, rng=Random(seed))


def append(prev: int, *new: Entry, term: int = 1, prev_term: int = 1, commit: int = 0) -> AppendEntries:
    return AppendEntries(1, 2, term, prev, prev_term if prev else 0, new, commit, round=0)


def persisted(node: Node) -> Ready:
    ready = node.ready()
    node.persisted(ready.sequence)
    return ready


def led(size: int = 3) -> tuple[Machines, Node]:
    """A cluster that member 1 leads, with a committed no-op and a quiet network."""
    cluster = Machines(size, Random)
    while cluster.machines[1].running.role is not Role.LEADER:
        cluster.tick(1, 60)
        settle(cluster)
    settle(cluster)
    return cluster, cluster.machines[1].running


def settle(cluster: Machines) -> None:
    while cluster.network:
        cluster.deliver(cluster.network.pop(0))


def taken(cluster: Machines) -> list[Message]:
    """What lies in the network, which is empty then."""
    messages, cluster.network = cluster.network, []
    return messages


# Time


def test_a_member_that_was_paused_does_not_take_its_own_absence_for_its_leaders() -> None:
    node = follower()
    node.tick(0, 0)
    node.step(append(0, *entries(1, 1)))
    node.tick(3_600_000, 0)  # an hour later
    assert (node.role, node.leader_id) == (Role.FOLLOWER, 1)


def test_a_leader_that_was_paused_does_not_take_its_own_absence_for_its_followers() -> None:
    cluster, node = led()
    cluster.tick(1, 3_600_000)
    assert node.role is Role.LEADER


def test_a_clock_that_runs_backwards_stands_still() -> None:
    node = follower()
    for now_ms in (10_000, 0, 10_000, 0):
        node.tick(now_ms, 0)
    assert node.clock_ms == SETTINGS.heartbeat_ms


def test_election_timeouts_lie_between_one_and_two_times_the_setting_and_differ() -> None:
    waited = []
    for seed in range(50):
        node, now_ms = follower(seed=seed), 0
        while node.role is Role.FOLLOWER:
            node.tick(now_ms, 0)
            now_ms += 1
        waited.append(node.clock_ms)
    assert min(waited) >= SETTINGS.election_timeout_ms
    assert max(waited) <= 2 * SETTINGS.election_timeout_ms + 1
    assert len(set(waited)) > 25


def test_a_member_that_can_wait_a_heartbeat_for_its_tick_never_campaigns_at_that_tick() -> None:
    for seed in range(50):
        node, now_ms = follower(seed=seed), 0.0
        node.tick(now_ms, 0)
        assert not node.is_calm()  # it knows no leader
        node.step(append(0, *entries(1, 1)))
        assert node.is_calm()
        while node.role is Role.FOLLOWER:
            before_ms = now_ms
            now_ms += SETTINGS.heartbeat_ms if node.is_calm() else SETTINGS.heartbeat_ms / 4
            node.tick(now_ms, 0)
        assert now_ms - before_ms < SETTINGS.heartbeat_ms
        assert node.clock_ms <= 2 * SETTINGS.election_timeout_ms + SETTINGS.heartbeat_ms / 4


def test_a_leader_can_wait_a_heartbeat_for_its_tick_unless_it_hands_leadership_over() -> None:
    cluster, node = led()
    assert node.is_calm()
    cluster.act(1, lambda node: node.transfer_leadership(2))
    assert not node.is_calm()


def test_a_leader_that_ticks_once_a_heartbeat_sends_one_at_each_tick_however_the_sums_are_rounded() -> None:
    cluster, _ = led()
    cluster.tick(1, 0.7)
    for _ in range(200):
        cluster.tick(1, 60.1)
        assert any(isinstance(m, AppendEntries) and m.heartbeat and m.target == 2 for m in cluster.network)
        settle(cluster)


def test_the_time_of_entries_never_falls_though_the_clock_does() -> None:
    cluster, _ = led()
    for now_ms in (5_000, 2_000, 9_000, 1_000):
        cluster.machines[1].now_ms = now_ms
        cluster.propose(1, "x")
    times = [entry.time for entry in cluster.machines[1].log]
    assert times == sorted(times)
    assert times[-1] == 9_000_000


def test_a_new_leader_goes_on_from_the_time_of_the_last_entry() -> None:
    cluster, _ = led()
    cluster.machines[1].now_ms = 9_000
    cluster.propose(1, "late")
    settle(cluster)
    cluster.crash(1)
    cluster.restart(1)
    for _ in range(40):
        cluster.tick(2, 60)
        cluster.tick(3, 20)
        settle(cluster)
    leader = cluster.leader()
    assert leader is not None and leader.id == 2
    assert leader.log[-1].time >= 9_000_000 > leader.now_ms


def test_time_falls_by_a_clock_entry_and_goes_on_from_there_on_every_member() -> None:
    cluster, _ = led()
    cluster.machines[1].now_ms = 9_000
    cluster.propose(1, "late")
    cluster.act(1, lambda node: node.set_clock(9_000_000, 5_000))
    cluster.machines[1].now_ms = 6
    cluster.propose(1, "after")
    settle(cluster)
    assert [entry.time for entry in cluster.machines[1].log][-3:] == [9_000_000, 5_000, 6_000]
    for machine in cluster.machines.values():
        assert (machine.running.last_time, machine.running.clock_index) == (6_000, machine.running.log.last_index - 1)


def test_a_clock_entry_that_is_taken_back_leaves_the_time_that_was() -> None:
    node = follower()
    node.step(append(0, noop_entry(1, 1, 9_000_000), clock_entry(2, 1, 5_000, 9_000_000)))
    assert (node.last_time, node.clock_index) == (5_000, 2)
    node.step(append(1, noop_entry(2, 2, 9_000_001), term=2))
    assert (node.last_time, node.clock_index) == (9_000_001, 0)


def elected_at_once(node: Node) -> int:
    """The time of the no-op of member 2, which leads before its next tick."""
    node.step(TimeoutNow(1, 2, node.current_term, request=5))
    persisted(node)
    node.step(RequestVoteReply(3, 2, node.current_term, vote_granted=True, pre_vote=False))
    assert node.role is Role.LEADER
    return node.last_time


def test_a_leader_does_not_stamp_the_time_of_a_tick_before_the_newest_clock_entry() -> None:
    node = follower()
    node.tick(0.0, 9_000_077)
    node.step(append(0, noop_entry(1, 1, 9_000_000), clock_entry(2, 1, 5_000, 9_000_000)))
    persisted(node)
    assert elected_at_once(node) == 5_000


def test_nor_that_of_a_tick_before_a_clock_entry_was_taken_back() -> None:
    node = follower()
    node.step(append(0, noop_entry(1, 1, 5_000), clock_entry(2, 1, 9_000_000, 5_000)))
    node.tick(0.0, 9_000_077)
    node.step(append(1, noop_entry(2, 2, 5_001), term=2))
    persisted(node)
    assert elected_at_once(node) == 5_001


# Ready


def test_each_thing_is_said_once() -> None:
    node = follower()
    node.step(append(0, *entries(1, 2)))
    first, second = node.ready(), node.ready()
    assert (len(first.entries), len(first.messages_after), first.writes, first.sequence) == (2, 1, True, 1)
    assert (second.entries, second.messages, second.messages_after, second.writes) == ((), (), (), False)
    assert second.sequence == 1


def test_an_entry_that_is_replaced_before_it_was_written_is_written_in_order() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3, term=1)))
    node.step(append(1, *entries(2, 2, term=2), term=2))
    ready = persisted(node)
    assert [(e.index, e.term) for e in ready.entries] == [(1, 1), (2, 1), (3, 1), (2, 2)]
    assert (node.durable_index, node.log.last_index) == (2, 2)


def test_commit_is_said_to_be_applied_only_as_far_as_it_is_durable_here() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3), commit=3))
    assert (node.commit_index, node.ready().commit_index) == (3, 0)
    node.persisted(1)
    assert node.ready().commit_index == 3


def test_a_write_does_not_vouch_for_the_commit_of_its_own_entries_an_idle_tick_does() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3), commit=3))
    persisted(node)
    node.tick(0, 0)
    assert not node.ready().writes  # it has just written
    node.tick(20, 0)
    ready = persisted(node)
    assert ready.hard_state is not None and ready.hard_state.commit_index == 3 and not ready.entries
    for now_ms in range(40, 200, 20):
        node.tick(now_ms, 0)
        assert not node.ready().writes  # nothing is new


def test_a_vote_and_a_refusal_both_wait_for_the_new_term_to_be_durable() -> None:
    node = follower()
    node.step(RequestVote(3, 2, term=4, last_log_index=0, last_log_term=0))
    node.step(RequestVote(1, 2, term=4, last_log_index=0, last_log_term=0))
    ready = node.ready()
    assert (len(ready.messages), len(ready.messages_after)) == (0, 2)
    node.step(RequestVote(1, 2, term=4, last_log_index=0, last_log_term=0))
    assert len(node.ready().messages_after) == 1  # still not durable
    node.persisted(ready.sequence)
    node.step(RequestVote(1, 2, term=4, last_log_index=0, last_log_term=0))
    assert len(node.ready().messages) == 1


def test_a_request_number_comes_back_with_the_reply() -> None:
    node = follower()
    node.step(AppendEntries(1, 2, 1, 0, 0, (), 0, round=0, heartbeat=True, request=77))
    replies = (persisted(node).messages_after, node.ready().messages)
    assert [reply.request for reply in (*replies[0], *replies[1])] == [77]


# Appends


def test_a_follower_commits_only_what_the_message_itself_vouches_for() -> None:
    node = follower()
    node.step(append(0, *entries(1, 5)))
    node.step(append(2, commit=5, term=2))  # what lies behind 2 may be another leader's
    assert node.commit_index == 2


def test_commit_index_never_falls() -> None:
    node = follower()
    node.step(append(0, *entries(1, 5), commit=5))
    node.step(append(1, *entries(2, 3), commit=2))
    assert (node.commit_index, node.log.last_index) == (5, 5)


def test_an_append_that_would_undo_what_is_committed_is_refused_and_changes_nothing() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3), commit=3))
    with pytest.raises(InvalidMessage):
        node.step(append(1, entry(2, term=2), term=2))
    assert (node.log.last_index, node.log.last_term) == (3, 1)


def test_an_append_without_its_entries_or_from_a_second_leader_is_a_peers_fault() -> None:
    with pytest.raises(InvalidMessage):
        follower().step(AppendEntries(1, 2, 1, 0, 0, None, 0, round=0))
    _, node = led()
    with pytest.raises(InvalidMessage):
        node.step(AppendEntries(2, 1, node.current_term, 0, 0, (), 0, round=0))
    assert node.role is Role.LEADER


def test_an_answer_that_claims_more_than_was_sent_is_a_peers_fault() -> None:
    cluster, node = led()
    with pytest.raises(InvalidMessage):
        node.step(AppendEntriesReply(2, 1, node.current_term, True, 99, round=0))
    assert node.progress[2].match_index == 1
    cluster.propose(1, "x")
    settle(cluster)
    assert node.commit_index == 2


def test_a_configuration_that_cannot_be_read_leaves_no_trace() -> None:
    node = follower()
    with pytest.raises(InvalidMessage):
        node.step(append(0, *entries(1, 1), configuration_entry(2, 1, 0, b"{}")))
    assert (node.log.last_index, node.ready().entries) == (0, ())


def test_at_most_one_append_is_in_flight_and_what_comes_meanwhile_goes_together() -> None:
    cluster, _ = led(2)
    for text in ("a", "b", "c"):
        cluster.propose(1, text)
    (first,) = taken(cluster)
    cluster.deliver(first)
    (reply,) = taken(cluster)
    cluster.deliver(reply)
    sent = [m for m in taken(cluster) if isinstance(m, AppendEntries) and m.entries]
    assert [[e.body for e in m.entries or ()] for m in sent] == [[b'"b"', b'"c"']]


def test_an_append_whose_fate_is_unknown_is_sent_again_after_two_election_timeouts() -> None:
    cluster, node = led(3)
    cluster.propose(1, "x")
    cluster.cut.add((2, 1))  # member 2's answers never arrive
    settle(cluster)
    resent_ms = []
    for _ in range(30):
        cluster.tick(1, 60)
        if any(isinstance(m, AppendEntries) and m.target == 2 and not m.heartbeat for m in cluster.network):
            resent_ms.append(node.clock_ms)
        settle(cluster)
    assert len(resent_ms) == 3
    assert {later - earlier for earlier, later in pairwise(resent_ms)} == {2 * SETTINGS.election_timeout_ms}


def test_heartbeats_go_out_once_an_interval_however_often_it_ticks() -> None:
    cluster, _ = led()
    cluster.tick(1, 60)
    settle(cluster)
    sent = 0
    for _ in range(60):
        cluster.tick(1, 10)
        sent += sum(isinstance(m, AppendEntries) and m.heartbeat and m.target == 2 for m in cluster.network)
        settle(cluster)
    assert sent == 600 / SETTINGS.heartbeat_ms


def test_a_report_of_an_unreachable_member_means_nothing_where_nothing_is_in_flight() -> None:
    cluster, node = led()
    before = node.progress[2].next_index
    cluster.act(1, lambda node: node.unreachable(2))
    cluster.act(1, lambda node: node.unreachable(99))
    assert node.progress[2].next_index == before
    cluster.act(2, lambda node: node.unreachable(1))  # nor at a follower


def test_news_of_a_commit_goes_at_once_to_the_member_whose_clients_wait() -> None:
    cluster, _ = led()
    known = [cluster.machines[id].running for id in (2, 3)]
    cluster.propose(1, "x", client_of=2)
    settle(cluster)
    assert [node.commit_index for node in known] == [2, 1]
    cluster.tick(1, 15)  # the others learn it at the next tick, unless an append comes first
    settle(cluster)
    assert [node.commit_index for node in known] == [2, 2]


# Elections


def test_only_voters_are_asked_for_votes() -> None:
    members = founders([1, 2, 3]).after(AddMember(4, "http://4"))
    node = follower(2, members=members)
    for now_ms in range(0, 720, 60):
        node.tick(now_ms, 0)
    asked = [m.target for m in node.ready().messages if isinstance(m, RequestVote)]
    assert sorted(set(asked)) == [1, 3]


def test_a_member_without_a_configuration_waits_to_be_told() -> None:
    node = follower(4, members=founders([1, 2, 3]))
    for now_ms in range(0, 6_000, 60):
        node.tick(now_ms, 0)
    assert node.role is Role.FOLLOWER and not node.ready().messages


@pytest.mark.parametrize("seed", range(20))
def test_random_timeouts_end_a_cold_start_of_all_at_once(seed: int) -> None:
    cluster = Machines(5, lambda id: Random(100 * seed + id))
    for _ in range(150):  # three seconds
        for machine in cluster.up:
            cluster.tick(machine.id, 20)
        settle(cluster)
        if cluster.leader():
            return
    raise AssertionError("nobody leads")


# What is asked of it


def test_who_does_not_lead_refuses_and_names_the_leader() -> None:
    cluster, _ = led()
    node = cluster.machines[2].running
    asks: list[Callable[[], object]] = [
        partial(node.propose, [], 0),
        partial(node.read_index, 1),
        partial(node.change_membership, AddMember(9, "http://9"), 0),
        partial(node.transfer_leadership, 3),
    ]
    for ask in asks:
        with pytest.raises(NotLeader) as refused:
            ask()
        assert refused.value.leader == 1
    assert not node.ready().writes


def test_a_transfer_to_itself_is_done_already() -> None:
    cluster, node = led()
    assert node.transfer_leadership(1) == 1
    cluster.propose(1, "x")


def test_the_furthest_follower_is_the_best_successor() -> None:
    cluster, node = led()
    cluster.cut.add((1, 2))
    cluster.propose(1, "x")
    settle(cluster)
    assert node.transfer_leadership() == 3


def test_a_sole_member_has_nobody_to_hand_leadership_to() -> None:
    _, node = led(1)
    assert node.transfer_leadership() == 1
    with pytest.raises(ChangeRefused):
        node.transfer_leadership(2)


def test_a_sole_voter_confirms_reads_by_itself() -> None:
    cluster, node = led(1)
    node.read_index(5)
    assert node.ready().reads == ((5, 1),)
    assert cluster.network == []


def test_what_a_member_says_of_itself_is_noted_once() -> None:
    cluster, node = led()
    for _ in range(3):
        cluster.act(1, lambda node: node.identified(2, "i2", "http://chat-2", 1))
        cluster.tick(1, 60)
        settle(cluster)
    assert node.configuration.members[2].advertise == "http://chat-2"
    assert sum(e.kind is Kind.CONFIGURATION for e in cluster.machines[1].log) == 1


def test_an_incarnation_once_known_never_changes() -> None:
    cluster, node = led()
    cluster.act(1, lambda node: node.identified(2, "another disk", "http://chat-2", 1))
    cluster.tick(1, 60)
    said = node.configuration.members[2]  # before its next answer says otherwise
    assert (said.incarnation, said.advertise) == ("i2", "http://chat-2")


def test_a_leader_does_not_go_by_what_members_told_it_in_an_earlier_term() -> None:
    """A member was restarted with another URL for clients while another one led, and says nothing in between."""
    cluster, node = led()
    cluster.act(1, lambda node: node.identified(3, "i3", "http://old", 1))
    cluster.tick(1, 60)
    settle(cluster)
    assert node.configuration.members[3].advertise == "http://old"
    cluster.act(1, lambda node: node.identified(3, "i3", "http://old", 1))  # with its last answer
    cluster.act(1, lambda node: node.transfer_leadership(2))
    settle(cluster)
    cluster.act(2, lambda node: node.identified(3, "i3", "http://new", 1))
    cluster.tick(2, 60)
    settle(cluster)
    cluster.act(2, lambda node: node.transfer_leadership(1))
    while cluster.network:
        message = cluster.network.pop(0)
        if message.source != 3:
            cluster.deliver(message)
    assert node.role is Role.LEADER
    assert node.has_committed_in_term
    cluster.tick(1, 60)
    settle(cluster)
    assert node.configuration.members[3].advertise == "http://new"
