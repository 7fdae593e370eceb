"""Subscribers learn that the majority is lost, and that it is back."""

import json
import math
from functools import partial

from chat.realtime.connection import HubLimits
from chat.realtime.majority import LOOK_S, LOST_S, MajorityNotice
from chat.state.machine import ChatState
from tests.chat.peer import Peer
from tests.chat.running_hub import Clock, RunningHub
from tests.support.fake_replica import FakeReplica

LOST = {"Cluster": {"Majority": False}}
BACK = {"Cluster": {"Majority": True}}


class House(RunningHub):
    """A hub whose clock stands still, at a node whose contact with a majority the test sets."""

    def __init__(self, started_s: float = 60.0) -> None:
        """`started_s`: how long ago the node started."""
        self.clock = Clock()
        super().__init__(HubLimits(ping_s=1e9, dead_s=1e9), self.clock)
        self.replica = FakeReplica(ChatState())
        self.majority = MajorityNotice(self.hub, self.replica)
        self.clock.seconds += started_s

    def __enter__(self) -> "House":
        return self

    def follow(self) -> Peer:
        peer, handler = self.connect()
        assert self.hub.call(partial(self.majority.ask, handler.connection))
        assert self.hub.call(partial(self.hub.subscribe, handler.connection, None))
        self.settle()
        return peer

    def contact(self, age_s: float) -> None:
        self.replica.contact_s = age_s
        self.clock.seconds += 2 * LOOK_S
        self.settle()


def test_a_lost_majority_is_told_to_subscribers_once_and_so_is_its_return() -> None:
    with House() as house:
        peer = house.follow()
        house.contact(LOST_S + 0.1)
        house.contact(LOST_S + 1.1)
        assert json.loads(peer.hear_text()) == LOST
        house.contact(0.0)
        assert json.loads(peer.hear_text()) == BACK


def test_who_subscribes_meanwhile_is_told_at_once() -> None:
    with House() as house:
        house.contact(LOST_S + 0.1)
        assert json.loads(house.follow().hear_text()) == LOST


def test_who_did_not_ask_is_told_nothing() -> None:
    with House() as house:
        peer, handler = house.connect()
        assert house.hub.call(partial(house.hub.subscribe, handler.connection, None))
        house.contact(LOST_S + 0.1)
        assert peer.hears_nothing()


def test_a_node_that_has_just_started_has_lost_nothing() -> None:
    with House(started_s=0.0) as house:
        peer = house.follow()
        house.contact(math.inf)
        house.contact(0.0)
        house.contact(LOST_S + 5)
        assert json.loads(peer.hear_text()) == LOST
        house.contact(0.0)
        assert json.loads(peer.hear_text()) == BACK


def test_a_failover_is_not_worth_a_frame() -> None:
    with House() as house:
        peer = house.follow()
        house.contact(LOST_S - 0.1)
        house.contact(0.0)
        house.contact(LOST_S + 0.1)
        assert json.loads(peer.hear_text()) == LOST
