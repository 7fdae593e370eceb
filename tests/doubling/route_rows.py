"""Every route: the longest body and path that its entry in the table lets through, by a user who may, applied too."""

from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from io import BytesIO
from time import process_time
from typing import Any, cast
from unicodedata import normalize
from urllib.parse import quote

from chat.api.request import BODY_BYTES_MAX
from chat.api.response import json_line
from chat.api.router import Route
from chat.api.routes.imports import NDJSON
from chat.app import ROUTES
from chat.auth import secrets
from chat.commands import OPERATOR, Actor
from chat.commands.accounts import CreateUser
from chat.confusable_names import skeleton
from chat.services import validation
from chat.services.imports import LINES_MAX, WINDOW
from chat.services.validation import URL_POINTS_MAX
from chat.state.accounts import MEMBER
from chat.state.room_details import MEMBERS_MAX
from tests.chat.chat_client import SETUP_SECRET
from tests.chat.login_client import LoginClient, bearer, password
from tests.doubling.rows import Case, Row
from tests.doubling.texts import MARKED, marked, serial
from tests.support.wsgi import deferring

MANY_NAMES = MEMBERS_MAX - 10  # with some who are there by themselves
_NO_ROUTES = {("GET", "/ws"), ("GET", "/events")}  # a websocket has rows of its own, and a stream has no end

Environ = dict[str, Any]


class Served:
    """An application with a login, whose people have what a room can have, and who is admin again after each call."""

    def __init__(self) -> None:
        self.chat = LoginClient()
        for name in names(MANY_NAMES):
            self.chat.do(CreateUser(Actor(OPERATOR), name, name, skeleton(name), "", MEMBER))

    def call(self, method: str, target: str, body: bytes) -> int:
        """The status of the answer, which is read to its end."""
        found: list[str] = []
        environ: Environ = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "wsgi.url_scheme": "http",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_HOST": "chat.example",
            **bearer(self.chat.secret["ann"]),
        }
        answer = deferring(self.chat.app)(environ, lambda status, headers, *_: found.append(status))
        for _ in answer:
            pass
        return int(found[0][:3])

    def room_with_a_message(self) -> dict[str, str]:
        """What the names in a path stand for: a room of its own, and a message in it."""
        self.chat.monotonic.now += 1e6  # no rate is what a row measures
        self.chat.revoke("ann")
        self.chat.secret["ann"] = secrets.new_secret(secrets.TOKEN)
        self.chat.log_in("ann", self.chat.secret["ann"])
        room = serial()
        status = self.call("POST", f"/rooms/{room}", b'{"Message":"hi"}')
        assert status == HTTPStatus.CREATED
        return {"{room}": room} | _KNOWN


@cache
def served() -> Served:
    """One for all rows."""
    return Served()


def names(count: int) -> list[str]:
    """Names of users, as they are known; and decomposed, as they are sent."""
    return [f"n{number}\u00e9" for number in range(count)]


