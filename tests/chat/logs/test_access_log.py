"""The access log: a line for each answer, whole, in both forms; what finds no place is counted, and nobody waits."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chat.logs import access_log, request_log
from chat.logs.access_log import AccessLog
from chat.logs.answered import Answered
from chat.logs.request_log import HEADER, RequestLog
from tests.chat.chat_client import GENERAL, Clock
from tests.chat.login_client import LoginClient
from tests.chat.wire import Client
from tests.support.node import Node
from tests.support.waiting import wait_until

ENTRY = Answered(
    1_795_428_000.123456, "POST", "/rooms/{room}", 201, "", 183, 0.0123456, 'ann "b"', 3, "10.0.0.7", "abc"
)
DEADLINE_S = 10.0
QUEUE_MAX = 100  # lines


@pytest.fixture(autouse=True)
def _short_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "QUEUE_MAX", QUEUE_MAX)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What the access log of this process writes, when asked to."""
    stream = io.BytesIO()
    log = RequestLog()
    log.add_access_log(AccessLog(stream, "json"))
    monkeypatch.setattr(request_log, "log", log)
    return stream


def written(stream: io.BytesIO) -> list[dict[str, object]]:
    """The lines since the last time."""
    assert isinstance(request_log.log.access, AccessLog)
    request_log.log.access.write()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    stream.seek(0)
    stream.truncate()
    return found


def next_written(stream: io.BytesIO) -> list[dict[str, object]]:
    """The next lines of a node: the answer may arrive before its line is queued."""
    found: list[dict[str, object]] = []

    def has_come() -> bool:
        found.extend(written(stream))
        return bool(found)

    wait_until(has_come, DEADLINE_S, "a line of the access log")
    return found


def test_a_line_of_text_has_its_fields_in_order() -> None:
    assert access_log.text_line(ENTRY) == (
        "2026-11-23T10:00:00.123456Z method=POST route=/rooms/{room} status=201 duration_ms=12.346 bytes=183 "
        'user="ann \\"b\\"" token=3 network=10.0.0.7 request_id=abc\n'
    )
    bare = ENTRY._replace(length=None, user="", token=0, code="x", network="")
    assert access_log.text_line(bare).endswith("status=201 code=x duration_ms=12.346 request_id=abc\n")


def test_a_line_of_json_has_the_same_fields() -> None:
    line = json.loads(access_log.json_line(ENTRY))
    assert line == {
        "time": "2026-11-23T10:00:00.123456Z", "logger": "access", "method": "POST", "route": "/rooms/{room}",
        "status": 201, "duration_ms": 12.346, "bytes": 183, "user": 'ann "b"', "token": 3, "network": "10.0.0.7",
        "request_id": "abc",
    }  # fmt: skip


def test_each_answer_has_a_line_with_the_id_that_it_gave(noted: io.BytesIO) -> None:
    chat = LoginClient()
    answers = [chat.say("bob"), chat.ask("bob"), chat.ask("bob", target="/rooms/none/messages/9"), chat.get("/me")]
    lines = written(noted)
    assert [line["request_id"] for line in lines] == [answer.headers[HEADER] for answer in answers]
    assert [line["status"] for line in lines] == [answer.status_code for answer in answers]
    assert [line["route"] for line in lines] == [
        "/rooms/{room}", "/rooms/{room}", "/rooms/{room}/messages/{id}", "/me"
    ]  # fmt: skip
    assert [line.get("user") for line in lines] == ["bob", "bob", "bob", None]
    assert [line["bytes"] for line in lines] == [len(answer.data) for answer in answers]


def test_a_websocket_and_a_stream_have_a_line_as_they_open(noted: io.BytesIO) -> None:
    with Node() as node:
        node.connect()
        assert [(line["route"], line["status"]) for line in next_written(noted)] == [("/ws", 101)]
        with node_stream(node):
            assert [(line["route"], line["status"]) for line in next_written(noted)] == [("/events", 200)]


@contextmanager
def node_stream(node: Node) -> Iterator[None]:
    """An event stream of a node that has begun."""
    with Client(node.port) as client:
        client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.socket.recv(12) == b"HTTP/1.1 200"
        yield


def test_a_flood_that_is_not_written_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(0.0)
    stream = io.BytesIO()
    log = AccessLog(stream, "text", clock)
    for _ in range(QUEUE_MAX + 5):
        log.put(ENTRY)
    log.write()
    assert stream.getvalue().count(b"\n") == QUEUE_MAX
    assert [record.getMessage() for record in caplog.records] == [
        "the access log lost 5 lines: stdout is not read fast enough, or cannot be written"
    ]
    assert caplog.records[0].levelno == logging.WARNING
    log.put(ENTRY)
    log.write()
    assert stream.getvalue().count(b"\n") == QUEUE_MAX + 1


def test_lines_that_cannot_be_written_are_counted_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(io.BytesIO):
        def write(self, data: memoryview, /) -> int:  # type: ignore[override]
            raise BrokenPipeError

    clock = Clock(0.0)
    log = AccessLog(Gone(), "text", clock)
    for _ in range(3):
        log.put(ENTRY)
        log.write()
    clock.now = access_log.LOG_EVERY_S
    log.write()
    assert [record.args for record in caplog.records] == [(1,), (2,)]


def test_a_stream_that_takes_less_gets_the_rest() -> None:
    class Slow(io.BytesIO):
        def write(self, data: memoryview, /) -> int:  # type: ignore[override]
            return super().write(data[:7])

    stream = Slow()
    log = AccessLog(stream, "text")
    log.put(ENTRY)
    log.put(ENTRY)
    log.write()
    assert stream.getvalue().decode() == 2 * access_log.text_line(ENTRY)


def test_nobody_waits_for_a_stdout_that_nobody_reads() -> None:
    hangs, go = threading.Event(), threading.Event()

    class Hanging(io.BytesIO):
        def write(self, data: memoryview, /) -> int:  # type: ignore[override]
            hangs.set()
            go.wait(DEADLINE_S)
            return len(data)

    log = AccessLog(Hanging(), "text")
    log.start()
    log.put(ENTRY)
    assert hangs.wait(DEADLINE_S)
    for _ in range(2 * QUEUE_MAX):
        log.put(ENTRY)  # would hang
    go.set()
    log.close()


def test_what_was_answered_last_is_written_at_the_end() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream, "text")
    log.start()
    log.put(ENTRY)
    wait_until(lambda: stream.getvalue().count(b"\n") == 1, DEADLINE_S, "the line is written without being asked for")
    log.put(ENTRY)
    log.close()
    assert stream.getvalue().count(b"\n") == 2


def test_a_room_is_not_in_a_line(noted: io.BytesIO) -> None:
    chat = LoginClient()
    chat.ask("bob", target=f"{GENERAL}?before=7")
    assert "general" not in json.dumps(written(noted))
