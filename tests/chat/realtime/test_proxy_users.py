"""Websockets and streams of users whom a proxy names: signed in at first sight, and ended with their session."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from chat.auth.cookies import name
from chat.auth.proxies import behind, parse
from chat.auth.proxy_users import AuthHeaders
from chat.auth.secrets import TOKEN, digest
from chat.commands import OPERATOR, Actor, encode
from chat.commands.accounts import ChangeUser, CreateTicket, LogIn
from chat.server.server import Server
from chat.services.proxy_sign_in import ProxySignIn
from chat.state.accounts import PROXY
from tests.support.node import Node, NodeClient
from tests.support.websocket_client import HandshakeRefused

BROWSERS = TOKEN + "b" * 43


@pytest.fixture
def port(house: Node) -> Iterator[int]:
    """The port of the house behind a proxy, which is this machine."""
    house.authenticator._sign_in = ProxySignIn(house.replica, house.state)
    app = behind(parse("127.0.0.1"), house.app, AuthHeaders("HTTP_X_REMOTE_USER", ""))
    server = Server(app, "127.0.0.1", 0, name="proxied")
    server.start()
    yield server.port
    server.drain(1.0)


def client_of(house: Node, port: int, user: str, *headers: str) -> NodeClient:
    client = NodeClient(port, headers=(f"X-Remote-User: {user}", *headers))
    house.clients.append(client)
    client.user = user
    return client


def cookie(house: Node, user: str) -> str:
    """A header with a session of this user's browser."""
    made = house.replica.commit(encode(LogIn(Actor(OPERATOR, user), 0, digest(BROWSERS), PROXY, "browser", 1 << 60)))
    assert made is not None
    return f"Cookie: {name(house.replica.cluster_id)}={BROWSERS}"


def test_the_first_request_of_a_user_may_be_a_websocket(house: Node, port: int) -> None:
    client = client_of(house, port, "zoe")
    client.subscribe("*")
    house.log_in("bob", "bobs")
    house.post_as("bob", message="to all")
    assert client.hear()["Post"]["Message"] == "to all"
    client.say(Action="post", RoomName="general", Post={"Message": "mine", "ClientId": "c-1"})
    while "Ack" not in (frame := client.hear()):
        pass
    assert frame["Ack"]["Post"]["User"] == "zoe"


def test_a_websocket_ends_when_the_header_names_another_user_in_that_browser(house: Node, port: int) -> None:
    browser = cookie(house, "bob")
    bobs, others = client_of(house, port, "bob", browser), client_of(house, port, "bob")
    for client in (bobs, others):
        client.subscribe("*")
    anns = client_of(house, port, "ann", browser)
    anns.subscribe("*")
    assert bobs.hear_close() == 1008
    others.say(Action="ping")
    assert others.hear() == {"Pong": {}}


def test_a_deactivated_users_websocket_ends_and_no_other_one_opens(house: Node, port: int) -> None:
    client = client_of(house, port, "bob")
    client.subscribe("*")
    house.replica.commit(encode(ChangeUser(Actor(OPERATOR), "bob", active=False)))
    assert client.hear_close() == 1008
    with pytest.raises(HandshakeRefused) as refused:
        client_of(house, port, "bob")
    assert refused.value.answer.status == 403


def test_a_name_that_no_user_can_have_opens_no_websocket(house: Node, port: int) -> None:
    with suppress(HandshakeRefused):
        assert client_of(house, port, "@zoe").hear_close() == 1008
    assert house.replica.proposed == []


def test_a_ticket_of_the_users_session_opens_a_websocket_at_a_node_without_the_proxy(house: Node, port: int) -> None:
    client_of(house, port, "bob").subscribe("*")
    number = house.state.ask(lambda tables: tables.tokens_of["bob"][-1])
    house.replica.commit(encode(CreateTicket(Actor(number, "bob"), digest("rt_1"), 0)))
    past_it = house.arrive()
    past_it.user = "bob"
    past_it.subscribe("*", ticket="rt_1")
