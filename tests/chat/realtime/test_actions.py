"""What a client of the websocket does beside posting: edit, delete, react, mark as read, look back."""

import json
import threading
from typing import Any

import pytest

from chat.auth.authenticator import CHANGES
from chat.commands import OPERATOR, Actor, decode, encode
from chat.commands.accounts import RevokeTokens
from chat.commands.posts import DeletePost, EditPost, React
from chat.commands.rooms import CreateRoom
from chat.realtime import actions
from raft.errors import Unavailable
from tests.support.fake_replica import FakeReplica
from tests.support.node import DEADLINE_S, Node, NodeClient
from tests.support.websocket_frames import client_frame


def silent(node: Node, client: NodeClient | None = None) -> NodeClient:
    """A client that is told nothing but answers."""
    client = client or node.connect()
    client.subscribe(["none"])
    return client


def answer(client: NodeClient, **said: Any) -> dict[str, Any]:
    client.say(RoomName="general", **said)
    return client.hear()


def test_an_edit_is_acknowledged_with_the_post_as_it_is_now(node: Node) -> None:
    node.post(message="first")
    client = silent(node)
    ack = answer(client, Action="edit", Id=1, Message="second", User="bob", ClientId="e-1")["Ack"]
    assert (ack["ClientId"], ack["RoomName"], ack["Id"]) == ("e-1", "general", 1)
    assert (ack["Post"]["Id"], ack["Post"]["Message"]) == (1, "second")
    assert "EditedAt" in ack["Post"]
    again = answer(client, Action="edit", Id=1, Message="second", User="bob", ClientId="e-2")["Ack"]
    assert again == ack | {"ClientId": "e-2"}


def test_a_deletion_is_acknowledged_with_the_tombstone_and_once_more_without(node: Node) -> None:
    node.post(message="first")
    client = silent(node)
    ack = answer(client, Action="delete", Id=1, User="bob", ClientId="d-1")["Ack"]
    assert (ack["ClientId"], ack["Post"]["Deleted"], ack["Post"]["Message"]) == ("d-1", True, "")
    again = answer(client, Action="delete", Id=1, User="bob", ClientId="d-2")["Ack"]
    assert again == {"ClientId": "d-2", "RoomName": "general", "Id": 1}


def test_a_reaction_is_put_and_taken_back(node: Node) -> None:
    node.post()
    client = silent(node)
    for on in (True, False):
        ack = answer(client, Action="react", Id=1, Emoji="+", On=on, User="eve", ClientId=f"r-{on}")["Ack"]
        assert ack == {"ClientId": f"r-{on}", "RoomName": "general", "Id": 1}
        assert node.state.reactions("general", 1) == ((("+", ("eve",)),) if on else ())
    assert answer(client, Action="react", Id=1, Emoji="+", User="eve")["Ack"]["ClientId"] is None


def test_a_reaction_that_is_there_is_acknowledged_and_not_proposed(node: Node) -> None:
    node.post()
    client = silent(node)
    for again in ("r-1", "r-2"):
        ack = answer(client, Action="react", Id=1, Emoji="+", User="eve", ClientId=again)["Ack"]
        assert ack == {"ClientId": again, "RoomName": "general", "Id": 1}
    assert [type(decode(command)) for command in node.replica.proposed] == [React]


