"""Every limit that the API tells: what is just within it is taken, what is just past it is refused by its name.

The figures stand here as docs/api.md has them, and are not taken from the program.
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from chat.auth import secrets
from chat.commands import OPERATOR, Actor
from chat.commands.accounts import CreateInvite
from chat.state.accounts import MEMBER, User
from chat.state.tables import Tables
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient
from tests.chat.login_client import LoginClient, bearer, code, password

WIDE = "𝄞"  # a code point of four bytes, which is two of JavaScript's units
TEN_YEARS_S = 315_360_000
EXACT = 2**53 - 1  # the greatest integer that JavaScript tells from the next one

Ask = Callable[[LoginClient, object], TestResponse]


class Limit(NamedTuple):
    """Of one thing that is sent."""

    what: str
    ask: Ask
    within: Sequence[object]
    past: Sequence[object]
    field: str  # that the refusal names


def body(method: str, target: str, **members: object) -> Ask:
    """A request by the admin; the member that is `...` is what is tried."""
    return lambda chat, value: chat.ask(
        "ann", method, target, {name: value if member is ... else member for name, member in members.items()}
    )


def path(method: str, target: str, **members: object) -> Ask:
    """The same with what is tried in the path or the query, in place of {}."""
    return lambda chat, value: chat.ask("ann", method, target.format(quote(str(value), safe="")), members or None)


def texts(low: int, high: int) -> tuple[Sequence[object], Sequence[object]]:
    """As many code points as are allowed, and one fewer and more."""
    return ["x" * low, "x" * high, WIDE * high], [*(["x" * (low - 1)] if low else []), "x" * (high + 1)]


def numbers(low: int, high: int) -> tuple[Sequence[object], Sequence[object]]:
    return [low, high], [low - 1, high + 1, -1, 1.5, True, "1", None]


def bounds(low: int, high: int) -> tuple[Sequence[object], Sequence[object]]:
    """Numbers, where null takes the bound away."""
    return [low, high, None], [low - 1, high + 1, 1.5, True, "1"]


def queried(low: int, high: int) -> tuple[Sequence[object], Sequence[object]]:
    return [low, high], [low - 1, high + 1, "1.5", "x", ""]


GENERAL, POST, SETTINGS, BOB = "/rooms/general", "/rooms/general/messages/1", "/settings", "/users/bob"
NAMES = texts(1, 64)
NO_NAMES = [
    *NAMES[1],
    ".",
    "..",
    " a",
    "a ",
    "a\u200bb",
    "\ufeffa",
    "a\nb",
    "a\x7fb",
    "a\u202eb",
    "a\u200fb",
    "e" + "\u0301" * 31,
]

LIMITS = [
    Limit("a room's name", path("PUT", "/rooms/{}"), NAMES[0], NO_NAMES, "RoomName"),
    Limit("a room's name, posted to", path("POST", "/rooms/{}", Message="hi"), NAMES[0], NO_NAMES, "RoomName"),
    Limit("a room's new name", body("PATCH", GENERAL, Name=...), NAMES[0], [*NO_NAMES, None, 7], "Name"),
    Limit("a private room's name", body("POST", "/rooms", Name=..., Visibility="private"), *texts(1, 53), "Name"),
    Limit(
        "a topic", body("PATCH", GENERAL, Topic=...), [*texts(0, 250)[0], None], [*texts(0, 250)[1], "a\nb", 7], "Topic"
    ),
    Limit("a message", body("POST", GENERAL, Message=...), *texts(1, 8_000), "Message"),
    Limit("an edit", body("PATCH", POST, Message=...), *texts(1, 8_000), "Message"),
    Limit("a ClientId", body("POST", GENERAL, Message="hi", ClientId=...), *texts(1, 128), "ClientId"),
    Limit("a ReplyTo", body("POST", GENERAL, Message="hi", ReplyTo=...), [1], numbers(1, EXACT)[1], "ReplyTo"),
    Limit(
        "an emoji", path("PUT", POST + "/reactions/{}"), texts(1, 32)[0], [*texts(1, 32)[1], "a b", "a\u3000b"], "Emoji"
    ),
    Limit("a page of posts", path("GET", GENERAL + "?limit={}"), *queried(1, 1_000), "limit"),
    Limit("a place to begin after", path("GET", GENERAL + "?after={}"), *queried(0, EXACT), "after"),
    Limit("a page of rooms", path("GET", "/rooms?limit={}"), *queried(1, 1_000), "limit"),
    Limit("a page of users", path("GET", "/users?limit={}"), *queried(1, 1_000), "limit"),
    Limit("a page of members", path("GET", GENERAL + "/members?limit={}"), *queried(1, 1_000), "limit"),
    Limit(
        "posts that a room keeps",
        body("PATCH", GENERAL, Retention=...),
        [
            {"MaxMessages": 1},
            {"MaxMessages": 1_000_000_000},
            {"MaxMessages": None},
            None,
        ],
        [{}, {"MaxMessages": 0}, {"MaxMessages": 1_000_000_001}, {"Other": 1}, 7],
        "",
    ),
    Limit(
        "how long a room keeps them",
        body("PATCH", GENERAL, Retention=...),
        [
            {"MaxAgeSeconds": 1},
            {"MaxAgeSeconds": TEN_YEARS_S},
            {"MaxAgeSeconds": None},
        ],
        [{"MaxAgeSeconds": 0}, {"MaxAgeSeconds": TEN_YEARS_S + 1}],
        "",
    ),
    Limit("rooms", body("PATCH", SETTINGS, MaxRooms=...), *bounds(1, 1_000_000_000), "MaxRooms"),
    Limit("unused rooms", body("PATCH", SETTINGS, UnusedRoomSeconds=...), *bounds(1, TEN_YEARS_S), "UnusedRoomSeconds"),
    Limit("empty rooms", body("PATCH", SETTINGS, EmptyRoomSeconds=...), *bounds(1, TEN_YEARS_S), "EmptyRoomSeconds"),
    Limit(
        "a user's name",
        body("POST", "/users", Name=..., Password="correct horse"),
        NAMES[0],
        [*NO_NAMES, "room", "@a"],
        "Name",
    ),
    Limit("a password", body("PATCH", BOB, Password=...), *texts(8, 256), "Password"),
    Limit("a display name", body("PATCH", BOB, DisplayName=...), NAMES[0], [*NAMES[1], "a\nb"], "DisplayName"),
    Limit("a token's label", body("POST", "/tokens", Label=...), *NAMES, "Label"),
    Limit(
        "a token's life",
        body("POST", "/tokens", Label="bot", ExpiresIn=...),
        [60, TEN_YEARS_S],
        [59, TEN_YEARS_S + 1],
        "ExpiresIn",
    ),
    Limit("an invite's label", body("POST", "/invites", Label=...), *texts(0, 64), "Label"),
    Limit(
        "an invite's life",
        body("POST", "/invites", ExpiresIn=...),
        [60, TEN_YEARS_S],
        [59, TEN_YEARS_S + 1],
        "ExpiresIn",
    ),
    Limit("an invite's uses", body("POST", "/invites", Uses=...), [1, 10_000], [0, 10_001, "1"], "Uses"),
    Limit(
        "an invite's rooms",
        body("POST", "/invites", Rooms=...),
        [[], ["general"] * 20],
        [["general"] * 21, ["a\nb"]],
        "Rooms",
    ),
    Limit(
        "a login's label",
        body("POST", "/login", Name="bob", Password=password("bob"), Label=...),
        *texts(0, 64),
        "Label",
    ),
    Limit(
        "who is in a direct room",
        body("POST", "/directs", Users=...),
        [["bob"]],
        [[], ["ann"], ["bob"] * 21, "bob", [7]],
        "Users",
    ),
    Limit("how far one has read", body("PUT", GENERAL + "/read", Id=...), [1], numbers(1, EXACT)[1], "Id"),
    Limit(
        "the URL of a node",
        lambda chat, url: chat.open("POST", "/raft/4", str(url).encode(), bearer(OPERATORS_SECRET)),
        ["http://" + "a" * 246 + ":1"],
        ["http://" + "a" * 247 + ":1", "http://a", "https://a:1", "http://a:1/b"],
        "Url",
    ),
]


@pytest.fixture
def chat() -> LoginClient:
    """With a post of the admin's."""
    client = LoginClient()
    assert client.say("ann").status_code == 201
    return client


