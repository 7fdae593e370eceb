"""Whatever this node fails to do for a client leaves a line in its log that says why: no answer gets around that."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path

import pytest

from chat.api.response import response_of
from chat.auth.authenticator import Authenticator
from chat.errors import Problem, all_taken, problem_of
from chat.realtime import replies
from chat.realtime.frames import CloseCode
from chat.replica import STALE_S_MAX
from chat.server import failure_log
from chat.server.failure_log import LINE_EVERY_S, Failures
from chat.server.http import HttpError
from chat.server.responses import error_response
from raft.backup.report import BackupRefused
from raft.errors import CorruptLog, DiskFull, NotLeader
from tests.chat.chat_client import GENERAL, ChatClient, Clock
from tests.chat.login_client import LoginClient

ROOT = Path(__file__).resolve().parents[3]
POST = b'{"User":"ann","Message":"hi"}'


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> Failures:
    """What was noted by other tests says nothing here."""
    made = Failures()
    monkeypatch.setattr(failure_log, "_failures", made)
    return made


# Every code that the document names


def _unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    chat.replica.unavailable = True
    assert chat.get(GENERAL).status_code == 503


def _starting(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    chat.replica.cluster_id = ""
    monkeypatch.setattr(Authenticator, "check_started", _refuse_start)
    assert chat.get(GENERAL).status_code == 503


def _refuse_start(authenticator: Authenticator) -> None:
    raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "starting", "this node reads its log")


def _no_recent_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LoginClient()
    chat.replica.contact_s = STALE_S_MAX + 1
    assert chat.ask("bob", target=f"{GENERAL}?consistency=stale").status_code == 503


def _damaged_record(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    assert chat.open("POST", GENERAL, POST).status_code == 201

    def fail(indexes: object) -> None:
        raise CorruptLog("log-1", 7, "damaged", "act")

    monkeypatch.setattr(chat.replica, "commands", fail)
    assert chat.get(GENERAL).status_code == 500


def _disk_full(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()

    def full(command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        done(DiskFull("no room"))

    monkeypatch.setattr(chat.replica, "propose", full)
    assert chat.open("POST", GENERAL, POST).status_code == 507


def _outcome_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    chat.replica.loses_answers = True
    assert chat.open("POST", GENERAL, POST).status_code == 504


def _backup_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LoginClient()
    chat.open("POST", GENERAL, POST)
    assert chat.ask("ann", target="/backup").status_code == 503


def _backup_refused(code: str, status: int) -> Callable[[pytest.MonkeyPatch], None]:
    def refuse(index: int, wait_s: float) -> None:
        raise BackupRefused(code, "why")

    def drive(monkeypatch: pytest.MonkeyPatch) -> None:
        chat = LoginClient()
        monkeypatch.setattr(chat.replica, "backup", refuse)
        assert chat.ask("ann", target="/backup").status_code == status

    return drive


def _taken(things: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: _none(response_of(all_taken(things)))


def _refused(code: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: _none(error_response(HttpError(503, code, "try again")))


def _none(answer: object) -> None:
    assert answer


DRIVEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "unavailable": _unavailable,
    "starting": _starting,
    "no_recent_leader": _no_recent_leader,
    "too_many_websockets": _taken("websockets"),
    "too_many_streams": _taken("streams"),
    "too_many_connections": _refused("too_many_connections"),
    "too_many_bodies": _refused("too_many_bodies"),
    "damaged_record": _damaged_record,
    "disk_full": _disk_full,
    "outcome_unknown": _outcome_unknown,
    "backup_in_progress": _backup_in_progress,
    "backup_failed": _backup_refused("backup_failed", 503),
    "backup_no_room": _backup_refused("backup_no_room", 507),
}


def test_every_failure_that_the_document_names_is_driven_here() -> None:
    rows = re.findall(r"^\| 5\d\d \| (.*) \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    named = {code for row in rows for code in re.findall(r"`([a-z]+(?:_[a-z]+)*)`", row)}
    assert named == set(DRIVEN)


@pytest.mark.parametrize("code", DRIVEN)
def test_a_failure_leaves_a_line_that_says_why(
    code: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    DRIVEN[code](monkeypatch)
    lines = [record.getMessage() for record in caplog.records if record.name == "chat.server.failure_log"]
    assert [line.split(":")[0].split()[-1] for line in lines] == [code]
    assert re.fullmatch(rf"answered a client 5\d\d {code}: .+", lines[0])


def test_an_engines_error_that_nobody_foresaw_is_logged_itself(caplog: pytest.LogCaptureFixture) -> None:
    assert response_of(problem_of(NotLeader(2))).status == 500
    assert any(record.exc_info and isinstance(record.exc_info[1], NotLeader) for record in caplog.records)


def test_what_a_websocket_is_told_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    replies.error(problem_of(DiskFull("no room")), None)
    failure_log.closed(CloseCode.TRY_AGAIN_LATER, "this node is behind")
    failure_log.closed(CloseCode.INTERNAL_ERROR, "a read failed")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "answered a client 507 disk_full",
        "answered a client 1013 try_again_later",
        "answered a client 1011 internal_error",
    ]


def test_what_is_the_clients_own_doing_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    assert chat.open("POST", GENERAL, b"{}").status_code == 400
    failure_log.closed(CloseCode.POLICY_VIOLATION, "signed out")
    assert caplog.records == []


# How many lines


def test_a_cause_has_a_line_a_minute_with_the_count_of_what_came_between(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(0.0)
    noted = Failures(clock)
    for _ in range(1_000):
        noted.note(503, "unavailable", "no majority")
    noted.note(507, "disk_full", "no room")
    clock.now = LINE_EVERY_S
    noted.note(503, "unavailable", "no majority")
    assert [record.getMessage() for record in caplog.records] == [
        "answered a client 503 unavailable: no majority",
        "answered a client 507 disk_full: no room",
        "answered a client 503 unavailable 999 more times, the last one: no majority",
        "answered a client 503 unavailable: no majority",
    ]


def test_what_was_counted_is_told_by_the_next_line_of_any_cause(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(0.0)
    noted = Failures(clock)
    for _ in range(3):
        noted.note(504, "outcome_unknown", "lost")
    clock.now = LINE_EVERY_S + 1
    noted.note(507, "disk_full", "no room")
    assert [record.getMessage() for record in caplog.records][1] == (
        "answered a client 504 outcome_unknown 2 more times, the last one: lost"
    )


# Nothing gets around it

# What gives an answer its status and notes it: file and function.
NOTING = {
    ("response.py", "response_of"),
    ("errors.py", "refuse"),
    ("replies.py", "error"),
    ("responses.py", "error_response"),
    ("http_connection.py", "_internal_error"),
    ("connection.py", "close"),
    ("health.py", "ready"),
}
STATUS_IS_BELOW_500 = {
    ("sessions.py", "_with_session"),
    ("messages.py", "_answer"),
    ("rooms.py", "_made"),
    ("backup.py", "download"),
    ("cluster.py", "_administer"),
}


@cache
def _functions() -> Sequence[tuple[str, str, Sequence[tuple[str, ast.Call]]]]:
    """Of each function of the chat its file, its name, and its calls."""
    return [
        (path.name, node.name, list(_calls(node)))
        for path in sorted((ROOT / "chat").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]


def _calls(function: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            yield name, node


def _statuses(value: ast.expr) -> list[int]:
    """All that an expression of HTTPStatus members can be; raises LookupError for any other."""
    if isinstance(value, ast.IfExp):
        return [*_statuses(value.body), *_statuses(value.orelse)]
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "HTTPStatus":
        return [HTTPStatus[value.attr]]
    raise LookupError(ast.unparse(value))


def test_whoever_gives_an_answer_its_status_notes_a_failure() -> None:
    found = {
        (file, function)
        for file, function, calls in _functions()
        if any(
            name in {"answered", "closed"} and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name) and call.func.value.id == "failure_log"
            for name, call in calls
        )
    }  # fmt: skip
    assert found == NOTING


def test_a_problem_becomes_bytes_only_where_it_is_noted() -> None:
    found = {
        (file, function)
        for file, function, calls in _functions()
        for name, call in calls
        if name == "to_json" and isinstance(call.func, ast.Attribute)
    }
    # The body of what `response_of` has noted, with the request's id.
    assert found - {("request.py", "_completed_with_id")} <= NOTING


def test_no_route_answers_with_a_failure_but_by_a_problem() -> None:
    beyond = set()
    for file, function, calls in _functions():
        for name, call in calls:
            if name != "Response" or (file, function) in NOTING:
                continue
            try:
                assert max(_statuses(call.args[0])) < failure_log.FAILED
            except LookupError:
                beyond.add((file, function))
    assert beyond == STATUS_IS_BELOW_500


def test_a_close_frame_is_made_only_where_it_is_noted() -> None:
    found = {(name, file, function) for file, function, calls in _functions() for name, _ in calls}
    assert {(file, f) for name, file, f in found if name == "close_frame"} == {
        ("websocket_connection.py", "end_marker")
    }
    assert {(file, f) for name, file, f in found if name == "end_marker"} <= NOTING


def test_start_response_is_given_a_failure_only_where_it_is_noted() -> None:
    found = {
        (file, function) for file, function, calls in _functions() for name, _ in calls if name == "start_response"
    }
    # `_start` has what `response_of` or a route made, and neither a prefix that is missing nor a redirect is a failure.
    known = {("app.py", "_start"), ("base_path.py", "mounted"), ("base_path.py", "mounted_app")}
    known |= {("plain_text.py", "redirecting_app"), ("plain_text.py", "redirect_to_https")}
    assert found - NOTING <= known
