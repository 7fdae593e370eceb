"""On a port whose application knows its clients, strangers take no connection of a known client, and keep none."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from chat.server.limits import Limits
from tests.chat.wire import GET, Client, mode, post, serving

KNOW = post(b"", b"/know")
KNOWN = Limits(connections=8)
LIMITS = Limits(connections=8, stranger_s=60.0)


@pytest.fixture(autouse=True)
def without_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port of the peers has none."""
    monkeypatch.setattr(mode, "never_waits", None)


def knowing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Know who asks for /know."""
    if environ["PATH_INFO"] == "/know":
        environ["raft_chat.set_limits"](KNOWN)
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def address(number: int) -> str:
    return f"127.0.1.{number}"


def test_strangers_of_many_addresses_give_way_and_known_clients_do_not() -> None:
    with ExitStack() as stack, serving(knowing, limits=LIMITS) as server:

        def connected(number: int, request: bytes) -> Client:
            client = stack.enter_context(Client(server.port, source=address(number)))
            assert client.ask(request).status == 200
            return client

        known = [connected(1, KNOW) for _ in range(4)]
        strangers = [connected(number, GET) for number in (2, 3, 4, 5)]
        connected(6, KNOW)
        assert strangers[0].closed()
        assert [client.ask(GET).status for client in known] == [200] * 4


def test_a_network_of_many_strangers_gets_no_more_and_gives_way_to_one_with_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chat.server.server.STRANGERS_EACH", 2)
    monkeypatch.setattr("chat.server.server.EVICTED_AT_ONCE", 1)
    with ExitStack() as stack, serving(knowing, limits=LIMITS) as server:
        clients = [stack.enter_context(Client(server.port, source=address(of))) for of in (2, 1, 1, 1, 1, 1, 1, 1)]
        for client in clients:
            assert client.ask(GET).status == 200
        assert stack.enter_context(Client(server.port, source=address(1))).response().status == 503
        assert clients[1].closed()
        assert clients[0].ask(GET).status == 200


def test_a_stranger_who_asks_and_asks_is_cut_at_the_deadline_for_becoming_known() -> None:
    limits = Limits(stranger_s=0.2, linger_s=0.1)
    with serving(knowing, limits=limits) as server, Client(server.port) as known, Client(server.port) as stranger:
        assert known.ask(KNOW).status == 200
        assert stranger.ask(GET).status == 200
        assert stranger.closed()
        assert known.ask(GET).status == 200