@pytest.mark.parametrize(
    ("limit", "value"),
    [pytest.param(limit, value, id=f"{limit.what}-{at}") for limit in LIMITS for at, value in enumerate(limit.within)],
)
def test_what_is_within_a_limit_is_taken(chat: LoginClient, limit: Limit, value: object) -> None:
    answer = limit.ask(chat, value)
    assert answer.status_code < 300, answer.text


@pytest.mark.parametrize(
    ("limit", "value"),
    [pytest.param(limit, value, id=f"{limit.what}-{at}") for limit in LIMITS for at, value in enumerate(limit.past)],
)
def test_what_is_past_a_limit_is_refused_by_its_name_and_nothing_is_proposed(
    chat: LoginClient, limit: Limit, value: object
) -> None:
    before = len(chat.replica.proposed)
    answer = limit.ask(chat, value)
    assert code(answer) == (400, "invalid_field")
    assert answer.json is not None
    assert answer.json["detail"].startswith(f"{limit.field}:" if limit.field else ("Retention", "Max"))
    assert len(chat.replica.proposed) == before


@pytest.mark.parametrize(("size", "status"), [(128 * 1024, 201), (128 * 1024 + 1, 413)])
def test_a_body_has_128_kib(chat: LoginClient, size: int, status: int) -> None:
    post = json.dumps({"Message": "hi"}).encode()
    assert chat.open("POST", GENERAL, post.ljust(size), bearer(chat.secret["ann"])).status_code == status


