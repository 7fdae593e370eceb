"""Who is there and who types: what subscribers and other nodes are told of it, and when no more."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from chat.commands import OPERATOR, SETUP, Actor, encode
from chat.commands.cluster import SetAuth
from chat.errors import Problem
from chat.realtime.connection import HubLimits
from chat.realtime.presence import NAMES_BYTES_MAX, TYPING_MAX, TYPING_OF_ONE_MAX, Presence, read_node_presence
from chat.realtime.websocket_connection import WebSocketConnection
from chat.state.accounts import ADMIN, GUEST, MEMBER, Acting
from chat.state.machine import ChatState
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.settings import INVITE, LOGIN
from raft.rpc.codec import NOTICE_BYTES_MAX
from tests.chat.peer import Peer
from tests.chat.people import new_user
from tests.chat.running_hub import Clock, RunningHub
from tests.support.fake_replica import FakeReplica
from tests.support.node import Node, secret

SECRET = "secret~k7f2p4qdx3"


class House(RunningHub):
    """A hub whose clock stands still, with the presence of one node."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(HubLimits(ping_s=1e9, dead_s=1e9), self.clock)
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.presence = Presence(self.hub, self.replica, self.state)

    def __enter__(self) -> "House":
        return self

    def do(self, *jobs: object) -> None:
        """Call them in the hub's thread."""
        for job in jobs:
            assert callable(job)
            assert self.hub.call(job)
        self.settle()

    def follow(self, *rooms: str, acting: Acting | None = None) -> tuple[Peer, WebSocketConnection]:
        """A subscriber of these rooms, of all where none is named."""
        peer, handler = self.connect()
        connection = handler.connection
        if acting is not None:
            self.do(partial(self.hub.registry.register, connection, Actor(1, acting.name), acting))
        self.do(
            partial(self.hub.unsubscribe, connection), partial(self.hub.subscribe, connection, frozenset(rooms) or None)
        )
        return peer, connection

    def enter(self, user: str) -> WebSocketConnection:
        """One more websocket of a user, which hears nothing."""
        _, handler = self.connect()
        self.do(partial(self.hub.unsubscribe, handler.connection), partial(self.presence.add, handler.connection, user))
        return handler.connection

    def type(self, connection: WebSocketConnection, room: str, user: str) -> None:
        self.do(partial(self.presence.type, connection, room, user, user))

    def hear(self, member: int, *online: str, typing: list[list[object]] | None = None) -> None:
        """What another node tells."""
        self.presence.heard(member, json.dumps({"Online": online, "Typing": typing or []}).encode())
        self.settle()

    def wait(self, seconds: float) -> None:
        """Time goes on, in small steps."""
        while seconds > 0:
            step = min(0.25, seconds)
            self.clock.seconds += step
            seconds -= step
            self.do(lambda: None)

    def told(self) -> object:
        """The node's newest picture."""
        return json.loads(self.replica.told[-1])


def online(*users: str) -> list[object]:
    return [{"Presence": {"User": user, "Online": True}} for user in users]


def offline(user: str) -> object:
    return {"Presence": {"User": user, "Online": False}}


def typing(room: str, user: str) -> object:
    return {"Typing": {"RoomName": room, "User": user}}


def heard(peer: Peer) -> list[object]:
    """All that has come."""
    found = []
    while not peer.hears_nothing():
        found.append(json.loads(peer.hear_text()))
    return found


@pytest.fixture
def house() -> Iterator[House]:
    with House() as house:
        yield house


def test_who_comes_is_told_to_those_who_are_there_and_who_is_there_to_who_comes(house: House) -> None:
    first, _ = house.follow()
    house.enter("ann")
    assert heard(first) == online("ann")
    house.wait(0.25)
    house.enter("bob")
    assert heard(first) == online("bob")
    second, _ = house.follow("general")
    assert heard(second) == online("ann", "bob")


def test_who_only_listens_is_told_nothing(house: House) -> None:
    (peer,) = house.listen(1)
    connection = house.enter("ann")
    house.type(connection, "general", "ann")
    house.publish(post=b"{}")
    house.settle()
    assert heard(peer) == [{"RoomName": "general", "Post": {}}]


def test_a_user_is_gone_when_the_last_of_his_websockets_has_been_for_three_seconds(house: House) -> None:
    peer, _ = house.follow()
    one, other = house.enter("ann"), house.enter("ann")
    assert heard(peer) == online("ann")
    house.do(one.abort)
    house.wait(10)
    assert heard(peer) == []
    house.do(other.abort)
    house.wait(2.75)
    assert heard(peer) == []
    house.wait(0.5)
    assert heard(peer) == [offline("ann")]
    assert house.told() == {"Online": [], "Typing": []}


