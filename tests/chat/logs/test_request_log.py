"""Refused and slow requests have a line with an id that the answer has too; strangers cannot have many of them."""

import json
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.auth import secrets
from chat.logs import request_log
from chat.logs.answered import OPERATOR, Answered
from chat.logs.request_log import (
    COUNTS_EVERY_S,
    HEADER,
    LINE_EVERY_S,
    LINES_AT_ONCE,
    SLOW_S,
    RequestLog,
    id_of,
)
from chat.server.http import HttpError
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, ChatClient, Clock
from tests.chat.login_client import LoginClient, bearer
from tests.chat.wire import Client, serving

MADE = re.compile("[0-9a-f]{16}")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What other tests had refused leaves nothing out here."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(request_log, "log", RequestLog())


def answered(status: int = 404, duration_s: float = 0.0, **changed: Any) -> Answered:
    usual = Answered(0.0, "GET", "/rooms/{room}", status, "not_found", 9, duration_s, "", 0, "10.0.0.7", "id")
    return usual._replace(**changed)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == request_log.__name__]


# What has a line


def test_an_ordinary_request_has_no_line_and_no_id(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    assert HEADER not in chat.post().headers
    assert HEADER not in chat.get(GENERAL).headers
    assert lines(caplog) == []


def test_a_refused_request_has_one_line_without_its_path(caplog: pytest.LogCaptureFixture) -> None:
    chat = LoginClient()
    answer = chat.ask("bob", "DELETE", "/rooms/general?ticket=ti_secret", REMOTE_ADDR="10.0.0.7")
    assert answer.status_code == 404
    assert answer.json is not None
    assert MADE.fullmatch(answer.json["request_id"])
    assert answer.headers[HEADER] == answer.json["request_id"]
    (line,) = lines(caplog)
    assert line == (
        f'answered DELETE /rooms/{{room}} with 404 not_found; network 10.0.0.7, user "bob", '
        f"token {chat.number['bob']}, request {answer.json['request_id']}"
    )
    assert caplog.records[-1].fields["route"] == "/rooms/{room}"  # type: ignore[attr-defined]


def test_of_a_path_that_leads_nowhere_the_line_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    chat.get("/no/such/path")
    chat.open("BREW", "/%ff")
    first, second = lines(caplog)
    assert first.startswith("answered GET - with 404 not_found;")
    assert second.startswith("answered OTHER - with ")


def test_the_operator_is_named(caplog: pytest.LogCaptureFixture) -> None:
    chat = LoginClient()
    chat.open("DELETE", "/raft/x", environ=bearer(OPERATORS_SECRET))
    assert "the operator, request " in lines(caplog)[0]


def test_an_id_that_a_client_brings_is_given_back_also_where_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    assert chat.get("/rooms", HTTP_X_REQUEST_ID="mine-1.a_B").headers[HEADER] == "mine-1.a_B"
    assert lines(caplog) == []
    refused = chat.get("/nothing/here", HTTP_X_REQUEST_ID="mine-2")
    assert (refused.headers[HEADER], (refused.json or {})["request_id"]) == ("mine-2", "mine-2")
    assert lines(caplog)[0].endswith("request mine-2")


@given(st.text())
def test_an_id_that_is_not_plain_is_replaced(given_id: str) -> None:
    made = id_of(given_id)
    if made != given_id:
        assert MADE.fullmatch(made)
    assert re.fullmatch("[A-Za-z0-9._-]{1,64}", made)
    assert made.isascii()


@pytest.mark.parametrize("kind", [secrets.TOKEN, secrets.TICKET, secrets.INVITE, secrets.OPERATOR, secrets.SETUP])
@pytest.mark.parametrize("before", ["", "Bearer-"])
def test_a_secret_is_no_id(kind: str, before: str) -> None:
    secret = secrets.new_secret(kind)
    assert MADE.fullmatch(id_of(f"{before}{secret}"))
    assert id_of(secret[:20]) == secret[:20]


def test_a_failed_request_has_the_id_of_its_line_too(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    chat.replica.unavailable = True
    answer = chat.post()
    assert answer.json is not None
    line = f"answered POST /rooms/{{room}} with 503 unavailable; request {answer.json['request_id']}"
    assert lines(caplog) == [line]


def test_a_deferred_refusal_has_its_line_too(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    answer = chat.get(f"{GENERAL}/messages/7")
    assert answer.status_code == 404
    assert len(lines(caplog)) == 1


def test_a_slow_request_has_a_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "SLOW_S", 0.0)
    monkeypatch.setattr(request_log, "log", RequestLog())
    answer = ChatClient().get("/rooms")
    (record,) = [record for record in caplog.records if record.name == request_log.__name__]
    assert record.levelno == logging.WARNING
    assert re.fullmatch(
        rf"slow: answered GET /rooms with 200 after 0\.\d{{3}} s; request {answer.headers[HEADER]}",
        record.getMessage(),
    )


def test_what_is_no_request_has_a_line_with_its_network(caplog: pytest.LogCaptureFixture) -> None:
    with serving(ChatClient().app) as server, Client(server.port) as client:
        answer = client.ask(b"GET / HTTP/9.9\r\n\r\n")
    assert answer.status == 400
    request_id = json.loads(answer.body)["request_id"]
    assert answer.headers[HEADER.lower()] == request_id
    assert lines(caplog) == [f"answered - - with 400 malformed_request; network 127.0.0.1, request {request_id}"]


def test_a_bug_has_a_line_without_the_path(caplog: pytest.LogCaptureFixture) -> None:
    def broken(environ: object, start_response: object) -> list[bytes]:
        raise HttpError(400, "of", "the application")  # which no application may raise

    with serving(broken) as server, Client(server.port) as client:
        answer = client.ask(b"GET /secret HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
    assert (answer.status, json.loads(answer.body)["request_id"], answer.headers[HEADER.lower()]) == (
        500,
        "mine",
        "mine",
    )
    assert "answered - - with 500 internal_error; network 127.0.0.1, request mine" in lines(caplog)
    said = [record.getMessage() for record in caplog.records]
    assert "the application failed on a GET; request mine" in said
    assert not any("secret" in text for text in said)


# How many lines


def test_a_flood_of_refused_requests_has_few_lines_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(0.0)
    log = RequestLog(clock)
    flood, seconds = 100, 600
    for second in range(seconds):
        clock.now = float(second)
        for number in range(flood):
            log.note(answered(404 if number % 2 else 429))
    single = [line for line in lines(caplog) if line.startswith("answered")]
    counts = [line for line in lines(caplog) if line.startswith("more")]
    assert LINES_AT_ONCE < len(single) <= LINES_AT_ONCE + seconds / LINE_EVERY_S
    assert seconds / COUNTS_EVERY_S - 1 <= len(counts) <= seconds / COUNTS_EVERY_S
    counted = sum(int(number) for line in counts for number in re.findall(r"(\d+) times", line))
    assert flood * (seconds - COUNTS_EVERY_S) - len(single) <= counted <= flood * seconds - len(single)
    assert re.fullmatch(r"more requests were refused or failed: \d+ times 404, \d+ times 429", counts[0])


def test_strangers_do_not_use_up_the_lines_of_users(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(Clock(0.0))
    for _ in range(2 * LINES_AT_ONCE):
        log.note(answered())
    log.note(answered(403, user="gus", token=7))
    assert len(lines(caplog)) == LINES_AT_ONCE + 1
    assert 'user "gus"' in lines(caplog)[-1]


def test_slow_requests_are_rationed_apart_from_refused_ones(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(Clock(0.0))
    for _ in range(2 * LINES_AT_ONCE):
        log.note(answered())
    log.note(answered(200, SLOW_S))
    assert sum(line.startswith("slow") for line in lines(caplog)) == 1
    for _ in range(2 * LINES_AT_ONCE):
        log.note(answered(200, SLOW_S))
    assert sum(line.startswith("slow") for line in lines(caplog)) == LINES_AT_ONCE


def test_a_user_cannot_write_another_field_of_the_line(caplog: pytest.LogCaptureFixture) -> None:
    RequestLog().note(answered(user='x", token 7', token=OPERATOR))
    whose = 'network 10.0.0.7, user "x\\", token 7", the operator, request id'
    assert lines(caplog) == [f"answered GET /rooms/{{room}} with 404 not_found; {whose}"]
