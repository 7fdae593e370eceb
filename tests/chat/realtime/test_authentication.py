"""Who a websocket is where there is a login: what it proves, what it is told, and that it ends with its token."""

import json
import threading

import pytest

from chat.auth.authenticator import UNKNOWN_TOKENS, Authenticator
from chat.auth.secrets import digest
from chat.commands import OPERATOR, Actor, Post, encode
from chat.commands.accounts import ChangeUser, CreateTicket, RedeemTicket, RevokeTokens
from chat.commands.cluster import ExpireCredentials, SetAuth
from chat.realtime import authentication
from chat.realtime.protocol import STRANGER_BYTES_MAX
from chat.replica import STALE_S_MAX
from chat.state.accounts import ADMIN, GUEST, Acting
from chat.state.results import Posted, Redeemed
from chat.state.room import PageRequest
from chat.state.room_details import DIRECT
from chat.state.settings import INVITE, LOGIN, OPEN
from tests.chat.people import ROLES
from tests.support.node import DEADLINE_S, Node, NodeClient, secret
from tests.support.websocket_client import HandshakeRefused
from tests.support.websocket_frames import CLOSE, TEXT, client_frame


def ticket(node: Node, user: str, secret: str = "rt_1", expires_at: int = 0) -> str:
    number = node.log_in(user, f"of-{secret}")
    node.replica.commit(encode(CreateTicket(Actor(number, user), digest(secret), expires_at)))
    return secret


def texts(client: NodeClient, frames: int) -> list[str]:
    return [client.hear()["Post"]["Message"] for _ in range(frames)]


def is_deaf(client: NodeClient) -> bool:
    """Whether nothing was said to it before an answer."""
    client.say(Action="ping")
    return client.hear() == {"Pong": {}}


# --- who it is


def test_until_the_mode_is_known_nobody_is_told_anything_over_a_websocket(node: Node) -> None:
    node.replica.commit(encode(Post("general", "ann", "old", "c1")))
    node.realtime.authenticator = Authenticator(node.replica, node.state, knows_mode=False)
    node.replica.unavailable = True
    assert node.arrive().hear_close() == 1013
    node.replica.unavailable = False
    client = node.connect()
    node.post(message="heard without a subscription")
    assert texts(client, 1) == ["heard without a subscription"]
    client.subscribe("*")


def test_who_proves_nothing_is_told_nothing_and_sent_away(house: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "TICKET_WAIT_S", 0.2)
    client = house.connect()
    house.connect_as("bob")
    house.post_as("bob")
    for action in ({"Action": "subscribe", "Rooms": "*"}, {"Action": "post", "RoomName": "a", "Post": {}}):
        client.say(**action)
        error = client.hear()["Error"]
        assert (error["code"], error["Temporary"]) == ("login_needed", False)
    assert client.hear_close() == 1008


def test_who_brings_a_token_listens_at_once_and_is_called_by_name(house: Node) -> None:
    client = house.connect_as("bob")
    house.post_as("bob", message="one")
    assert texts(client, 1) == ["one"]
    client.subscribe("*")
    house.post_as("bob", message="two")
    assert texts(client, 1) == ["two"]


def test_a_token_that_is_not_known_here_is_looked_for_once_more_when_all_is_known(house: Node) -> None:
    house.replica.holds_reads = True
    reads = threading.Event()
    house.replica.on_read_held = reads.set
    client, other = (house.arrive(token=secret(name)) for name in ("late", "never"))
    client.say(Action="subscribe", Rooms="*")
    assert reads.wait(DEADLINE_S)
    house.settle()
    house.log_in("bob", "late")
    house.replica.release_reads()
    assert client.hear()["Hello"]["User"] == "bob"
    assert other.hear_close() == 1008


def test_a_token_that_is_not_known_here_is_sent_away_for_now_where_nobody_can_say(house: Node) -> None:
    house.replica.unavailable = True
    client = house.arrive(token=secret("unknown"))
    assert client.hear_close() == 1013


