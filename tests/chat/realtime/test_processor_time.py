"""What websockets say costs time of the thread that they share, and each network has a share of it."""

import pytest

from chat.realtime import websocket_connection
from chat.realtime.websocket_connection import (
    BURST_S,
    COSTLY_BURST_S,
    COSTLY_S,
    OVERHEAD_S,
    POST_S,
    SHARE,
    ProcessorBudget,
    WebSocketConnection,
)
from tests.chat.running_hub import Clock
from tests.support.node import Node

CHEAP_S = COSTLY_S / 2


def test_what_is_cheap_may_come_in_bursts_and_then_at_its_share() -> None:
    clock = Clock()
    costs = ProcessorBudget(clock)
    messages = 1
    while not (pause_s := costs.charge("a", CHEAP_S, is_post=False)):
        messages += 1
    assert messages == pytest.approx(BURST_S / (CHEAP_S + OVERHEAD_S), abs=1)
    for _ in range(3):
        clock.seconds += pause_s
        pause_s = costs.charge("a", CHEAP_S, is_post=False)
        assert pause_s == pytest.approx((CHEAP_S + OVERHEAD_S) / SHARE)


def test_what_is_costly_has_its_share_from_the_beginning() -> None:
    costs = ProcessorBudget(Clock())
    assert costs.charge("a", 0.02, is_post=False) == pytest.approx((0.02 - COSTLY_BURST_S) / SHARE)


def test_a_network_pays_for_itself_alone() -> None:
    costs = ProcessorBudget(Clock())
    assert costs.charge("a", 1.0, is_post=False) > 1
    assert costs.charge("b", COSTLY_S, is_post=False) == 0


def test_posts_that_are_proposed_cost_what_is_unusual_only() -> None:
    costs = ProcessorBudget(Clock())
    for _ in range(100_000):
        assert costs.charge("a", POST_S, is_post=True) == 0
    assert costs.charge("a", 1.0, is_post=True) > 1


def test_networks_that_owe_nothing_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_connection, "NETWORKS_MAX", 2)
    clock = Clock()
    costs = ProcessorBudget(clock)
    costs.charge("owes nothing by now", CHEAP_S, is_post=False)
    clock.seconds += 1
    for network in ("a", "b"):
        costs.charge(network, 0.9 * COSTLY_S, is_post=False)
    assert list(costs._cheap) == ["a", "b"]


def test_who_says_what_costs_much_is_not_read_for_a_while_and_others_are() -> None:
    with Node() as node:
        node.hub.charge = lambda network, cost_s, *, is_post: float(60 * (network == "127.0.0.2"))
        other = node.connect(address="127.0.0.3")
        costly = node.arrive(address="127.0.0.2")
        for _ in range(3):
            costly.say(Action="ping")
        assert costly.hear() == {"Pong": {}}  # the first one; what it says then waits
        for _ in range(50):
            other.say(Action="ping")
            assert other.hear() == {"Pong": {}}
        (connection,) = (connection for connection in node.hub._connections if connection.network == "127.0.0.2")
        assert isinstance(connection, WebSocketConnection)
        assert connection.is_over_budget
        node.hub.charge = lambda network, cost_s, *, is_post: 0.0
        node.hub.call(connection._resume_after_pause)
        assert [costly.hear() for _ in range(2)] == [{"Pong": {}}] * 2
