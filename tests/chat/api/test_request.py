"""Between WSGI and the routes: targets, waiting, deferred answers."""

import io
import json
from typing import Any

import pytest

from chat.api.response import Headers
from tests.chat.api.routes.test_cluster import Gate
from tests.chat.chat_client import GENERAL, ChatClient

BODY = b'{"Message":"hi","User":"ann","ClientId":"c1"}'


class DeferredResponse:
    """The server's side of a deferred answer."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Headers, bytes]] = []

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self.sent.append((status, headers, body))


def deferring(chat: ChatClient, answer: DeferredResponse, body: bytes = BODY) -> object:
    """POST as a server calls that can defer; what the application returned."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "RAW_URI": GENERAL,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "raft_chat.defer": lambda: answer,
    }
    return chat.app(environ, lambda status, headers: None)


def test_a_post_is_answered_later_where_the_server_can() -> None:
    chat, answer = ChatClient(), DeferredResponse()
    chat.replica.delayed = True
    assert deferring(chat, answer) is answer
    assert answer.sent == []
    chat.replica.release()
    ((status, headers, body),) = answer.sent
    assert status == 201
    assert json.loads(body)["Id"] == 1
    assert dict(headers) == {
        "X-Raft-Index": "3",
        "X-Content-Type-Options": "nosniff",
        "Location": "/rooms/general/messages/1",
        "Content-Type": "application/json",
    }


def test_a_failure_is_answered_later_too() -> None:
    chat, answer = ChatClient(), DeferredResponse()
    chat.replica.loses_answers = True
    assert deferring(chat, answer) is answer
    ((status, headers, body),) = answer.sent
    assert status == 504
    assert json.loads(body)["ClientId"] == "c1"
    assert ("Content-Type", "application/problem+json") in headers


def test_what_is_refused_at_once_is_not_deferred() -> None:
    chat, answer = ChatClient(), DeferredResponse()
    assert deferring(chat, answer, b"{}") is not answer
    assert answer.sent == []


def test_the_gate_is_open_while_a_request_waits() -> None:
    steps: list[str] = []
    chat = ChatClient()
    target = f"{GENERAL}/export"  # which its own thread reads
    chat.get(target, **{"raft_chat.off_cpu": Gate(steps)})
    assert steps == ["opened", "closed"]
    chat.get(f"{target}?consistency=stale&min_index=2", **{"raft_chat.off_cpu": Gate(steps)})  # nothing to wait for
    assert len(steps) == 2
    chat.get(f"{target}?consistency=stale&min_index=9", **{"raft_chat.off_cpu": Gate(steps)})
    assert len(steps) == 4


def test_a_slash_in_a_name_is_not_a_slash_in_the_path() -> None:
    chat = ChatClient()
    chat.fill(1, "/rooms/a%2Fb")
    assert chat.get("/rooms").json == ["a/b"]
    assert chat.get("/rooms/a/b").status_code == 404


def test_a_server_that_keeps_the_raw_target_to_itself_is_understood() -> None:
    chat = ChatClient()
    environ = {"RAW_URI": None, "PATH_INFO": "/rooms/caf\xc3\xa9 %41", "QUERY_STRING": "limit=0"}
    assert chat.open("GET", "", environ=environ).status_code == 400
    assert chat.open("POST", "", BODY, environ | {"QUERY_STRING": ""}).status_code == 201
    assert chat.get("/rooms").json == ["café %41"]


@pytest.mark.parametrize("target", ["http://example.org/rooms", "HTTPS://example.org:1/rooms?x", "/r%6Foms"])
def test_a_target_has_several_spellings(target: str) -> None:
    assert ChatClient().get(target).json == []


@pytest.mark.parametrize("target", ["", "*", "rooms", "//rooms", "/rooms/general/", "http:/rooms", "?://x/rooms"])
def test_a_target_that_leads_nowhere_is_a_404(target: str) -> None:
    assert ChatClient().get(target).status_code == 404


def test_a_compressed_body_is_refused_in_words() -> None:
    answer = ChatClient().open("POST", GENERAL, b"\x1f\x8b", {"HTTP_CONTENT_ENCODING": "gzip"})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert answer.json is not None
    assert answer.json["code"] == "unsupported_coding"
    plain = ChatClient().open("POST", GENERAL, b'{"User":"ann","Message":"hi"}', {"HTTP_CONTENT_ENCODING": "identity"})
    assert plain.status_code == 201
