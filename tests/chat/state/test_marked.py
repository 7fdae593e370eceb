"""Read markers over the websocket: who says one, and who is told of it."""

import pytest

from chat.auth.authenticator import CHANGES
from chat.commands import OPERATOR, Actor, decode, encode
from chat.commands.cluster import SetAuth
from chat.commands.posts import MarkRead, Post
from chat.commands.rooms import CreateRoom
from chat.state.settings import INVITE, LOGIN
from tests.chat.people import new_user
from tests.support.node import Node, NodeClient


@pytest.fixture
def house(node: Node) -> Node:
    """A node with a login, and people."""
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    for name in ("ann", "bob"):
        node.replica.commit(encode(new_user(Actor(OPERATOR), name, "member")))
    node.replica.commit(encode(CreateRoom(Actor(OPERATOR), "general", "public")))
    return node


def noted(node: Node, client: NodeClient) -> tuple[tuple[int, str, int], ...]:
    """What the client's messages up to now came to."""
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    return node.realtime.pending_markers.take(9)


def emit(node: Node, marks: tuple[tuple[int, str, int], ...]) -> None:
    node.replica.commit(encode(MarkRead(marks)))


def test_a_mark_over_the_websocket_is_noted_for_the_token(house: Node) -> None:
    client = house.connect_as("bob")
    client.say(Action="read", RoomName="general", Id=3)
    client.say(action="read", roomname="general", id=2)
    ((by, room, id),) = noted(house, client)
    assert house.state.ask(lambda tables: tables.tokens[by].user) == "bob"
    assert (room, id) == ("general", 3)


@pytest.mark.parametrize("fields", [{"RoomName": "general"}, {"RoomName": "general", "Id": 0}, {"Id": 3}])
def test_what_is_no_mark_is_an_error_and_noted_nowhere(house: Node, fields: dict[str, object]) -> None:
    client = house.connect_as("bob")
    client.say(Action="read", **fields)
    assert client.hear()["Error"]["code"] == "invalid_field"
    assert noted(house, client) == ()


def test_marks_over_the_websocket_are_counted_as_changes(house: Node) -> None:
    client = house.connect_as("bob")
    for _ in range(CHANGES.burst + 1):
        client.say(Action="read", RoomName="general", Id=3)
    assert client.hear()["Error"]["code"] == "too_many_changes"


def test_nobody_in_particular_marks_nothing(node: Node) -> None:
    client = node.connect()
    client.say(Action="read", RoomName="general", Id=3)
    assert client.hear()["Error"]["code"] == "open_mode"
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    stranger = node.connect()
    stranger.say(Action="read", RoomName="general", Id=3)
    assert stranger.hear()["Error"]["code"] == "login_needed"
    assert node.realtime.pending_markers.take(9) == ()


def test_a_mark_is_told_to_ones_own_devices_that_subscribed_and_to_nobody_else(house: Node) -> None:
    phone, laptop, listener = house.connect_as("bob"), house.connect_as("bob"), house.connect_as("bob")
    other = house.connect_as("ann")
    for client in (phone, laptop, other):
        client.subscribe()
    house.post_as("ann", message="one")
    for client in (phone, laptop, listener, other):
        assert client.hear()["Post"]["Message"] == "one"
    phone.say(Action="read", RoomName="general", Id=1)
    emit(house, noted(house, phone))
    for client in (phone, laptop):
        assert client.hear() == {"Event": {"Type": "Marked", "RoomName": "general", "Id": 1}}
    for client in (listener, other):
        assert noted(house, client) == ()


def test_a_post_over_the_websocket_names_whom_it_mentions(house: Node) -> None:
    client = house.connect_as("ann")
    client.say(Action="post", RoomName="general", Post={"Message": "hello @bob"})
    assert "Ack" in client.hear() or "Ack" in client.hear()
    post = decode(house.replica.proposed[-1])
    assert isinstance(post, Post)
    assert post.mentions == ("bob",)