def test_a_user_has_so_many_websockets_and_no_more(house: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "WEBSOCKETS_OF_USER_MAX", 3)
    clients = [house.connect_as("bob") for _ in range(3)]
    house.connect_as("eve")
    house.log_in("bob", "one-more")
    refused = house.arrive(token=secret("one-more"))
    assert refused.hear_close() == 1008
    for client in (refused, clients[0]):
        client.close()
    while house.hub.count > 3:
        house.settle()
    house.connect_as("bob")


# --- tickets


def test_what_is_said_behind_a_ticket_waits_for_it(house: Node) -> None:
    client = house.connect()
    secret = ticket(house, "bob")
    house.replica.delayed = True
    client.say(Action="subscribe", Rooms="*", Ticket=secret)
    client.say(Action="post", RoomName="general", Post={"Message": "hi", "ClientId": "c-1"})
    while not house.replica.proposed:
        house.settle()
    house.replica.delayed = False
    house.replica.release()
    assert client.hear()["Hello"]["User"] == "bob"
    frames = [client.hear(), client.hear()]
    assert {tuple(frame) for frame in frames} == {("RoomName", "Post", "Cursor"), ("Ack",)}
    assert [frame["Post"]["User"] for frame in frames if "Post" in frame] == ["bob"]


def test_who_has_not_signed_in_is_closed_by_the_header_of_a_frame_of_over_4_kib(house: Node) -> None:
    stranger = house.connect()
    stranger.send_bytes(b"\x81\xfe" + (STRANGER_BYTES_MAX + 1).to_bytes(2) + b"\0\0\0\0")
    assert stranger.hear_close() == 1009
    in_fragments = house.connect()
    for first in (0x01, 0x00, 0x80):
        in_fragments.send_bytes(bytes([first]) + b"\xfe" + (1500).to_bytes(2) + b"\0\0\0\0" + "é".encode() * 750)
    assert in_fragments.hear_close() == 1009


def test_what_is_said_behind_a_ticket_may_be_as_long_as_a_post(house: Node) -> None:
    client = house.connect()
    frames = [
        json.dumps({"Action": "subscribe", "Rooms": "*", "Ticket": ticket(house, "bob")}),
        json.dumps({"Action": "post", "RoomName": "general", "Post": {"Message": "x" * 8000}}),
    ]
    client.send_bytes(b"".join(client_frame(frame.encode()) for frame in frames))
    assert client.hear()["Hello"]["User"] == "bob"
    heard = [client.hear(), client.hear()]
    assert any("Ack" in frame for frame in heard), heard


def test_a_ticket_whose_token_is_revoked_while_it_is_used_up_is_none(house: Node) -> None:
    house.replica.delayed = True
    client = house.connect()
    client.say(Action="subscribe", Rooms="*", Ticket=ticket(house, "bob"))
    while not house.replica.proposed:
        house.settle()
    with house.hung():
        house.replica.release()
        house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), name="bob")))
    assert client.hear_close() == 1008


def test_a_ticket_is_good_once(house: Node) -> None:
    secret = ticket(house, "bob")
    first, second = house.connect(), house.connect()
    first.say(Action="subscribe", Rooms="*", Ticket=secret)
    assert first.hear()["Hello"]["User"] == "bob"
    proposed = len(house.replica.proposed)
    second.say(Action="subscribe", Rooms="*", Ticket=secret)
    assert second.hear()["Error"]["code"] == "bad_ticket"
    assert second.hear_close() == 1008
    assert len(house.replica.proposed) == proposed  # what strangers say does not get into the log


