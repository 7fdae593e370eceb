"""The registered websockets that an event concerns: over real sockets, against the rule itself."""

import json
import random
from collections.abc import Sequence
from functools import partial
from itertools import count
from unittest.mock import Mock

import pytest

from chat.commands import Actor
from chat.realtime.channels import Channels, plain_payload
from chat.realtime.registry import Registry
from chat.state.accounts import ADMIN, GUEST, MEMBER, Acting
from chat.state.events import EVERYBODY, Event, PostEvent, Reach, RoomDeleted, RoomEvent, is_told
from tests.chat.peer import Peer
from tests.chat.running_hub import Recorder, RunningHub

ANN, BOB, EVE, GUS = Acting("ann", ADMIN), Acting("bob", MEMBER), Acting("eve", MEMBER), Acting("gus", GUEST)
REACHES = (
    EVERYBODY,
    Reach(True, frozenset({"gus", "bob"})),
    Reach(False, frozenset({"bob"})),
    Reach(False, frozenset({"gus", "eve"})),
    Reach(False, frozenset({"bob", "eve"}), admins=False),
)
_tokens = count(1)


def arrive(house: RunningHub, acting: Acting, rooms: frozenset[str] | None = None, *, plain: bool = False) -> Peer:
    peer, handler = house.connect()
    connection = handler.connection
    house.hub.call(partial(house.hub.registry.register, connection, Actor(next(_tokens), acting.name), acting))
    if not plain:
        house.hub.call(partial(house.hub.unsubscribe, connection))
        house.hub.call(partial(house.hub.subscribe, connection, rooms))
    house.settle()
    return peer


def heard(peer: Peer, frames: int) -> list[int]:
    """The log indexes of so many frames."""
    return [int(json.loads(peer.hear_text())["Cursor"].split("-")[1]) for _ in range(frames)]


@pytest.mark.parametrize("seed", range(4))
def test_each_gets_what_concerns_it_in_the_order_of_the_log(seed: int) -> None:
    rng = random.Random(seed)
    with RunningHub() as house:
        everybody = [ANN, BOB, BOB, EVE, GUS, Acting("", ADMIN, operator=True)]
        all_rooms = [(acting, arrive(house, acting)) for acting in everybody]
        one_room = [(acting, arrive(house, acting, frozenset({"r1", "r3"}))) for acting in everybody]
        listeners = [(acting, arrive(house, acting, plain=True)) for acting in everybody]
        published: list[PostEvent] = []
        for _ in range(40):
            rooms = [rng.randrange(len(REACHES)) for _ in range(rng.randint(1, 6))]
            first = len(published) + 1
            batch = [PostEvent(first + k, f"r{room}", 1, b"{}", REACHES[room]) for k, room in enumerate(rooms)]
            published += batch
            house.hub.publish(batch[-1].index, batch)
        house.settle()
        for acting, peer in all_rooms:
            expected = [event.index for event in published if is_told(acting, event.reach)]
            assert heard(peer, len(expected)) == expected
        for acting, peer in one_room:
            of_rooms = [event for event in published if event.room in ("r1", "r3")]
            expected = [event.index for event in of_rooms if is_told(acting, event.reach)]
            assert heard(peer, len(expected)) == expected
        for acting, peer in listeners:
            told = [plain_payload(event).decode() for event in published if is_told(acting, event.reach)]
            assert [peer.hear_text() for _ in told] == told
        house.settle()
        assert all(peer.hears_nothing() for _, peer in (*all_rooms, *one_room, *listeners))


def test_those_who_lose_a_room_and_no_others_get_the_frame_that_says_so() -> None:
    registry = Registry()
    connections = {name: Mock(name=name) for name in ("ann", "bob", "eve", "gus")}
    roles = {"ann": "admin", "bob": "member", "eve": "member", "gus": "guest"}
    for number, (name, connection) in enumerate(connections.items(), 1):
        registry.register(connection, Actor(number, name), Acting(name, roles[name]))
    after = Reach(False, frozenset({"bob"}))
    shares = registry.shares(connections.values(), [after, Reach(without=after)], [b"changed", b"deleted"])
    told = {connection: frames for some, count, frames in shares for connection in some if count == 1}
    assert told == {connections["ann"]: b"changed", connections["bob"]: b"changed", connections["eve"]: b"deleted"}


def test_who_is_nobody_in_particular_is_told_what_is_public() -> None:
    with RunningHub() as house:
        (peer,) = house.listen(1)
        arrive(house, GUS)
        for index, reach in enumerate(REACHES, 1):
            house.hub.publish(index, [PostEvent(index, "r", index, b"{}", reach)])
        public = ['{"RoomName":"r","Post":{}}' for reach in REACHES if reach.public]
        assert [peer.hear_text() for _ in public] == public
        house.settle()
        assert peer.hears_nothing()


