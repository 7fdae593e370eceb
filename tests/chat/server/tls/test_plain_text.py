"""The port that sends clients of plain HTTP to https."""

import pytest
from werkzeug.test import run_wsgi_app

from chat.server.limits import Limits
from chat.server.tls.plain_text import answer_to_plain_http, https_url, redirecting_app
from tests.chat.wire import Client, mode, post, serving


def test_a_request_without_a_host_at_a_server_without_a_name_is_refused_and_no_failure() -> None:
    environ = {"RAW_URI": "/", "SERVER_NAME": "::"}  # of HTTP/1.0, at --host ::
    body, status, _ = run_wsgi_app(redirecting_app(12380), environ)
    assert status == "400 Bad Request"
    assert b"https://" in b"".join(body)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("chat.example", 443, "https://chat.example/a?b"),
        ("chat.example:80", 443, "https://chat.example/a?b"),
        ("chat.example:", 12380, "https://chat.example:12380/a?b"),
        ("[::1]:12381", 12380, "https://[::1]:12380/a?b"),
        ("", 443, None),
        ("user@chat.example", 443, None),
        ("chat.example/", 443, None),
        ("chat.example\r\nX: y", 443, None),
    ],
)
def test_the_url_keeps_the_host_and_has_the_port_of_tls(host: str, port: int, url: str | None) -> None:
    assert https_url(host, port, "/a?b") == url


def test_a_target_that_is_no_path_becomes_the_root() -> None:
    assert https_url("a", 443, "*") == "https://a/"


def test_every_request_is_redirected_with_its_method_and_is_not_to_be_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mode, "never_waits", lambda method, target: True)
    with serving(redirecting_app(12380)) as server, Client(server.port) as client:
        for request in (b"GET /%F0%9F?x=1 HTTP/1.1\r\nHost: chat.example\r\n\r\n", post(b"body", b"/%F0%9F?x=1")):
            answer = client.ask(request)
            host = "chat.example" if request.startswith(b"GET") else "a"
            assert (answer.status, answer.headers["location"]) == (308, f"https://{host}:12380/%F0%9F?x=1")
            assert answer.headers["cache-control"] == "no-store"
            assert b"needs TLS" in answer.body
        answer = client.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert answer.headers["location"] == "https://127.0.0.1:12380/"  # it names no host


def test_the_answer_at_the_port_of_tls_sends_nobody_to_a_host_that_is_refused() -> None:
    def refusal(host: str) -> str:
        return "this is not its name" if host == "evil.example" else ""

    def ask(head: bytes) -> bytes:
        return answer_to_plain_http(head, 12380, Limits(), refusal)

    refused = ask(b"GET /livez HTTP/1.1\r\nHost: evil.example")
    assert refused.startswith(b"HTTP/1.1 421 ")
    assert b"wrong_host" in refused and b"this is not its name" in refused and b"Location" not in refused
    assert b"Location: https://chat.example:12380/" in ask(b"GET / HTTP/1.1\r\nHost: chat.example")
