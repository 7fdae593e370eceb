"""Where proposals and reads go: to this member's own log, to whoever leads, or nowhere yet; and what that proves."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chat.server.server import Limits, Server
from raft.core.configuration import Member
from raft.core.raft_messages import ProposalId, Propose, ProposeReply, ReadIndex, ReadIndexReply, Sender
from raft.engine.applier import Read
from raft.engine.forwarding import FORWARD_BYTES_MAX, FORWARD_MAX, FULL_PAUSE_S, READS_MAX, Forwarder, Leader, NotTaken
from raft.engine.node_lock import Door
from raft.engine.proposals import HANDED_OVER_TIMEOUT_S, UNPROPOSED_TIMEOUT_S, WAITING_MAX
from raft.errors import OutcomeUnknown, RaftError, Unavailable
from raft.rpc.codec import Answer
from tests.raft.alone import DEADLINE_S, Alone
from tests.raft.desk import OTHER, OWN, Desk
from tests.raft.peer_port import PeerPort

ACCEPTED, REFUSED = ProposeReply(True, OTHER), ProposeReply(False, 0)
FULL = ProposeReply(False, OTHER)  # it leads, and takes no more for now


@pytest.fixture
def desk() -> Desk:
    return Desk()


def kinds(told: list[object]) -> list[type]:
    return [type(said) for said in told]


# Proposals of a leader's clients


def test_a_leaders_own_proposals_go_to_its_log(desk: Desk) -> None:
    desk.door.leader_id = OWN
    desk.propose(b"1")
    assert [waiting.command for waiting in desk.flusher.pending] == [b"1"]
    assert (desk.flusher.wakes, desk.flusher.flushes) == (1, 0)


def test_for_a_thread_that_is_going_to_flush_no_other_is_woken(desk: Desk) -> None:
    desk.door.leader_id = OWN
    desk.propose(b"1", flushes=True)
    assert [waiting.command for waiting in desk.flusher.pending] == [b"1"]
    assert (desk.flusher.wakes, desk.flusher.flushes) == (0, 0)


def test_what_was_proposed_here_in_vain_goes_where_the_leader_is_now(desk: Desk) -> None:
    desk.door.leader_id = OWN
    desk.propose(b"1")
    desk.door.leader_id = OTHER
    desk.forwarder.try_again(desk.flusher.pending)
    desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    assert desk.sent() == [[b"1"]]


# Proposals of a follower's clients


def test_a_followers_proposals_that_wait_go_to_the_leader_in_one_call_in_their_order(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    for command in (b"1", b"2", b"3"):
        desk.propose(command)
    desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    assert desk.sent() == [[b"1", b"2", b"3"]]
    assert desk.flusher.pending == []


def test_one_call_takes_a_bounded_number(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    for n in range(FORWARD_MAX + 1):
        desk.propose(b"%d" % n)
    for _ in range(2):
        desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    assert [len(batch) for batch in desk.sent()] == [FORWARD_MAX, 1]


def test_one_call_takes_a_bounded_number_of_bytes_and_a_larger_command_by_itself(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    third = FORWARD_BYTES_MAX // 3
    for size in (third, third, third, 1, 2 * FORWARD_BYTES_MAX, 1):
        desk.propose(b"x" * size)
    for _ in range(4):
        desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    batches = [list(map(len, batch)) for batch in desk.sent()]
    assert batches == [[third, third, third, 1], [2 * FORWARD_BYTES_MAX], [1]]


def test_what_was_accepted_is_told_nothing_until_it_is_applied_here(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    desk.tick()
    desk.turn()
    assert (told, len(desk.sent())) == ([], 1)


def test_without_a_leader_nothing_was_proposed(desk: Desk) -> None:
    told = desk.propose()
    desk.turn()
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert (kinds(told), desk.sent()) == ([Unavailable], [])


def test_a_leader_that_cannot_be_reached_was_given_nothing(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.to_leader.unreachable = True
    told = desk.propose()
    for _ in range(3):
        desk.turn()
        desk.tick()
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_what_the_leaders_port_refused_unread_was_not_proposed(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    for _ in range(2):
        desk.to_leader.answers.put(NotTaken())
        desk.turn()
        desk.tick()
    assert desk.sent() == [[b"1"], [b"1"]]
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_refusal_after_a_call_that_was_not_answered_proves_nothing(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    desk.to_leader.answers.put(TimeoutError())
    desk.turn()
    desk.tick()
    desk.to_leader.answers.put(NotTaken())
    desk.turn()
    desk.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


@pytest.mark.parametrize(("status", "error"), [(503, NotTaken), (410, NotTaken), (500, ConnectionError)])
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
    with pytest.raises(NotTaken):
        leader.call(Propose(OWN, OTHER, ((ProposalId(OWN, 1, 1, 0), bytes(size)),)))
    leader.close()
    server.drain(0.0)


def leader_at(url: str) -> Leader:
    """The way to a member that is reached at `url`."""
    node = SimpleNamespace(configuration=SimpleNamespace(members={OTHER: Member(OTHER, url, voting=True)}))
    door = SimpleNamespace(look=lambda see: see(node))
    return Leader(cast(Door, door), lambda: Sender(OWN, "", "", ""), 1.0)


def test_a_leader_that_did_not_answer_may_have_taken_it_in(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    desk.to_leader.answers.put(TimeoutError())
    desk.turn()
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert told == []
    desk.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


def test_what_was_not_answered_is_given_again_under_the_same_id(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.propose()
    desk.to_leader.answers.put(ConnectionResetError())
    desk.turn()
    desk.tick()
    desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    first, second = desk.to_leader.next_call(), desk.to_leader.next_call()
    assert first == second


def test_who_refused_took_nothing_in(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    for _ in range(2):
        desk.to_leader.answers.put(REFUSED)
        desk.turn()
        desk.tick()
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_leader_that_has_no_room_is_not_asked_with_every_tick(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose(b"1")
    desk.to_leader.answers.put(FULL)
    desk.turn()
    desk.tick()
    desk.turn()
    assert desk.sent() == [[b"1"]]
    desk.forwarder._full_until_s -= FULL_PAUSE_S
    desk.tick()
    desk.to_leader.answers.put(FULL)
    desk.turn()
    assert desk.sent() == [[b"1"]]
    desk.expire(UNPROPOSED_TIMEOUT_S)
    assert kinds(told) == [Unavailable]


def test_a_refusal_does_not_unsay_an_answer_that_got_lost(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = desk.propose()
    for said in (TimeoutError(), REFUSED):
        desk.to_leader.answers.put(said)
        desk.turn()
        desk.tick()
    desk.expire(HANDED_OVER_TIMEOUT_S)
    assert kinds(told) == [OutcomeUnknown]


def test_what_has_expired_is_not_sent_any_more(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.propose()
    desk.expire(UNPROPOSED_TIMEOUT_S)
    desk.turn()
    assert desk.sent() == []


def test_a_new_leader_is_given_all_that_waits_also_what_the_old_one_had_accepted(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.propose(b"1")
    desk.to_leader.answers.put(ACCEPTED)
    desk.turn()
    desk.door.leader_id = 0
    desk.propose(b"2")
    desk.door.leader_id = OWN
    desk.forwarder.leader_changed()
    assert [waiting.command for waiting in desk.flusher.pending] == [b"1", b"2"]
    assert (desk.to_leader.left, desk.reads_to_leader.left) == (1, 1)


def test_what_waits_to_be_forwarded_when_this_member_begins_to_lead_goes_to_its_own_log(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.propose()
    desk.door.leader_id = OWN
    desk.turn()
    assert (desk.sent(), [waiting.command for waiting in desk.flusher.pending]) == ([], [b"1"])


def test_too_many_proposals_are_refused_at_once(desk: Desk) -> None:
    for _ in range(WAITING_MAX):
        desk.propose()
    assert kinds(desk.propose()) == [Unavailable]


def test_what_gathers_during_a_call_is_the_next_batch(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    thread = threading.Thread(target=desk.forwarder.run_proposals, name="forward", daemon=True)
    thread.start()
    desk.propose(b"1")
    assert len(cast(Propose, desk.to_leader.next_call()).proposals) == 1  # and it does not answer yet
    for command in (b"2", b"3"):
        desk.propose(command)
    desk.to_leader.answers.put(ACCEPTED)
    assert [command for _, command in cast(Propose, desk.to_leader.next_call()).proposals] == [b"2", b"3"]
    desk.to_leader.answers.put(ACCEPTED)
    desk.forwarder.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


# Reads


def read(desk: Desk) -> list[RaftError | None]:
    told: list[RaftError | None] = []
    desk.forwarder.read(told.append)
    return told


def test_a_followers_reads_ask_the_leader_together_and_wait_for_its_index_here(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told = [read(desk) for _ in range(3)]
    desk.reads_to_leader.answers.put(ReadIndexReply(7))
    desk.turn()
    assert desk.reads_to_leader.calls.qsize() == 1
    assert desk.reads_to_leader.next_call() == ReadIndex(OWN, OTHER, desk.door.current_term)
    assert told == [[], [], []]
    desk.applier.last_applied = 7
    desk.applier.stop()
    desk.applier.run()
    assert told == [[None], [None], [None]]


def test_reads_of_what_is_applied_are_told_by_the_thread_that_learned_the_index(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    desk.applier.last_applied = 7
    told = [read(desk) for _ in range(3)]
    desk.reads_to_leader.answers.put(ReadIndexReply(7))
    desk.turn()
    assert told == [[None], [None], [None]]


@pytest.mark.parametrize("said", [ReadIndexReply(0), ConnectionResetError(), ACCEPTED])
def test_a_read_that_was_not_answered_asks_again_at_the_next_tick(desk: Desk, said: Answer | OSError) -> None:
    desk.door.leader_id = OTHER
    told = read(desk)
    desk.reads_to_leader.answers.put(said)
    desk.turn()
    desk.tick()
    desk.reads_to_leader.answers.put(ReadIndexReply(7))
    desk.turn()
    assert (desk.reads_to_leader.calls.qsize(), told) == (2, [])


def test_a_read_without_a_leader_is_refused_when_its_time_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told = read(desk)
    desk.turn()
    desk.tick()
    desk.turn()
    assert told == []
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.0)
    desk.tick()
    assert [type(error) for error in told] == [Unavailable]


def test_a_stale_read_asks_nobody_and_waits_for_its_index_only(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told: list[RaftError | None] = []
    desk.forwarder.read(told.append, stale=True)
    assert told == [None]
    desk.forwarder.read(told.append, min_index=7, stale=True)
    desk.turn()
    assert (told, desk.reads_to_leader.calls.qsize()) == ([None], 0)
    desk.applier.last_applied = 7
    desk.applier.stop()
    desk.applier.run()
    assert told == [None, None]


def test_a_read_that_waits_for_an_index_asks_the_leader_too(desk: Desk) -> None:
    desk.door.leader_id = OTHER
    told: list[RaftError | None] = []
    desk.forwarder.read(told.append, min_index=9)
    desk.reads_to_leader.answers.put(ReadIndexReply(7))
    desk.turn()
    for applied, expected in ((8, []), (9, [None])):
        desk.applier.last_applied = applied
        desk.applier.stop()
        desk.applier.run()
        assert told == expected


def test_too_many_reads_are_refused_at_once_and_those_that_are_answered_make_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(READS_MAX):
        read(desk)
    assert [type(error) for error in read(desk)] == [Unavailable]
    desk.turn()
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.0)
    desk.tick()
    assert read(desk) == []


@pytest.fixture
def alone() -> tuple[Alone, Forwarder]:
    """A real leader of one, and its forwarder."""
    alone = Alone()
    alone.lead()
    forwarder = Forwarder(
        OWN,
        alone.door,
        alone.proposals,
        alone.applier,
        alone.flusher,
        lambda: Leader(alone.door, lambda: Sender(OWN, "", "", ""), 1.0),
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
    assert told == [engine.door.look(lambda node: node.commit_index)]
    engine.door.enter(lambda node: node.become_follower(9, 0))
    forwarder.read_for_peer(ReadIndex(OTHER, OWN), told.append)
    assert told[1:] == [0]


def test_a_followers_read_that_is_lost_with_the_leadership_is_never_passed_on_to_a_third_member(desk: Desk) -> None:
    told: list[RaftError | None] = []
    own: list[RaftError | None] = []

    def lost(seen: list[RaftError | None], *, from_peer: bool = False) -> Read:
        return Read(lambda error, index: seen.append(error), time.monotonic(), from_peer)

    desk.applier.register(7, [lost(told, from_peer=True), lost(own)])
    desk.applier.lost([7])
    desk.door.leader_id = OTHER
    desk.tick()
    assert [type(error) for error in told] == [Unavailable]
    desk.reads_to_leader.answers.put(ReadIndexReply(7))
    desk.turn()
    assert (desk.reads_to_leader.calls.qsize(), own) == (1, [])


def test_once_given_up_what_waits_and_what_still_comes_is_answered_at_the_next_tick(desk: Desk) -> None:
    desk.door.leader_id = OWN
    handed_over = desk.propose()
    desk.proposals.hand_over(desk.flusher.pending)
    desk.door.leader_id = 0
    for _ in range(2):
        never_proposed, reads = desk.propose(), read(desk)
        waits: list[RaftError | None] = []
        desk.forwarder.read(waits.append, min_index=1_000, stale=True)
        desk.turn()
        desk.forwarder.give_up()
        desk.tick()
        assert kinds([*never_proposed, *reads, *waits]) == [Unavailable] * 3
    assert kinds(handed_over) == [OutcomeUnknown]
