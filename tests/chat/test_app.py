"""Which path and method leads where; and nothing that is sent makes the server fail."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from chat.api.response import Environ
from chat.app import create_app
from chat.auth.origins import member_origins
from chat.errors import all_taken
from chat.state.machine import ChatState
from raft.cluster.starting_member import StartingMember
from tests.chat.chat_client import GENERAL, ChatClient
from tests.support.slicing import examples
from tests.support.wsgi import deferring

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "FOO"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(max_size=10) | st.integers(-1, 3) | JSON
        for name in ("Message", "User", "message", "ClientId", "ReplyTo", "replyto", "Other")
    },
)
# Printable bytes, as a request line has them after the server's own checks, with what a path is made of well mixed in.
PIECES = st.sampled_from(
    [
        "/",
        "rooms",
        "general",
        "messages",
        "raft",
        "static",
        "%2F",
        "%FF",
        "%00",
        "..",
        "1",
        "?",
        "&",
        "limit=",
        "after=",
    ]
)
TARGETS = st.lists(PIECES | st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=5)).map("".join)


def test_a_known_path_says_what_it_allows() -> None:
    chat = ChatClient()
    for target, allowed in {
        "/": "GET, HEAD",
        "/general": "GET, HEAD",
        "/rooms": "GET, POST, HEAD",
        "/rooms/general": "GET, POST, PUT, PATCH, DELETE, HEAD",
        "/rooms/general/members": "GET, HEAD",
        "/rooms/general/members/ann": "PUT, DELETE",
        "/directs": "POST",
        "/rooms/general/messages/1": "GET, PATCH, DELETE, HEAD",
        "/rooms/general/messages/1/history": "GET, HEAD",
        "/rooms/general/messages/1/reactions/+": "PUT, DELETE",
        "/raft": "GET, HEAD",
        "/raft/4": "POST, PUT, DELETE",
        "/raft/4/promote": "POST",
        "/raft/4/lead": "POST",
        "/static/index.html": "GET, HEAD",
    }.items():
        refused = chat.open("TRACE", target)
        assert refused.status_code == 405
        assert refused.headers["Allow"] == f"{allowed}, OPTIONS"
        answer = chat.open("OPTIONS", target)
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Allow"] == f"{allowed}, OPTIONS"


def test_the_health_checks_of_proxies_are_answered() -> None:
    chat = ChatClient()
    assert chat.open("OPTIONS", "/").status_code == 204  # HAProxy's default
    assert chat.open("OPTIONS", "*").headers["Allow"] == "DELETE, GET, PATCH, POST, PUT, HEAD, OPTIONS"
    assert chat.open("OPTIONS", "/a/b").status_code == 404


def test_an_unknown_path_is_a_404() -> None:
    for target in ("/rooms/general/nothing", "/rooms/general/messages", "/raft/4/nothing", "/a/b"):
        assert ChatClient().get(target).status_code == 404


def test_a_websocket_at_a_node_that_is_starting_is_told_to_come_again() -> None:
    answer = ChatClient().get("/ws")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_node_that_is_starting_says_so_whatever_it_is_asked_to_change() -> None:
    client = Client(deferring(create_app(StartingMember(1, {}, lambda: "this member reads its log"), ChatState())))
    post = {"Message": "hi", "User": "ann"}
    for method, body in {"DELETE": {}, "PATCH": {"Retention": None}, "POST": post}.items():
        answer = client.open(GENERAL, method=method, data=json.dumps(body))
        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["detail"] == "this member reads its log; nothing was changed"


def test_head_is_get_without_the_body() -> None:
    chat = ChatClient()
    chat.fill(1)
    for target in ("/", "/rooms", GENERAL, f"{GENERAL}?limit=0", "/raft"):
        head, get = chat.open("HEAD", target), chat.get(target)
        assert head.data == b""
        assert head.status_code == get.status_code
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.data))


def test_a_websocket_is_opened_by_its_own_function_and_a_refusal_is_answered() -> None:
    asked: list[Environ] = []
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/ws?ticket=1"}
    started: list[str] = []
    answer = ChatClient(asked.append).app(environ, lambda status, headers: started.append(status))
    assert ([*answer], started, asked) == ([], [], [environ])

    def refuse(environ: Environ) -> None:
        raise all_taken("websockets")

    refused = ChatClient(refuse).get("/ws")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


@settings(deadline=None, max_examples=examples(200))
@given(METHODS, TARGETS, st.binary(max_size=50))
def test_no_path_makes_the_server_fail(method: str, target: str, body: bytes) -> None:
    chat = ChatClient()
    assert chat.open(method, target, body).status_code < 500 or "min_index" in target
    assert chat.replica.proposed == [] or method == "DELETE"  # which needs no body


@settings(deadline=None, max_examples=examples(200))
@given(st.binary() | JSON.map(json.dumps).map(str.encode) | FIELDS.map(json.dumps).map(str.encode))
def test_no_body_makes_the_server_fail_and_a_refused_one_is_not_proposed(body: bytes) -> None:
    chat = ChatClient()
    answer = chat.raw(body)
    assert answer.status_code < 500
    if answer.status_code == 201:
        assert chat.get(GENERAL).json == [answer.json]
    elif answer.status_code != 422:  # that one is the state's to find, after the commit
        assert chat.replica.proposed == []


@given(st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=100))
def test_what_is_accepted_is_read_as_it_was_proposed(room: str, user: str, message: str) -> None:
    chat = ChatClient()
    target = "/rooms/" + "".join(f"%{byte:02X}" for byte in room.encode("utf-8", "surrogatepass"))
    answer = chat.post(target, User=user, Message=message)
    if answer.status_code == 201:
        (post,) = chat.get(target).json or []
        proposed = json.loads(chat.replica.proposed[0])["Post"]
        assert (post["User"], post["Message"]) == (proposed["User"], proposed["Message"])
        assert chat.get(answer.headers["Location"]).json == post
    else:
        assert answer.status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_the_list_of_rooms_cannot_be_changed(method: str) -> None:
    assert ChatClient().open(method, "/rooms").status_code == 405


def test_a_page_of_another_member_may_read_and_one_of_a_stranger_may_not() -> None:
    chat = ChatClient()
    chat.replica.members = [{"Id": 1, "Advertise": "http://node.example:12380"}]
    (member,) = member_origins(chat.replica.status())
    shared = chat.get("/rooms", HTTP_ORIGIN=member)
    assert shared.headers["Access-Control-Allow-Origin"] == member
    assert "Link" in shared.headers["Access-Control-Expose-Headers"]
    for origin in ("http://elsewhere.example", "null"):
        assert "Access-Control-Allow-Origin" not in chat.get("/rooms", HTTP_ORIGIN=origin).headers