def test_an_address_that_brings_wrong_tickets_again_and_again_is_told_to_wait(house: Node) -> None:
    for number in range(UNKNOWN_TOKENS.burst + 1):
        client = house.connect()
        reads = house.replica.reads
        client.say(Action="subscribe", Rooms="*", Ticket=f"rt_{number}")
        error = client.hear()["Error"]
        client.close()
    assert (error["code"], error["Temporary"]) == ("too_many_attempts", True)
    assert house.replica.reads == reads
    right = house.connect()
    right.say(Action="subscribe", Rooms="*", Ticket=ticket(house, "bob"))
    assert right.hear()["Hello"]["User"] == "bob"


def test_a_ticket_brought_twice_at_once_is_good_for_the_first(house: Node) -> None:
    house.replica.delayed = True
    secret = ticket(house, "bob")
    clients = [house.connect() for _ in range(2)]
    for client in clients:
        client.say(Action="subscribe", Rooms="*", Ticket=secret)
    while len(house.replica.proposed) < 2:
        house.settle()
    house.replica.release()
    said = sorted((next(iter(client.hear())) for client in clients), reverse=True)
    assert said == ["Hello", "Error"]


def test_a_ticket_that_was_made_elsewhere_is_waited_for(house: Node) -> None:
    number = house.log_in("bob", "bob")
    house.replica.holds_reads = True
    reads = threading.Event()
    house.replica.on_read_held = reads.set
    client = house.connect()
    client.say(Action="subscribe", Rooms="*", Ticket="rt_late")
    assert reads.wait(DEADLINE_S)
    house.replica.commit(encode(CreateTicket(Actor(number, "bob"), digest("rt_late"), 0)))
    house.replica.release_reads()
    assert client.hear()["Hello"]["User"] == "bob"


def test_a_ticket_that_is_too_old_is_none(house: Node) -> None:
    client = house.connect()
    client.say(Action="subscribe", Rooms="*", Ticket=ticket(house, "bob", expires_at=house.replica.now))
    assert client.hear()["Error"]["code"] == "bad_ticket"


def test_without_a_quorum_a_ticket_may_be_brought_again(house: Node) -> None:
    client = house.connect()
    secret = ticket(house, "bob")
    house.replica.unavailable = True
    client.say(Action="subscribe", Rooms="*", Ticket=secret)
    assert client.hear()["Error"]["Temporary"] is True
    house.replica.unavailable = False
    client.say(Action="subscribe", Rooms="*", Ticket=secret)
    assert client.hear()["Hello"]["User"] == "bob"


@pytest.mark.parametrize("is_known", [True, False])
def test_while_nobody_knows_what_time_it_is_a_ticket_may_be_brought_again(house: Node, is_known: bool) -> None:
    number = house.log_in("bob", "bob")
    made = encode(CreateTicket(Actor(number, "bob"), digest("rt_1"), house.replica.now + 3_600_000_000))
    house.replica.clocks_known = False
    reads = threading.Event()
    house.replica.holds_reads, house.replica.on_read_held = True, reads.set
    client = house.connect()
    if is_known:
        house.replica.commit(made)
    client.say(Action="subscribe", Rooms="*", Ticket="rt_1")
    if not is_known:  # the engine's thread, in which nothing may fail, finds it
        assert reads.wait(DEADLINE_S)
        house.replica.commit(made)
        house.replica.release_reads()
    assert client.hear()["Error"]["Temporary"] is True
    house.replica.clocks_known = True
    client.say(Action="subscribe", Rooms="*", Ticket="rt_1")
    assert client.hear()["Hello"]["User"] == "bob"


def test_subscribing_again_uses_no_second_ticket_up(house: Node) -> None:
    client = house.connect_as("eve")
    secret = ticket(house, "bob")
    client.say(Action="subscribe", Rooms="*", Ticket=secret)
    assert client.hear()["Hello"]["User"] == "eve"
    assert isinstance(house.replica.commit(encode(RedeemTicket(digest(secret)))), Redeemed)


# --- what it is told


