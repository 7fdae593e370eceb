"""A client that calls the chat's WSGI application: no server, no thread, and request targets byte by byte as given.

A node with a server is `tests/support/node.py`.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from werkzeug.test import Client, TestResponse

from chat.api.response import Environ
from chat.app import create_app
from chat.auth.authenticator import Authenticator
from chat.auth.secrets import Passwords
from chat.services.proxy_sign_in import ProxySignIn
from chat.services.read_markers import PendingMarkers
from chat.state.machine import ChatState
from tests.support.fake_replica import FIRST_TIME, FakeReplica
from tests.support.wsgi import deferring

T = TypeVar("T")

GENERAL = "/rooms/general"
SETUP_SECRET = "su_" + "s" * 43
QUICK = Passwords("pbkdf2:sha256:1")  # for tests, that make many
OPERATORS_SECRET = "op_" + "o" * 43


class Clock(Generic[T]):
    """What the application takes for the time; it stands still."""

    def __init__(self, now: T) -> None:
        self.now = now

    def __call__(self) -> T:
        return self.now


class ChatClient:
    """An application over a FakeReplica, and requests to it."""

    def __init__(self, websocket: Callable[[Environ], None] | None = None) -> None:
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.clock = Clock(FIRST_TIME)
        self.monotonic = Clock(0.0)
        authenticator = Authenticator(
            self.replica, self.state, operator=OPERATORS_SECRET, setup=SETUP_SECRET, passwords=QUICK,
            sign_in=ProxySignIn(self.replica, self.state), clock=self.clock, monotonic=self.monotonic,
        )  # fmt: skip
        self.pending_markers = PendingMarkers()
        self.app = create_app(
            self.replica,
            self.state,
            authenticator=authenticator,
            websocket=websocket,
            pending_markers=self.pending_markers,
        )
        self._client = Client(deferring(self.app), use_cookies=False)

    def open(self, method: str, target: str, body: bytes = b"", environ: dict[str, Any] | None = None) -> TestResponse:
        """The answer to a request; every answer is checked for what all of them have in common."""
        overrides = {"RAW_URI": target, **(environ or {})}
        response = self._client.open("/", method=method, data=body, environ_overrides=overrides)
        assert re.fullmatch("(ab12-)?[0-9]+", response.headers.get("X-Raft-Index", "0"))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.status_code >= 400 and method != "HEAD":
            assert response.content_type == "application/problem+json"
            assert response.json is not None
            assert set(response.json) >= {"type", "title", "status", "detail", "code"}
            assert response.json["status"] == response.status_code
        return response

    def get(self, target: str, **environ: Any) -> TestResponse:
        """GET."""
        return self.open("GET", target, environ=environ)

    def post(self, target: str = GENERAL, /, **members: object) -> TestResponse:
        """POST a JSON object; a post to `general` unless told otherwise."""
        return self.open("POST", target, json.dumps({"User": "ann", "Message": "hi"} | members).encode())

    def configure(self, retention: object, target: str = GENERAL) -> TestResponse:
        """PATCH a room's retention."""
        return self.open("PATCH", target, json.dumps({"Retention": retention}).encode())

    def delete(self, target: str = GENERAL) -> TestResponse:
        """DELETE."""
        return self.open("DELETE", target)

    def raw(self, body: bytes) -> TestResponse:
        """POST any bytes to `general`."""
        return self.open("POST", GENERAL, body)

    def fill(self, posts: int, target: str = GENERAL) -> None:
        """Post m1, m2 … mN."""
        for number in range(1, posts + 1):
            assert self.post(target, Message=f"m{number}").status_code == 201


def ids(response: TestResponse) -> list[int]:
    """The Ids of a page."""
    assert response.status_code == 200
    assert response.json is not None
    return [post["Id"] for post in response.json]


def links(response: TestResponse) -> dict[str, str]:
    """The targets of a page's Link header by their relation."""
    return {rel: target for target, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers.get("Link", ""))}


def refused(response: TestResponse, status: int, field: str) -> bool:
    """Whether the answer is a problem of that status whose detail names the field."""
    assert response.json is not None
    return response.status_code == status and response.json["detail"].startswith(f"{field}:")
