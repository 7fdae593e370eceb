"""What a node says of the mode: how to begin, and what may not be what was meant; a line each, and once."""

import pytest

from chat.commands import OPERATOR, Actor
from chat.commands.cluster import SetAuth
from chat.services.startup_messages import StartupMessages
from chat.state.settings import INVITE, LOGIN, OPEN
from tests.chat.people import Chat, new_user


class Announced:
    """A node that was started so, and what it has said since it was last asked."""

    def __init__(self, host: str = "127.0.0.1", auth: str | None = None) -> None:
        self.chat = Chat()
        self._said: list[str] = []
        self._announcer = StartupMessages(
            self.chat.state, url="http://chat", host=host, auth=auth, setup="su_1", say=self._said.append
        )

    def said(self) -> list[str]:
        for _ in range(3):
            self._announcer.look()
        said = list(self._said)
        self._said.clear()
        return said

    def turn(self, auth: str) -> None:
        self.chat.do(SetAuth(Actor(OPERATOR), auth, INVITE))


def test_in_the_open_mode_on_loopback_there_is_nothing_to_say() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert Announced(host).said() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "chat.example.org"])
def test_in_the_open_mode_elsewhere_there_is_a_warning(host: str) -> None:
    node = Announced(host)
    (line,) = node.said()
    assert host in line and "--auth login" in line and "\n" not in line
    node.chat.do(new_user(Actor(OPERATOR), "ann"))
    assert node.said() == []
    node.turn(LOGIN)
    node.said()
    node.turn(OPEN)
    assert len(node.said()) == 1


def test_the_set_up_token_is_told_while_there_is_no_user() -> None:
    node = Announced()
    node.turn(LOGIN)
    assert node.said() == ["set up the first account at http://chat/ with the token su_1"]
    node.chat.do(new_user(Actor(OPERATOR), "ann"))
    assert node.said() == []
    node.turn(OPEN)
    node.turn(LOGIN)
    assert node.said() == []


def test_a_node_that_is_to_have_a_login_does_not_warn_before_it_has() -> None:
    node = Announced("0.0.0.0", LOGIN)
    assert node.said() == []


def test_that_open_does_not_open_what_asks_for_a_login_is_said_where_it_was_asked_for() -> None:
    for auth, lines in ((OPEN, 1), (None, 0), (LOGIN, 0)):
        node = Announced(auth=auth)
        node.said()
        node.chat.do(new_user(Actor(OPERATOR), "ann"))
        node.turn(LOGIN)
        assert len(node.said()) == lines