def test_who_comes_back_at_once_was_not_away(house: House) -> None:
    peer, _ = house.follow()
    house.do(house.enter("ann").abort)
    house.wait(1)
    house.enter("ann")
    house.wait(60)
    assert heard(peer) == online("ann")


def test_a_websocket_that_is_another_users_is_told_as_that(house: House) -> None:
    peer, _ = house.follow()
    connection = house.enter("ann")
    house.do(partial(house.presence.add, connection, "bob"))
    house.wait(10)
    assert heard(peer) == [*online("ann", "bob"), offline("ann")]


def test_a_user_is_there_while_he_is_on_any_node(house: House) -> None:
    peer, _ = house.follow()
    connection = house.enter("ann")
    house.hear(2, "ann", "bob")
    house.hear(3, "bob")
    house.wait(0.25)
    house.do(connection.abort)
    house.wait(5)
    house.hear(2, "ann")
    house.wait(5)
    assert heard(peer) == online("ann", "bob")
    house.hear(3)
    house.wait(5)
    assert heard(peer) == [offline("bob")]
    house.hear(2)
    house.wait(1)
    assert heard(peer) == [offline("ann")]


def test_the_users_of_a_node_that_has_fallen_silent_are_gone_after_thirty_seconds(house: House) -> None:
    peer, _ = house.follow()
    house.hear(2, "ann")
    house.wait(20)
    house.hear(2, "ann")
    house.wait(29)
    assert heard(peer) == online("ann")
    house.wait(2)
    assert heard(peer) == [offline("ann")]


def test_other_nodes_are_told_when_something_changes_and_at_most_four_times_a_second(house: House) -> None:
    for number in range(20):
        house.enter(f"user {number}")
    assert len(house.replica.told) == 1  # the others came within a turn
    house.wait(0.25)
    assert len(house.replica.told) == 2
    assert house.told() == {"Online": [f"user {number}" for number in range(20)], "Typing": []}
    house.wait(60)
    assert len(house.replica.told) == 2


def test_who_types_is_told_to_who_follows_the_room_here_and_elsewhere(house: House) -> None:
    everything, _ = house.follow()
    general, _ = house.follow("general")
    other, _ = house.follow("other")
    connection = house.enter("ann")
    for peer in (everything, general, other):
        heard(peer)
    house.type(connection, "general", "ann")
    assert heard(everything) == heard(general) == [typing("general", "ann")]
    assert heard(other) == []
    house.wait(0.25)
    assert house.told() == {"Online": ["ann"], "Typing": [["general", "ann", 1]]}
    house.hear(2, typing=[["general", "bob", 7]])
    assert heard(general) == [typing("general", "bob")]


def test_who_goes_on_typing_is_told_each_three_seconds_and_who_stops_is_over_after_six(house: House) -> None:
    peer, _ = house.follow()
    connection = house.enter("ann")
    heard(peer)
    for _ in range(70):  # a word each tenth of a second
        house.clock.seconds += 0.1
        house.type(connection, "general", "ann")
    assert heard(peer) == [typing("general", "ann")] * 3
    house.wait(5)
    assert house.told() == {"Online": ["ann"], "Typing": [["general", "ann", 3]]}
    house.wait(1.25)
    assert house.told() == {"Online": ["ann"], "Typing": []}


def test_another_nodes_picture_that_comes_again_tells_no_typing_again(house: House) -> None:
    peer, _ = house.follow()
    for number in (7, 7, 8):
        house.hear(2, typing=[["general", "bob", number]])
    assert heard(peer) == [typing("general", "bob")] * 2


def test_one_websocket_types_in_few_rooms_at_a_time_and_a_node_tells_of_so_many(house: House) -> None:
    peer, _ = house.follow()
    one = house.enter("ann")
    heard(peer)
    for number in range(10):
        house.type(one, f"room {number}", "ann")
    assert len(heard(peer)) == TYPING_OF_ONE_MAX
    for number in range(TYPING_MAX):
        house.type(house.enter("ann"), "general", f"user {number}")
    assert len(heard(peer)) == TYPING_MAX - 1  # who has four gives way until they have one, as everybody else
    house.wait(7)
    house.type(one, "room 9", "ann")
    assert heard(peer) == [typing("room 9", "ann")]


def test_a_user_who_types_everywhere_leaves_room_for_others(house: House) -> None:
    peer, _ = house.follow()
    for number in range(TYPING_MAX):
        house.type(house.enter("ann"), f"room {number}", "ann")
    heard(peer)
    house.type(house.enter("bob"), "general", "bob")
    assert typing("general", "bob") in heard(peer)
    house.type(house.enter("ann"), "one more", "ann")
    assert heard(peer) == []


def private(house: House, *members: str) -> None:
    room = house.state.ask(lambda tables: tables.rooms.make(SECRET))
    room.details = RoomDetails(visibility=PRIVATE, members=frozenset(members))