def test_another_role_holds_from_the_next_event_on() -> None:
    with RunningHub() as house:
        peer, handler = house.connect()
        connection, enter = handler.connection, house.hub.registry.register
        for index, acting in enumerate((EVE, ANN, GUS, EVE), 1):
            house.hub.call(partial(enter, connection, Actor(7, "x"), acting._replace(name="x")))
            house.settle()  # a turn of the hub's thread that has begun would take the events, and the job in its next
            private = Reach(False, frozenset({"bob"}))
            house.hub.publish(2 * index, [PostEvent(2 * index - 1, f"p{index}", 1, b"{}", private)])
            house.hub.publish(2 * index, [PostEvent(2 * index, f"r{index}", 1, b"{}")])
            house.settle()
        told = [json.loads(peer.hear_text())["RoomName"] for _ in range(4)]
        assert told == ["r1", "p2", "r2", "r4"]
        house.settle()
        assert peer.hears_nothing()


def test_who_left_is_found_by_nothing() -> None:
    with RunningHub() as house:
        handlers: list[Recorder] = [house.connect()[1] for _ in range(2)]
        registry = house.hub.registry
        for handler in handlers:
            house.hub.call(partial(registry.register, handler.connection, Actor(7, "bob"), BOB))
        house.settle()
        assert set(registry.of_token(7)) == set(registry.of_user("bob")) == {handler.connection for handler in handlers}
        house.peers[0].close()
        assert handlers[0].ended.wait(10)
        house.settle()
        assert registry.of_token(7) == registry.of_user("bob") == [handlers[1].connection]
        house.hub.call(partial(registry.unregister, handlers[1].connection))
        house.settle()
        assert (registry.of_token(7), registry.of_user("bob")) == ([], [])
        assert not registry.is_registered(handlers[1].connection)


def test_who_follows_a_room_follows_it_under_its_next_names_too() -> None:
    with RunningHub() as house:
        follower = arrive(house, BOB, frozenset({"general", "other"}))
        stranger = arrive(house, BOB, frozenset({"else"}))
        batches: list[list[Event]] = [
            [PostEvent(1, "general", 1, b"{}"), RoomEvent(2, "team", ("general", "team"), b"{}")],
            [PostEvent(3, "team", 2, b"{}"), PostEvent(4, "other", 1, b"{}")],
            [RoomEvent(5, "crew", ("general", "team", "crew"), b"{}"), PostEvent(6, "crew", 3, b"{}")],
            [PostEvent(7, "else", 1, b"{}")],
        ]
        for batch in batches:
            house.hub.publish(batch[-1].index, batch)
        assert heard(follower, 6) == [1, 2, 3, 4, 5, 6]
        assert heard(stranger, 1) == [7]


def test_who_loses_a_room_that_becomes_private_is_told_that_it_is_gone_and_no_more() -> None:
    private = Reach(False, frozenset({"bob"}))
    gone = RoomDeleted(2, "general", Reach(True, frozenset(), without=private))
    with RunningHub() as house:
        member, other = (arrive(house, acting, frozenset({"general"})) for acting in (BOB, EVE))
        changed = RoomEvent(2, "general~abc", ("general", "general~abc"), b'"secret"', private, gone)
        house.hub.publish(3, [changed, PostEvent(3, "general~abc", 1, b"{}", private)])
        house.hub.publish(4, [PostEvent(4, "general", 1, b"{}")])
        told = [[json.loads(peer.hear_text()) for _ in range(frames)] for peer, frames in ((member, 3), (other, 2))]
    assert [[frame.get("Event", {}).get("Type", "Post") for frame in frames] for frames in told] == [
        ["RoomChanged", "Post", "Post"], ["RoomDeleted", "Post"],
    ]  # fmt: skip
    assert told[1][0]["Event"] == {"Type": "RoomDeleted", "RoomName": "general"}
    assert told[1][1]["Cursor"].endswith("-4")


def test_of_a_room_that_was_renamed_nothing_is_sent_when_all_who_followed_it_have_left() -> None:
    sent: list[bytes] = []

    def send(descriptors: Sequence[int], frames: bytes) -> list[int]:
        sent.append(frames)
        return [len(frames)] * len(descriptors)

    with RunningHub() as house:
        connection = house.connect()[1].connection
        channels = Channels(lambda: "c0ffee", house.hub.registry, send)
        for room in ("general", "else"):
            channels.subscribe(connection, frozenset({room}))
            channels.publish([RoomEvent(2, "team", (room, "team"), b"{}")])
            channels.unsubscribe(connection)
        sent.clear()
        channels.subscribe(connection, frozenset({"quiet"}))
        channels.publish([PostEvent(3, "team", 1, b"{}"), PostEvent(4, "general", 1, b"{}")])
        assert sent == []
