"""`/livez` and `/readyz`: what supervisors and proxies are told, and how little else."""

import pytest
from werkzeug.test import Client, TestResponse

from chat.app import create_app, never_waits
from chat.server import failure_log
from chat.server.failure_log import Failures
from chat.state.machine import ChatState
from raft.cluster.starting_member import StartingMember
from tests.chat.chat_client import ChatClient
from tests.chat.login_client import LoginClient
from tests.support.wsgi import deferring


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted by other tests says nothing here."""
    monkeypatch.setattr(failure_log, "_failures", Failures())


def ask(chat: ChatClient, target: str, method: str = "GET") -> TestResponse:
    """Unlike `ChatClient.open`, for the errors are text."""
    return Client(deferring(chat.app)).open("/", method=method, environ_overrides={"RAW_URI": target})


def test_a_process_that_answers_is_live_and_a_node_whose_checks_pass_is_ready() -> None:
    chat = ChatClient()
    for target in ("/livez", "/readyz"):
        answer = ask(chat, target)
        assert (answer.status_code, answer.text) == (200, "ok\n")
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_verbose_answer_has_a_line_for_each_check() -> None:
    answer = ask(ChatClient(), "/readyz?verbose")
    assert (answer.status_code, answer.text) == (200, "[+]draining ok\n[+]leader ok\n[+]disk ok\nreadyz check passed\n")


def test_a_failed_check_is_503_and_says_why_and_the_log_does(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    chat.replica.checks = [("leader", ""), ("disk", "the disk is full")]
    for target in ("/readyz", "/readyz?verbose"):
        answer = ask(chat, target)
        assert answer.status_code == 503
        assert answer.text == "[+]draining ok\n[+]leader ok\n[-]disk failed: the disk is full\nreadyz check failed\n"
    assert [record.getMessage() for record in caplog.records] == [
        "answered a client 503 not_ready: disk failed: the disk is full"
    ]
    assert ask(chat, "/livez").status_code == 200


def test_a_node_that_stops_is_not_ready_and_lives() -> None:
    chat = ChatClient()
    chat.app = create_app(chat.replica, chat.state, is_draining=lambda: True)
    assert "[-]draining failed: this node is stopping\n" in ask(chat, "/readyz").text
    assert ask(chat, "/livez").status_code == 200


def test_a_node_that_starts_lives_and_tells_anybody_no_url() -> None:
    starting = StartingMember(1, {}, lambda: "waiting for http://10.0.0.2:12379", lambda: "this node waits")
    client = Client(deferring(create_app(starting, ChatState())))
    answers = [client.open("/", environ_overrides={"RAW_URI": target}) for target in ("/livez", "/readyz")]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[1].text == "[+]draining ok\n[-]starting failed: this node waits\nreadyz check failed\n"


def test_head_has_the_status_and_no_body() -> None:
    chat = ChatClient()
    assert (ask(chat, "/readyz", "HEAD").status_code, ask(chat, "/readyz", "HEAD").data) == (200, b"")
    chat.replica.checks = [("leader", "no leader is known")]
    assert (ask(chat, "/readyz", "HEAD").status_code, ask(chat, "/readyz", "HEAD").data) == (503, b"")


def test_neither_needs_a_thread_a_user_or_a_majority() -> None:
    for method in ("GET", "HEAD"):
        assert all(never_waits(method, target) for target in ("/livez", "/readyz", "/readyz?verbose"))
    chat = LoginClient()
    chat.replica.unavailable = True
    reads = chat.replica.reads
    for target in ("/livez", "/readyz", "/readyz?verbose"):
        answer = ask(chat, target)
        assert answer.status_code == 200
        assert "X-Raft-Index" not in answer.headers
    assert chat.replica.reads == reads


def test_no_rate_limits_the_checks() -> None:
    chat = LoginClient()
    assert {ask(chat, "/readyz").status_code for _ in range(1_000)} == {200}
