"""What the tests of the chat share: a node in this process, one with people, and a server in both its ways."""

from collections.abc import Iterator

import pytest

from chat.commands import OPERATOR, SETUP, Actor, encode
from chat.commands.cluster import SetAuth
from chat.state.accounts import ADMIN
from chat.state.settings import INVITE, LOGIN
from tests.chat.people import ROLES, new_user
from tests.chat.wire import mode
from tests.support.node import Node


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


@pytest.fixture
def house(node: Node) -> Node:
    """A node with a login, and people."""
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    for name, role in ROLES.items():
        node.replica.commit(encode(new_user(Actor(SETUP if role == ADMIN else OPERATOR), name, role)))
    return node


@pytest.fixture(params=["threads", "watched"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with a thread for each connection, once from the watch, which leaves what is under /wait to threads."""
    _serve(request.param, monkeypatch)


@pytest.fixture(params=["threads", "watched", "tls-threads", "tls-watched"])
def served_and_over_tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and both once more over TLS."""
    _serve(request.param, monkeypatch)


def _serve(manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "is_tls", manner.startswith("tls-"))
    if manner.endswith("watched"):
        monkeypatch.setattr(mode, "never_waits", lambda method, target: not target.startswith("/wait"))