@pytest.mark.parametrize(
    ("said", "code", "temporary"),
    [
        ({"Action": "edit", "Id": 2, "Message": "x", "User": "bob"}, "not_found", False),
        ({"Action": "edit", "Id": 1, "Message": "x", "User": "eve"}, "not_the_author", False),
        ({"Action": "edit", "Id": 1, "User": "bob"}, "invalid_field", False),
        ({"Action": "edit", "Id": "1", "Message": "x", "User": "bob"}, "invalid_field", False),
        ({"Action": "delete", "Id": 1, "User": "eve"}, "not_the_author", False),
        ({"Action": "delete", "Id": 1}, "invalid_field", False),
        ({"Action": "delete", "User": "bob"}, "invalid_field", False),
        ({"Action": "react", "Id": 2, "Emoji": "+", "User": "eve"}, "not_found", False),
        ({"Action": "react", "Id": 1, "Emoji": "a b", "User": "eve"}, "invalid_field", False),
        ({"Action": "react", "Id": 1, "User": "eve"}, "invalid_field", False),
        ({"Action": "react", "Id": 1, "Emoji": "+", "On": 1, "User": "eve"}, "invalid_field", False),
        ({"Action": "react", "Id": 1, "Emoji": "+"}, "invalid_field", False),
        ({"Action": "read", "Id": 1}, "open_mode", False),
        ({"Action": "history", "Limit": 101}, "invalid_field", False),
        ({"Action": "history", "Before": 3, "After": 1}, "invalid_field", False),
        ({"Action": "history", "Around": "1"}, "invalid_field", False),
    ],
)
def test_what_cannot_be_done_is_said_by_its_client_id_and_nothing_is_proposed(
    node: Node, said: dict[str, Any], code: str, temporary: bool
) -> None:
    node.post()
    client = silent(node)
    error = answer(client, **said, clientID="c-1")["Error"]
    assert (error["ClientId"], error["code"], error["Temporary"]) == ("c-1", code, temporary)
    assert not node.replica.proposed
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}


def test_without_a_quorum_all_of_it_gets_temporary_errors(node: Node) -> None:
    node.post()
    client = silent(node)
    node.replica.unavailable = True
    for said in (
        {"Action": "edit", "Id": 1, "Message": "x", "User": "bob"},
        {"Action": "react", "Id": 1, "Emoji": "+", "User": "bob"},
        {"Action": "history"},
    ):
        error = answer(client, **said, ClientId="c-1")["Error"]
        assert (error["ClientId"], error["code"], error["Temporary"]) == ("c-1", "unavailable", True)


def test_posts_that_arrive_together_are_written_as_one_batch(node: Node) -> None:
    client = silent(node)
    rooms = [f"room-{number}" for number in range(5)]
    said = [{"Action": "post", "RoomName": room, "Post": {"Message": "m", "User": "bob"}} for room in rooms]
    client.send_bytes(b"".join(client_frame(json.dumps(one).encode()) for one in said))
    assert [client.hear()["Ack"]["RoomName"] for _ in rooms] == rooms
    assert node.replica.flushed == [len(rooms)]


