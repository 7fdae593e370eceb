"""Where there is a login nothing is read or posted by who proves nothing."""

import re

import pytest

from chat.api.router import Access, Route
from chat.app import ROUTES
from chat.state.settings import LOGIN, Settings
from chat.state.tables import Tables
from tests.chat.chat_client import ChatClient
from tests.chat.login_client import LoginClient, bearer, code


def require_login(tables: Tables) -> None:
    tables.settings = Settings(LOGIN)
    tables.derive()


@pytest.mark.parametrize("path", ["/rooms", "/rooms/general", "/rooms/general/messages/1", "/rooms/general/export"])
def test_nothing_is_read_without_a_token(path: str) -> None:
    chat = ChatClient()
    assert chat.post().status_code == 201
    chat.state.ask(require_login)
    answer = chat.get(path)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "login_needed")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_nothing_is_posted_without_a_token() -> None:
    chat = ChatClient()
    chat.state.ask(require_login)
    answer = chat.post()
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "login_needed")
    assert chat.state.ask(lambda tables: tables.rooms.names) == []


NAMES = {
    "room": "general", "id": "1", "member": "3", "user": "bob", "name": "bob", "emoji": "x", "index": "1",
    "invite": "0",
}  # fmt: skip
CLOSED = [route for route in ROUTES if route.access is not Access.ANYBODY and route.path not in ("/ws", "/events")]


def target(route: Route) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: NAMES[name[1]], route.path)


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", CLOSED, ids=named)
def test_no_route_that_is_not_for_anybody_is_for_nobody_nor_for_who_was_revoked(route: Route) -> None:
    chat = LoginClient()
    assert code(chat.open(route.method, target(route), b"{}")) == (401, "login_needed")
    secret = chat.secret["ann"]
    chat.revoke("ann")
    assert code(chat.open(route.method, target(route), b"{}", bearer(secret))) == (401, "bad_token")
    assert (chat.replica.proposed, chat.replica.changes, chat.replica.transfers) == ([], [], [])


@pytest.mark.parametrize("route", [route for route in CLOSED if route.method == "GET" and not route.is_open], ids=named)
def test_no_route_reads_for_who_is_revoked_while_it_waits(route: Route) -> None:
    chat = LoginClient()
    chat.replica.holds_reads = True

    def revoked_elsewhere() -> None:
        chat.revoke("ann")
        chat.replica.release_reads()

    chat.replica.on_read_held = revoked_elsewhere
    answer = chat.open(route.method, target(route), environ=bearer(chat.secret["ann"]))
    assert code(answer) == (401, "bad_token")
