"""A client of the application where there is a login, with the people of `people.py` and their tokens."""

import json
from typing import Any

from werkzeug.test import TestResponse

from chat.auth import cookies, secrets
from chat.commands import NOBODY, OPERATOR, Actor, Command, encode
from chat.commands.accounts import CreateUser, LogIn, RevokeTokens
from chat.commands.cluster import SetAuth
from chat.state.accounts import SESSION
from chat.state.results import Refusal, TokenMade
from chat.state.settings import INVITE, LOGIN
from tests.chat.chat_client import GENERAL, QUICK, ChatClient
from tests.chat.people import ROLES


class LoginClient(ChatClient):
    """`secret[name]` is a token of that one's, `number[name]` its number.

    What the people of the state come by reaches it from elsewhere: `proposed` has only what requests propose.
    """

    def __init__(self) -> None:
        super().__init__()
        self.secret: dict[str, str] = {}
        self.number: dict[str, int] = {}
        self.do(SetAuth(Actor(OPERATOR), LOGIN, INVITE))
        for name, role in ROLES.items():
            self.do(CreateUser(Actor(OPERATOR), name, name.title(), name, QUICK.hash(password(name)), role))
            self.secret[name] = secrets.new_secret(secrets.TOKEN)
            self.number[name] = self.log_in(name, self.secret[name])

    def do(self, command: Command) -> object:
        """What comes of a command of another member's, which is not refused."""
        result = self.replica.commit(encode(command))
        assert not isinstance(result, Refusal), result
        return result

    def log_in(self, name: str, secret: str, expires_at: int = 0) -> int:
        """The number of a new token."""
        at = self.state.ask(lambda tables: tables.users[name].password_index)
        made = self.do(LogIn(Actor(NOBODY, name), at, secrets.digest(secret), SESSION, "", expires_at))
        assert isinstance(made, TokenMade)
        return made.token.number

    def revoke(self, name: str) -> None:
        """All tokens of a user's, by the operator, at another member."""
        self.do(RevokeTokens(Actor(OPERATOR), (), name))

    def ask(
        self, name: str, method: str = "GET", target: str = GENERAL, body: object = None, **environ: Any
    ) -> TestResponse:
        """The answer to a request with somebody's token."""
        data = b"" if body is None else json.dumps(body).encode()
        return self.open(method, target, data, {**bearer(self.secret[name]), **environ})

    def say(self, name: str, target: str = GENERAL, **members: object) -> TestResponse:
        """The answer to a post with somebody's token."""
        return self.ask(name, "POST", target, {"Message": "hi"} | members)

    def cookie(self, *secrets: str) -> dict[str, str]:
        """The header with so many cookies of this cluster's, as environ has it."""
        name = cookies.name(self.replica.cluster_id)
        return {"HTTP_COOKIE": "; ".join(f"{name}={secret}" for secret in secrets)}


def password(name: str) -> str:
    """That one's."""
    return f"password-of-{name}"


def bearer(secret: str) -> dict[str, str]:
    """The header with a token, as environ has it."""
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


def log_in(
    chat: ChatClient, name: str, word: str, /, environ: dict[str, Any] | None = None, **more: str
) -> TestResponse:
    """The answer to a login."""
    body = json.dumps({"Name": name, "Password": word, **more}).encode()
    return chat.open("POST", "/login", body, environ)


def code(answer: TestResponse) -> tuple[int, str]:
    """The status and the code of a problem."""
    assert answer.json is not None
    return answer.status_code, answer.json["code"]
