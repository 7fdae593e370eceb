"""Where proposals and reads go: to this member's own log, to whoever leads, or nowhere yet; and what that proves."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chat.server.server import Limits, Server
from raft.core.configuration import Member
from raft.core.raft_messages import ProposalId
from raft.engine.applier import Read
from raft.engine.forwarding import FORWARD_BYTES_MAX, FORWARD_MAX, FULL_PAUSE_S, READS_MAX, Forwarder
from raft.engine.leader_client import CallRefused, LeaderClient
from raft.engine.node_lock import NodeLock
from raft.engine.proposals import HANDED_OVER_TIMEOUT_S, UNPROPOSED_TIMEOUT_S, WAITING_MAX
from raft.errors import OutcomeUnknown, RaftError, Unavailable
from raft.rpc.calls import Propose, ProposeReply, ReadIndex, ReadIndexReply, Sender
from raft.rpc.codec import Answer
from tests.raft.alone import DEADLINE_S, Alone
from tests.raft.forwarder_case import OTHER, OWN, Case
from tests.raft.peer_port import PeerPort

ACCEPTED, REFUSED = ProposeReply(True, OTHER), ProposeReply(False, 0)
FULL = ProposeReply(False, OTHER)  # it leads, and takes no more for now


@pytest.fixture
def case() -> Case:
    return Case()


def kinds(told: list[object]) -> list[type]:
    return [type(said) for said in told]


# Proposals of a leader's clients


def test_a_leaders_own_proposals_go_to_its_log(case: Case) -> None:
    case.node_lock.leader_id = OWN
    case.propose(b"1")
    assert [waiting.command for waiting in case.group_commit.pending] == [b"1"]
    assert (case.group_commit.wakes, case.group_commit.flushes) == (1, 0)


def test_for_a_thread_that_is_going_to_flush_no_other_is_woken(case: Case) -> None:
    case.node_lock.leader_id = OWN
    case.propose(b"1", flushes=True)
    assert [waiting.command for waiting in case.group_commit.pending] == [b"1"]
    assert (case.group_commit.wakes, case.group_commit.flushes) == (0, 0)


def test_what_was_proposed_here_in_vain_goes_where_the_leader_is_now(case: Case) -> None:
    case.node_lock.leader_id = OWN
    case.propose(b"1")
    case.node_lock.leader_id = OTHER
    case.forwarder.try_again(case.group_commit.pending)
    case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    assert case.sent() == [[b"1"]]


# Proposals of a follower's clients


def test_a_followers_proposals_that_wait_go_to_the_leader_in_one_call_in_their_order(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    for command in (b"1", b"2", b"3"):
        case.propose(command)
    case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    assert case.sent() == [[b"1", b"2", b"3"]]
    assert case.group_commit.pending == []


def test_one_call_takes_a_bounded_number(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    for n in range(FORWARD_MAX + 1):
        case.propose(b"%d" % n)
    for _ in range(2):
        case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    assert [len(batch) for batch in case.sent()] == [FORWARD_MAX, 1]


def test_one_call_takes_a_bounded_number_of_bytes_and_a_larger_command_by_itself(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    third = FORWARD_BYTES_MAX // 3
    for size in (third, third, third, 1, 2 * FORWARD_BYTES_MAX, 1):
        case.propose(b"x" * size)
    for _ in range(4):
        case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    batches = [list(map(len, batch)) for batch in case.sent()]
    assert batches == [[third, third, third, 1], [2 * FORWARD_BYTES_MAX], [1]]


def test_what_was_accepted_is_told_nothing_until_it_is_applied_here(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    case.tick()
    case.run_threads()
    assert (told, len(case.sent())) == ([], 1)


def test_without_a_leader_nothing_was_proposed(case: Case) -> None:
    told = case.propose()
    case.run_threads()
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert (kinds(told), case.sent()) == ([Unavailable], [])


def test_a_leader_that_cannot_be_reached_was_given_nothing(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    case.to_leader.unreachable = True
    told = case.propose()
    for _ in range(3):
        case.run_threads()
        case.tick()
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_what_the_leaders_port_refused_unread_was_not_proposed(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    for _ in range(2):
        case.to_leader.answers.put(CallRefused())
        case.run_threads()
        case.tick()
    assert case.sent() == [[b"1"], [b"1"]]
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_refusal_after_a_call_that_was_not_answered_proves_nothing(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    case.to_leader.answers.put(TimeoutError())
    case.run_threads()
    case.tick()
    case.to_leader.answers.put(CallRefused())
    case.run_threads()
    case.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


@pytest.mark.parametrize(("status", "error"), [(503, CallRefused), (410, CallRefused), (500, ConnectionError)])
def test_a_leaders_refusal_tells_whether_it_was_looked_at(status: int, error: type[Exception]) -> None:
    port = PeerPort("leader")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response(f"{status} Refused", [])
        return [b"{}"]

    port.open(app)
    leader = leader_at(port.url)
    leader.open(OTHER)
    with pytest.raises(ConnectionError) as raised:
        leader.call(Propose(OWN, OTHER, ((ProposalId(OWN, 1, 1, 0), b"1"),)))
    assert type(raised.value) is error
    leader.close()
    port.close()


@pytest.mark.parametrize("size", [1, 8_000_000])  # a port that is full answers before it has read a large call
def test_a_call_to_a_leader_whose_port_is_full_was_not_taken(size: int) -> None:
    server = Server(lambda environ, start_response: [], "127.0.0.1", 0, name="full", limits=Limits(connections=0))
    server.start()
    leader = leader_at(f"http://127.0.0.1:{server.port}")
    leader.open(OTHER)
    with pytest.raises(CallRefused):
        leader.call(Propose(OWN, OTHER, ((ProposalId(OWN, 1, 1, 0), bytes(size)),)))
    leader.close()
    server.drain(0.0)


def leader_at(url: str) -> LeaderClient:
    """The way to a member that is reached at `url`."""
    node = SimpleNamespace(configuration=SimpleNamespace(members={OTHER: Member(OTHER, url, voting=True)}))
    node_lock = SimpleNamespace(read=lambda see: see(node))
    return LeaderClient(cast(NodeLock, node_lock), lambda: Sender(OWN, "", "", ""), 1.0)


def test_a_leader_that_did_not_answer_may_have_taken_it_in(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    case.to_leader.answers.put(TimeoutError())
    case.run_threads()
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert told == []
    case.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


def test_what_was_not_answered_is_given_again_under_the_same_id(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    case.propose()
    case.to_leader.answers.put(ConnectionResetError())
    case.run_threads()
    case.tick()
    case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    first, second = case.to_leader.next_call(), case.to_leader.next_call()
    assert first == second


def test_who_refused_took_nothing_in(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    for _ in range(2):
        case.to_leader.answers.put(REFUSED)
        case.run_threads()
        case.tick()
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_leader_that_has_no_room_is_not_asked_with_every_tick(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose(b"1")
    case.to_leader.answers.put(FULL)
    case.run_threads()
    case.tick()
    case.run_threads()
    assert case.sent() == [[b"1"]]
    case.forwarder._full_until_s -= FULL_PAUSE_S
    case.tick()
    case.to_leader.answers.put(FULL)
    case.run_threads()
    assert case.sent() == [[b"1"]]
    case.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_refusal_does_not_unsay_an_answer_that_got_lost(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = case.propose()
    for said in (TimeoutError(), REFUSED):
        case.to_leader.answers.put(said)
        case.run_threads()
        case.tick()
    case.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


def test_what_has_expired_is_not_sent_any_more(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    case.propose()
    case.expire(UNPROPOSED_TIMEOUT_S)
    case.run_threads()
    assert case.sent() == []


def test_a_new_leader_is_given_all_that_waits_also_what_the_old_one_had_accepted(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    case.propose(b"1")
    case.to_leader.answers.put(ACCEPTED)
    case.run_threads()
    case.node_lock.leader_id = 0
    case.propose(b"2")
    case.node_lock.leader_id = OWN
    case.forwarder.leader_changed()
    assert [waiting.command for waiting in case.group_commit.pending] == [b"1", b"2"]
    assert (case.to_leader.left, case.reads_to_leader.left) == (1, 1)


def test_what_waits_to_be_forwarded_when_this_member_begins_to_lead_goes_to_its_own_log(
    case: Case,
) -> None:
    case.node_lock.leader_id = OTHER
    case.propose()
    case.node_lock.leader_id = OWN
    case.run_threads()
    assert (case.sent(), [waiting.command for waiting in case.group_commit.pending]) == ([], [b"1"])


def test_too_many_proposals_are_refused_at_once(case: Case) -> None:
    for _ in range(WAITING_MAX):
        case.propose()
    assert kinds(case.propose()) == [Unavailable]


def test_what_gathers_during_a_call_is_the_next_batch(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    thread = threading.Thread(target=case.forwarder.run_proposals, name="forward", daemon=True)
    thread.start()
    case.propose(b"1")
    assert len(cast(Propose, case.to_leader.next_call()).proposals) == 1  # and it does not answer yet
    for command in (b"2", b"3"):
        case.propose(command)
    case.to_leader.answers.put(ACCEPTED)
    assert [command for _, command in cast(Propose, case.to_leader.next_call()).proposals] == [b"2", b"3"]
    case.to_leader.answers.put(ACCEPTED)
    case.forwarder.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


# Reads


def read(case: Case) -> list[RaftError | None]:
    told: list[RaftError | None] = []
    case.forwarder.read(told.append)
    return told


def test_a_followers_reads_ask_the_leader_together_and_wait_for_its_index_here(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told = [read(case) for _ in range(3)]
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    assert case.reads_to_leader.calls.qsize() == 1
    assert case.reads_to_leader.next_call() == ReadIndex(OWN, OTHER, case.node_lock.current_term)
    assert told == [[], [], []]
    case.applier.last_applied = 7
    case.applier.stop()
    case.applier.run()
    assert told == [[None], [None], [None]]


def test_reads_of_what_is_applied_are_told_by_the_thread_that_learned_the_index(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    case.applier.last_applied = 7
    told = [read(case) for _ in range(3)]
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    assert told == [[None], [None], [None]]


@pytest.mark.parametrize("said", [ReadIndexReply(0), ConnectionResetError(), ACCEPTED])
def test_a_read_that_was_not_answered_asks_again_at_the_next_tick(case: Case, said: Answer | OSError) -> None:
    case.node_lock.leader_id = OTHER
    told = read(case)
    case.reads_to_leader.answers.put(said)
    case.run_threads()
    case.tick()
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    assert (case.reads_to_leader.calls.qsize(), told) == (2, [])


def test_a_read_without_a_leader_is_refused_when_its_time_is_over(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    told = read(case)
    case.run_threads()
    case.tick()
    case.run_threads()
    assert told == []
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.0)
    case.tick()
    assert [type(error) for error in told] == [Unavailable]


def test_a_stale_read_asks_nobody_and_waits_for_its_index_only(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told: list[RaftError | None] = []
    case.forwarder.read(told.append, stale=True)
    assert told == [None]
    case.forwarder.read(told.append, min_index=7, stale=True)
    case.run_threads()
    assert (told, case.reads_to_leader.calls.qsize()) == ([None], 0)
    case.applier.last_applied = 7
    case.applier.stop()
    case.applier.run()
    assert told == [None, None]


def test_a_read_that_waits_for_an_index_asks_the_leader_too(case: Case) -> None:
    case.node_lock.leader_id = OTHER
    told: list[RaftError | None] = []
    case.forwarder.read(told.append, min_index=9)
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    for applied, expected in ((8, []), (9, [None])):
        case.applier.last_applied = applied
        case.applier.stop()
        case.applier.run()
        assert told == expected


def test_too_many_reads_are_refused_at_once_and_those_that_are_answered_make_room(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(READS_MAX):
        read(case)
    assert [type(error) for error in read(case)] == [Unavailable]
    case.run_threads()
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.0)
    case.tick()
    assert read(case) == []


@pytest.fixture
def alone() -> tuple[Alone, Forwarder]:
    """A real leader of one, and its forwarder."""
    alone = Alone()
    alone.lead()
    forwarder = Forwarder(
        OWN,
        alone.node_lock,
        alone.proposals,
        alone.applier,
        alone.group_commit,
        lambda: LeaderClient(alone.node_lock, lambda: Sender(OWN, "", "", ""), 1.0),
    )
    return alone, forwarder


def turned(run: Callable[[], None], stop: Callable[[], None]) -> None:
    stop()
    run()


def test_a_leaders_read_is_confirmed_by_its_own_node(alone: tuple[Alone, Forwarder]) -> None:
    engine, forwarder = alone
    told: list[RaftError | None] = []
    forwarder.read(told.append)
    turned(forwarder.run_reads, forwarder.stop)
    turned(engine.applier.run, engine.applier.stop)
    assert told == [None]


def test_a_leader_tells_a_follower_the_index_and_one_that_does_not_lead_says_so(
    alone: tuple[Alone, Forwarder],
) -> None:
    engine, forwarder = alone
    told: list[int] = []
    forwarder.read_for_peer(ReadIndex(OTHER, OWN), told.append)
    turned(engine.applier.run, engine.applier.stop)
    assert told == [engine.node_lock.read(lambda node: node.commit_index)]
    engine.node_lock.act(lambda node: node.become_follower(9, 0))
    forwarder.read_for_peer(ReadIndex(OTHER, OWN), told.append)
    assert told[1:] == [0]


def test_a_followers_read_that_is_lost_with_the_leadership_is_never_passed_on_to_a_third_member(
    case: Case,
) -> None:
    told: list[RaftError | None] = []
    own: list[RaftError | None] = []

    def lost(seen: list[RaftError | None], *, from_peer: bool = False) -> Read:
        return Read(lambda error, index: seen.append(error), time.monotonic(), from_peer)

    case.applier.register(7, [lost(told, from_peer=True), lost(own)])
    case.applier.lost([7])
    case.node_lock.leader_id = OTHER
    case.tick()
    assert [type(error) for error in told] == [Unavailable]
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    assert (case.reads_to_leader.calls.qsize(), own) == (1, [])


def test_once_given_up_what_waits_and_what_still_comes_is_answered_at_the_next_tick(case: Case) -> None:
    case.node_lock.leader_id = OWN
    handed_over = case.propose()
    case.proposals.hand_over(case.group_commit.pending)
    case.node_lock.leader_id = 0
    for _ in range(2):
        never_proposed, reads = case.propose(), read(case)
        waits: list[RaftError | None] = []
        case.forwarder.read(waits.append, min_index=1_000, stale=True)
        case.run_threads()
        case.forwarder.give_up()
        case.tick()
        assert kinds([*never_proposed, *reads, *waits]) == [Unavailable] * 3
    assert kinds(handed_over) == [OutcomeUnknown]