def test_typing_in_a_private_room_is_told_to_its_members_and_nobody_else_can_type_there(house: House) -> None:
    private(house, "ann", "gus")
    ann, link_of_ann = house.follow(acting=Acting("ann", MEMBER))
    gus, _ = house.follow(acting=Acting("gus", GUEST))
    eve, link_of_eve = house.follow(acting=Acting("eve", MEMBER))
    house.type(link_of_eve, SECRET, "eve")
    house.type(link_of_ann, SECRET, "ann")
    assert heard(ann) == heard(gus) == [typing(SECRET, "ann")]
    assert heard(eve) == []
    house.hear(2, typing=[[SECRET, "bob", 1], ["gone~k7f2p4qdx3", "bob", 2]])
    assert heard(ann) == heard(gus) == [typing(SECRET, "bob")]
    assert heard(eve) == []


def test_a_name_that_only_a_private_room_could_have_is_told_to_nobody(house: House) -> None:
    peer, connection = house.follow(acting=Acting("ann", ADMIN))
    house.type(connection, "other~k7f2p4qdx3", "ann")
    assert heard(peer) == []
    house.wait(1)
    assert house.replica.told == []


def test_a_guest_is_told_of_nobody_who_is_there(house: House) -> None:
    gus, _ = house.follow(acting=Acting("gus", GUEST))
    house.enter("ann")
    late, _ = house.follow(acting=Acting("gus", GUEST))
    assert heard(gus) == heard(late) == []


def test_a_crowd_is_told_of_in_part_and_who_was_told_of_stays_so(house: House) -> None:
    peer, _ = house.follow()
    connections = [house.enter(f"{number:03}".ljust(60, "é")) for number in range(200)]
    house.wait(1)
    came = heard(peer)
    size = sum(len(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()) + 4 for frame in came)
    assert NAMES_BYTES_MAX - 500 < size <= NAMES_BYTES_MAX
    assert len(house.replica.told[-1]) <= NAMES_BYTES_MAX < NOTICE_BYTES_MAX
    late, _ = house.follow()
    assert heard(late) == came
    house.hear(2, *(f"{number}" for number in range(5000)))
    house.wait(1)
    assert heard(peer) == []
    house.do(connections[0].abort)
    house.wait(4)
    (gone, *come) = heard(peer)
    assert gone == offline("000".ljust(60, "é"))
    assert come
    assert all(frame["Presence"]["Online"] for frame in come)  # type: ignore[index]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Online":[],"Typing":{}}',
        b'{"Online":["a\\u0000"],"Typing":[]}',
        b'{"Online":[1],"Typing":[]}',
        b'{"Online":[],"Typing":[["general","ann"]]}',
        b'{"Online":[],"Typing":[["general","ann","1"]]}',
        b'{"Online":[],"Typing":[["general",".",1]]}',
        b'{"Online":[],"Typing":[%b]}' % b",".join([b'["general","ann",1]'] * (TYPING_MAX + 1)),
    ],
)
def test_what_another_node_tells_is_checked(house: House, body: bytes) -> None:
    with pytest.raises(Problem):
        read_node_presence(body)
    peer, _ = house.follow()
    house.presence.heard(2, body)
    house.hear(3, "ann")
    assert heard(peer) == online("ann")


def test_a_client_says_who_it_is_as_it_subscribes_and_that_it_types() -> None:
    with Node() as node:
        first, second = node.connect(), node.connect()
        first.subscribe()
        first.say(Action="subscribe", Rooms="*", User="ann")
        assert "Hello" in first.hear()
        assert first.hear_any() == online("ann")[0]
        second.subscribe(["general"])
        assert second.hear_any() == online("ann")[0]
        first.say(Action="typing", RoomName="general", User="ann")
        assert first.hear() == second.hear() == typing("general", "ann")
        first.say(Action="typing", RoomName="general")
        assert first.hear()["Error"]["detail"].startswith("User: ")
        first.say(Action="typing", RoomName="", User="ann")
        assert first.hear()["Error"]["detail"].startswith("RoomName: ")
        first.say(Action="subscribe", Rooms="*", User="..")
        assert first.hear()["Error"]["detail"].startswith("User: ")


def test_with_a_login_a_client_is_who_it_is_whatever_it_says() -> None:
    with Node() as node:
        node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
        node.replica.commit(encode(new_user(Actor(SETUP), "ann", ADMIN)))
        node.log_in("ann", "laptop")
        client = node.connect(token=secret("laptop"))
        client.say(Action="subscribe", Rooms="*", User="bob")
        assert client.hear()["Hello"]["User"] == "ann"
        assert client.hear_any() == online("ann")[0]
        client.say(Action="typing", RoomName="general", User="bob")
        assert client.hear() == typing("general", "ann")
        stranger = node.arrive()
        stranger.say(Action="typing", RoomName="general", User="bob")
        assert stranger.hear()["Error"]["code"] == "login_needed"
