"""A chat with a login, and people in it who came by commands alone: ann the admin, bob and eve, and gus, a guest."""

from typing import TypeVar

from chat.commands import NOBODY, OPERATOR, SETUP, Actor, Command
from chat.commands.accounts import CreateUser, LogIn
from chat.commands.cluster import SetAuth
from chat.state.accounts import ADMIN, API, GUEST, MEMBER, SESSION, User
from chat.state.events import AccountEvent
from chat.state.machine import ChatState
from chat.state.results import Refusal, Result, TokenMade
from chat.state.settings import INVITE, LOGIN
from tests.chat.random_log import entry

T = TypeVar("T")

ROLES = {"ann": ADMIN, "bob": MEMBER, "eve": MEMBER, "gus": GUEST}


def digest(number: int) -> bytes:
    """Of some secret."""
    return number.to_bytes(32, "big")


class Chat:
    """A state that commands are applied to one after the other, as a log's entries from 3 on."""

    def __init__(self) -> None:
        self.state = ChatState()
        self.told: list[AccountEvent] = []
        self.state.listen(lambda index, events: None, self.told.extend)
        self.index = 2  # of the last one

    def do(self, command: Command) -> Result:
        """What comes of a command."""
        self.index += 1
        result = self.state.apply(entry(self.index, command))
        self.state.applied(self.index)
        return result

    def made(self, command: Command, kind: type[T]) -> T:
        """What comes of a command that is not refused."""
        result = self.do(command)
        assert isinstance(result, kind), result
        return result

    def refusal(self, command: Command) -> str:
        """The code that a command is refused with, which changes nothing."""
        before = [line for line in self.state.document() if not line.startswith((b'{"LogTimes"', b'{"Chat"'))]
        result = self.do(command)
        assert isinstance(result, Refusal), result
        assert result.detail[: result.detail.index(":")].isidentifier()
        assert [line for line in self.state.document() if not line.startswith((b'{"LogTimes"', b'{"Chat"'))] == before
        return result.code

    def user(self, name: str) -> User:
        """Who has this name."""
        return self.state.ask(lambda tables: tables.users[name])

    def tokens(self, name: str) -> tuple[int, ...]:
        """The numbers of a user's tokens."""
        return self.state.ask(lambda tables: tables.tokens_of.get(name, ()))

    def log_in(self, name: str, digest: bytes, kind: str = SESSION) -> TokenMade:
        """A token for who knows the password of now."""
        return self.made(
            LogIn(Actor(NOBODY, name), self.user(name).password_index, digest, kind, "laptop", 0), TokenMade
        )


class People(Chat):
    """Each of them has a session, whose secret has `digest(number)`; `by[name]` is who acts by it."""

    def __init__(self) -> None:
        super().__init__()
        self.do(SetAuth(Actor(OPERATOR), LOGIN, INVITE))
        self.by: dict[str, Actor] = {}
        for number, (name, role) in enumerate(ROLES.items(), 1):
            maker = Actor(SETUP if role == ADMIN else OPERATOR)
            self.do(new_user(maker, name, role))
            assert self.log_in(name, digest(number)).token.number == number
            self.by[name] = Actor(number, name)
        self.told.clear()

    def bot(self, name: str, digest: bytes) -> int:
        """One more token, of a program's; its number."""
        return self.log_in(name, digest, API).token.number


def new_user(
    actor: Actor, name: str, role: str = MEMBER, invite: bytes = b"", rooms: tuple[str, ...] = (), skeleton: str = ""
) -> CreateUser:
    """An account with the password of which "hash-of-<name>" is the hash."""
    return CreateUser(actor, name, name.title(), skeleton or name, f"hash-of-{name}", role, invite, rooms)