def test_on_a_node_that_hears_no_leader_nobody_is_told_what_was_missed(house: Node) -> None:
    client = house.connect_as("bob")
    house.replica.contact_s = STALE_S_MAX
    cursor = client.subscribe()
    house.replica.contact_s = STALE_S_MAX + 0.1
    for each in (client, house.connect_as("eve")):
        each.say(Action="subscribe", Rooms="*", Cursor=cursor)
        assert each.hear_close() == 1013


def test_each_role_is_told_live_what_it_sees(house: Node) -> None:
    clients = {name: house.connect_as(name) for name in ROLES}
    for room in ("general", "club", "pair"):
        house.post_as("bob", room, "made")
    for client in clients.values():
        client.subscribe("*")
    house.members("club", "bob", "gus")
    house.members("pair", "bob", "eve", visibility=DIRECT)
    for room in ("general", "club", "pair", "general"):
        assert isinstance(house.post_as("bob", room, room), Posted)
    told = {
        "ann": ["general", "club", "general"],
        "bob": ["general", "club", "pair", "general"],
        "eve": ["general", "pair", "general"],
        "gus": ["club"],
    }
    for name, expected in told.items():
        assert texts(clients[name], len(expected)) == expected
        assert is_deaf(clients[name])


def test_what_was_missed_is_what_one_sees_by_now(house: Node) -> None:
    house.connect_as("bob")
    for room in ("general", "club", "pair"):
        house.post_as("bob", room, room)
    house.members("club", "bob", "gus")
    house.members("pair", "bob", "eve", visibility=DIRECT)
    told = {"ann": ["general", "club"], "bob": ["general", "club", "pair"], "eve": ["general", "pair"], "gus": ["club"]}
    for name, expected in told.items():
        for rooms in ("*", ["general", "club", "pair"]):
            client = house.connect_as(name)
            client.subscribe(rooms, "c0ffee-2")
            assert texts(client, len(expected)) == expected
            assert is_deaf(client)
    house.members("club", "gus")
    client = house.connect_as("bob")
    client.subscribe("*", "c0ffee-2")
    assert texts(client, 2) == ["general", "pair"]
    assert is_deaf(client)


def test_who_is_no_member_any_more_is_told_nothing_of_the_next_post(house: Node) -> None:
    ann, bob = house.connect_as("ann"), house.connect_as("bob")
    house.post_as("ann", "club", "made")
    assert texts(bob, 1) == ["made"]
    house.members("club", "ann", "bob")
    house.post_as("ann", "club", "one")
    house.members("club", "ann")
    house.post_as("ann", "club", "two")
    house.post_as("ann", "general", "three")
    assert texts(bob, 2) == ["one", "three"]
    assert texts(ann, 4) == ["made", "one", "two", "three"]


def test_another_role_holds_for_the_websockets_that_are_open(house: Node) -> None:
    bob, eve = house.connect_as("bob"), house.connect_as("eve")
    house.replica.commit(encode(ChangeUser(Actor(OPERATOR), "bob", role=GUEST)))
    house.post_as("eve", message="not for guests")
    assert texts(eve, 1) == ["not for guests"]
    house.replica.commit(encode(ChangeUser(Actor(OPERATOR), "bob", role=ADMIN)))
    house.post_as("eve", message="for all")
    assert texts(bob, 1) == ["for all"]


# --- how it ends


def test_a_websocket_ends_with_its_token_and_others_of_the_user_do_not(house: Node) -> None:
    first, second = house.connect_as("bob"), house.connect_as("bob")
    number = house.state.ask(lambda tables: tables.tokens_of["bob"][0])
    house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), (number,))))
    assert first.hear_close() == 1008
    house.post_as("bob", message="after")
    assert texts(second, 1) == ["after"]


def test_a_websocket_ends_when_its_token_is_too_old(house: Node) -> None:
    number = house.log_in("bob", "bob", expires_at=house.replica.now + 60_000_000)
    bob = house.connect(token=secret("bob"))
    house.replica.now += 61_000_000
    house.replica.commit(encode(ExpireCredentials(house.replica.now, (number,), (), ())))
    assert bob.hear_close() == 1008


