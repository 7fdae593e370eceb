"""The lock of the engine: what follows from an input is carried out under it, who waits is told after it."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.log import Log
from raft.core.node import Node, Ready, Role
from raft.core.raft_messages import HardState, RequestVote
from raft.engine.node_lock import Callbacks, LeaderState, NodeLock
from raft.errors import NotLeader

DEADLINE_S = 10.0


def make_node_lock(
    voters: int = 1,
    *,
    on_leader_state: Callable[[LeaderState, LeaderState], None] = lambda before, after: None,
    on_broken: Callable[[Exception], None] = lambda error: None,
) -> NodeLock:
    members = {id: Member(id, f"http://127.0.0.1:{id}", voting=True) for id in range(1, voters + 1)}
    node = Node(
        1, log=Log(), hard_state=HardState(), configurations=[(0, Configuration(members))], rng=random.Random(1)
    )
    return NodeLock(node, on_leader_state, on_broken)


def lead(node_lock: NodeLock) -> None:
    """A single voter needs a tick, and its own vote on disk."""
    node_lock.act(lambda node: node.tick(0.0, 1))
    node_lock.act(lambda node: node.persisted(1))


def is_free(node_lock: NodeLock) -> bool:
    return not node_lock._lock.locked()


def test_what_the_act_returns_is_returned() -> None:
    assert make_node_lock().act(lambda node: node.id + 41) == 42


def test_every_input_is_followed_by_its_ready_under_the_lock() -> None:
    node_lock = make_node_lock()
    free: list[bool] = []
    readies: list[Ready] = []

    def on_ready(node: Node, ready: Ready, flushes: bool) -> Callbacks:
        free.append(is_free(node_lock))
        readies.append(ready)
        return []

    node_lock.on_ready = on_ready
    node_lock.act(lambda node: node.tick(0.0, 1))
    assert free == [False]
    assert readies[0].hard_state == HardState(1, 1, 0)


def test_who_waits_is_told_in_order_when_the_lock_is_free() -> None:
    node_lock = make_node_lock()
    told: list[tuple[str, bool]] = []
    node_lock.on_ready = lambda node, ready, flushes: [
        lambda: told.append(("first", is_free(node_lock))),
        lambda: told.append(("second", is_free(node_lock))),
    ]
    node_lock.act(lambda node: None)
    assert told == [("first", True), ("second", True)]


def test_who_is_told_may_enter_again() -> None:
    node_lock = make_node_lock()
    entered: list[int] = []
    tellings: Iterator[Callbacks] = iter([[lambda: entered.append(node_lock.act(lambda node: node.id))], []])
    node_lock.on_ready = lambda node, ready, flushes: next(tellings)
    thread = threading.Thread(target=node_lock.act, args=(lambda node: None,), name="again", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert entered == [1]


def test_an_act_that_is_refused_raises_after_what_came_before_it_went_out() -> None:
    """A vote that was counted in the same input must not wait for the next one."""
    node_lock = make_node_lock(voters=2)
    told: list[str] = []
    node_lock.on_ready = lambda node, ready, flushes: [lambda: told.append("told")] if ready.messages_after else []

    def act(node: Node) -> None:
        node.step(RequestVote(2, 1, 5, 0, 0))
        node.propose([], 1)

    with pytest.raises(NotLeader):
        node_lock.act(act)
    assert told == ["told"]


def test_an_act_that_fails_in_a_way_nobody_meant_ends_the_process_and_leaves_the_lock_free() -> None:
    broken: list[Exception] = []
    node_lock = make_node_lock(on_broken=broken.append)
    with pytest.raises(ZeroDivisionError):
        node_lock.act(lambda node: 1 // 0)
    assert [type(error) for error in broken] == [ZeroDivisionError]
    assert is_free(node_lock)


def test_an_act_that_is_refused_is_nobodys_end() -> None:
    broken: list[Exception] = []
    node_lock = make_node_lock(voters=2, on_broken=broken.append)
    with pytest.raises(NotLeader):
        node_lock.act(lambda node: node.propose([], 1))
    assert broken == []


def test_a_telling_that_fails_ends_the_process_too() -> None:
    """Those behind it are not told: half of a Ready is carried out."""
    broken: list[Exception] = []
    node_lock = make_node_lock(on_broken=broken.append)

    def fail() -> None:
        raise ZeroDivisionError

    node_lock.on_ready = lambda node, ready, flushes: [fail]
    with pytest.raises(ZeroDivisionError):
        node_lock.act(lambda node: None)
    assert len(broken) == 1


def test_looking_gives_no_input() -> None:
    node_lock = make_node_lock()
    asked: list[str] = []
    node_lock.on_ready = lambda node, ready, flushes: [lambda: asked.append("ready")]
    assert node_lock.read(lambda node: node.role) is Role.FOLLOWER
    assert asked == []


def test_it_is_passed_on_whether_the_caller_is_going_to_flush() -> None:
    node_lock = make_node_lock()
    said: list[bool] = []

    def on_ready(node: Node, ready: Ready, flushes: bool) -> Callbacks:
        said.append(flushes)
        return []

    node_lock.on_ready = on_ready
    node_lock.act(lambda node: None)
    node_lock.act(lambda node: None, flushes=True)
    assert said == [False, True]


def test_a_change_of_role_term_or_leader_is_told_once_with_what_was_before_it() -> None:
    changes: list[tuple[LeaderState, LeaderState, bool]] = []
    node_lock = make_node_lock(
        on_leader_state=lambda before, after: changes.append((before, after, is_free(node_lock)))
    )
    lead(node_lock)
    node_lock.act(lambda node: node.tick(1.0, 2))
    assert changes == [
        ((Role.FOLLOWER, 0, 0), (Role.CANDIDATE, 1, 0), True),
        ((Role.CANDIDATE, 1, 0), (Role.LEADER, 1, 1), True),
    ]


def test_the_leader_is_known_without_the_lock() -> None:
    node_lock = make_node_lock()
    assert node_lock.leader_id == 0
    lead(node_lock)
    seen: list[int] = []
    node_lock.read(lambda node: seen.append(node_lock.leader_id))
    assert seen == [1]


def test_inputs_of_many_threads_take_turns() -> None:
    node_lock = make_node_lock()
    lead(node_lock)
    inside: list[int] = []
    most: list[int] = []

    def act(node: Node) -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    threads = [
        threading.Thread(target=lambda: [node_lock.act(act) for _ in range(500)], name=f"enter-{n}") for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(most) == 2_000
    assert set(most) == {1}