# How many there may be


def test_a_post_has_100_edits(chat: LoginClient) -> None:
    for number in range(100):
        assert chat.ask("ann", "PATCH", POST, {"Message": f"m{number}"}).status_code == 200
    assert code(chat.ask("ann", "PATCH", POST, {"Message": "once more"})) == (409, "too_many_edits")


def test_a_post_has_20_different_reactions(chat: LoginClient) -> None:
    for number in range(20):
        assert chat.ask("ann", "PUT", f"{POST}/reactions/{number}").status_code == 204
    assert code(chat.ask("ann", "PUT", f"{POST}/reactions/20")) == (409, "too_many_reactions")
    assert chat.ask("bob", "PUT", f"{POST}/reactions/19").status_code == 204


def test_a_post_has_100_reactions() -> None:
    chat = ChatClient()
    chat.fill(1)
    for number in range(100):
        assert chat.open("PUT", f"{POST}/reactions/%2B1?user=u{number}").status_code == 204
    assert code(chat.open("PUT", f"{POST}/reactions/%2B1?user=u100")) == (409, "too_many_reactions")
    assert chat.open("PUT", f"{POST}/reactions/%2B1?user=u99").status_code == 204


def test_a_room_has_100_pins(chat: LoginClient) -> None:
    for _ in range(100):
        chat.say("ann")
    for id in range(1, 101):
        chat.monotonic.now += 1  # a token may not change so much at once
        assert chat.ask("ann", "PUT", f"{GENERAL}/messages/{id}/pin").status_code == 204
    assert code(chat.ask("ann", "PUT", f"{GENERAL}/messages/101/pin")) == (409, "too_many_pins")


def test_a_room_is_found_by_8_earlier_names(chat: LoginClient) -> None:
    for number in range(9):
        before = "general" if number == 0 else f"name{number - 1}"
        assert chat.ask("ann", "PATCH", f"/rooms/{before}", {"Name": f"name{number}"}).status_code == 200
    found = {name: len(chat.ask("ann", target=f"/rooms/{name}").json or ()) for name in ("general", "name0", "name8")}
    assert found == {"general": 0, "name0": 1, "name8": 1}


def test_a_room_has_5_000_members(chat: LoginClient) -> None:
    names = enrol(chat, 5_000)
    assert code(chat.ask("ann", "PATCH", GENERAL, {"Members": ["ann", *names]})) == (400, "invalid_field")
    assert chat.ask("ann", "PATCH", GENERAL, {"Members": names}).status_code == 200
    assert code(chat.ask("bob", "PUT", f"{GENERAL}/members/bob")) == (409, "too_many_members")


def test_a_cluster_has_as_many_rooms_as_it_is_told(chat: LoginClient) -> None:
    assert chat.ask("ann", "PATCH", SETTINGS, {"MaxRooms": 2}).status_code == 200
    assert chat.say("ann", "/rooms/second").status_code == 201
    assert code(chat.say("ann", "/rooms/third")) == (409, "too_many_rooms")
    assert code(chat.ask("ann", "PUT", "/rooms/third")) == (409, "too_many_rooms")


def test_a_user_has_48_tokens_for_programs(chat: LoginClient) -> None:
    for number in range(48):
        assert chat.ask("ann", "POST", "/tokens", {"Label": f"bot {number}"}).status_code == 201
    assert code(chat.ask("ann", "POST", "/tokens", {"Label": "one more"})) == (409, "too_many_tokens")


def test_there_are_5_000_invites(chat: LoginClient) -> None:
    for number in range(5_000):
        digest = secrets.digest(str(number))
        chat.do(CreateInvite(Actor(OPERATOR), digest, MEMBER, (), 1, chat.clock.now + 3_600_000_000, ""))
    assert code(chat.ask("ann", "POST", "/invites", {})) == (409, "too_many_invites")


def test_there_are_50_000_users(chat: LoginClient) -> None:
    enrol(chat, 50_000 - 4 - 1)  # with who is there, one fewer
    newcomer = {"Password": "correct horse"}
    assert chat.ask("ann", "POST", "/users", {"Name": "zoe"} | newcomer).status_code == 201
    assert code(chat.ask("ann", "POST", "/users", {"Name": "yan"} | newcomer)) == (409, "too_many_users")


def enrol(chat: LoginClient, count: int) -> list[str]:
    """So many users more, at once."""
    names = [f"u{number}" for number in range(count)]

    def add(tables: Tables) -> None:
        tables.users.update((name, User(name, name, MEMBER, "", 1, True, 0, name)) for name in names)

    chat.state.ask(add)
    return names