def test_every_websocket_of_a_user_ends_with_his_account(house: Node) -> None:
    clients, eve = [house.connect_as("bob") for _ in range(2)], house.connect_as("eve")
    house.replica.commit(encode(ChangeUser(Actor(OPERATOR), "bob", active=False)))
    assert [client.hear_close() for client in clients] == [1008, 1008]
    house.post_as("eve", message="after")
    assert texts(eve, 1) == ["after"]


def test_a_slow_reader_gets_nothing_of_its_backlog_once_its_token_is_revoked(house: Node) -> None:
    slow = house.connect_as("bob", receive_buffer=4096)
    house.connect_as("eve")
    texts_posted = [
        f"{number}".ljust(7000, "x") for number in range(60)
    ]  # more than the kernel keeps, and less than 1013
    for text in texts_posted:
        house.post_as("eve", message=text)
    house.settle()
    house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), name="bob")))
    told = 0
    while (frame := slow.receive()).opcode == TEXT:
        told += 1
    assert (frame.opcode, int.from_bytes(frame.payload[:2])) == (CLOSE, 1008)
    assert told < len(texts_posted)


def test_a_token_that_is_revoked_while_its_websocket_is_taken_in_is_none(house: Node) -> None:
    number = house.log_in("bob", "bob")
    with house.hung():
        client = house.arrive_later(token=secret("bob"))
        house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), (number,))))
    assert client().hear_close() == 1008


def test_what_a_revoked_token_posts_is_refused_wherever_its_websocket_is(house: Node) -> None:
    client = house.connect_as("bob")
    client.subscribe(["none"])
    house.replica.delayed = True
    client.say(Action="post", RoomName="general", Post={"Message": "late", "ClientId": "c-1"})
    while not house.replica.proposed:
        house.settle()
    house.replica.commit(encode(RevokeTokens(Actor(OPERATOR), name="bob")))
    house.replica.release()
    assert client.hear_close() == 1008
    assert house.state.page("general", PageRequest(), Acting("", ADMIN)).newest_id == 0


@pytest.mark.parametrize("mode", [LOGIN, OPEN])
def test_everybody_comes_anew_when_the_mode_changes(node: Node, mode: str) -> None:
    if mode == OPEN:
        node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    clients = [node.connect() for _ in range(3)]
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), mode, INVITE)))
    assert [client.hear_close() for client in clients] == [1012] * 3
    node.connect()


# --- what it says


def test_a_post_is_the_users_whatever_it_says(house: Node) -> None:
    client = house.connect_as("bob")
    client.subscribe(["none"])
    client.say(Action="post", RoomName="general", Post={"Message": "hi", "ClientId": "c-1"})
    assert client.hear()["Ack"]["Post"]["User"] == "bob"
    client.say(Action="post", RoomName="general", Post={"User": "bob", "Message": "ho", "ClientId": "c-2"})
    assert client.hear()["Ack"]["ClientId"] == "c-2"
    proposed = len(house.replica.proposed)
    client.say(Action="post", RoomName="general", Post={"User": "ann", "Message": "ho", "ClientId": "c-3"})
    error = client.hear()["Error"]
    assert (error["code"], error["ClientId"], error["Temporary"]) == ("not_your_name", "c-3", False)
    assert len(house.replica.proposed) == proposed


# --- what is refused in HTTP


def test_a_token_that_can_only_be_wrong_and_too_many_unknown_ones_are_answered_in_http(house: Node) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        house.arrive(token="nonsense")
    assert refused.value.answer.status == 401
    statuses = []
    for _ in range(UNKNOWN_TOKENS.burst + 1):
        try:
            house.arrive(token=secret("unknown"))
        except HandshakeRefused as error:
            statuses.append(error.answer.status)
    assert statuses == [429]
