"""Where there is a login nothing is read or posted by who proves nothing."""

import pytest

from chat.state.settings import LOGIN, Settings
from chat.state.tables import Tables
from tests.chat.chat_client import ChatClient


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