def longest(schema: Any, share: float, item_bytes: int = 12) -> object:
    """A value of this JSON Schema, as long as it may be, or a share of that; each text another one than before."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "anyOf" in schema:
        return longest(schema["anyOf"][0], share)
    match schema.get("type"):
        case "string":
            points = int(schema.get("maxLength", 16_000) * share)
            text = serial()
            return text + marked(points - len(text)) if points > len(text) else text
        case "integer":
            return schema["minimum"] if share < 1 else schema["maximum"]
        case "boolean":
            return True
        case "array":
            items = schema.get("maxItems", BODY_BYTES_MAX // item_bytes)
            return [normalize("NFD", name) for name in names(int(min(items, MANY_NAMES) * share))]
        case "object":
            return {name: longest(one, share) for name, one in schema.get("properties", {}).items()}
    return "x"


def _target(route: Route, share: float, known: dict[str, str]) -> str:
    """A path of a room and a message that are there."""
    emoji = quote(marked(int(32 * share)), safe="")
    path = "/" + "/".join(emoji if each == "{emoji}" else known.get(each, each) for each in route.segments)
    return f"{path}?source={serial()}" if "source" in route.query else path


_KNOWN = {"{id}": "1", "{user}": "bob", "{member}": "1", "{invite}": "x", "{token}": "1", "{path*}": "x"}
# In place of what the schema says; ... leaves a member out, where it does not go with the others.
_BODIES: dict[tuple[str, str], dict[str, object]] = {
    ("POST", "/rooms/{room}"): {"User": "ann", "ReplyTo": ...},
    ("PATCH", "/rooms/{room}/messages/{id}"): {"User": "ann"},
    ("POST", "/login"): {"Name": "bob", "Password": password("bob")},
    ("POST", "/rooms"): {"Visibility": "public"},
    ("PATCH", "/rooms/{room}"): {"Visibility": "public", "Owner": "ann", "Archived": False},
    ("POST", "/directs"): {"Users": ["bob", *names(18)]},
    ("POST", "/users"): {"Role": ..., "Invite": ..., "Rooms": ...},
    ("PATCH", "/users/{user}"): {"Role": "member", "OldPassword": ...},
    ("POST", "/invites"): {"Rooms": ...},
    ("PATCH", "/settings"): {"Auth": ..., "Signup": ..., "MaxRooms": None},
    ("POST", "/setup"): {"Token": SETUP_SECRET},
}


def _body(route: Route, share: float) -> bytes:
    if route.body is None:
        return b""
    if route.body.content_type == NDJSON:
        return _export(int(share * LINES_MAX))
    value = longest(route.body.schema, share)
    if isinstance(value, str):
        return b"http://" + b"a" * int(share * (URL_POINTS_MAX - 9)) + b":1"
    assert isinstance(value, dict)
    value |= _BODIES.get((route.method, route.path), {})
    return json_line({name: one for name, one in value.items() if one is not ...})


def _export(messages: int) -> bytes:
    """So many messages, whose texts and reactions fill a body."""
    text = marked(40)
    fields = {
        "User": "ann\u0065\u0301",
        "Message": text,
        "PostedAt": "2020-01-01T00:00:00Z",
        "Reactions": {"+": ["bob"]},
    }
    return b"".join(json_line({**fields, "Id": id}) for id in range(1, messages + 1))


def _case(route: Route, share: float) -> Case:
    there = served()

    def prepared() -> tuple[str, bytes]:
        validation._name.cache_clear()  # all of 2,500 names are in it, and none of 5,000
        return _target(route, share, there.room_with_a_message()), _body(route, share)

    def run(made: tuple[str, bytes]) -> int:
        return there.call(route.method, *made)

    target, body = prepared()
    # Of the process: a read is rendered in a thread of its own.  An import waits for each of its windows.
    pieces = -(-body.count(b"\n") // WINDOW) if "source" in route.query else 1
    return Case(
        len(target) + len(body), cast(Callable[[Any], object], run), prepared, clock=process_time, pieces=max(pieces, 1)
    )


def _long_path(route: Route, share: float) -> Case:
    """The same with names in the path that are too long, and not there."""
    there = served()
    name = quote(MARKED * int(share * 40), safe="")
    target = "/" + "/".join(name if segment.startswith("{") else segment for segment in route.segments)

    def run(_: object) -> int:
        return there.call(route.method, target, b"{}")

    return Case(len(target), run, there.room_with_a_message, clock=process_time)


def _ours() -> Iterator[Route]:
    for route in ROUTES:
        if (route.method, route.path) not in _NO_ROUTES:
            yield route


def rows() -> Iterator[Row]:
    """Two for each route."""
    for route in _ours():
        name = f"{route.method} {route.path}"
        yield Row(name, lambda share, one=route: _case(one, share))  # type: ignore[misc]
        if "{" in route.path:
            yield Row(f"{name}, long names", lambda share, one=route: _long_path(one, share))  # type: ignore[misc]