def test_what_the_others_know_is_waited_for(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def level(replica: FakeReplica) -> int:
        raise Unavailable("it is not known yet")

    node.post()
    client = silent(node)
    with monkeypatch.context() as patched:
        patched.setattr(FakeReplica, "level", property(level), raising=False)
        error = answer(client, Action="react", Id=1, Emoji="+", User="bob")["Error"]
        assert (error["code"], error["Temporary"]) == ("unavailable", True)
    assert "Ack" in answer(client, Action="react", Id=1, Emoji="+", User="bob")


def test_a_client_is_answered_in_the_order_in_which_it_spoke(node: Node) -> None:
    node.post()
    client = silent(node)
    node.replica.holds_reads = True
    reads = threading.Event()
    node.replica.on_read_held = reads.set
    client.say(Action="edit", RoomName="general", Id=1, Message="2", User="bob", ClientId="1")
    client.say(Action="react", RoomName="general", Id=1, Emoji="+", User="bob", ClientId="2")
    client.say(Action="edit", RoomName="general", Id=1, Message="3", User="bob", ClientId="3")
    client.say(Action="delete", RoomName="general", Id=1, User="bob", ClientId="4")
    assert reads.wait(DEADLINE_S)
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    assert node.replica.proposed == []
    node.replica.holds_reads = False
    node.replica.release_reads()
    assert [client.hear()["Ack"]["ClientId"] for _ in range(4)] == ["1", "2", "3", "4"]
    kinds = [type(decode(command)) for command in node.replica.proposed]
    assert kinds == [EditPost, React, EditPost, DeletePost]


def test_a_flood_of_them_is_read_no_faster_than_it_is_answered(node: Node) -> None:
    node.post()
    client = silent(node)
    node.replica.holds_reads = True
    for number in range(64):
        client.say(Action="edit", RoomName="general", Id=1, Message=f"{number}", User="bob")
    client.say(Action="ping")
    while not node.replica.reads:
        node.settle()
    node.settle()
    node.replica.holds_reads = False
    node.replica.release_reads()
    assert "Ack" in client.hear()


def test_a_post_that_a_compaction_takes_meanwhile_is_looked_for_again(node: Node) -> None:
    node.post(message="first")
    node.replica.gone = {3}
    client = silent(node)
    error = answer(client, Action="edit", Id=1, Message="x", User="bob", ClientId="c-1")["Error"]
    assert error["Temporary"] is True
    assert answer(client, Action="history")["Error"]["Temporary"] is True


# --- looking back


def test_a_page_tells_where_it_lies(node: Node) -> None:
    for number in range(1, 8):
        node.post(message=f"{number}")
    node.react(3)
    client = silent(node)
    pages = {
        (): [1, 2, 3, 4, 5, 6, 7],
        (("Limit", 2),): [6, 7],
        (("Before", 4), ("Limit", 2)): [2, 3],
        (("After", 4),): [5, 6, 7],
        (("Around", 3), ("Limit", 3)): [2, 3, 4],
    }
    for ask, ids in pages.items():
        history = answer(client, Action="history", **dict(ask))["History"]
        assert [post["Id"] for post in history["Posts"]] == ids
        assert (history["First"], history["Last"]) == (ids[0], ids[-1])
        assert (history["RoomName"], history["Oldest"], history["Newest"]) == ("general", 1, 7)
    assert [post.get("Reactions") for post in history["Posts"]] == [None, {"+": ["ann"]}, None]


def test_a_page_of_a_room_that_is_not_there_is_empty(node: Node) -> None:
    history = answer(silent(node), Action="history")["History"]
    assert history == {
        "ClientId": None,
        "RoomName": "general",
        "First": 1,
        "Last": 0,
        "Oldest": 1,
        "Newest": 0,
        "Posts": [],
    }


@pytest.mark.parametrize(
    ("ask", "ids"),
    [
        ({}, [19, 20]),
        ({"After": 5}, [6, 7]),
        ({"Before": 5}, [3, 4]),
        ({"Around": 10}, [9, 10]),
        ({"Around": 1}, [1, 2]),
    ],
)  # fmt: skip
def test_a_page_of_long_posts_ends_early_where_it_is_furthest_from_what_was_asked_for(
    node: Node, ask: dict[str, int], ids: list[int]
) -> None:
    for number in range(20):
        node.post(message="日" * 400 * (number + 1))
    history = answer(silent(node), Action="history", ClientId="h-1", **ask)["History"]
    assert history["ClientId"] == "h-1"
    found = [post["Id"] for post in history["Posts"]]
    assert set(ids) <= set(found)
    assert found == [*range(history["First"], history["Last"] + 1)]
    assert 2 <= len(found) < 20
    assert sum(len(post["Message"].encode()) for post in history["Posts"]) <= actions.PAGE_BYTES_MAX


def test_many_pages_at_once_wait_for_the_client_to_take_them(node: Node) -> None:
    for number in range(20):
        node.post(message=f"{number}".ljust(8000, "é"))
    client = silent(node, node.connect(receive_buffer=4096))
    for _ in range(30):
        client.say(Action="history", RoomName="general")
    assert [client.hear()["History"]["Last"] for _ in range(30)] == [20] * 30


# --- where there is a login


def test_what_a_user_does_is_done_in_his_name(house: Node) -> None:
    client = silent(house, house.connect_as("bob"))
    house.post_as("bob", message="first")
    assert answer(client, Action="edit", Id=1, Message="second")["Ack"]["Post"]["Message"] == "second"
    assert "Ack" in answer(client, Action="react", Id=1, Emoji="+")
    assert house.state.reactions("general", 1) == (("+", ("bob",)),)
    for said in ({"Action": "edit", "Message": "x"}, {"Action": "delete"}, {"Action": "react", "Emoji": "+"}):
        assert answer(client, **said, Id=1, User="eve")["Error"]["code"] == "not_your_name"
    eve = silent(house, house.connect_as("eve"))
    assert answer(eve, Action="edit", Id=1, Message="mine")["Error"]["code"] == "not_the_author"
    assert answer(client, Action="delete", Id=1)["Ack"]["Post"]["Deleted"] is True


def test_a_room_that_one_does_not_see_is_none(house: Node) -> None:
    house.connect_as("bob")
    house.post_as("bob", message="secret")
    house.members("general", "bob")
    eve = silent(house, house.connect_as("eve"))
    for said in (
        {"Action": "edit", "Id": 1, "Message": "x"},
        {"Action": "delete", "Id": 1},
        {"Action": "react", "Id": 1, "Emoji": "+"},
    ):
        assert answer(eve, **said)["Error"]["detail"].startswith("RoomName:")
    assert answer(eve, Action="history")["History"] == answer(eve, Action="history")["History"] | {
        "Newest": 0,
        "Posts": [],
    }
    assert answer(silent(house, house.connect_as("bob")), Action="history")["History"]["Newest"] == 1


def test_how_far_one_has_read_is_noted_without_a_word(house: Node) -> None:
    bob = silent(house, house.connect_as("bob"))
    number = house.state.ask(lambda tables: tables.tokens_of["bob"][0])
    house.replica.commit(encode(CreateRoom(Actor(OPERATOR), "general", "public")))
    bob.say(Action="read", RoomName="general", Id=7)
    bob.say(Action="ping")
    assert bob.hear() == {"Pong": {}}
    assert house.realtime.pending_markers.take(9) == ((number, "general", 7),)


def test_a_ticket_that_was_asked_for_lets_one_more_websocket_in(house: Node) -> None:
    bob = silent(house, house.connect_as("bob"))
    bob.say(Action="ticket", ClientId="t-1")
    told = bob.hear()["Ticket"]
    assert told["ClientId"] == "t-1"
    assert told["ExpiresAt"].endswith("Z")
    other = house.connect()
    other.say(Action="subscribe", Rooms="*", Ticket=told["Ticket"])
    assert other.hear()["Hello"]["User"] == "bob"


def test_nobody_has_a_ticket_where_nobody_logs_in(node: Node) -> None:
    client = silent(node)
    client.say(Action="ticket")
    assert client.hear()["Error"]["code"] == "open_mode"


def test_too_many_posts_at_once_are_refused_for_now_in_their_order(house: Node) -> None:
    bob = silent(house, house.connect_as("bob"))
    sent = CHANGES.burst + 10
    for number in range(sent):
        bob.say(Action="post", RoomName="general", Post={"Message": f"{number}", "ClientId": f"c-{number}"})
    answers = [bob.hear() for _ in range(sent)]
    assert ["Ack" in frame for frame in answers] == [True] * CHANGES.burst + [False] * 10
    refused = [frame["Error"] for frame in answers[CHANGES.burst :]]
    assert refused[0]["code"] == "too_many_posts"
    assert all(error["Temporary"] for error in refused)


def test_whoever_has_not_brought_a_ticket_does_none_of_it(house: Node) -> None:
    client = house.connect()
    for action in ("edit", "delete", "react", "read", "history", "ticket"):
        assert answer(client, Action=action, Id=1)["Error"]["code"] == "login_needed"


def test_what_was_said_before_a_revocation_is_decided_behind_it(house: Node) -> None:
    bob = silent(house, house.connect_as("bob"))
    house.post_as("bob", message="stays")
    house.replica.holds_reads = True
    reads = threading.Event()
    house.replica.on_read_held = reads.set
    bob.say(Action="delete", RoomName="general", Id=1)
    assert reads.wait(DEADLINE_S)
    house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), name="bob")))
    house.replica.release_reads()
    assert bob.hear_close() == 1008
    house.settle()
    assert house.state.ask(lambda tables: tables.rooms.by_name["general"].revision_of(1).deleted) is False


def test_whom_a_post_mentions_is_found_on_the_websocket_too(house: Node) -> None:
    bob = silent(house, house.connect_as("bob"))
    house.connect_as("eve")
    assert "Ack" in answer(bob, Action="post", Post={"Message": "hi @eve and @nobody"})
    assert house.state.ask(lambda tables: tables.readers["general"]["eve"].mentions) == (1,)
